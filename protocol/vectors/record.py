"""Records the golden wire vectors from the official Python SDK.

    record.py           compares what the SDK says today with the files, and changes nothing
    record.py --write   writes the files; read the diff before you commit it

Every byte comes from the SDK: requests and values from its protobuf classes, answers from functions that run in its
RequestReplyHandler. Nothing here encodes protobuf, but for the few fields that the SDK does not know: those are given
as hex, and the SDK carries them along.
"""

import asyncio
import difflib
import json
import math
import sys
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import statefun
from google.protobuf.descriptor import FieldDescriptor
from statefun.kafka_egress_pb2 import KafkaProducerRecord
from statefun.kinesis_egress_pb2 import KinesisEgressRecord
from statefun.request_reply_pb2 import ToFunction, FromFunction, TypedValue
from statefun.utils import to_typed_value

FOLDER = Path(__file__).parent
PINNED = dict(line.split("==") for line in (FOLDER / "requirements.txt").read_text().split())
SDK = f"apache-flink-statefun {PINNED['apache-flink-statefun']}"


# ----------------------------------------------------------------------------------------------------------------------
# Files
# ----------------------------------------------------------------------------------------------------------------------

def main():
    for package, wanted in PINNED.items():
        if version(package) != wanted:
            sys.exit(f"{package} is {version(package)}, the vectors are recorded with {wanted}")
    write = sys.argv[1:] == ["--write"]
    if sys.argv[1:] and not write:
        sys.exit(__doc__)
    files = {
        "requests.json": requests(),
        "answers.json": answers(),
        "types.json": simple_types(),
        "egress.json": egress_records(),
    }
    differs = False
    for name, vectors in files.items():
        names = [vector["name"] for vector in vectors]
        assert len(set(names)) == len(names), f"a name occurs twice in {name}"
        new = render(vectors)
        path = FOLDER / name
        old = path.read_text() if path.exists() else ""
        sys.stdout.writelines(difflib.unified_diff(
            old.splitlines(True), new.splitlines(True), f"{name} (file)", f"{name} (SDK)"))
        differs |= new != old
        if write:
            path.write_text(new)
    if differs and not write:
        sys.exit("the files differ from what the SDK says")


def render(vectors):
    return json.dumps(vectors, indent=2, ensure_ascii=False) + "\n"


def hexed(data):
    """Hex bytes, 32 a line; a short one is a single string."""
    lines = [data[i:i + 32].hex(" ") for i in range(0, len(data), 32)]
    return lines if len(lines) > 1 else "".join(lines)


def twin(message):
    """The readable twin: field by field what the message holds, as the SDK reads it.

    A field that is absent on the wire is absent here. Bytes are hex. Fields that the SDK does not know are in
    `unknown`, as they stand on the wire.
    """
    known = {}
    for field, value in message.ListFields():
        one = reader(field)
        known[field.name] = [one(v) for v in value] if field.label == FieldDescriptor.LABEL_REPEATED else one(value)
    bare = type(message)()
    bare.CopyFrom(message)
    bare.DiscardUnknownFields()
    if bare.ByteSize() != message.ByteSize() and not any(isinstance(v, (dict, list)) for v in known.values()):
        known["unknown"] = hexed(message.SerializeToString()[bare.ByteSize():])
    return known


def reader(field):
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return twin
    if field.type == FieldDescriptor.TYPE_BYTES:
        return hexed
    if field.type == FieldDescriptor.TYPE_ENUM:
        return lambda number: field.enum_type.values_by_number[number].name
    return lambda value: value


# ----------------------------------------------------------------------------------------------------------------------
# Requests
# ----------------------------------------------------------------------------------------------------------------------

def value(tpe, v, unknown=""):
    """A value, with fields that the SDK does not know (hex) behind it."""
    typed = to_typed_value(tpe, v)
    return TypedValue.FromString(typed.SerializeToString() + bytes.fromhex(unknown))


def text(v, unknown=""):
    return value(statefun.StringType, v, unknown)


JSON = statefun.make_json_type("com.example.types/login")
OPAQUE = statefun.simple_type("com.example.types/opaque", serialize_fn=bytes, deserialize_fn=bytes)


def request(target, *invocations, state=()):
    """target and caller: (namespace, type, id); an invocation is a value, or a caller and a value; a state is a name, or
    a name and a value."""
    message = ToFunction()
    batch = message.invocation
    address(batch.target, target)
    for entry in state:
        name, current = (entry, None) if isinstance(entry, str) else entry
        persisted = batch.state.add(state_name=name)
        if current is not None:
            persisted.state_value.CopyFrom(current)
    for entry in invocations:
        caller, argument = (None, entry) if isinstance(entry, TypedValue) else entry
        invocation = batch.invocations.add()
        if caller is not None:
            address(invocation.caller, caller)
        invocation.argument.CopyFrom(argument)
    return message


def address(into, parts):
    into.SetInParent()
    into.namespace, into.type, into.id = parts


USER = ("greeter.fns", "user", "1")
PERSON = ("greeter.fns", "person", "Ann")

# Field 4, Kafka headers as the fork defines them: `trace` with 01 02, `empty` with no bytes, `null`, `trace` with none.
HEADERS = ("22 0d 0a 05 74 72 61 63 65 12 02 01 02 18 01 22 09 0a 05 65 6d 70 74 79 18 01"
           "22 06 0a 04 6e 75 6c 6c 22 09 0a 05 74 72 61 63 65 18 01")
# Fields that nobody knows: 15 as a number, 100 as bytes, 101 and 102 fixed, 103 as a group with a number in it.
FOREIGN = "78 96 01 a2 06 03 61 62 63 a9 06 01 02 03 04 05 06 07 08 b5 06 01 02 03 04 bb 06 08 01 bc 06"


def requests():
    i, s = statefun.IntType, statefun.StringType
    cases = [
        ("no caller", "a message from an ingress; no states",
         request(USER, text("Hi"))),
        ("unset state", "a state that is registered and has no value; the worked example of the specification",
         request(USER, text("Hi"), state=["seen"])),
        ("set state", "a state with a value",
         request(USER, text("Hi"), state=[("seen", value(i, 1))])),
        ("state set to zero bytes", "int 0, false and the empty string have no bytes, and still are values",
         request(USER, text("Hi"), state=[
             ("seen", value(i, 0)), ("admin", value(statefun.BoolType, False)), ("name", value(s, ""))])),
        ("several states", "set and unset, simple and custom types",
         request(USER, text("Hi"), state=[
             "first", ("count", value(statefun.LongType, 10 ** 12)), "second", ("login", value(JSON, {"name": "Ann"})),
             ("raw", value(OPAQUE, b"\x00\xff\x80"))])),
        ("state of the pseudo type", "a state that was declared without a typename",
         request(USER, text("Hi"), state=[
             ("seen", TypedValue(typename="io.statefun.types/unset", has_value=True, value=b"\x01"))])),
        ("caller", "a message from another function",
         request(USER, (PERSON, text("Hi")))),
        ("caller with an empty id", "the caller is there, its id is not",
         request(USER, (("greeter.fns", "person", ""), text("Hi")))),
        ("caller without any part", "an empty address is still a caller to some SDKs",
         request(USER, (("", "", ""), text("Hi")))),
        ("empty id", "an instance with an empty id",
         request(("greeter.fns", "user", ""), text("Hi"))),
        ("empty target", "an address without any part is still there",
         request(("", "", ""), text("Hi"))),
        ("batch", "three messages in order, each with its own caller",
         request(USER, text("one"), (PERSON, text("two")), (USER, text("three")), state=["seen"])),
        ("batch of ten", "ten numbers, the first of them zero",
         request(USER, *[value(i, n) for n in range(10)], state=[("seen", value(i, -1))])),
        ("zero values as arguments", "arguments of zero bytes have a value",
         request(USER, value(i, 0), text(""), value(OPAQUE, b""))),
        ("argument without a value", "what a function may send, though no ingress does",
         request(USER, (PERSON, TypedValue(typename="io.statefun.types/string")))),
        ("argument without anything", "an empty TypedValue is still there",
         request(USER, (PERSON, TypedValue()))),
        ("headers", "Kafka headers on the argument: repeated, empty and null ones",
         request(USER, text("Hi", HEADERS))),
        ("unknown fields", "fields of every wire type that nobody knows, behind the argument's own",
         request(USER, (PERSON, text("Hi", FOREIGN)), text("Ho", HEADERS + FOREIGN))),
        ("not ASCII", "names, ids and texts in several scripts",
         request(("bücher.fns", "größe", "東京/🚀"), (("ns", "имя", "é\u0301"), text("안녕 \u0000 🌊")),
                 state=[("zähler", value(i, 7))])),
        ("slashes", "parts that no module file could spell",
         request(("a/b", "c/d", "/"), (("/", "", "//"), text("/")))),
        ("long texts", "lengths around a step of a varint",
         request(("n" * 127, "t" * 128, "i" * 300), text("x" * 200), state=[("s" * 128, text("y" * 125))])),
    ]
    return [vector(name, what, f"{SDK}, ToFunction.SerializeToString", message) for name, what, message in cases]


def vector(name, what, source, message, **more):
    data = message.SerializeToString()
    assert type(message).FromString(data) == message
    return {"name": name, "what": what, "from": source, **more, "twin": twin(message), "bytes": hexed(data)}


# ----------------------------------------------------------------------------------------------------------------------
# Answers
# ----------------------------------------------------------------------------------------------------------------------

INT = statefun.IntType
SPEC = statefun.ValueSpec


def answers():
    seen = [SPEC("seen", INT)]
    seen_1 = [("seen", value(INT, 1))]
    hi = text("Hi")
    every = [SPEC("plain", INT),
             SPEC("written", statefun.LongType, expire_after_write=timedelta(minutes=1)),
             SPEC("invoked", JSON, expire_after_call=timedelta(days=30)),
             SPEC("short", statefun.StringType, expire_after_write=timedelta(milliseconds=1))]

    def nothing(context, message):
        pass

    async def nothing_async(context, message):
        await asyncio.sleep(0)

    def increment(context, message):
        context.storage.seen = (context.storage.seen or 0) + 1

    def zero(context, message):
        context.storage.seen = 0

    def delete(context, message):
        del context.storage.seen

    def several_states(context, message):
        context.storage.count = -2
        context.storage.name = ""
        del context.storage.old
        context.storage.login = {"name": "Ann", "city": "Zürich"}
        context.storage.flag = False
        context.storage.raw = b"\x00\xff"

    def set_then_delete(context, message):
        context.storage.seen = 5
        del context.storage.seen

    def send(context, message):
        context.send(statefun.message_builder("greeter.fns/person", "Ann", str_value="Hi"))
        context.send(statefun.message_builder("greeter.fns/person", "Ann", int_value=0))
        context.send(statefun.message_builder("a/b/c", "東京", value=b"", value_type=OPAQUE))

    def reply(context, message):
        context.send(statefun.message_builder(context.caller.typename, context.caller.id, str_value=context.address.id))

    def forward(context, message):
        context.send(statefun.Message("greeter.fns/person", "Ann", message.typed_value))
        context.send_after(timedelta(seconds=1), statefun.Message("greeter.fns/person", "Bob", message.typed_value), "t")

    def keep(context, message):
        for name in ("one", "two"):
            setattr(context.storage, name, message.as_type(statefun.StringType))

    def delayed(context, message):
        context.send_after(timedelta(seconds=1), statefun.message_builder("greeter.fns/user", "1", str_value="later"))

    def delayed_with_token(context, message):
        later = statefun.message_builder("greeter.fns/user", "1", str_value="later")
        context.send_after(timedelta(days=365), later, cancellation_token="tok")
        context.send_after(timedelta(0), later, "now-🚀")
        context.send_after(timedelta(milliseconds=-5), later)

    def cancel(context, message):
        context.cancel_delayed_message("tok")

    def interleaved(context, message):
        later = statefun.message_builder("greeter.fns/user", "2", bool_value=True)
        context.send_after(timedelta(seconds=1), later, "a")
        context.cancel_delayed_message("a")
        context.cancel_delayed_message("b")
        context.send_after(timedelta(seconds=2), later, "b")

    def cancel_nothing(context, message):
        context.cancel_delayed_message("")

    def kafka(context, message):
        context.send_egress(statefun.kafka_egress_message("com.example/out", "greetings", "Hi Ann", key="Ann"))
        context.send_egress(statefun.kafka_egress_message("com.example/out", "greetings", b""))
        context.send_egress(statefun.kafka_egress_message("com.example/out", "numbers", 7, key=""))
        context.send_egress(statefun.kafka_egress_message("com.example/out", "numbers", 7, value_type=INT))

    def kinesis(context, message):
        context.send_egress(statefun.kinesis_egress_message("com.example/out", "stream", "Hi", "shard"))
        context.send_egress(statefun.kinesis_egress_message("com.example/out", "stream", b"\xff", "", explicit_hash_key="0"))

    def playground(context, message):
        record = statefun.make_json_type("io.statefun.playground/EgressRecord")
        context.send_egress(statefun.egress_message_builder(
            "io.statefun.playground/egress", {"topic": "greetings", "payload": "Grüße, Ann"}, record))

    def everything(context, message):
        increment(context, message)
        send(context, message)
        delayed_with_token(context, message)
        cancel(context, message)
        playground(context, message)

    async def everything_async(context, message):
        await asyncio.sleep(0)
        everything(context, message)

    mixed = [SPEC("count", statefun.LongType), SPEC("name", statefun.StringType), SPEC("old", INT), SPEC("login", JSON),
             SPEC("flag", statefun.BoolType), SPEC("raw", OPAQUE), SPEC("untouched", INT)]
    unset = [spec.name for spec in mixed]
    batch = [(PERSON, text("one")), (("greeter.fns", "person", "Bob"), text("two")), (PERSON, text("three"))]
    cases = [
        ("incomplete", "one state, no expiry; sent because the request has no states",
         nothing, seen, request(USER, hi)),
        ("incomplete, every expiry", "no expiry, after a write, after a call, and one of a millisecond",
         nothing, every, request(USER, hi)),
        ("incomplete, one of two", "only the state that the request lacks is asked for",
         nothing, [SPEC("seen", INT), SPEC("name", statefun.StringType)], request(USER, hi, state=seen_1)),
        ("incomplete, asynchronous", "the same from an asynchronous function",
         nothing_async, seen, request(USER, hi)),
        ("nothing", "no effects",
         nothing, [], request(USER, hi)),
        ("nothing, with states", "states that are only read are not sent back, nor are those that the function does not know",
         nothing, seen, request(USER, hi, state=[*seen_1, "gone"])),
        ("state set", "an unset state gets a value",
         increment, seen, request(USER, hi, state=["seen"])),
        ("state set by a batch", "three messages, one mutation",
         increment, seen, request(USER, hi, hi, hi, state=seen_1)),
        ("state set to zero", "a value of zero bytes",
         zero, seen, request(USER, hi, state=seen_1)),
        ("state deleted", "a state is removed",
         delete, seen, request(USER, hi, state=seen_1)),
        ("state set and deleted", "only the last word counts",
         set_then_delete, seen, request(USER, hi, state=["seen"])),
        ("several states", "values of six types, one deletion, one state untouched",
         several_states, mixed, request(USER, hi, state=unset)),
        ("states with a long text", "what was read from a message is stored twice",
         keep, [SPEC("one", statefun.StringType), SPEC("two", statefun.StringType)],
         request(USER, text("x" * 200), state=["one", "two"])),
        ("messages", "three to two functions, one of them with a slash in its namespace",
         send, [], request(USER, hi)),
        ("replies", "a batch whose callers get an answer each",
         reply, [], request(USER, *batch)),
        ("forwarded", "an argument with headers and unknown fields is passed on, at once and delayed",
         forward, [], request(USER, text("Hi", HEADERS + FOREIGN))),
        ("delayed", "a delayed message without a token",
         delayed, [], request(USER, hi)),
        ("delayed with a token", "a year, at once, and a negative delay, which the SDK lets pass",
         delayed_with_token, [], request(USER, hi)),
        ("cancellation", "a token is cancelled",
         cancel, [], request(USER, hi)),
        ("sends and cancellations", "their order is kept",
         interleaved, [], request(USER, hi)),
        ("cancellation without a token", "which the SDK lets pass",
         cancel_nothing, [], request(USER, hi)),
        ("kafka egress", "with key, without key, with an empty key, and with a typed value",
         kafka, [], request(USER, hi)),
        ("kinesis egress", "with and without an explicit hash key",
         kinesis, [], request(USER, hi)),
        ("playground egress", "JSON under the playground's typename",
         playground, [], request(USER, hi)),
        ("everything", "every kind of effect at once",
         everything, seen, request(USER, *batch, state=["seen"])),
        ("everything, asynchronous", "the same from an asynchronous function",
         everything_async, seen, request(USER, *batch, state=["seen"])),
    ]
    return [answer(*case) for case in cases]


def answer(name, what, fun, specs, asked):
    functions = statefun.StatefulFunctions()
    functions.register("greeter.fns/user", fun, specs)
    handler = statefun.RequestReplyHandler(functions)
    body = asked.SerializeToString()
    data = handler.handle_sync(body)
    assert asyncio.run(handler.handle_async(body)) == data
    message = FromFunction.FromString(data)
    assert message.SerializeToString() == data
    return vector(name, what, f"{SDK}, RequestReplyHandler.handle_sync", message, request=hexed(body))


# ----------------------------------------------------------------------------------------------------------------------
# Values
# ----------------------------------------------------------------------------------------------------------------------

def simple_types():
    cases = {
        statefun.BoolType: [True, False],
        statefun.IntType: [1, -1, 42, 0, 2 ** 31 - 1, -2 ** 31],
        statefun.FloatType: [1.0, -0.5, 3.140000104904175, 0.0, -0.0, math.inf, -math.inf, math.nan, 2.0 ** -149],
        statefun.LongType: [1, -2, 10 ** 12, 0, 2 ** 63 - 1, -2 ** 63],
        statefun.DoubleType: [1.0, -2.5, 0.0, -0.0, 0.1, math.inf, -math.inf, math.nan, 5e-324],
        statefun.StringType: ["Hi", "é", "", "\u0000", "🌊 мир", "a" * 127, "a" * 128],
    }
    return [simple(tpe, v) for tpe, values in cases.items() for v in values]


def simple(tpe, v):
    data = tpe.serializer().serialize(v)
    readable = v if isinstance(v, (bool, int, str)) else repr(v)
    kind = tpe.typename.split("/")[1]
    label = f"{len(v)} times a" if isinstance(v, str) and len(v) > 20 else repr(v) if isinstance(v, str) else v
    return {"name": f"{kind} {label}", "from": f"{SDK}, {kind.capitalize()}Type.serializer()",
            "typename": tpe.typename, "value": readable, "bytes": hexed(data)}


def egress_records():
    def kafka(**fields):
        return KafkaProducerRecord(**fields)

    def with_headers(record):
        # Field 4: `trace` with 01 02, `empty` with no bytes, `null`.
        known = record.SerializeToString()
        return KafkaProducerRecord.FromString(known + bytes.fromhex(
            "22 0d 0a 05 74 72 61 63 65 12 02 01 02 18 01 22 09 0a 05 65 6d 70 74 79 18 01 22 06 0a 04 6e 75 6c 6c"))

    cases = [
        ("kafka", kafka(key="Ann", value_bytes=b"Hi", topic="greetings")),
        ("kafka without a key", kafka(value_bytes=b"Hi", topic="greetings")),
        ("kafka without a value", kafka(key="Ann", topic="greetings")),
        ("kafka with headers", with_headers(kafka(key="Ann", value_bytes=b"Hi", topic="greetings"))),
        ("kinesis", KinesisEgressRecord(partition_key="Ann", value_bytes=b"\x00\xff", stream="greetings")),
        ("kinesis with a hash key", KinesisEgressRecord(
            partition_key="é", value_bytes=b"Hi", stream="greetings", explicit_hash_key="340282366920938463463")),
    ]
    return [vector(name, message.DESCRIPTOR.full_name, f"{SDK}, {message.DESCRIPTOR.name}.SerializeToString", message)
            for name, message in cases]


if __name__ == "__main__":
    main()
