//! Writes a [`Response`] as a `FromFunction`, arguments byte for byte: the way back of `response::decode`, which the runtime
//! does not need.

use millpond_protocol::response::{
    DelayedInvocation, EgressMessage, ExpirationSpec, InvocationResponse, OutgoingMessage, PersistedValueMutation,
    PersistedValueSpec, Response, TypedValue, WireAddress,
};
use prost::encoding::{WireType, encode_key, encode_varint};

pub(super) fn encode(response: &Response) -> Vec<u8> {
    Message::default()
        .nested(
            100,
            match response {
                Response::Completed(result) => Some(completed(result)),
                Response::Incomplete(_) => None,
            },
        )
        .nested(
            101,
            match response {
                Response::Completed(_) => None,
                Response::Incomplete(missing) => Some(Message::default().each(1, missing, spec)),
            },
        )
        .0
}

fn completed(result: &InvocationResponse) -> Message {
    Message::default()
        .each(1, &result.state_mutations, mutation)
        .each(2, &result.outgoing_messages, outgoing)
        .each(3, &result.delayed_invocations, delayed)
        .each(4, &result.outgoing_egresses, egress)
}

fn mutation(mutation: &PersistedValueMutation) -> Message {
    Message::default()
        .number(1, mutation.mutation_type.into())
        .bytes(2, mutation.state_name.as_bytes())
        .nested(3, mutation.state_value.as_ref().map(value))
}

fn outgoing(message: &OutgoingMessage) -> Message {
    let argument = message.argument.as_ref().map(|argument| Message(argument.to_vec()));
    Message::default().nested(1, message.target.as_ref().map(address)).nested(2, argument)
}

fn delayed(delayed: &DelayedInvocation) -> Message {
    let argument = delayed.argument.as_ref().map(|argument| Message(argument.to_vec()));
    Message::default()
        .number(1, delayed.delay_in_ms)
        .nested(2, delayed.target.as_ref().map(address))
        .nested(3, argument)
        .number(10, delayed.is_cancellation_request.into())
        .bytes(11, delayed.cancellation_token.as_bytes())
}

fn egress(message: &EgressMessage) -> Message {
    Message::default()
        .bytes(1, message.egress_namespace.as_bytes())
        .bytes(2, message.egress_type.as_bytes())
        .nested(3, message.argument.as_ref().map(value))
}

fn spec(spec: &PersistedValueSpec) -> Message {
    Message::default()
        .bytes(1, spec.state_name.as_bytes())
        .nested(2, spec.expiration_spec.as_ref().map(expiration))
        .bytes(3, spec.type_typename.as_bytes())
}

fn expiration(spec: &ExpirationSpec) -> Message {
    Message::default().number(1, spec.mode.into()).number(2, spec.expire_after_millis)
}

fn address(address: &WireAddress) -> Message {
    let WireAddress { namespace, r#type, id } = address;
    Message::default().bytes(1, namespace.as_bytes()).bytes(2, r#type.as_bytes()).bytes(3, id.as_bytes())
}

fn value(value: &TypedValue) -> Message {
    Message::default().bytes(1, value.typename.as_bytes()).number(2, value.has_value.into()).bytes(3, &value.value)
}

/// The fields of a message, encoded.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u32, number: i64) -> Message {
        if number != 0 {
            encode_key(field, WireType::Varint, &mut self.0);
            encode_varint(number as u64, &mut self.0);
        }
        self
    }

    fn bytes(self, field: u32, bytes: &[u8]) -> Message {
        if bytes.is_empty() { self } else { self.delimited(field, bytes) }
    }

    /// A message field, which is there even when it has no bytes.
    fn nested(self, field: u32, message: Option<Message>) -> Message {
        match message {
            Some(message) => self.delimited(field, &message.0),
            None => self,
        }
    }

    fn each<T>(self, field: u32, entries: &[T], encode: fn(&T) -> Message) -> Message {
        entries.iter().fold(self, |message, entry| message.delimited(field, &encode(entry).0))
    }

    fn delimited(mut self, field: u32, bytes: &[u8]) -> Message {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        encode_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
        self
    }
}
