"""Greets people and keeps the books, with two stateful functions.

In:    `example/greeter`, id = a person's name, message `example.types/Visit` (JSON `{"city": "Turin"}`).
Out:   per visit one record on topic `greetings` and, from the second function, one on topic `cities`.
State: the runtime keeps it: `visits` of each person, `greetings` of each city. This process keeps nothing.
"""

import argparse
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

VISIT = make_json_type("example.types/Visit")
EGRESS_RECORD = make_json_type("io.statefun.playground/EgressRecord")

functions = StatefulFunctions()


@functions.bind("example/greeter", specs=[ValueSpec("visits", IntType)])
def greeter(context, message):
    """One instance per person: counts the visits, greets, and tells the archivist of the city."""
    visit = message.as_type(VISIT)
    name = context.address.id
    visits = (context.storage.visits or 0) + 1
    context.storage.visits = visits

    context.send(message_builder("example/archivist", visit["city"], str_value=name))
    context.send_egress(record("greetings", f"Hello {name}, this is visit {visits}"))


@functions.bind("example/archivist", specs=[ValueSpec("greetings", IntType)])
def archivist(context, message):
    """One instance per city: counts the greetings that its visitors got."""
    name = message.as_string()
    city = context.address.id
    greetings = (context.storage.greetings or 0) + 1
    context.storage.greetings = greetings

    context.send_egress(record("cities", f"{city}: greeting {greetings} went to {name}"))


def record(topic, payload):
    """A record for the playground egress: a topic that the module declares, and a text."""
    return egress_message_builder(
        "io.statefun.playground/egress",
        value={"topic": topic, "payload": payload},
        value_type=EGRESS_RECORD,
    )


handler = RequestReplyHandler(functions)


async def statefun(request):
    """The one route: request bytes in, response bytes out; the SDK does the rest."""
    answer = await handler.handle_async(await request.read())
    return web.Response(body=answer, content_type="application/octet-stream")


def main():
    """Serves until it is stopped. `--port 0` takes any free port; the first line printed says which."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8000)
    options = arguments.parse_args()

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.add_routes([web.post("/statefun", statefun)])
    listener = socket.create_server((options.host, options.port))
    print(f"ready http://{options.host}:{listener.getsockname()[1]}/statefun", flush=True)
    web.run_app(application, sock=listener, print=None, access_log=None)


if __name__ == "__main__":
    main()
