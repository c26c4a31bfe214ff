//! Writes a `ToFunction` in one buffer.
//!
//! What comes in: the target, every registered state with its value if it has one, and the invocations, whose arguments
//! are encoded `TypedValue`s that are passed through untouched (unknown fields and metadata included). What goes out: the
//! request body. Presence rules are those that SDKs depend on: a caller only when there is one, an unset state as its
//! bare name, a state set to zero bytes as a value with `has_value` and no `value`.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::Address;

/// One state as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State<'a> {
    /// The registered name.
    pub name: &'a str,
    /// The registered typename and the bytes; `None` when the state is unset.
    pub value: Option<(&'a str, &'a Bytes)>,
}

/// One invocation as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation<'a> {
    /// Who sent it; `None` for what came from an ingress.
    pub caller: Option<&'a Address>,
    /// The argument, an encoded `TypedValue`. It is sent even when it has no bytes, as upstream sends it.
    pub argument: &'a Bytes,
}

const TO_FUNCTION_INVOCATION: u64 = 100;
const BATCH_TARGET: u64 = 1;
const BATCH_STATE: u64 = 2;
const BATCH_INVOCATIONS: u64 = 3;
const ADDRESS_NAMESPACE: u64 = 1;
const ADDRESS_TYPE: u64 = 2;
const ADDRESS_ID: u64 = 3;
const PERSISTED_NAME: u64 = 1;
const PERSISTED_VALUE: u64 = 2;
const INVOCATION_CALLER: u64 = 1;
const INVOCATION_ARGUMENT: u64 = 2;

const LENGTH_DELIMITED: u64 = 2;

/// Encodes a request, the body of one HTTP call.
///
/// States and invocations keep the given order. Upstream never sends a request without an invocation.
pub fn encode(target: &Address, states: &[State<'_>], invocations: &[Invocation<'_>]) -> Bytes {
    let batch_len = batch_len(target, states, invocations);
    let mut out = BytesMut::with_capacity(message_len(TO_FUNCTION_INVOCATION, batch_len));
    put_header(&mut out, TO_FUNCTION_INVOCATION, batch_len);
    put_header(&mut out, BATCH_TARGET, address_len(target));
    put_address(&mut out, target);
    for state in states {
        put_header(&mut out, BATCH_STATE, state_len(state));
        put_text(&mut out, PERSISTED_NAME, state.name);
        if let Some((typename, value)) = state.value {
            put_header(&mut out, PERSISTED_VALUE, typed_value_len(typename, value));
            put_typed_value(&mut out, typename, value);
        }
    }
    for invocation in invocations {
        put_header(&mut out, BATCH_INVOCATIONS, invocation_len(invocation));
        if let Some(caller) = invocation.caller {
            put_header(&mut out, INVOCATION_CALLER, address_len(caller));
            put_address(&mut out, caller);
        }
        put_header(&mut out, INVOCATION_ARGUMENT, invocation.argument.len());
        out.put_slice(invocation.argument);
    }
    out.freeze()
}

/// Encodes a `TypedValue` with `has_value` set, the form in which every ingress hands on what it read.
pub fn typed_value(typename: &str, value: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(typed_value_len(typename, value));
    put_typed_value(&mut out, typename, value);
    out.freeze()
}

fn put_typed_value(out: &mut BytesMut, typename: &str, value: &[u8]) {
    put_text(out, 1, typename);
    out.put_slice(&[0x10, 0x01]); // has_value = true
    if !value.is_empty() {
        put_bytes(out, 3, value);
    }
}

fn put_address(out: &mut BytesMut, address: &Address) {
    put_text(out, ADDRESS_NAMESPACE, address.function.namespace());
    put_text(out, ADDRESS_TYPE, address.function.name());
    put_text(out, ADDRESS_ID, &address.id);
}

/// A proto3 string: absent when empty.
fn put_text(out: &mut BytesMut, field: u64, text: &str) {
    if !text.is_empty() {
        put_bytes(out, field, text.as_bytes());
    }
}

fn put_bytes(out: &mut BytesMut, field: u64, value: &[u8]) {
    put_header(out, field, value.len());
    out.put_slice(value);
}

fn put_header(out: &mut BytesMut, field: u64, len: usize) {
    encode_varint(field << 3 | LENGTH_DELIMITED, out);
    encode_varint(len as u64, out);
}

fn batch_len(target: &Address, states: &[State<'_>], invocations: &[Invocation<'_>]) -> usize {
    let states: usize = states.iter().map(|state| message_len(BATCH_STATE, state_len(state))).sum();
    let invocations: usize =
        invocations.iter().map(|invocation| message_len(BATCH_INVOCATIONS, invocation_len(invocation))).sum();
    message_len(BATCH_TARGET, address_len(target)) + states + invocations
}

fn state_len(state: &State<'_>) -> usize {
    let value =
        state.value.map_or(0, |(typename, value)| message_len(PERSISTED_VALUE, typed_value_len(typename, value)));
    text_len(PERSISTED_NAME, state.name) + value
}

fn invocation_len(invocation: &Invocation<'_>) -> usize {
    let caller = invocation.caller.map_or(0, |caller| message_len(INVOCATION_CALLER, address_len(caller)));
    caller + message_len(INVOCATION_ARGUMENT, invocation.argument.len())
}

fn address_len(address: &Address) -> usize {
    text_len(ADDRESS_NAMESPACE, address.function.namespace())
        + text_len(ADDRESS_TYPE, address.function.name())
        + text_len(ADDRESS_ID, &address.id)
}

fn typed_value_len(typename: &str, value: &[u8]) -> usize {
    let value = if value.is_empty() { 0 } else { message_len(3, value.len()) };
    text_len(1, typename) + 2 + value
}

fn text_len(field: u64, text: &str) -> usize {
    if text.is_empty() { 0 } else { message_len(field, text.len()) }
}

fn message_len(field: u64, len: usize) -> usize {
    encoded_len_varint(field << 3 | LENGTH_DELIMITED) + encoded_len_varint(len as u64) + len
}
