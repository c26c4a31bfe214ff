//! What can be bound: async functions and closures, and structs.

use std::future::Future;
use std::pin::Pin;

use crate::context::Context;
use crate::error::{BoxError, Result};
use crate::message::Message;

/// A stateful function.
///
/// Every `async fn(&mut Context, Message)` is one, and every such async closure that captures nothing. What needs more,
/// a client or a configuration, is a struct, or [`with`]:
///
/// ```
/// use millpond_sdk::{Context, Function, Functions, Message, Result};
///
/// struct Greeter {
///     salutation: String,
/// }
///
/// impl Function for Greeter {
///     async fn call(&self, context: &mut Context, _: Message) -> Result {
///         println!("{} {}", self.salutation, context.id());
///         Ok(())
///     }
/// }
///
/// Functions::new().bind("example/greeter", (), Greeter { salutation: "Hello".into() });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stateful function",
    note = "a function is an `async fn(&mut Context, Message)` that returns `()` or a `Result<(), E>`",
    note = "a closure must name its types, `async |context: &mut Context, message: Message| ...`, and capture nothing",
    note = "`millpond_sdk::with(state, ...)`, or a struct with `impl Function`, carries what it needs"
)]
pub trait Function: Send + Sync + 'static {
    /// Handles one message. An error fails the whole batch, with none of its effects.
    fn call(&self, context: &mut Context, message: Message) -> impl Future<Output = Result> + Send;
}

/// What a function may return: nothing, or a result with any error.
///
/// ```
/// use millpond_sdk::{Context, Functions, Message};
///
/// async fn cannot_fail(_: &mut Context, _: Message) {}
/// async fn can_fail(_: &mut Context, _: Message) -> anyhow::Result<()> {
///     Ok(())
/// }
///
/// Functions::new().bind("example/a", (), cannot_fail).bind("example/b", (), can_fail);
/// ```
pub trait Outcome {
    /// As a result.
    ///
    /// # Errors
    /// The error that the function returned.
    fn into_result(self) -> Result;
}

impl Outcome for () {
    fn into_result(self) -> Result {
        Ok(())
    }
}

impl<E: Into<BoxError>> Outcome for std::result::Result<(), E> {
    fn into_result(self) -> Result {
        self.map_err(Into::into)
    }
}

/// Names the future of an async function for one lifetime of its context, which is the only way to say that it can be
/// sent between threads.
#[doc(hidden)]
pub trait AsyncFunction<'a>: Send + Sync + 'static {
    type Future: Future<Output: Outcome> + Send + 'a;
    fn start(&self, context: &'a mut Context, message: Message) -> Self::Future;
}

impl<'a, F, Fut> AsyncFunction<'a> for F
where
    F: Fn(&'a mut Context, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Outcome> + Send + 'a,
{
    type Future = Fut;

    fn start(&self, context: &'a mut Context, message: Message) -> Fut {
        self(context, message)
    }
}

impl<F> Function for F
where
    F: for<'a> AsyncFunction<'a>,
{
    async fn call(&self, context: &mut Context, message: Message) -> Result {
        self.start(context, message).await.into_result()
    }
}

/// A function that is given a state of the process, such as a client, with every message.
///
/// ```
/// use millpond_sdk::{Context, Functions, Message, with};
///
/// struct Model {
///     threshold: f64,
/// }
///
/// async fn judge(model: &Model, _: &mut Context, message: Message) -> millpond_sdk::Result {
///     let score: f64 = message.value()?;
///     println!("{}", score > model.threshold);
///     Ok(())
/// }
///
/// Functions::new().bind("example/judge", (), with(Model { threshold: 0.5 }, judge));
/// ```
pub fn with<S, F>(state: S, function: F) -> impl Function
where
    S: Send + Sync + 'static,
    F: for<'a> AsyncFunctionWith<'a, S>,
{
    With { state, function }
}

struct With<S, F> {
    state: S,
    function: F,
}

#[doc(hidden)]
pub trait AsyncFunctionWith<'a, S>: Send + Sync + 'static {
    type Future: Future<Output: Outcome> + Send + 'a;
    fn start(&self, state: &'a S, context: &'a mut Context, message: Message) -> Self::Future;
}

impl<'a, S, F, Fut> AsyncFunctionWith<'a, S> for F
where
    S: 'a,
    F: Fn(&'a S, &'a mut Context, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: Outcome> + Send + 'a,
{
    type Future = Fut;

    fn start(&self, state: &'a S, context: &'a mut Context, message: Message) -> Fut {
        self(state, context, message)
    }
}

impl<S, F> Function for With<S, F>
where
    S: Send + Sync + 'static,
    F: for<'a> AsyncFunctionWith<'a, S>,
{
    async fn call(&self, context: &mut Context, message: Message) -> Result {
        self.function.start(&self.state, context, message).await.into_result()
    }
}

/// A function whose type is forgotten, so that different ones fit into one table.
pub(crate) trait AnyFunction: Send + Sync + 'static {
    fn call_any<'a>(&'a self, context: &'a mut Context, message: Message) -> BoxFuture<'a>;
}

pub(crate) type BoxFuture<'a> = Pin<Box<dyn Future<Output = Result> + Send + 'a>>;

impl<F: Function> AnyFunction for F {
    fn call_any<'a>(&'a self, context: &'a mut Context, message: Message) -> BoxFuture<'a> {
        Box::pin(self.call(context, message))
    }
}
