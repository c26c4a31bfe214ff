"""Counts the numbers of each id, and says so on a topic: the function of the tests about Kafka.

In:    `com.example.fns/counter`, message `com.example.types/Number` (JSON): `7`. The id is `<anything>><topic>`.
Out:   per number a record on that topic, under the id: `<how many so far>:<number>`. Ids that begin with `keyless` have none
       there, those that begin with `empty` an empty one.
State: `seen`.

`com.example.fns/odd` gets what is no number, and says `odd:<its type>` there.

`com.example.fns/echo` sends a value back with the headers that it came with.
"""

import argparse
import socket

from aiohttp import web
from statefun import (
    EgressMessage, IntType, RequestReplyHandler, StatefulFunctions, ValueSpec, kafka_egress_message, make_json_type)

NUMBER = make_json_type("com.example.types/Number")

functions = StatefulFunctions()


@functions.bind("com.example.fns/counter", specs=[ValueSpec(name="seen", type=IntType)])
def counter(context, message):
    """One record for each message."""
    number = message.as_type(NUMBER)
    context.storage.seen = (context.storage.seen or 0) + 1
    key, _, topic = context.address.id.rpartition(">")
    key = None if key.startswith("keyless") else "" if key.startswith("empty") else context.address.id
    context.send_egress(kafka_egress_message(
        typename="com.example/out", topic=topic, key=key, value=f"{context.storage.seen}:{number}"))


@functions.bind("com.example.fns/odd")
def odd(context, message):
    """Says that a record came that cannot be a number."""
    topic = context.address.id.rpartition(">")[2]
    context.send_egress(kafka_egress_message(
        typename="com.example/out", topic=topic, key=context.address.id, value=f"odd:{message.value_typename()}"))


@functions.bind("com.example.fns/echo")
def echo(context, message):
    """The SDK knows nothing of headers: they are field 4 of the value, and of the record, in the same form."""
    topic = context.address.id.rpartition(">")[2]
    sent = kafka_egress_message(
        typename="com.example/out", topic=topic, key=context.address.id, value=message.raw_value())
    sent.typed_value.value += b"".join(fields(message.typed_value.SerializeToString(), 4))
    context.send_egress(EgressMessage(sent.typename, sent.typed_value))


def fields(encoded, number):
    """The fields of a number, each as it is encoded, of a message without fields of fixed width."""
    at = 0
    while at < len(encoded):
        begin = at
        tag, at = varint(encoded, at)
        length, at = varint(encoded, at)
        if tag & 7 == 2:
            at += length
        if tag >> 3 == number:
            yield encoded[begin:at]


def varint(encoded, at):
    """A number, and where it ends."""
    value = shift = 0
    while True:
        byte = encoded[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


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

    application = web.Application(client_max_size=64 << 20)
    application.add_routes([web.post("/statefun", statefun)])
    listener = socket.create_server(("127.0.0.1", options.port))
    print(f"ready http://127.0.0.1:{listener.getsockname()[1]}/statefun", flush=True)
    web.run_app(application, sock=listener, print=None, access_log=None)


if __name__ == "__main__":
    main()
