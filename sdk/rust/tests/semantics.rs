//! What a batch does as a whole, and what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use millpond_sdk::testing::{Call, Instance};
use millpond_sdk::{BoxError, CallError, Context, Error, Functions, Message, Result, TypedValue, ValueSpec, with};

const SUM: ValueSpec<i64> = ValueSpec::new("sum");

/// Adds numbers, fails at a negative one, panics at zero.
async fn add(context: &mut Context, message: Message) -> Result {
    let number: i64 = message.value()?;
    assert!(number != 0, "zero is not a number here");
    let sum = context.get(SUM)?.unwrap_or(0) + number;
    context.set(SUM, &sum)?;
    context.send(("example/log", "all"), &sum)?;
    if number < 0 {
        Err("negative")?
    }
    Ok(())
}

fn adder() -> Instance {
    Instance::new(&Functions::new().bind("example/add", SUM, add), ("example/add", "1"))
}

fn calls(numbers: &[i64]) -> Result<Vec<Call>, Error> {
    numbers.iter().map(Call::new).collect()
}

/// Promise: the messages of a batch run in order, and each sees what those before it wrote.
#[tokio::test]
async fn state_is_carried_through_a_batch() -> Result {
    let mut adder = adder();
    let effects = adder.batch(calls(&[1, 2, 3])?).await?;
    let sums: Result<Vec<i64>, Error> = effects.messages.iter().map(|sent| sent.value.decode()).collect();
    assert_eq!(sums?, [1, 3, 6]);
    assert_eq!(adder.get(SUM)?, Some(6));
    Ok(())
}

/// Promise: an answer is all or nothing. A message that fails, or panics, takes the whole batch with it.
#[tokio::test]
async fn a_failed_batch_has_no_effects() -> Result {
    let mut adder = adder();
    adder.call(&10i64).await?;
    let failed = adder.batch(calls(&[1, -2, 3])?).await;
    assert!(matches!(failed, Err(CallError::Failed { index: 2, .. })), "{failed:?}");
    let panicked = adder.batch(calls(&[1, 0])?).await;
    let Err(CallError::Panicked { index: 2, text, .. }) = panicked else { panic!("{panicked:?}") };
    assert_eq!(text, "zero is not a number here");
    assert_eq!(adder.get(SUM)?, Some(10));
    Ok(())
}

/// Promise: no function runs before the request has all its states.
#[tokio::test]
async fn an_incomplete_call_runs_nothing() -> Result {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let functions = Functions::new().bind("example/count", SUM, async |_: &mut Context, _: Message| {
        RUNS.fetch_add(1, Ordering::Relaxed);
    });
    // The test kit knows no state at first, so its first request is incomplete and its second is not.
    Instance::new(&functions, ("example/count", "1")).call(&1).await?;
    assert_eq!(RUNS.load(Ordering::Relaxed), 1);
    Ok(())
}

/// Promise: what cannot mean anything is an error where it is used, and says what is wrong.
#[tokio::test]
async fn misuse_is_an_error() {
    const OTHER: ValueSpec<i32> = ValueSpec::new("other");
    const SUM_AS_TEXT: ValueSpec<String> = ValueSpec::new("sum");
    for (expected, attempt) in [
        ("`example/odd` was bound without state `other`; name its spec where the function is bound", 0),
        ("state `sum` was bound with type `io.statefun.types/long`, not `io.statefun.types/string`", 1),
        ("a cancellation token must not be empty", 2),
        ("the receiver has no usable name: `greeter` is not of the form `<namespace>/<name>`", 3),
        ("the value is of type `io.statefun.types/int`, not of type `io.statefun.types/string`", 4),
        ("a delay of 18446744073709551615 s is longer than the protocol can carry", 5),
    ] {
        let function = async move |attempt: &i32, context: &mut Context, message: Message| match attempt {
            0 => context.get(OTHER).map(drop),
            1 => context.get(SUM_AS_TEXT).map(drop),
            2 => context.cancel(""),
            3 => context.send(("greeter", "Ada"), &1),
            4 => message.value::<String>().map(drop),
            _ => context.send_after(std::time::Duration::MAX, context.address(), &1),
        };
        let functions = Functions::new().bind("example/odd", SUM, with(attempt, function));
        let failed = Instance::new(&functions, ("example/odd", "1")).call(&1).await.expect_err(expected);
        assert!(line(failed).ends_with(expected), "{expected}");
    }
}

fn line(error: BoxError) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}

/// Promise: headers reach the function, and a message that is passed on keeps them.
#[tokio::test]
async fn headers_travel() -> Result {
    let functions = Functions::new().bind("example/pass", (), async |context: &mut Context, message: Message| {
        assert_eq!(message.header("trace"), Some(&b"af3"[..]));
        context.send(("example/next", "1"), message)
    });
    let value = TypedValue::of(&1)?.with_header("trace", "af3");
    let effects = Instance::new(&functions, ("example/pass", "1")).call(value.clone()).await?;
    assert_eq!(effects.messages[0].value, value);
    Ok(())
}

/// Promise: what a mistake in `bind` means is said at the start, not at the first call.
#[test]
fn mistakes_in_bind_panic() {
    async fn nothing(_: &mut Context, _: Message) {}
    let name = std::panic::catch_unwind(|| Functions::new().bind("greeter", (), nothing));
    assert_eq!(panic_text(name), "`greeter` is not of the form `<namespace>/<name>`");
    let twice = std::panic::catch_unwind(|| Functions::new().bind("a/b", (), nothing).bind("a/b", (), nothing));
    assert_eq!(panic_text(twice), "`a/b` is bound twice");
    let states = std::panic::catch_unwind(|| Functions::new().bind("a/b", (SUM, SUM), nothing));
    assert_eq!(
        panic_text(states),
        "assertion `left == right` failed: `a/b` has two states named `sum`\n  left: Some(0)\n right: Some(1)"
    );
}

fn panic_text<T>(outcome: std::thread::Result<T>) -> String {
    let panic = outcome.err().expect("a panic");
    panic.downcast_ref::<String>().cloned().expect("a panic with a text")
}

/// Promise: a struct can hold what it needs.
#[tokio::test]
async fn a_struct_is_a_function() -> Result {
    struct Counting(Arc<AtomicU32>);
    impl millpond_sdk::Function for Counting {
        async fn call(&self, _: &mut Context, _: Message) -> Result {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
    let count = Arc::new(AtomicU32::new(0));
    let functions = Functions::new().bind("example/count", (), Counting(count.clone()));
    Instance::new(&functions, ("example/count", "1")).call("hi").await?;
    assert_eq!(count.load(Ordering::Relaxed), 1);
    Ok(())
}
