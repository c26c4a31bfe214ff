//! Runs functions in memory, as the runtime would, and shows what they did.
//!
//! An [`Instance`] is one address. It keeps its state from call to call, sends real requests and reads real answers, so a
//! test goes through everything but the network. What the function sent is in the [`Effects`]; nobody delivers it.
//!
//! ```
//! use millpond_sdk::testing::Instance;
//! use millpond_sdk::{Context, Functions, Message, ValueSpec};
//!
//! const VISITS: ValueSpec<i32> = ValueSpec::new("visits");
//!
//! async fn greeter(context: &mut Context, message: Message) -> millpond_sdk::Result {
//!     let visits = context.get(VISITS)?.unwrap_or(0) + 1;
//!     context.set(VISITS, &visits)?;
//!     let city: String = message.value()?;
//!     context.send(("example/archivist", city), &context.id())?;
//!     Ok(())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let functions = Functions::new().bind("example/greeter", VISITS, greeter);
//! let mut ada = Instance::new(&functions, ("example/greeter", "Ada"));
//!
//! let effects = ada.call("Turin").await?;
//! assert_eq!(&*effects.messages[0].target.id, "Turin");
//! assert_eq!(effects.messages[0].value.decode::<String>()?, "Ada");
//!
//! ada.call("London").await?;
//! assert_eq!(ada.get(VISITS)?, Some(2));
//! # Ok::<(), millpond_sdk::BoxError>(())
//! # }).unwrap();
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use millpond_protocol::Address;
use millpond_protocol::proto::egress::KafkaProducerRecord;
use millpond_protocol::proto::reqreply::from_function::persisted_value_mutation::MutationType;
use millpond_protocol::proto::reqreply::from_function::{
    DelayedInvocation, EgressMessage, Invocation, InvocationResponse, Response,
};
use millpond_protocol::proto::reqreply::to_function::{self, InvocationBatchRequest, PersistedValue, Request};
use millpond_protocol::proto::reqreply::{FromFunction, ToFunction};
use millpond_protocol::types::{KAFKA_PRODUCER_RECORD, PLAYGROUND_EGRESS_RECORD};
use prost::Message as _;

use crate::address::IntoAddress;
use crate::context::wire_address;
use crate::error::{CallError, Error};
use crate::functions::{Functions, address_of};
use crate::spec::ValueSpec;
use crate::value::{IntoValue, TypedValue, Value};

/// One address of a function, and its state.
///
/// ```
/// use millpond_sdk::{Functions, testing::Instance};
///
/// # let functions = Functions::new();
/// let ada = Instance::new(&functions, ("example/greeter", "Ada"));
/// # let _ = ada;
/// ```
#[derive(Debug)]
pub struct Instance {
    functions: Functions,
    address: Address,
    /// What the function declared, and the values of what is set.
    states: BTreeMap<String, Option<TypedValue>>,
}

/// A message of a batch, with its caller if it has one.
///
/// ```
/// use millpond_sdk::testing::Call;
///
/// let from_outside = Call::new("hello")?;
/// let from_bob = Call::new("hello")?.from(("example/greeter", "Bob"))?;
/// # let _ = (from_outside, from_bob);
/// # Ok::<(), millpond_sdk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Call {
    caller: Option<Address>,
    value: TypedValue,
}

impl Call {
    /// A message from outside.
    ///
    /// ```
    /// let call = millpond_sdk::testing::Call::new(&7)?;
    /// # let _ = call;
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the value cannot be written.
    pub fn new(value: impl IntoValue) -> Result<Call, Error> {
        Ok(Call { caller: None, value: value.into_value()? })
    }

    /// A function sent it.
    ///
    /// ```
    /// let call = millpond_sdk::testing::Call::new(&7)?.from(("example/greeter", "Bob"))?;
    /// # let _ = call;
    /// # Ok::<(), millpond_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the caller has no usable name.
    pub fn from(mut self, caller: impl IntoAddress) -> Result<Call, Error> {
        self.caller = Some(caller.into_address()?);
        Ok(self)
    }
}

impl Instance {
    /// An address without any state yet.
    ///
    /// ```
    /// # let functions = millpond_sdk::Functions::new();
    /// let ada = millpond_sdk::testing::Instance::new(&functions, ("example/greeter", "Ada"));
    /// # let _ = ada;
    /// ```
    ///
    /// # Panics
    /// When the address has no usable name.
    pub fn new(functions: &Functions, address: impl IntoAddress) -> Instance {
        let address = address.into_address().unwrap_or_else(|error| panic!("{error}"));
        Instance { functions: functions.clone(), address, states: BTreeMap::new() }
    }

    /// Sends one message from outside.
    ///
    /// ```
    /// # async fn test(functions: &millpond_sdk::Functions) -> millpond_sdk::Result {
    /// let mut ada = millpond_sdk::testing::Instance::new(functions, ("example/greeter", "Ada"));
    /// let effects = ada.call("hello").await?;
    /// assert!(effects.messages.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the call fails. The state is what it was before.
    pub async fn call(&mut self, value: impl IntoValue) -> crate::Result<Effects> {
        Ok(self.batch([Call::new(value)?]).await?)
    }

    /// Sends several messages as one batch, as the runtime does with what has come meanwhile.
    ///
    /// ```
    /// use millpond_sdk::testing::{Call, Instance};
    /// # async fn test(functions: &millpond_sdk::Functions) -> millpond_sdk::Result {
    /// let mut ada = Instance::new(functions, ("example/greeter", "Ada"));
    /// let bob = ("example/greeter", "Bob");
    /// ada.batch([Call::new("hello")?, Call::new("hello")?.from(bob)?]).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When any message fails. The state is what it was before the batch.
    pub async fn batch(&mut self, calls: impl IntoIterator<Item = Call>) -> Result<Effects, CallError> {
        let calls: Vec<Call> = calls.into_iter().collect();
        loop {
            match self.send(&calls).await? {
                Some(Response::InvocationResult(effects)) => return Ok(self.apply(effects)),
                Some(Response::IncompleteInvocationContext(incomplete)) => {
                    for spec in incomplete.missing_values {
                        self.states.entry(spec.state_name).or_default();
                    }
                }
                None => return Ok(Effects::default()),
            }
        }
    }

    /// The value of a state; `None` when it has none.
    ///
    /// ```
    /// # use millpond_sdk::{ValueSpec, testing::Instance};
    /// # const VISITS: ValueSpec<i32> = ValueSpec::new("visits");
    /// # fn test(ada: &Instance) -> millpond_sdk::Result {
    /// assert_eq!(ada.get(VISITS)?, Some(1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the value is not of the type.
    pub fn get<T: Value>(&self, spec: ValueSpec<T>) -> Result<Option<T>, Error> {
        self.states.get(spec.name()).and_then(Option::as_ref).map(TypedValue::decode).transpose()
    }

    /// Sets a state, so that a test can begin where it likes.
    ///
    /// ```
    /// # use millpond_sdk::{ValueSpec, testing::Instance};
    /// # const VISITS: ValueSpec<i32> = ValueSpec::new("visits");
    /// # fn test(ada: &mut Instance) -> millpond_sdk::Result {
    /// ada.set(VISITS, &41)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the value cannot be written.
    pub fn set<T: Value>(&mut self, spec: ValueSpec<T>, value: &T) -> Result<(), Error> {
        self.states.insert(spec.name().to_owned(), Some(TypedValue::of(value)?));
        Ok(())
    }

    async fn send(&self, calls: &[Call]) -> Result<Option<Response>, CallError> {
        let batch = InvocationBatchRequest {
            target: Some(wire_address(&self.address)),
            state: self
                .states
                .iter()
                .map(|(name, value)| PersistedValue {
                    state_name: name.clone(),
                    state_value: value.clone().map(|value| value.0),
                })
                .collect(),
            invocations: calls
                .iter()
                .map(|call| to_function::Invocation {
                    caller: call.caller.as_ref().map(wire_address),
                    argument: Some(call.value.0.clone()),
                })
                .collect(),
        };
        let request = ToFunction { request: Some(Request::Invocation(batch)) };
        let answer = self.functions.handle(request.encode_to_vec().into()).await?;
        Ok(FromFunction::decode(answer).expect("an answer of this crate is a `FromFunction`").response)
    }

    fn apply(&mut self, effects: InvocationResponse) -> Effects {
        for mutation in effects.state_mutations {
            let modified = mutation.mutation_type == i32::from(MutationType::Modify);
            let value = mutation.state_value.filter(|_| modified).map(TypedValue);
            self.states.insert(mutation.state_name, value);
        }
        Effects {
            messages: effects.outgoing_messages.into_iter().map(Sent::from).collect(),
            delayed: effects.delayed_invocations.into_iter().map(Delayed::from).collect(),
            egress: effects.outgoing_egresses.into_iter().map(Record::from).collect(),
        }
    }
}

/// What a function did in one call, besides its state. Each list is in the order in which the function did it.
///
/// ```
/// let nothing = millpond_sdk::testing::Effects::default();
/// assert!(nothing.messages.is_empty() && nothing.delayed.is_empty() && nothing.egress.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Messages to functions.
    pub messages: Vec<Sent>,
    /// Delayed messages, and cancellations.
    pub delayed: Vec<Delayed>,
    /// Records for egresses.
    pub egress: Vec<Record>,
}

/// A message to a function.
///
/// ```
/// # fn test(effects: millpond_sdk::testing::Effects) -> millpond_sdk::Result {
/// let sent = &effects.messages[0];
/// assert_eq!(sent.target.to_string(), "example/archivist/Turin");
/// assert_eq!(sent.value.decode::<String>()?, "Ada");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The receiver.
    pub target: Address,
    /// The message.
    pub value: TypedValue,
}

/// A delayed message, or the cancellation of one.
///
/// ```
/// use millpond_sdk::testing::Delayed;
/// # fn test(effects: millpond_sdk::testing::Effects) {
/// assert!(matches!(&effects.delayed[0], Delayed::Cancelled(token) if token == "reminder"));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Delayed {
    /// A message for later.
    Message {
        /// How much later.
        delay: Duration,
        /// Its cancellation token, if it has one.
        token: Option<String>,
        /// Receiver and message.
        sent: Sent,
    },
    /// The token whose message is cancelled.
    Cancelled(String),
}

/// A record for an egress.
///
/// ```
/// # fn test(effects: millpond_sdk::testing::Effects) {
/// let record = &effects.egress[0];
/// assert_eq!(record.egress, "example/kafka");
/// assert_eq!(record.topic().as_deref(), Some("alerts"));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The egress, as `namespace/name`.
    pub egress: String,
    /// The record as the egress gets it.
    pub value: TypedValue,
}

impl Record {
    /// The topic of a record for Kafka or the playground; `None` for any other.
    ///
    /// ```
    /// # fn test(record: millpond_sdk::testing::Record) {
    /// assert_eq!(record.topic().as_deref(), Some("alerts"));
    /// # }
    /// ```
    pub fn topic(&self) -> Option<String> {
        match self.value.typename() {
            KAFKA_PRODUCER_RECORD => Some(self.kafka()?.topic),
            PLAYGROUND_EGRESS_RECORD => self.playground("topic"),
            _ => None,
        }
    }

    /// The payload of a record for Kafka or the playground, if it is text; `None` for any other.
    ///
    /// ```
    /// # fn test(record: millpond_sdk::testing::Record) {
    /// assert_eq!(record.text().as_deref(), Some("Hello Ada, this is visit 1"));
    /// # }
    /// ```
    pub fn text(&self) -> Option<String> {
        match self.value.typename() {
            KAFKA_PRODUCER_RECORD => String::from_utf8(self.kafka()?.value_bytes.into()).ok(),
            PLAYGROUND_EGRESS_RECORD => self.playground("payload"),
            _ => None,
        }
    }

    fn kafka(&self) -> Option<KafkaProducerRecord> {
        KafkaProducerRecord::decode(self.value.bytes().clone()).ok()
    }

    fn playground(&self, field: &str) -> Option<String> {
        let record: serde_json::Value = serde_json::from_slice(self.value.bytes()).ok()?;
        record.get(field)?.as_str().map(str::to_owned)
    }
}

impl From<Invocation> for Sent {
    fn from(message: Invocation) -> Sent {
        Sent {
            target: address_of(message.target.unwrap_or_default()),
            value: TypedValue(message.argument.unwrap_or_default()),
        }
    }
}

impl From<DelayedInvocation> for Delayed {
    fn from(message: DelayedInvocation) -> Delayed {
        if message.is_cancellation_request {
            return Delayed::Cancelled(message.cancellation_token);
        }
        Delayed::Message {
            delay: Duration::from_millis(u64::try_from(message.delay_in_ms).unwrap_or(0)),
            token: Some(message.cancellation_token).filter(|token| !token.is_empty()),
            sent: Sent {
                target: address_of(message.target.unwrap_or_default()),
                value: TypedValue(message.argument.unwrap_or_default()),
            },
        }
    }
}

impl From<EgressMessage> for Record {
    fn from(message: EgressMessage) -> Record {
        Record {
            egress: format!("{}/{}", message.egress_namespace, message.egress_type),
            value: TypedValue(message.argument.unwrap_or_default()),
        }
    }
}
