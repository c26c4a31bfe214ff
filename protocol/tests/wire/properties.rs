//! Our encoder and reader against the generated types, on messages and bytes that a generator thinks of.
//! `PROPTEST_CASES` sets how many.

use bytes::Bytes;
use millpond_protocol::proto::reqreply::{self, from_function, to_function};
use millpond_protocol::request::{self, Invocation, State};
use millpond_protocol::response::{self, Response};
use millpond_protocol::types::{self, SimpleValue};
use millpond_protocol::{Address, TypeName};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample;
use prost::Message;

use crate::hostile::PLACES;

proptest! {
    /// A request says what went into it, and is written as the generated types write it.
    #[test]
    fn a_request_says_what_went_into_it(batch in batch()) {
        let message = reqreply::ToFunction {
            request: Some(to_function::Request::Invocation(batch.clone())),
        };
        let written = encode(&batch);
        prop_assert_eq!(&written, &message.encode_to_vec());
        prop_assert_eq!(reqreply::ToFunction::decode(written).expect("valid"), message);
    }

    /// An answer is read as the generated types read it.
    #[test]
    fn an_answer_is_read_as_generated(answer in answer()) {
        agree(answer.encode_to_vec())?;
    }

    /// Torn, spliced and altered answers: accepted or refused as the generated types do, with the same content.
    #[test]
    fn a_damaged_answer_is_judged_as_generated(
        first in answer(),
        second in answer(),
        damage in vec(damage(), 1..5),
    ) {
        let other = second.encode_to_vec();
        let mut body = first.encode_to_vec();
        for damage in damage {
            damage.apply(&mut body, &other);
        }
        agree(body)?;
    }

    /// The same for bytes that never were an answer, with the keys that matter among them.
    #[test]
    fn noise_is_judged_as_generated(noise in noise()) {
        agree(noise)?;
    }

    /// A message field that occurs several times is merged as the generated types merge it, in every place.
    #[test]
    fn repeated_messages_are_merged_as_generated(place in sample::select(&PLACES[1..]), parts in vec(few_fields(), 2..4)) {
        let (last, outer) = place.1.split_last().expect("a place inside the answer");
        let parts: Vec<u8> = parts.iter().flat_map(|part| nest(&[*last], part)).collect();
        agree(nest(outer, &parts))?;
    }

    /// Fields that nobody knows come out of an answer as they went in, and into the next request.
    #[test]
    fn unknown_fields_of_an_argument_survive(value in typed_value(), number in 5_u32..1000, payload in vec(any::<u8>(), 0..40)) {
        let mut argument = value.encode_to_vec();
        prost::encoding::bytes::encode(number, &payload, &mut argument);
        let body = nest(&[100, 2, 2], &argument);
        let Response::Completed(result) = response::decode(body.into()).expect("valid") else {
            panic!("the answer is complete");
        };
        let kept = result.outgoing_messages[0].argument.as_ref().expect("an argument");
        prop_assert_eq!(kept, &argument);
        let target = Address::new(TypeName::new("a", "b"), "c");
        let request = request::encode(&target, &[], &[Invocation { caller: None, argument: kept }]);
        prop_assert!(request.ends_with(&argument));
    }

    /// Whatever bytes a state holds, looking at them never panics, and what is described is of the type.
    #[test]
    fn describing_never_panics(bytes in vec(any::<u8>(), 0..24)) {
        for typename in [types::BOOL, types::INT, types::FLOAT, types::LONG, types::DOUBLE, types::STRING, types::UNSET] {
            if let Some(value) = types::describe(typename, &bytes) {
                prop_assert_eq!(value.typename(), typename);
                prop_assert!(types::describe(typename, &value.encode()).is_some());
                let _ = value.to_string();
            }
        }
    }

    /// A string survives.
    #[test]
    fn strings_survive(text in any::<String>()) {
        let value = SimpleValue::String(text);
        prop_assert_eq!(types::describe(types::STRING, &value.encode()), Some(value));
    }

    /// Parsing a name never panics, and a name that parses is displayed so that it parses again to the same.
    #[test]
    fn parsed_names_display_and_parse_again(text in "[a-c/.*é]{0,8}") {
        if let Ok(name) = TypeName::parse(&text) {
            prop_assert_eq!(TypeName::parse(&name.to_string()), Ok(name));
        }
    }
}

/// Our reader and the generated one accept the same bytes and find the same in them.
fn agree(body: Vec<u8>) -> Result<(), TestCaseError> {
    let ours = response::decode(body.clone().into());
    let generated = reqreply::FromFunction::decode(Bytes::from(body));
    match (ours, generated) {
        (Ok(ours), Ok(generated)) => prop_assert_eq!(as_generated(ours), normal(generated)),
        (Err(_), Err(_)) => {}
        (ours, generated) => prop_assert!(false, "ours: {:?}\ngenerated: {:?}", ours, generated),
    }
    Ok(())
}

/// What our reader found, in the generated types.
fn as_generated(response: Response) -> reqreply::FromFunction {
    let response = match response {
        Response::Completed(result) => from_function::Response::InvocationResult(from_function::InvocationResponse {
            state_mutations: result.state_mutations.into_iter().map(mutation).collect(),
            outgoing_messages: result
                .outgoing_messages
                .into_iter()
                .map(|message| from_function::Invocation {
                    target: message.target.map(wire_address),
                    argument: message.argument.map(argument),
                })
                .collect(),
            delayed_invocations: result
                .delayed_invocations
                .into_iter()
                .map(|delayed| from_function::DelayedInvocation {
                    delay_in_ms: delayed.delay_in_ms,
                    target: delayed.target.map(wire_address),
                    argument: delayed.argument.map(argument),
                    is_cancellation_request: delayed.is_cancellation_request,
                    cancellation_token: delayed.cancellation_token,
                })
                .collect(),
            outgoing_egresses: result
                .outgoing_egresses
                .into_iter()
                .map(|egress| from_function::EgressMessage {
                    egress_namespace: egress.egress_namespace,
                    egress_type: egress.egress_type,
                    argument: egress.argument.map(plain),
                })
                .collect(),
        }),
        Response::Incomplete(missing) => {
            from_function::Response::IncompleteInvocationContext(from_function::IncompleteInvocationContext {
                missing_values: missing.into_iter().map(spec).collect(),
            })
        }
    };
    reqreply::FromFunction { response: Some(response) }
}

fn mutation(mutation: response::PersistedValueMutation) -> from_function::PersistedValueMutation {
    from_function::PersistedValueMutation {
        mutation_type: mutation.mutation_type,
        state_name: mutation.state_name,
        state_value: mutation.state_value.map(plain),
    }
}

fn spec(spec: response::PersistedValueSpec) -> from_function::PersistedValueSpec {
    from_function::PersistedValueSpec {
        state_name: spec.state_name,
        expiration_spec: spec.expiration_spec.map(|expiration| from_function::ExpirationSpec {
            mode: expiration.mode,
            expire_after_millis: expiration.expire_after_millis,
        }),
        type_typename: spec.type_typename,
    }
}

fn wire_address(address: response::WireAddress) -> reqreply::Address {
    reqreply::Address { namespace: address.namespace, r#type: address.r#type, id: address.id }
}

fn plain(value: response::TypedValue) -> reqreply::TypedValue {
    reqreply::TypedValue {
        typename: value.typename,
        has_value: value.has_value,
        value: value.value,
        metadata: Vec::new(),
    }
}

/// An argument that was let through can be read, by whoever gets it.
fn argument(bytes: Bytes) -> reqreply::TypedValue {
    reqreply::TypedValue::decode(bytes).expect("an argument is checked")
}

/// What the generated types read, without what our reader leaves out on purpose: no arm means an empty result, and state
/// values and egress records have no metadata.
fn normal(mut message: reqreply::FromFunction) -> reqreply::FromFunction {
    let response =
        message.response.get_or_insert_with(|| from_function::Response::InvocationResult(Default::default()));
    if let from_function::Response::InvocationResult(result) = response {
        let states = result.state_mutations.iter_mut().map(|mutation| &mut mutation.state_value);
        let records = result.outgoing_egresses.iter_mut().map(|egress| &mut egress.argument);
        for value in states.chain(records).flatten() {
            value.metadata.clear();
        }
    }
    message
}

fn encode(batch: &to_function::InvocationBatchRequest) -> Bytes {
    let target = address_of(batch.target.as_ref().expect("a target"));
    let states: Vec<_> = batch
        .state
        .iter()
        .map(|state| State {
            name: &state.state_name,
            value: state.state_value.as_ref().map(|value| (value.typename.as_str(), &value.value)),
        })
        .collect();
    let invocations: Vec<_> = batch
        .invocations
        .iter()
        .map(|invocation| {
            let argument = invocation.argument.as_ref().expect("an argument");
            (invocation.caller.as_ref().map(address_of), Bytes::from(argument.encode_to_vec()))
        })
        .collect();
    let invocations: Vec<_> =
        invocations.iter().map(|(caller, argument)| Invocation { caller: caller.as_ref(), argument }).collect();
    request::encode(&target, &states, &invocations)
}

fn address_of(address: &reqreply::Address) -> Address {
    Address::new(TypeName::new(&address.namespace, &address.r#type), address.id.as_str())
}

/// Message fields around bytes, the outermost number first.
pub fn nest(numbers: &[u32], inner: &[u8]) -> Vec<u8> {
    numbers.iter().rev().fold(inner.to_vec(), |inner, number| {
        let mut outer = Vec::new();
        prost::encoding::bytes::encode(*number, &inner, &mut outer);
        outer
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["", "[a-z./]{1,6}", any::<String>(), "x{120,135}"]
}

fn value_bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just(Vec::new()), vec(any::<u8>(), 0..12), vec(any::<u8>(), 120..140), vec(Just(7), 16_300..16_400)]
        .prop_map(Bytes::from)
}

fn address() -> impl Strategy<Value = reqreply::Address> {
    (text(), text(), text()).prop_map(|(namespace, r#type, id)| reqreply::Address { namespace, r#type, id })
}

fn metadata() -> impl Strategy<Value = reqreply::typed_value::Metadata> {
    (text(), value_bytes(), any::<bool>()).prop_map(|(key, value, has_value)| reqreply::typed_value::Metadata {
        key,
        value,
        has_value,
    })
}

fn typed_value() -> impl Strategy<Value = reqreply::TypedValue> {
    (text(), any::<bool>(), value_bytes(), vec(metadata(), 0..3)).prop_map(|(typename, has_value, value, metadata)| {
        reqreply::TypedValue { typename, has_value, value, metadata }
    })
}

fn batch() -> impl Strategy<Value = to_function::InvocationBatchRequest> {
    let value = (text(), value_bytes()).prop_map(|(typename, value)| reqreply::TypedValue {
        typename,
        has_value: true,
        value,
        metadata: Vec::new(),
    });
    let state = (text(), option::of(value))
        .prop_map(|(state_name, state_value)| to_function::PersistedValue { state_name, state_value });
    let invocation = (option::of(address()), typed_value())
        .prop_map(|(caller, argument)| to_function::Invocation { caller, argument: Some(argument) });
    (address(), vec(state, 0..4), vec(invocation, 0..4)).prop_map(|(target, state, invocations)| {
        to_function::InvocationBatchRequest { target: Some(target), state, invocations }
    })
}

fn answer() -> impl Strategy<Value = reqreply::FromFunction> {
    let result =
        (vec(any_mutation(), 0..3), vec(any_invocation(), 0..3), vec(any_delayed(), 0..3), vec(any_egress(), 0..3))
            .prop_map(|(state_mutations, outgoing_messages, delayed_invocations, outgoing_egresses)| {
                from_function::Response::InvocationResult(from_function::InvocationResponse {
                    state_mutations,
                    outgoing_messages,
                    delayed_invocations,
                    outgoing_egresses,
                })
            });
    let incomplete = vec(any_spec(), 0..3).prop_map(|missing_values| {
        from_function::Response::IncompleteInvocationContext(from_function::IncompleteInvocationContext {
            missing_values,
        })
    });
    let response = prop_oneof![1 => Just(None), 8 => result.prop_map(Some), 4 => incomplete.prop_map(Some)];
    response.prop_map(|response| reqreply::FromFunction { response })
}

fn any_mutation() -> impl Strategy<Value = from_function::PersistedValueMutation> {
    (any::<i32>(), text(), option::of(typed_value())).prop_map(|(mutation_type, state_name, state_value)| {
        from_function::PersistedValueMutation { mutation_type, state_name, state_value }
    })
}

fn any_invocation() -> impl Strategy<Value = from_function::Invocation> {
    (option::of(address()), option::of(typed_value()))
        .prop_map(|(target, argument)| from_function::Invocation { target, argument })
}

fn any_delayed() -> impl Strategy<Value = from_function::DelayedInvocation> {
    (any::<i64>(), option::of(address()), option::of(typed_value()), any::<bool>(), text()).prop_map(
        |(delay_in_ms, target, argument, is_cancellation_request, cancellation_token)| {
            from_function::DelayedInvocation {
                delay_in_ms,
                target,
                argument,
                is_cancellation_request,
                cancellation_token,
            }
        },
    )
}

fn any_egress() -> impl Strategy<Value = from_function::EgressMessage> {
    (text(), text(), option::of(typed_value())).prop_map(|(egress_namespace, egress_type, argument)| {
        from_function::EgressMessage { egress_namespace, egress_type, argument }
    })
}

fn any_spec() -> impl Strategy<Value = from_function::PersistedValueSpec> {
    let expiration = (any::<i32>(), any::<i64>())
        .prop_map(|(mode, expire_after_millis)| from_function::ExpirationSpec { mode, expire_after_millis });
    (text(), option::of(expiration), text()).prop_map(|(state_name, expiration_spec, type_typename)| {
        from_function::PersistedValueSpec { state_name, expiration_spec, type_typename }
    })
}

/// One way in which bytes go wrong.
#[derive(Debug, Clone)]
enum Damage {
    Cut(sample::Index),
    Set(sample::Index, u8),
    Remove(sample::Index, usize),
    Insert(sample::Index, Vec<u8>),
    /// Another answer behind this one: protobuf merges the two.
    Append,
    /// A field of the message once more.
    Repeat,
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<sample::Index>;
    prop_oneof![
        1 => index().prop_map(Damage::Cut),
        4 => (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        2 => (index(), 1_usize..4).prop_map(|(at, len)| Damage::Remove(at, len)),
        2 => (index(), vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => Just(Damage::Append),
        1 => Just(Damage::Repeat),
    ]
}

impl Damage {
    fn apply(self, body: &mut Vec<u8>, other: &[u8]) {
        if body.is_empty() {
            body.extend_from_slice(other);
            return;
        }
        match self {
            Damage::Cut(at) => body.truncate(at.index(body.len())),
            Damage::Set(at, byte) => {
                let at = at.index(body.len());
                body[at] = byte;
            }
            Damage::Remove(at, len) => {
                let at = at.index(body.len());
                body.drain(at..(at + len).min(body.len()));
            }
            Damage::Insert(at, bytes) => {
                let at = at.index(body.len());
                body.splice(at..at, bytes);
            }
            Damage::Append => body.extend_from_slice(other),
            Damage::Repeat => body.extend_from_within(..),
        }
    }
}

/// Well-formed fields in the wrong places: numbers and wire types at random, nested at random, now and then mere bytes.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        vec(any::<u8>(), 0..8),
        (number(), any::<u64>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            prost::encoding::uint64::encode(number, &value, &mut out);
            out
        }),
        (number(), any::<u64>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            prost::encoding::fixed64::encode(number, &value, &mut out);
            out
        }),
        (number(), text()).prop_map(|(number, text)| nest(&[number], text.as_bytes())),
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            3 => (number(), vec(inner.clone(), 0..4)).prop_map(|(number, inner)| nest(&[number], &inner.concat())),
            1 => (number(), inner.clone()).prop_map(|(number, inner)| group(number, &inner)),
            3 => vec(inner, 0..4).prop_map(|inner| inner.concat()),
        ]
    })
}

/// Up to two fields that are of the right type more often than not.
fn few_fields() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        3 => (1_u32..4, "[a-z]{0,3}").prop_map(|(number, text)| nest(&[number], text.as_bytes())),
        2 => (1_u32..4, any::<u8>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            prost::encoding::uint64::encode(number, &u64::from(value), &mut out);
            out
        }),
        1 => metadata().prop_map(|metadata| nest(&[4], &metadata.encode_to_vec())),
    ];
    vec(field, 0..3).prop_map(|fields| fields.concat())
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 1_u32..5, 1 => 5_u32..20, 4 => 100_u32..102]
}

/// A group, protobuf's oldest way to nest.
pub fn group(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::StartGroup, &mut out);
    out.extend_from_slice(inner);
    prost::encoding::encode_key(number, prost::encoding::WireType::EndGroup, &mut out);
    out
}
