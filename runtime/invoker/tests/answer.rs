//! The rules for what a function may ask for, one row each.

use bytes::Bytes;
use millpond_engine::{
    DelayedEffect, Effects, EgressRecord, Expiration, LaneId, Limits, Message as Sent, Mutation, Rejection, Reply,
    StateSpec,
};
use millpond_protocol::proto::reqreply::from_function::{
    self, DelayedInvocation, EgressMessage, ExpirationSpec, IncompleteInvocationContext, Invocation,
    InvocationResponse, PersistedValueMutation, PersistedValueSpec,
};
use millpond_protocol::proto::reqreply::{Address, FromFunction, TypedValue};
use millpond_protocol::{Address as Target, TypeName};
use proptest::prelude::*;
use prost::Message;

use super::OneEgress;
use crate::invoker::answer;

fn limits() -> Limits {
    Limits {
        id_bytes: 4,
        typename_bytes: 8,
        state_name_bytes: 5,
        value_bytes: 6,
        argument_bytes: 40,
        ..Limits::default()
    }
}

fn decode(message: &FromFunction) -> Result<Reply, Rejection> {
    answer::decode(message.encode_to_vec().into(), &limits(), &OneEgress)
}

fn completed(result: InvocationResponse) -> FromFunction {
    FromFunction { response: Some(from_function::Response::InvocationResult(result)) }
}

fn address(namespace: &str, name: &str, id: &str) -> Option<Address> {
    Some(Address { namespace: namespace.to_owned(), r#type: name.to_owned(), id: id.to_owned() })
}

fn typed(typename: &str, value: &[u8]) -> TypedValue {
    TypedValue { typename: typename.to_owned(), has_value: true, value: value.to_vec().into(), ..TypedValue::default() }
}

fn message(target: Option<Address>, argument: Option<TypedValue>) -> FromFunction {
    completed(InvocationResponse {
        outgoing_messages: vec![Invocation { target, argument }],
        ..InvocationResponse::default()
    })
}

fn mutation(kind: i32, name: &str, value: Option<TypedValue>) -> FromFunction {
    completed(InvocationResponse {
        state_mutations: vec![PersistedValueMutation {
            mutation_type: kind,
            state_name: name.to_owned(),
            state_value: value,
        }],
        ..InvocationResponse::default()
    })
}

fn egress(namespace: &str, name: &str) -> FromFunction {
    completed(InvocationResponse {
        outgoing_egresses: vec![EgressMessage {
            egress_namespace: namespace.to_owned(),
            egress_type: name.to_owned(),
            argument: Some(typed("a/b", b"out")),
        }],
        ..InvocationResponse::default()
    })
}

fn spec(name: &str, typename: &str, expiration: Option<(i32, i64)>) -> FromFunction {
    let expiration_spec = expiration.map(|(mode, expire_after_millis)| ExpirationSpec { mode, expire_after_millis });
    let spec = PersistedValueSpec { state_name: name.to_owned(), expiration_spec, type_typename: typename.to_owned() };
    FromFunction {
        response: Some(from_function::Response::IncompleteInvocationContext(IncompleteInvocationContext {
            missing_values: vec![spec],
        })),
    }
}

/// What keeps the rules comes through as it was said.
#[test]
fn what_is_allowed() {
    let argument = typed("a/b", b"hello");
    let encoded = Bytes::from(argument.encode_to_vec());
    let to = |namespace: &str, name: &str, id: &str| Target::new(TypeName::new(namespace, name), id);
    let sent =
        |target: Target, argument: Bytes| Effects { messages: vec![Sent { target, argument }], ..Effects::default() };
    let changed = |mutation: Mutation| Effects { mutations: vec![mutation], ..Effects::default() };
    let modify = |typename: &str, value: &'static [u8]| Mutation::Modify {
        name: "seen".to_owned(),
        typename: typename.to_owned(),
        value: Bytes::from_static(value),
    };
    for (answer, expected) in [
        (FromFunction { response: None }, Effects::default()),
        (completed(InvocationResponse::default()), Effects::default()),
        (message(address("abcd", "efgh", "1234"), Some(argument)), sent(to("abcd", "efgh", "1234"), encoded)),
        // Names that no module file could spell are the engine's to look up, and no argument is an empty one.
        (message(address("", "", ""), None), sent(to("", "", ""), Bytes::new())),
        (mutation(0, "seen", None), changed(Mutation::Delete { name: "seen".to_owned() })),
        (mutation(1, "seen", Some(typed("a/b", b"123456"))), changed(modify("a/b", b"123456"))),
        (mutation(1, "seen", Some(typed("a/b", b""))), changed(modify("a/b", b""))),
        (mutation(1, "seen", None), changed(modify("", b""))),
        (
            egress("example", "out"),
            Effects {
                egress: vec![EgressRecord { lane: LaneId(0), record: Bytes::from_static(b"out") }],
                ..Effects::default()
            },
        ),
        (
            completed(InvocationResponse {
                delayed_invocations: vec![
                    DelayedInvocation {
                        delay_in_ms: -7,
                        target: address("abcd", "efgh", "1234"),
                        argument: Some(typed("a/b", b"x")),
                        cancellation_token: "t".to_owned(),
                        ..DelayedInvocation::default()
                    },
                    // A cancellation is its token; all else is not looked at, not even a target that is missing.
                    DelayedInvocation {
                        is_cancellation_request: true,
                        cancellation_token: "u".to_owned(),
                        ..DelayedInvocation::default()
                    },
                ],
                ..InvocationResponse::default()
            }),
            Effects {
                delayed: vec![
                    DelayedEffect::Send {
                        delay_ms: -7,
                        message: Sent {
                            target: to("abcd", "efgh", "1234"),
                            argument: typed("a/b", b"x").encode_to_vec().into(),
                        },
                        token: "t".to_owned(),
                    },
                    DelayedEffect::Cancel { token: "u".to_owned() },
                ],
                ..Effects::default()
            },
        ),
    ] {
        assert_eq!(decode(&answer), Ok(Reply::Completed(expected)), "{answer:?}");
    }
}

/// Each list keeps its order.
#[test]
fn order_is_kept() {
    let result = InvocationResponse {
        outgoing_messages: ["1", "2", "1"]
            .map(|id| Invocation { target: address("a", "b", id), argument: None })
            .into(),
        state_mutations: ["x", "y", "x"]
            .map(|name| PersistedValueMutation { state_name: name.to_owned(), ..Default::default() })
            .into(),
        ..InvocationResponse::default()
    };
    let Ok(Reply::Completed(effects)) = decode(&completed(result)) else { panic!("a good answer") };
    let ids: Vec<&str> = effects.messages.iter().map(|message| &*message.target.id).collect();
    assert_eq!(ids, ["1", "2", "1"]);
    let names = ["x", "y", "x"].map(|name| Mutation::Delete { name: name.to_owned() });
    assert_eq!(effects.mutations, names);
}

/// State specifications with every way to expire.
#[test]
fn state_specs() {
    let unset = "io.statefun.types/unset";
    let wide = Limits { typename_bytes: 256, ..limits() };
    for (typename, expiration, expected_typename, expected) in [
        ("a/b", None, "a/b", Expiration::None),
        ("", None, unset, Expiration::None),
        ("a/b", Some((0, 5)), "a/b", Expiration::None),
        ("a/b", Some((0, -5)), "a/b", Expiration::None),
        ("a/b", Some((1, 1)), "a/b", Expiration::AfterWrite(1)),
        ("a/b", Some((2, i64::MAX)), "a/b", Expiration::AfterInvoke(i64::MAX as u64)),
        ("a/b", Some((3, 0)), "a/b", Expiration::None),
        ("a/b", Some((-1, 5)), "a/b", Expiration::None),
    ] {
        let typename_found = TypeName::parse(expected_typename).expect("a typename");
        let found = StateSpec { name: "seen".into(), typename: typename_found, expiration: expected };
        let body = spec("seen", typename, expiration).encode_to_vec();
        assert_eq!(answer::decode(body.into(), &wide, &OneEgress), Ok(Reply::Incomplete(vec![found])));
    }
}

/// What breaks a rule is refused with the rule's code, and words that name it.
#[test]
fn what_is_not_allowed() {
    let big = |bytes: usize| Some(typed("a/b", &vec![0; bytes]));
    for (answer, code, words) in [
        (message(None, None), "MP4020", "an outgoing message has no target"),
        (
            mutation(2, "seen", None),
            "MP4021",
            "the change of state `seen` is of kind 2, which is neither DELETE nor MODIFY",
        ),
        (mutation(-1, "seen", None), "MP4021", "is of kind -1"),
        (
            spec("seen", "int", None),
            "MP4022",
            "the typename of state `seen`: `int` is not of the form `<namespace>/<name>`",
        ),
        (spec("seen", "a/b/c", None), "MP4022", "`a/b/c`"),
        (spec("seen", "/", None), "MP4022", "`/`"),
        (
            spec("seen", "a/b", Some((1, 0))),
            "MP4023",
            "state `seen` expires after 0 ms. TTL is expected to be positive.",
        ),
        (spec("seen", "a/b", Some((2, -1))), "MP4023", "after -1 ms"),
        (
            message(address("ns", "fn", "12345"), None),
            "MP4024",
            "the id in a message to `ns/fn` has 5 bytes, above the limit `id_bytes` of 4",
        ),
        (message(address("abcd", "efghi", "1"), None), "MP4025", "9 bytes, above the limit `typename_bytes` of 8"),
        (mutation(1, "seen", Some(typed("abcd/efghi", b""))), "MP4025", "the typename of the value of state `seen`"),
        (spec("seen", "abcd/efghi", None), "MP4025", "the typename of state `seen`"),
        (
            mutation(0, "seen12", None),
            "MP4026",
            "the name of a state has 6 bytes, above the limit `state_name_bytes` of 5",
        ),
        (mutation(1, "seen12", None), "MP4026", "state_name_bytes"),
        (spec("seen12", "a/b", None), "MP4026", "state_name_bytes"),
        (
            mutation(1, "seen", big(7)),
            "MP4027",
            "the value of state `seen` has 7 bytes, above the limit `value_bytes` of 6",
        ),
        (
            message(address("ns", "fn", "1"), big(32)),
            "MP4028",
            "the argument of a message to `ns/fn` has 41 bytes, above the limit `argument_bytes` of 40",
        ),
        (egress("example", "other"), "MP6001", "unknown egress"),
    ] {
        let rejection = decode(&answer).expect_err(words);
        assert_eq!(rejection.code, code, "{rejection:?}");
        assert!(rejection.error.contains(words), "{words:?} in {rejection:?}");
    }
    assert!(decode(&message(address("ns", "fn", "1"), big(31))).is_ok());
}

/// One broken rule takes the whole answer with it.
#[test]
fn an_answer_counts_as_a_whole() {
    let good = Invocation { target: address("a", "b", "1"), argument: None };
    let bad = Invocation { target: None, argument: None };
    let result = InvocationResponse { outgoing_messages: vec![good, bad], ..InvocationResponse::default() };
    assert_eq!(decode(&completed(result)).expect_err("a rejection").code, "MP4020");
}

/// What is not the message at all says where it is broken.
#[test]
fn what_is_no_answer() {
    for body in [b"\xff".as_slice(), b"\xa2\x06\x7f", b"not protobuf", b"\xa2\x06\x02\x0a\x7f"] {
        let rejection = answer::decode(Bytes::from_static(body), &limits(), &OneEgress).expect_err("a rejection");
        assert_eq!(rejection.code, "MP4010");
        assert!(rejection.error.starts_with("the answer is not a `FromFunction` message: "), "{rejection:?}");
    }
}

/// A small value does not keep a large answer in memory.
#[test]
fn what_is_kept_is_cut_out() {
    let answer = completed(InvocationResponse {
        outgoing_messages: vec![
            Invocation { target: address("a", "b", "1"), argument: Some(typed("a/b", b"small")) },
            Invocation { target: address("a", "b", "1"), argument: Some(typed("a/b", &[0; 1000])) },
        ],
        state_mutations: vec![PersistedValueMutation {
            mutation_type: 1,
            state_name: "seen".to_owned(),
            state_value: Some(typed("a/b", b"value")),
        }],
        ..InvocationResponse::default()
    });
    let body = Bytes::from(answer.encode_to_vec());
    let inside = |part: &Bytes| body.as_ptr_range().contains(&part.as_ptr());
    let reply = answer::decode(body.clone(), &Limits::default(), &OneEgress);
    let Ok(Reply::Completed(effects)) = reply else { panic!("a good answer") };
    let Mutation::Modify { value, .. } = &effects.mutations[0] else { panic!("a value") };
    assert!(!inside(value));
    assert!(!inside(&effects.messages[0].argument));
    assert!(inside(&effects.messages[1].argument), "most of the answer is not copied");
}

proptest! {
    /// Whatever comes is an answer or a rejection.
    #[test]
    fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = answer::decode(body.into(), &limits(), &OneEgress);
    }

    /// So is an answer with a few bytes changed.
    #[test]
    fn any_damage_is_survived(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut body = completed(InvocationResponse {
            outgoing_messages: vec![Invocation { target: address("ns", "fn", "1"), argument: Some(typed("a/b", b"x")) }],
            state_mutations: vec![PersistedValueMutation {
                mutation_type: 1,
                state_name: "seen".to_owned(),
                state_value: Some(typed("a/b", b"value")),
            }],
            outgoing_egresses: vec![EgressMessage::default()],
            delayed_invocations: vec![DelayedInvocation::default()],
        }).encode_to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = answer::decode(body.into(), &limits(), &OneEgress);
    }
}
