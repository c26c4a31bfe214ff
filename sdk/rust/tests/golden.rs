//! Promise: for the calls that were recorded, Rust functions give the answers of the official Python SDK.
//!
//! `protocol/vectors/answers.json` holds each call, and what functions in the Python SDK answered. The same functions are
//! here in Rust. Answers are compared as messages. They differ in two points that mean the same: Python sends an empty
//! expiration for a state that never expires, where this SDK, like Java's and JavaScript's, sends none; and no result, where
//! this SDK, like Java's, sends one without effects.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use millpond_protocol::proto::reqreply::from_function::{ExpirationSpec, Response};
use millpond_protocol::proto::reqreply::{FromFunction, ToFunction};
use millpond_sdk::{
    BoxError, Context, Format, Function, Functions, IntoValue, KafkaRecord, KinesisRecord, Message, PLAYGROUND_EGRESS,
    PlaygroundRecord, Result, TypedValue, Value, ValueSpec, ValueSpecs,
};
use prost::Message as _;

const SEEN: ValueSpec<i32> = ValueSpec::new("seen");
const NAME: ValueSpec<String> = ValueSpec::new("name");
const SECOND: Duration = Duration::from_secs(1);

#[derive(serde::Serialize, serde::Deserialize)]
struct Login {
    name: String,
    city: String,
}

impl Value for Login {
    const TYPENAME: &str = "com.example.types/login";
    type Format = PythonJson;
}

/// JSON with Python's spaces.
enum PythonJson {}

impl Format<Login> for PythonJson {
    fn encode(login: &Login) -> Result<Bytes, BoxError> {
        Ok(format!(r#"{{"name": "{}", "city": "{}"}}"#, login.name, login.city).into())
    }
    fn decode(bytes: &Bytes) -> Result<Login, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

struct Opaque(Bytes);

impl Value for Opaque {
    const TYPENAME: &str = "com.example.types/opaque";
    type Format = Raw;
}

enum Raw {}

impl Format<Opaque> for Raw {
    fn encode(value: &Opaque) -> Result<Bytes, BoxError> {
        Ok(value.0.clone())
    }
    fn decode(bytes: &Bytes) -> Result<Opaque, BoxError> {
        Ok(Opaque(bytes.clone()))
    }
}

async fn nothing(_: &mut Context, _: Message) {}

async fn increment(context: &mut Context, _: Message) -> Result {
    let seen = context.get(SEEN)?.unwrap_or(0) + 1;
    Ok(context.set(SEEN, &seen)?)
}

async fn zero(context: &mut Context, _: Message) -> Result {
    Ok(context.set(SEEN, &0)?)
}

async fn delete(context: &mut Context, _: Message) -> Result {
    Ok(context.remove(SEEN)?)
}

async fn set_then_delete(context: &mut Context, _: Message) -> Result {
    context.set(SEEN, &5)?;
    Ok(context.remove(SEEN)?)
}

const COUNT: ValueSpec<i64> = ValueSpec::new("count");
const OLD: ValueSpec<i32> = ValueSpec::new("old");
const LOGIN: ValueSpec<Login> = ValueSpec::new("login");
const FLAG: ValueSpec<bool> = ValueSpec::new("flag");
const RAW: ValueSpec<Opaque> = ValueSpec::new("raw");
const UNTOUCHED: ValueSpec<i32> = ValueSpec::new("untouched");

async fn several_states(context: &mut Context, _: Message) -> Result {
    context.set(COUNT, &-2)?;
    context.set(NAME, &String::new())?;
    context.remove(OLD)?;
    context.set(LOGIN, &Login { name: "Ann".into(), city: "Zürich".into() })?;
    context.set(FLAG, &false)?;
    Ok(context.set(RAW, &Opaque(Bytes::from_static(b"\x00\xff")))?)
}

const ONE: ValueSpec<String> = ValueSpec::new("one");
const TWO: ValueSpec<String> = ValueSpec::new("two");

async fn keep(context: &mut Context, message: Message) -> Result {
    context.set(ONE, &message.value()?)?;
    Ok(context.set(TWO, &message.value()?)?)
}

async fn send(context: &mut Context, _: Message) -> Result {
    context.send(("greeter.fns/person", "Ann"), "Hi")?;
    context.send(("greeter.fns/person", "Ann"), &0)?;
    // No text of two parts has a slash in its namespace; Python splits at the last one.
    let odd = millpond_sdk::TypeName::new("a/b", "c");
    Ok(context.send((&odd, "東京"), &Opaque(Bytes::new()))?)
}

async fn reply(context: &mut Context, _: Message) -> Result {
    let caller = context.caller().ok_or("no caller")?;
    Ok(context.send(caller, &context.id())?)
}

async fn forward(context: &mut Context, message: Message) -> Result {
    context.send(("greeter.fns/person", "Ann"), &message)?;
    Ok(context.send_after_with_token(SECOND, "t", ("greeter.fns/person", "Bob"), message)?)
}

async fn delayed(context: &mut Context, _: Message) -> Result {
    Ok(context.send_after(SECOND, ("greeter.fns/user", "1"), "later")?)
}

async fn cancel(context: &mut Context, _: Message) -> Result {
    Ok(context.cancel("tok")?)
}

async fn interleaved(context: &mut Context, _: Message) -> Result {
    let target = ("greeter.fns/user", "2");
    context.send_after_with_token(SECOND, "a", target, &true)?;
    context.cancel("a")?;
    context.cancel("b")?;
    Ok(context.send_after_with_token(2 * SECOND, "b", target, &true)?)
}

async fn kafka(context: &mut Context, _: Message) -> Result {
    let egress = "com.example/out";
    context.send_egress(egress, KafkaRecord::new("greetings", "Hi Ann").key("Ann"))?;
    context.send_egress(egress, KafkaRecord::new("greetings", ""))?;
    context.send_egress(egress, KafkaRecord::new("numbers", 7u32.to_be_bytes().to_vec()).key(""))?;
    Ok(context.send_egress(egress, KafkaRecord::of("numbers", &7)?)?)
}

async fn kinesis(context: &mut Context, _: Message) -> Result {
    context.send_egress("com.example/out", KinesisRecord::new("stream", "shard", "Hi"))?;
    let record = KinesisRecord::new("stream", "", vec![0xff]).explicit_hash_key("0");
    Ok(context.send_egress("com.example/out", record)?)
}

async fn playground(context: &mut Context, _: Message) -> Result {
    // Python writes a space behind colons and commas; both are the same JSON.
    let record = PlaygroundRecord::new("greetings", "Grüße, Ann").into_value()?;
    let spaced = String::from_utf8(record.bytes().to_vec())?.replace("\":\"", "\": \"").replace("\",\"", "\", \"");
    Ok(context.send_egress(PLAYGROUND_EGRESS, TypedValue::new(record.typename(), spaced))?)
}

fn bound(states: impl ValueSpecs, function: impl Function) -> Functions {
    Functions::new().bind("greeter.fns/user", states, function)
}

/// The functions of `record.py`, by the name of their vector.
fn functions(vector: &str) -> Option<Functions> {
    let functions = match vector {
        "incomplete" | "incomplete, asynchronous" | "nothing, with states" => bound(SEEN, nothing),
        "incomplete, every expiry" => {
            let plain = ValueSpec::<i32>::new("plain");
            let written = ValueSpec::<i64>::new("written").expire_after_write(60 * SECOND);
            let invoked = ValueSpec::<Login>::new("invoked").expire_after_call(30 * 24 * 3600 * SECOND);
            let short = ValueSpec::<String>::new("short").expire_after_write(Duration::from_millis(1));
            bound((plain, written, invoked, short), nothing)
        }
        "incomplete, one of two" => bound((SEEN, NAME), nothing),
        "nothing" => bound((), nothing),
        "state set" | "state set by a batch" => bound(SEEN, increment),
        "state set to zero" => bound(SEEN, zero),
        "state deleted" => bound(SEEN, delete),
        "state set and deleted" => bound(SEEN, set_then_delete),
        "several states" => bound((COUNT, NAME, OLD, LOGIN, FLAG, RAW, UNTOUCHED), several_states),
        "states with a long text" => bound((ONE, TWO), keep),
        "messages" => bound((), send),
        "replies" => bound((), reply),
        "forwarded" => bound((), forward),
        "delayed" => bound((), delayed),
        "cancellation" => bound((), cancel),
        "sends and cancellations" => bound((), interleaved),
        "kafka egress" => bound((), kafka),
        "kinesis egress" => bound((), kinesis),
        "playground egress" => bound((), playground),
        // A negative delay, which a `Duration` cannot be.
        "delayed with a token" | "everything" | "everything, asynchronous" => return None,
        // An empty token, which is an error here.
        "cancellation without a token" => return None,
        other => panic!("vector `{other}` has no function here"),
    };
    Some(functions)
}

#[tokio::test]
async fn answers_are_those_of_the_python_sdk() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors/answers.json");
    let vectors: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(path).expect("the vectors are there")).expect("they are JSON");
    let mut compared = 0;
    for vector in &vectors {
        let name = vector["name"].as_str().expect("a vector has a name");
        let Some(functions) = functions(name) else { continue };
        let answer = functions.handle(hex(&vector["request"])).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(sorted(answer), sorted(hex(&vector["bytes"])), "{name}");
        compared += 1;
    }
    assert_eq!(compared, vectors.len() - 4, "every vector but those that cannot be written here");
}

/// Promise: every request that was recorded can be read, and a function gets what is in it.
#[tokio::test]
async fn requests_of_the_python_sdk_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/vectors/requests.json");
    let vectors: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(path).expect("the vectors are there")).expect("they are JSON");
    for vector in &vectors {
        let name = vector["name"].as_str().expect("a vector has a name");
        let request = ToFunction::decode(hex(&vector["bytes"])).unwrap_or_else(|e| panic!("{name}: {e}"));
        let functions =
            Functions::new().bind("greeter.fns/user", (), async |context: &mut Context, message: Message| {
                let me = context.address();
                context.send(me, message)
            });
        let target = request.request.as_ref().map(|request| {
            let millpond_protocol::proto::reqreply::to_function::Request::Invocation(batch) = request;
            (batch.target.clone().unwrap_or_default(), batch.invocations.clone())
        });
        let (target, invocations) = target.expect("a recorded request asks for something");
        if (target.namespace.as_str(), target.r#type.as_str()) != ("greeter.fns", "user") {
            continue;
        }
        let answer = functions.handle(request.encode_to_vec().into()).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let Some(Response::InvocationResult(effects)) = FromFunction::decode(answer).expect("an answer").response
        else {
            panic!("{name}: not an invocation result");
        };
        let sent: Vec<_> = effects.outgoing_messages.into_iter().map(|sent| sent.argument).collect();
        let given: Vec<_> = invocations.into_iter().map(|invocation| invocation.argument).collect();
        assert_eq!(sent, given, "{name}");
    }
}

fn hex(value: &serde_json::Value) -> Bytes {
    let lines = value.as_array().map_or_else(|| vec![value.clone()], Clone::clone);
    let bytes = lines.iter().flat_map(|line| line.as_str().expect("hex").split_whitespace());
    bytes.map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}

/// The message, with mutations by name (the order of states is nobody's promise), and without what means nothing.
fn sorted(answer: Bytes) -> FromFunction {
    let mut answer = FromFunction::decode(answer).expect("a `FromFunction`");
    match &mut answer.response {
        Some(Response::InvocationResult(effects)) => {
            effects.state_mutations.sort_by(|a, b| a.state_name.cmp(&b.state_name));
        }
        Some(Response::IncompleteInvocationContext(incomplete)) => {
            for spec in &mut incomplete.missing_values {
                spec.expiration_spec.take_if(|expiration| *expiration == ExpirationSpec::default());
            }
        }
        None => answer.response = Some(Response::InvocationResult(Default::default())),
    }
    answer
}
