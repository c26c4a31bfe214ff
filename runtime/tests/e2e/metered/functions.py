"""Does what each message says, so that a test knows every number: the functions of the test about metrics.

In:    `example/metered`, message `example.types/Order` (JSON), every field optional:
       `{"send": 2, "records": 1, "later_ms": [10], "hold": true, "fail_once": true, "fail": true,
       "payload": "text"}`. The same as `narrow/gated`.
Out:   so many messages to `example/sink` (ids `0`, `1`, ...), records with the payload on topic `out`, and delayed messages to
       `example/keeper`, id `later`, or to itself, when the delay is over a minute. `hold` waits for `POST /open`; `fail_once`
       raises the first time that it is seen, `fail` always.
State: the keeper's `orders` of each id, which live an hour after they were written.
"""

import argparse
import asyncio
import datetime
import socket

from aiohttp import web
from statefun import (
    IntType,
    RequestReplyHandler,
    StatefulFunctions,
    ValueSpec,
    egress_message_builder,
    make_json_type,
    message_builder,
)

ORDER = make_json_type("example.types/Order")
EGRESS_RECORD = make_json_type("io.statefun.playground/EgressRecord")

functions = StatefulFunctions()
gate = asyncio.Event()
failed = []


@functions.bind("narrow/gated")
@functions.bind("example/metered")
async def metered(context, message):
    """What the order says, in that order."""
    order = message.as_type(ORDER)
    if order.get("hold"):
        await gate.wait()
    if order.get("fail"):
        raise ValueError("as it always is")
    if order.get("fail_once") and not failed:
        failed.append(order)
        raise ValueError("as it was told")
    for number in range(order.get("send", 0)):
        context.send(message_builder("example/sink", str(number), str_value="now"))
    for _ in range(order.get("records", 0)):
        value = {"topic": "out", "payload": order.get("payload", "record")}
        context.send_egress(egress_message_builder("io.statefun.playground/egress", value=value, value_type=EGRESS_RECORD))
    for delay in order.get("later_ms", []):
        own = delay > 60_000
        target, target_id = ("example/metered", context.address.id) if own else ("example/keeper", "later")
        later = message_builder(target, target_id, value={}, value_type=ORDER) if own else message_builder(
            target, target_id, str_value="later")
        context.send_after(datetime.timedelta(milliseconds=delay), later, cancellation_token="never" if own else "")


@functions.bind("example/sink")
def sink(context, message):
    """Has no state and does nothing."""


@functions.bind(
    "example/keeper", specs=[ValueSpec("orders", IntType, expire_after_write=datetime.timedelta(hours=1))])
def keeper(context, message):
    """Counts what it got."""
    context.storage.orders = (context.storage.orders or 0) + 1


handler = RequestReplyHandler(functions)


async def statefun(request):
    """The one route: request bytes in, response bytes out; the SDK does the rest."""
    answer = await handler.handle_async(await request.read())
    return web.Response(body=answer, content_type="application/octet-stream")


async def open_gate(request):
    """Lets those go on that hold."""
    gate.set()
    return web.Response()


def main():
    """Serves until it is stopped. The first line printed says where."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--port", type=int, default=8000)
    options = arguments.parse_args()

    application = web.Application()
    application.add_routes([web.post("/statefun", statefun), web.post("/open", open_gate)])
    listener = socket.create_server(("127.0.0.1", options.port))
    print(f"ready http://127.0.0.1:{listener.getsockname()[1]}/statefun", flush=True)
    web.run_app(application, sock=listener, print=None, access_log=None)


if __name__ == "__main__":
    main()
