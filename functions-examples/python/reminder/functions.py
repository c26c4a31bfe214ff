"""Reminds people: delayed messages, their cancellation, and a state that expires.

In:    `example/reminder`, id = a person's name, message `example.types/Wish` (JSON): `{"wish": "remind", "text": "tea",
       "after_ms": 1000}` or `{"wish": "forget", "text": "tea"}`.
Out:   per reminder that was not forgotten one record on topic `reminders`, when its time has come.
State: the runtime keeps it: `reminded`, how many reminders a person got, for a day after the last one.
"""

import argparse
import socket
from datetime import timedelta

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

WISH = make_json_type("example.types/Wish")
EGRESS_RECORD = make_json_type("io.statefun.playground/EgressRecord")

functions = StatefulFunctions()


@functions.bind("example/reminder", specs=[ValueSpec("reminded", IntType, expire_after_write=timedelta(days=1))])
def reminder(context, message):
    """One instance per person. The text of a reminder is its cancellation token: a person has each text once."""
    if not message.is_type(WISH):
        return remind(context, message.as_string())
    wish = message.as_type(WISH)
    if wish["wish"] == "forget":
        context.cancel_delayed_message(wish["text"])
    else:
        myself = message_builder("example/reminder", context.address.id, str_value=wish["text"])
        context.send_after(timedelta(milliseconds=wish["after_ms"]), myself, cancellation_token=wish["text"])


def remind(context, text):
    """The time has come: the delayed message is an ordinary one now."""
    context.storage.reminded = (context.storage.reminded or 0) + 1
    record = {"topic": "reminders", "payload": f"{context.address.id}: {text} ({context.storage.reminded})"}
    egress = egress_message_builder("io.statefun.playground/egress", value=record, value_type=EGRESS_RECORD)
    context.send_egress(egress)


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
