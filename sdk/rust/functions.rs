//! The table of functions, and how one request becomes one answer.
//!
//! In: the bytes of a `ToFunction`. Out: those of a `FromFunction`. A request that lacks a declared state is answered with
//! all that it lacks, before any function runs. Otherwise its messages are handled one behind the other, each seeing what
//! those before it did to the state, and all effects leave in one answer, or none do.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use millpond_protocol::proto::reqreply::from_function::{IncompleteInvocationContext, Response};
use millpond_protocol::proto::reqreply::to_function::{InvocationBatchRequest, PersistedValue, Request};
use millpond_protocol::proto::reqreply::{self, FromFunction, ToFunction};
use millpond_protocol::{Address, TypeName};
use prost::Message as _;

use crate::context::Context;
use crate::error::CallError;
use crate::function::{AnyFunction, Function};
use crate::message::Message;
use crate::spec::{Declared, ValueSpecs};
use crate::value::TypedValue;

/// The functions that one endpoint serves. Cloning it is a reference count.
///
/// It is a [`tower`](tower_service::Service) service, so it fits into an axum router as it is, and a
/// [`hyper`](hyper::service::Service) service; [`serve`](crate::serve()) needs neither.
///
/// ```
/// use millpond_sdk::{Context, Functions, Message};
///
/// async fn greeter(context: &mut Context, _: Message) {
///     println!("hello {}", context.id());
/// }
///
/// let functions = Functions::new().bind("example/greeter", (), greeter);
/// let app: axum::Router = axum::Router::new().route_service("/statefun", functions);
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct Functions {
    table: Arc<Table>,
    /// The most bytes that a request over HTTP may have.
    pub(crate) request_bytes_max: usize,
}

#[derive(Clone, Default)]
struct Table {
    /// By namespace, then by name, so that looking one up makes no string.
    bound: HashMap<Box<str>, HashMap<Box<str>, Bound>>,
}

#[derive(Clone)]
struct Bound {
    name: TypeName,
    declared: Arc<[Declared]>,
    function: Arc<dyn AnyFunction>,
}

/// As many as the runtime accepts in an answer, and more than it puts into a batch of ordinary messages.
const REQUEST_BYTES_MAX: usize = 64 << 20;

impl Default for Functions {
    fn default() -> Functions {
        Functions { table: Arc::default(), request_bytes_max: REQUEST_BYTES_MAX }
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Functions").field(&self.table.names()).finish()
    }
}

impl Functions {
    /// No functions yet.
    ///
    /// ```
    /// let functions = millpond_sdk::Functions::new();
    /// # let _ = functions;
    /// ```
    pub fn new() -> Functions {
        Functions::default()
    }

    /// Binds a function, with its states, to the function type under which the runtime calls it.
    ///
    /// ```
    /// use millpond_sdk::{Context, Functions, Message, ValueSpec};
    ///
    /// const VISITS: ValueSpec<i32> = ValueSpec::new("visits");
    ///
    /// let functions = Functions::new().bind("example/counter", VISITS, async |context: &mut Context, _: Message| {
    ///     let visits = context.get(VISITS)?.unwrap_or(0) + 1;
    ///     context.set(VISITS, &visits)
    /// });
    /// # let _ = functions;
    /// ```
    ///
    /// # Panics
    /// When the function type is not `<namespace>/<name>`, is bound already, or two of its states have one name.
    #[must_use]
    pub fn bind(mut self, function_type: &str, states: impl ValueSpecs, function: impl Function) -> Functions {
        let name = TypeName::parse(function_type).unwrap_or_else(|error| panic!("{error}"));
        let mut declared = Vec::new();
        states.declare(&mut declared);
        let declared: Arc<[Declared]> = declared.into_iter().map(|sealed| sealed.0).collect();
        for (index, state) in declared.iter().enumerate() {
            let first = declared.iter().position(|other| other.name == state.name);
            assert_eq!(first, Some(index), "`{name}` has two states named `{}`", state.name);
        }
        let bound = Bound { name: name.clone(), declared, function: Arc::new(function) };
        let namespace = Arc::make_mut(&mut self.table).bound.entry(name.namespace().into()).or_default();
        let before = namespace.insert(name.name().into(), bound);
        assert!(before.is_none(), "`{name}` is bound twice");
        self
    }

    /// Sets the most bytes that a request over HTTP may have; a larger one is answered 413. Default 64 MiB.
    ///
    /// ```
    /// let functions = millpond_sdk::Functions::new().request_bytes_max(1 << 20);
    /// # let _ = functions;
    /// ```
    #[must_use]
    pub fn request_bytes_max(mut self, bytes: usize) -> Functions {
        self.request_bytes_max = bytes;
        self
    }

    /// Answers one call: for servers of your own. The body of the request in, the body of the answer out.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let functions = millpond_sdk::Functions::new();
    /// let answer = functions.handle(bytes::Bytes::new()).await?;
    /// assert!(answer.is_empty(), "nothing asked, nothing answered");
    /// # Ok::<(), millpond_sdk::CallError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When the request cannot be read, its function is not bound, or the function failed. Upstream's SDKs, and this one
    /// over HTTP, answer all of these with status 500.
    pub async fn handle(&self, request: Bytes) -> Result<Bytes, CallError> {
        let request = ToFunction::decode(request).map_err(CallError::InvalidRequest)?;
        let Some(Request::Invocation(batch)) = request.request else { return Ok(Bytes::new()) };
        let response = self.run(batch).await?;
        Ok(FromFunction { response: Some(response) }.encode_to_vec().into())
    }

    async fn run(&self, batch: InvocationBatchRequest) -> Result<Response, CallError> {
        let target = batch.target.unwrap_or_default();
        let bound = self.table.find(&target)?;
        let values = match values(&bound.declared, batch.state) {
            Ok(values) => values,
            Err(missing_values) => {
                return Ok(Response::IncompleteInvocationContext(IncompleteInvocationContext { missing_values }));
            }
        };
        let address = Address::new(bound.name.clone(), target.id);
        let mut context = Context::new(address, bound.declared.clone(), values);
        for (index, invocation) in batch.invocations.into_iter().enumerate() {
            context.set_caller(invocation.caller.map(address_of));
            let message = Message(TypedValue(invocation.argument.unwrap_or_default()));
            bound.call(&mut context, message, index + 1).await?;
        }
        Ok(Response::InvocationResult(context.into_effects()))
    }
}

impl Table {
    fn find(&self, target: &reqreply::Address) -> Result<&Bound, CallError> {
        let found = self.bound.get(&*target.namespace).and_then(|functions| functions.get(&*target.r#type));
        found.ok_or_else(|| CallError::UnknownFunction {
            function: format!("{}/{}", target.namespace, target.r#type),
            bound: self.names().join(", "),
        })
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.bound.values().flat_map(HashMap::values).map(|bound| bound.name.to_string()).collect();
        names.sort_unstable();
        names
    }
}

impl Bound {
    /// A function that panics fails its batch like one that returns an error: the runtime must hear of it, and not only
    /// see a connection break, which would mean that nobody has judged the message.
    async fn call(&self, context: &mut Context, message: Message, index: usize) -> Result<(), CallError> {
        let outcome = AssertUnwindSafe(self.function.call_any(context, message)).catch_unwind().await;
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(CallError::Failed { function: self.name.to_string(), index, source }),
            Err(panic) => {
                Err(CallError::Panicked { function: self.name.to_string(), index, text: panic_text(&*panic) })
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}

/// The values of the declared states in their order; or the specs of those that the request does not mention.
fn values(
    declared: &[Declared],
    states: Vec<PersistedValue>,
) -> Result<Vec<Option<TypedValue>>, Vec<reqreply::from_function::PersistedValueSpec>> {
    let mut found: Vec<Option<Option<TypedValue>>> = vec![None; declared.len()];
    for state in states {
        // States that this version of the function does not know are passed over, as by every SDK.
        if let Some(at) = declared.iter().position(|declared| declared.name == state.state_name) {
            found[at] = Some(state.state_value.filter(|value| value.has_value).map(TypedValue));
        }
    }
    let missing: Vec<_> =
        declared.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(spec, _)| spec.to_wire()).collect();
    if missing.is_empty() { Ok(found.into_iter().map(Option::flatten).collect()) } else { Err(missing) }
}

pub(crate) fn address_of(wire: reqreply::Address) -> Address {
    Address::new(TypeName::new(&wire.namespace, &wire.r#type), wire.id)
}
