//! What a function may do while it handles a message: read and write its state, send, cancel.
//!
//! One context serves one batch. What a function does is collected here, and leaves as one answer when the whole batch is
//! through; if any message of the batch fails, all of it is dropped.

use std::sync::Arc;
use std::time::Duration;

use millpond_protocol::proto::reqreply;
use millpond_protocol::proto::reqreply::from_function::persisted_value_mutation::MutationType;
use millpond_protocol::proto::reqreply::from_function::{
    DelayedInvocation, EgressMessage, Invocation, InvocationResponse, PersistedValueMutation,
};
use millpond_protocol::{Address, TypeName};

use crate::address::IntoAddress;
use crate::error::Error;
use crate::spec::{Declared, ValueSpec};
use crate::value::{IntoValue, TypedValue, Value};

/// The function's own address, its state, and its ways to reach others.
///
/// ```
/// use millpond_sdk::{Context, Message, ValueSpec};
///
/// const VISITS: ValueSpec<i32> = ValueSpec::new("visits");
///
/// async fn greeter(context: &mut Context, _: Message) -> millpond_sdk::Result {
///     let visits = context.get(VISITS)?.unwrap_or(0) + 1;
///     context.set(VISITS, &visits)?;
///     context.send(("example/archivist", "Turin"), &context.id())?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Context {
    address: Address,
    caller: Option<Address>,
    declared: Arc<[Declared]>,
    /// One for each declared state, in that order.
    slots: Vec<Slot>,
    effects: InvocationResponse,
}

#[derive(Debug, Default)]
struct Slot {
    value: Option<TypedValue>,
    changed: bool,
}

impl Context {
    /// A context for one batch. The values are those of the declared states, in that order.
    pub(crate) fn new(address: Address, declared: Arc<[Declared]>, values: Vec<Option<TypedValue>>) -> Context {
        let slots = values.into_iter().map(|value| Slot { value, changed: false }).collect();
        Context { address, caller: None, declared, slots, effects: InvocationResponse::default() }
    }

    /// The next message of the batch has this caller.
    pub(crate) fn set_caller(&mut self, caller: Option<Address>) {
        self.caller = caller;
    }

    /// The effects of the whole batch: one mutation for each state that was touched.
    pub(crate) fn into_effects(self) -> InvocationResponse {
        let mut effects = self.effects;
        let changed = self.declared.iter().zip(self.slots).filter(|(_, slot)| slot.changed);
        effects.state_mutations = changed
            .map(|(declared, slot)| PersistedValueMutation {
                mutation_type: if slot.value.is_some() { MutationType::Modify } else { MutationType::Delete }.into(),
                state_name: declared.name.to_owned(),
                state_value: slot.value.map(|value| value.0),
            })
            .collect();
        effects
    }

    /// The address of this instance. A clone is two reference counts.
    ///
    /// ```
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
    /// let me = context.address();
    /// context.send(&me, "a message to myself")?;
    /// # Ok(()) }
    /// ```
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// The id of this instance: what tells it from the others of its type.
    ///
    /// ```
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) {
    /// println!("hello {}", context.id());
    /// # }
    /// ```
    pub fn id(&self) -> Arc<str> {
        self.address.id.clone()
    }

    /// Who sent the message that is being handled; `None` when it came from outside.
    ///
    /// ```
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
    /// if let Some(caller) = context.caller() {
    ///     context.send(caller, "thank you")?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn caller(&self) -> Option<Address> {
        self.caller.clone()
    }

    /// The value of a state; `None` when it has none, or it has expired.
    ///
    /// ```
    /// # use millpond_sdk::ValueSpec;
    /// const NAME: ValueSpec<String> = ValueSpec::new("name");
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
    /// let name = context.get(NAME)?.unwrap_or_default();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the function was not bound with this state, or what is stored is not of its type.
    pub fn get<T: Value>(&self, spec: ValueSpec<T>) -> Result<Option<T>, Error> {
        let at = self.slot(&spec)?;
        self.slots[at].value.as_ref().map(TypedValue::decode).transpose()
    }

    /// Writes a state. It is stored when the answer is, and later messages of the batch see it at once.
    ///
    /// ```
    /// # use millpond_sdk::ValueSpec;
    /// const NAME: ValueSpec<String> = ValueSpec::new("name");
    /// # async fn function(context: &mut millpond_sdk::Context, message: millpond_sdk::Message) -> millpond_sdk::Result {
    /// context.set(NAME, &message.value()?)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the function was not bound with this state, or the value cannot be written.
    pub fn set<T: Value>(&mut self, spec: ValueSpec<T>, value: &T) -> Result<(), Error> {
        let at = self.slot(&spec)?;
        self.slots[at] = Slot { value: Some(TypedValue::of(value)?), changed: true };
        Ok(())
    }

    /// Removes the value of a state.
    ///
    /// ```
    /// # use millpond_sdk::ValueSpec;
    /// const NAME: ValueSpec<String> = ValueSpec::new("name");
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
    /// context.remove(NAME)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the function was not bound with this state.
    pub fn remove<T: Value>(&mut self, spec: ValueSpec<T>) -> Result<(), Error> {
        let at = self.slot(&spec)?;
        self.slots[at] = Slot { value: None, changed: true };
        Ok(())
    }

    /// Sends a message to a function, which gets it once. Messages to one receiver arrive in the order of sending.
    ///
    /// ```
    /// # async fn function(context: &mut millpond_sdk::Context, message: millpond_sdk::Message) -> millpond_sdk::Result {
    /// context.send(("example/archivist", "Turin"), "a visitor")?;
    /// context.send(("example/counter", "all"), &1)?;
    /// context.send(("example/audit", context.id()), message)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the receiver has no usable name, or the value cannot be written.
    pub fn send(&mut self, target: impl IntoAddress, value: impl IntoValue) -> Result<(), Error> {
        let message =
            Invocation { target: Some(wire_address(&target.into_address()?)), argument: Some(value.into_value()?.0) };
        self.effects.outgoing_messages.push(message);
        Ok(())
    }

    /// Sends a message that arrives after a delay. It outlives restarts.
    ///
    /// ```
    /// use std::time::Duration;
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
    /// context.send_after(Duration::from_secs(60), context.address(), "a minute is over")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Context::send), and when the delay is over 292 million years.
    pub fn send_after(
        &mut self,
        delay: Duration,
        target: impl IntoAddress,
        value: impl IntoValue,
    ) -> Result<(), Error> {
        self.delayed(delay, String::new(), &target.into_address()?, value)
    }

    /// Sends a message that arrives after a delay, unless it is [cancelled](Context::cancel) by its token before.
    ///
    /// A token belongs to the id of the sender: every function type with this id can cancel, and shares the tokens. It is
    /// free again when the message is delivered or cancelled; using one that is not makes the runtime reject the answer.
    ///
    /// ```
    /// use std::time::Duration;
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
    /// context.send_after_with_token(Duration::from_secs(60), "reminder", context.address(), "pay!")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`send_after`](Context::send_after), and when the token is empty.
    pub fn send_after_with_token(
        &mut self,
        delay: Duration,
        token: impl Into<String>,
        target: impl IntoAddress,
        value: impl IntoValue,
    ) -> Result<(), Error> {
        let token = checked_token(token)?;
        self.delayed(delay, token, &target.into_address()?, value)
    }

    /// Cancels the delayed message with this token. When there is none, or it was delivered already, nothing happens.
    ///
    /// ```
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
    /// context.cancel("reminder")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the token is empty.
    pub fn cancel(&mut self, token: impl Into<String>) -> Result<(), Error> {
        let cancellation = DelayedInvocation {
            is_cancellation_request: true,
            cancellation_token: checked_token(token)?,
            ..DelayedInvocation::default()
        };
        self.effects.delayed_invocations.push(cancellation);
        Ok(())
    }

    /// Sends a record to an egress of the module: a [`KafkaRecord`](crate::KafkaRecord),
    /// [`KinesisRecord`](crate::KinesisRecord) or [`PlaygroundRecord`](crate::PlaygroundRecord), as its kind wants.
    ///
    /// ```
    /// use millpond_sdk::{KafkaRecord, PLAYGROUND_EGRESS, PlaygroundRecord};
    /// # async fn function(context: &mut millpond_sdk::Context, _: millpond_sdk::Message) -> millpond_sdk::Result {
    /// context.send_egress("example/kafka", KafkaRecord::new("greetings", "Hello").key(&*context.id()))?;
    /// context.send_egress(PLAYGROUND_EGRESS, PlaygroundRecord::new("greetings", "Hello"))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the egress has no usable name, or the record cannot be written.
    pub fn send_egress(&mut self, egress: &str, record: impl IntoValue) -> Result<(), Error> {
        let egress = TypeName::parse(egress)?;
        let message = EgressMessage {
            egress_namespace: egress.namespace().to_owned(),
            egress_type: egress.name().to_owned(),
            argument: Some(record.into_value()?.0),
        };
        self.effects.outgoing_egresses.push(message);
        Ok(())
    }

    fn delayed(
        &mut self,
        delay: Duration,
        token: String,
        target: &Address,
        value: impl IntoValue,
    ) -> Result<(), Error> {
        let message = DelayedInvocation {
            delay_in_ms: i64::try_from(delay.as_millis()).map_err(|_| Error::DelayTooLong(delay.as_secs()))?,
            target: Some(wire_address(target)),
            argument: Some(value.into_value()?.0),
            is_cancellation_request: false,
            cancellation_token: token,
        };
        self.effects.delayed_invocations.push(message);
        Ok(())
    }

    /// Where the state is. A function has few, so looking at each is the quickest way.
    fn slot<T: Value>(&self, spec: &ValueSpec<T>) -> Result<usize, Error> {
        let name = spec.name();
        let at = self.declared.iter().position(|declared| declared.name == name);
        let at = at.ok_or_else(|| Error::UndeclaredState { function: self.address.function.to_string(), name })?;
        let declared = self.declared[at].typename;
        if declared == T::TYPENAME { Ok(at) } else { Err(Error::StateType { name, declared, used: T::TYPENAME }) }
    }
}

fn checked_token(token: impl Into<String>) -> Result<String, Error> {
    let token = token.into();
    if token.is_empty() { Err(Error::EmptyToken) } else { Ok(token) }
}

pub(crate) fn wire_address(address: &Address) -> reqreply::Address {
    reqreply::Address {
        namespace: address.function.namespace().to_owned(),
        r#type: address.function.name().to_owned(),
        id: address.id.to_string(),
    }
}
