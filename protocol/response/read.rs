//! The reader behind [`decode`](super::decode): one pass over the body.
//!
//! Written by hand because a derived reader cannot do three things: keep a message encoded *and* check and merge it, bound
//! the number of entries before they take memory, and leave values where they are. A property test holds it against the
//! generated types. Each `merge_*` reads one message into what may already be there, as protobuf merges a repeated
//! occurrence of a message field.

use bytes::{Bytes, BytesMut};
use prost::encoding::WireType;

use super::{
    DelayedInvocation, ENTRIES_MAX, EgressMessage, ExpirationSpec, InvocationResponse, OutgoingMessage,
    PersistedValueMutation, PersistedValueSpec, Response, TypedValue, WireAddress,
};
use crate::wire::{At, Fault, Message};

pub(super) fn response(body: &Bytes) -> Result<Response, Fault> {
    let mut reader = Reader { body, entries: 0 };
    let mut response = Response::Completed(InvocationResponse::default());
    let mut message = Message::outermost(body);
    while let Some((number, wire_type)) = message.next()? {
        match number {
            100 => {
                let inner = message.message(wire_type).at(RESULT)?;
                let mut result = match response {
                    Response::Completed(result) => result,
                    Response::Incomplete(_) => InvocationResponse::default(),
                };
                reader.merge_result(&mut result, inner).at(RESULT)?;
                response = Response::Completed(result);
            }
            101 => {
                let inner = message.message(wire_type).at(INCOMPLETE)?;
                let mut missing = match response {
                    Response::Incomplete(missing) => missing,
                    Response::Completed(_) => Vec::new(),
                };
                reader.merge_incomplete(&mut missing, inner).at(INCOMPLETE)?;
                response = Response::Incomplete(missing);
            }
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(response)
}

const RESULT: &str = "invocation_result";
const INCOMPLETE: &str = "incomplete_invocation_context";

struct Reader<'a> {
    body: &'a Bytes,
    entries: usize,
}

impl<'a> Reader<'a> {
    fn merge_result(&mut self, into: &mut InvocationResponse, mut message: Message<'a>) -> Result<(), Fault> {
        while let Some((number, wire_type)) = message.next()? {
            match number {
                1 => {
                    self.push(&mut into.state_mutations, &mut message, wire_type, merge_mutation, "state_mutations")?
                }
                2 => self.push(
                    &mut into.outgoing_messages,
                    &mut message,
                    wire_type,
                    merge_outgoing,
                    "outgoing_messages",
                )?,
                3 => self.push(
                    &mut into.delayed_invocations,
                    &mut message,
                    wire_type,
                    merge_delayed,
                    "delayed_invocations",
                )?,
                4 => {
                    self.push(&mut into.outgoing_egresses, &mut message, wire_type, merge_egress, "outgoing_egresses")?
                }
                _ => message.skip((number, wire_type))?,
            }
        }
        Ok(())
    }

    fn merge_incomplete(&mut self, into: &mut Vec<PersistedValueSpec>, mut message: Message<'a>) -> Result<(), Fault> {
        while let Some((number, wire_type)) = message.next()? {
            match number {
                1 => self.push(into, &mut message, wire_type, merge_spec, "missing_values")?,
                _ => message.skip((number, wire_type))?,
            }
        }
        Ok(())
    }

    /// Reads one entry of a repeated field.
    fn push<T: Default>(
        &mut self,
        entries: &mut Vec<T>,
        message: &mut Message<'a>,
        wire_type: WireType,
        merge: fn(&Bytes, &mut T, Message<'a>) -> Result<(), Fault>,
        field: &'static str,
    ) -> Result<(), Fault> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(Fault::new("has more entries than one answer may hold")).at(field);
        }
        let mut entry = T::default();
        message
            .message(wire_type)
            .and_then(|inner| merge(self.body, &mut entry, inner))
            .at_entry(field, entries.len())?;
        entries.push(entry);
        Ok(())
    }
}

fn merge_mutation(body: &Bytes, into: &mut PersistedValueMutation, mut message: Message<'_>) -> Result<(), Fault> {
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => into.mutation_type = message.varint(wire_type).at("mutation_type")? as i32,
            2 => into.state_name = message.text(wire_type).at("state_name")?.to_owned(),
            3 => merge_typed_value(body, &mut into.state_value, &mut message, wire_type).at("state_value")?,
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(())
}

fn merge_outgoing(body: &Bytes, into: &mut OutgoingMessage, mut message: Message<'_>) -> Result<(), Fault> {
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => merge_address(&mut into.target, &mut message, wire_type).at("target")?,
            2 => merge_argument(body, &mut into.argument, &mut message, wire_type).at("argument")?,
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(())
}

fn merge_delayed(body: &Bytes, into: &mut DelayedInvocation, mut message: Message<'_>) -> Result<(), Fault> {
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => into.delay_in_ms = message.varint(wire_type).at("delay_in_ms")? as i64,
            2 => merge_address(&mut into.target, &mut message, wire_type).at("target")?,
            3 => merge_argument(body, &mut into.argument, &mut message, wire_type).at("argument")?,
            10 => into.is_cancellation_request = message.varint(wire_type).at("is_cancellation_request")? != 0,
            11 => into.cancellation_token = message.text(wire_type).at("cancellation_token")?.to_owned(),
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(())
}

fn merge_egress(body: &Bytes, into: &mut EgressMessage, mut message: Message<'_>) -> Result<(), Fault> {
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => into.egress_namespace = message.text(wire_type).at("egress_namespace")?.to_owned(),
            2 => into.egress_type = message.text(wire_type).at("egress_type")?.to_owned(),
            3 => merge_typed_value(body, &mut into.argument, &mut message, wire_type).at("argument")?,
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(())
}

fn merge_spec(_: &Bytes, into: &mut PersistedValueSpec, mut message: Message<'_>) -> Result<(), Fault> {
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => into.state_name = message.text(wire_type).at("state_name")?.to_owned(),
            2 => merge_expiration(&mut into.expiration_spec, &mut message, wire_type).at("expiration_spec")?,
            3 => into.type_typename = message.text(wire_type).at("type_typename")?.to_owned(),
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(())
}

fn merge_expiration(
    into: &mut Option<ExpirationSpec>,
    outer: &mut Message<'_>,
    wire_type: WireType,
) -> Result<(), Fault> {
    let mut message = outer.message(wire_type)?;
    let into = into.get_or_insert_default();
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => into.mode = message.varint(wire_type).at("mode")? as i32,
            2 => into.expire_after_millis = message.varint(wire_type).at("expire_after_millis")? as i64,
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(())
}

fn merge_address(into: &mut Option<WireAddress>, outer: &mut Message<'_>, wire_type: WireType) -> Result<(), Fault> {
    let mut message = outer.message(wire_type)?;
    let into = into.get_or_insert_default();
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => into.namespace = message.text(wire_type).at("namespace")?.to_owned(),
            2 => into.r#type = message.text(wire_type).at("type")?.to_owned(),
            3 => into.id = message.text(wire_type).at("id")?.to_owned(),
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(())
}

fn merge_typed_value(
    body: &Bytes,
    into: &mut Option<TypedValue>,
    outer: &mut Message<'_>,
    wire_type: WireType,
) -> Result<(), Fault> {
    let fields = typed_value(outer.message(wire_type)?)?;
    let into = into.get_or_insert_default();
    if let Some(typename) = fields.typename {
        into.typename = typename.to_owned();
    }
    if let Some(has_value) = fields.has_value {
        into.has_value = has_value;
    }
    if let Some(value) = fields.value {
        into.value = body.slice_ref(value);
    }
    Ok(())
}

/// Keeps an argument as it is. Two of them are merged by joining their bytes, which is what merging means in protobuf.
fn merge_argument(
    body: &Bytes,
    into: &mut Option<Bytes>,
    outer: &mut Message<'_>,
    wire_type: WireType,
) -> Result<(), Fault> {
    let message = outer.message(wire_type)?;
    let bytes = message.rest();
    typed_value(message)?;
    *into = Some(match into.take() {
        None => body.slice_ref(bytes),
        Some(first) => {
            let mut joined = BytesMut::with_capacity(first.len() + bytes.len());
            joined.extend_from_slice(&first);
            joined.extend_from_slice(bytes);
            joined.freeze()
        }
    });
    Ok(())
}

/// The fields of a `TypedValue` that occur in the bytes.
#[derive(Default)]
struct TypedValueFields<'a> {
    typename: Option<&'a str>,
    has_value: Option<bool>,
    value: Option<&'a [u8]>,
}

/// Reads a `TypedValue` to its end, so that none is handed on that its receiver could not read.
fn typed_value(mut message: Message<'_>) -> Result<TypedValueFields<'_>, Fault> {
    let mut fields = TypedValueFields::default();
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => fields.typename = Some(message.text(wire_type).at("typename")?),
            2 => fields.has_value = Some(message.varint(wire_type).at("has_value")? != 0),
            3 => fields.value = Some(message.bytes(wire_type).at("value")?),
            4 => check_metadata(&mut message, wire_type).at("metadata")?,
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(fields)
}

fn check_metadata(outer: &mut Message<'_>, wire_type: WireType) -> Result<(), Fault> {
    let mut message = outer.message(wire_type)?;
    while let Some((number, wire_type)) = message.next()? {
        match number {
            1 => message.text(wire_type).map(drop).at("key")?,
            2 => message.bytes(wire_type).map(drop).at("value")?,
            3 => message.varint(wire_type).map(drop).at("has_value")?,
            _ => message.skip((number, wire_type))?,
        }
    }
    Ok(())
}
