//! From the body of an answer to what the engine applies: every rule that needs no knowledge of the engine's state.
//!
//! In: a body, the limits, and the egresses. Out: a [`Reply`], or the first rule that the answer breaks; then none of its
//! effects apply. Nothing here can fail on what a function sends other than by a [`Rejection`].
//! Texts name function types and limits, never ids or payloads.

use bytes::Bytes;
use millpond_engine::{
    DelayedEffect, Effects, EgressRecord, Expiration, Limits, Message, Mutation, Rejection, Reply, StateSpec,
};
use millpond_protocol::response::{
    self, DelayedInvocation, EXPIRE_AFTER_INVOKE, EXPIRE_AFTER_WRITE, EgressMessage, ExpirationSpec,
    InvocationResponse, MUTATION_DELETE, MUTATION_MODIFY, OutgoingMessage, PersistedValueMutation, PersistedValueSpec,
    Response,
};
use millpond_protocol::{Address, TypeName};

use super::codes;

/// The typename of a state that was declared without one.
const UNSET_TYPENAME: &str = "io.statefun.types/unset";

/// Finds the egress of a message and puts its record into that egress's own form.
pub trait EgressResolver: Send + Sync {
    /// The record, and the lane it goes to.
    ///
    /// # Errors
    /// A [`Rejection`] when there is no such egress, or its payload is not what the egress takes.
    fn resolve(&self, message: &EgressMessage) -> Result<EgressRecord, Rejection>;
}

/// Decodes and checks an answer.
///
/// # Errors
/// The first rule that it breaks.
pub fn decode(body: Bytes, limits: &Limits, egresses: &dyn EgressResolver) -> Result<Reply, Rejection> {
    let size = body.len();
    match response::decode(body) {
        Ok(Response::Completed(result)) => Check { limits, egresses, size }.effects(result).map(Reply::Completed),
        Ok(Response::Incomplete(specs)) => {
            let specs: Result<Vec<StateSpec>, Rejection> = specs.iter().map(|spec| state_spec(spec, limits)).collect();
            specs.map(Reply::Incomplete)
        }
        Err(e) => Err(Rejection::new(codes::UNDECODABLE, super::error::chain(&e))),
    }
}

struct Check<'a> {
    limits: &'a Limits,
    egresses: &'a dyn EgressResolver,
    /// Bytes of the whole body.
    size: usize,
}

impl Check<'_> {
    fn effects(&self, result: InvocationResponse) -> Result<Effects, Rejection> {
        let messages: Result<Vec<Message>, Rejection> =
            result.outgoing_messages.into_iter().map(|message| self.message(message)).collect();
        let delayed: Result<Vec<DelayedEffect>, Rejection> =
            result.delayed_invocations.into_iter().map(|delayed| self.delayed(delayed)).collect();
        let egress: Result<Vec<EgressRecord>, Rejection> =
            result.outgoing_egresses.iter().map(|message| self.egresses.resolve(message)).collect();
        let mutations: Result<Vec<Mutation>, Rejection> =
            result.state_mutations.into_iter().map(|mutation| self.mutation(mutation)).collect();
        Ok(Effects { messages: messages?, delayed: delayed?, egress: egress?, mutations: mutations? })
    }

    /// A cancellation is its token; all other fields mean nothing then.
    fn delayed(&self, delayed: DelayedInvocation) -> Result<DelayedEffect, Rejection> {
        let DelayedInvocation { delay_in_ms, target, argument, is_cancellation_request, cancellation_token } = delayed;
        let token = cancellation_token;
        if is_cancellation_request {
            return Ok(DelayedEffect::Cancel { token });
        }
        let message = self.message(OutgoingMessage { target, argument })?;
        Ok(DelayedEffect::Send { delay_ms: delay_in_ms, message, token })
    }

    fn message(&self, message: OutgoingMessage) -> Result<Message, Rejection> {
        let Some(target) = message.target else {
            return Err(Rejection::new(codes::NO_TARGET, "an outgoing message has no target"));
        };
        typename_bytes(target.namespace.len() + target.r#type.len(), "the target of a message", self.limits)?;
        let function = TypeName::new(&target.namespace, &target.r#type);
        if target.id.len() > self.limits.id_bytes {
            return Err(limit(
                codes::ID_BYTES,
                &format!("the id in a message to `{function}`"),
                target.id.len(),
                "id_bytes",
                self.limits.id_bytes,
            ));
        }
        let argument = message.argument.unwrap_or_default();
        if argument.len() > self.limits.argument_bytes {
            return Err(limit(
                codes::ARGUMENT_BYTES,
                &format!("the argument of a message to `{function}`"),
                argument.len(),
                "argument_bytes",
                self.limits.argument_bytes,
            ));
        }
        Ok(Message { target: Address::new(function, target.id), argument: self.keep(argument) })
    }

    fn mutation(&self, mutation: PersistedValueMutation) -> Result<Mutation, Rejection> {
        let name = mutation.state_name;
        state_name_bytes(&name, self.limits)?;
        match mutation.mutation_type {
            MUTATION_DELETE => Ok(Mutation::Delete { name }),
            MUTATION_MODIFY => {
                // Without a value its typename is empty, and that is not the registered one: the engine says so.
                let value = mutation.state_value.unwrap_or_default();
                typename_bytes(
                    value.typename.len().saturating_sub(1),
                    &format!("the value of state `{name}`"),
                    self.limits,
                )?;
                if value.value.len() > self.limits.value_bytes {
                    let what = format!("the value of state `{name}`");
                    let bound = self.limits.value_bytes;
                    return Err(limit(codes::VALUE_BYTES, &what, value.value.len(), "value_bytes", bound));
                }
                // A state value stays in memory longest, so it never keeps an answer with it.
                Ok(Mutation::Modify { name, typename: value.typename, value: Bytes::copy_from_slice(&value.value) })
            }
            other => Err(Rejection::new(
                codes::MUTATION_TYPE,
                format!("the change of state `{name}` is of kind {other}, which is neither DELETE nor MODIFY"),
            )),
        }
    }

    /// A slice keeps the whole answer in memory. One that is the smaller part of it is copied, so that what is kept is at
    /// most twice what the engine counts.
    fn keep(&self, slice: Bytes) -> Bytes {
        if slice.len() * 2 < self.size { Bytes::copy_from_slice(&slice) } else { slice }
    }
}

fn state_spec(spec: &PersistedValueSpec, limits: &Limits) -> Result<StateSpec, Rejection> {
    let name = &spec.state_name;
    state_name_bytes(name, limits)?;
    let typename = if spec.type_typename.is_empty() { UNSET_TYPENAME } else { &spec.type_typename };
    typename_bytes(typename.len().saturating_sub(1), &format!("state `{name}`"), limits)?;
    let typename = TypeName::parse(typename)
        .map_err(|e| Rejection::new(codes::STATE_TYPENAME, format!("the typename of state `{name}`: {e}")))?;
    let expiration = spec.expiration_spec.as_ref().map_or(Ok(Expiration::None), |spec| expiration(spec, name))?;
    Ok(StateSpec { name: name.as_str().into(), typename, expiration })
}

/// As upstream: an unknown mode is none.
fn expiration(spec: &ExpirationSpec, name: &str) -> Result<Expiration, Rejection> {
    let after: fn(u64) -> Expiration = match spec.mode {
        EXPIRE_AFTER_WRITE => Expiration::AfterWrite,
        EXPIRE_AFTER_INVOKE => Expiration::AfterInvoke,
        _ => return Ok(Expiration::None),
    };
    match u64::try_from(spec.expire_after_millis) {
        Ok(ms @ 1..) => Ok(after(ms)),
        _ => Err(Rejection::new(
            codes::STATE_TTL,
            format!("state `{name}` expires after {} ms. TTL is expected to be positive.", spec.expire_after_millis),
        )),
    }
}

/// Namespace and name together.
fn typename_bytes(bytes: usize, whose: &str, limits: &Limits) -> Result<(), Rejection> {
    if bytes <= limits.typename_bytes {
        return Ok(());
    }
    Err(limit(
        codes::TYPENAME_BYTES,
        &format!("the typename of {whose}"),
        bytes,
        "typename_bytes",
        limits.typename_bytes,
    ))
}

fn state_name_bytes(name: &str, limits: &Limits) -> Result<(), Rejection> {
    if name.len() <= limits.state_name_bytes {
        return Ok(());
    }
    Err(limit(codes::STATE_NAME_BYTES, "the name of a state", name.len(), "state_name_bytes", limits.state_name_bytes))
}

fn limit(code: &'static str, what: &str, bytes: usize, name: &str, limit: usize) -> Rejection {
    Rejection::new(code, format!("{what} has {bytes} bytes, above the limit `{name}` of {limit}"))
}
