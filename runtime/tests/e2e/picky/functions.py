"""Takes numbers, and raises on those that are poisoned: the function of the tests about messages that are rejected.

In:    `example/picky`, message `example.types/Number` (JSON): `{"number": 7}`, or `{"number": 7, "poisoned": true}`.
Out:   per number that it took one record on topic `numbers`.
State: none.
"""

import argparse
import socket

from aiohttp import web
from statefun import RequestReplyHandler, StatefulFunctions, egress_message_builder, make_json_type

NUMBER = make_json_type("example.types/Number")
EGRESS_RECORD = make_json_type("io.statefun.playground/EgressRecord")

functions = StatefulFunctions()


@functions.bind("example/picky")
def picky(context, message):
    """One poisoned number fails its whole batch, as the SDK has it."""
    number = message.as_type(NUMBER)
    if number.get("poisoned"):
        raise ValueError(f"number {number['number']} is poisoned")
    record = {"topic": "numbers", "payload": str(number["number"])}
    egress = egress_message_builder("io.statefun.playground/egress", value=record, value_type=EGRESS_RECORD)
    context.send_egress(egress)


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

    application = web.Application()
    application.add_routes([web.post("/statefun", statefun)])
    listener = socket.create_server(("127.0.0.1", options.port))
    print(f"ready http://127.0.0.1:{listener.getsockname()[1]}/statefun", flush=True)
    web.run_app(application, sock=listener, print=None, access_log=None)


if __name__ == "__main__":
    main()
