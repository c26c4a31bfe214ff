"""Tallies numbers by key and passes each one on: the functions of the tests that kill.

In:    `example/tally`, message `example.types/Number` (JSON): `{"number": 7}`.
Out:   per number one record on topic `tallies`: the key, how many numbers it has had, the number.
       Each number also goes to `example/sum`, whose id is the first part of the key (`group-key`).
State: of a tally `seen` and `total`; of a sum `seen` and `total` of all keys of its group.
"""

import argparse
import socket

from aiohttp import web
from statefun import (
    LongType,
    RequestReplyHandler,
    StatefulFunctions,
    ValueSpec,
    egress_message_builder,
    make_json_type,
    message_builder,
)

NUMBER = make_json_type("example.types/Number")
EGRESS_RECORD = make_json_type("io.statefun.playground/EgressRecord")
SPECS = [ValueSpec("seen", LongType), ValueSpec("total", LongType)]

functions = StatefulFunctions()


def add(storage, number):
    """Counts a number in."""
    storage.seen = (storage.seen or 0) + 1
    storage.total = (storage.total or 0) + number


@functions.bind("example/tally", specs=SPECS)
def tally(context, message):
    """Counts the number, says so, and passes it on."""
    number = message.as_type(NUMBER)["number"]
    add(context.storage, number)
    key = context.address.id
    record = {"topic": "tallies", "payload": f"{key} {context.storage.seen} {number}"}
    context.send_egress(
        egress_message_builder("io.statefun.playground/egress", value=record, value_type=EGRESS_RECORD)
    )
    group = key.split("-")[0]
    context.send(message_builder("example/sum", group, value={"number": number}, value_type=NUMBER))


@functions.bind("example/sum", specs=SPECS)
def group_sum(context, message):
    """Counts what the keys of a group pass on."""
    add(context.storage, message.as_type(NUMBER)["number"])


handler = RequestReplyHandler(functions)


async def statefun(request):
    """The one route: request bytes in, response bytes out; the SDK does the rest."""
    answer = await handler.handle_async(await request.read())
    return web.Response(body=answer, content_type="application/octet-stream")


def main():
    """Serves until it is stopped. The first line printed says where."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--port", type=int, default=8000)
    options = arguments.parse_args()

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.add_routes([web.post("/statefun", statefun)])
    listener = socket.create_server(("127.0.0.1", options.port))
    print(f"ready http://127.0.0.1:{listener.getsockname()[1]}/statefun", flush=True)
    web.run_app(application, sock=listener, print=None, access_log=None)


if __name__ == "__main__":
    main()
