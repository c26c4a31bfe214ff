//! The promise: a delayed message is delivered once, through a kill, and a cancelled one gives its token back.

use crate::functions::Functions;
use crate::http::{self, Event};
use crate::runtime::Installation;

fn wish(number: usize, wish: serde_json::Value) -> Event {
    Event {
        function: "example/reminder",
        id: "Ada".to_owned(),
        value_type: "example.types/Wish",
        value: wish.to_string(),
        key: format!("wish-{number}"),
    }
}

fn remind(number: usize, text: &str, after_ms: u64) -> Event {
    wish(number, serde_json::json!({ "wish": "remind", "text": text, "after_ms": after_ms }))
}

fn forget(number: usize, text: &str) -> Event {
    wish(number, serde_json::json!({ "wish": "forget", "text": text }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_come_once_through_a_kill() {
    let Some(functions) = Functions::start("reminder") else {
        return;
    };
    let installation = Installation::new(&functions.module());
    let client = http::client();
    let runtime = installation.start();
    for event in [remind(1, "at once", 0), remind(2, "far away", 600_000), remind(3, "over the kill", 1_000)] {
        http::accepted(&client, &runtime, &event).await;
    }
    http::read_at_least(&client, &runtime, "reminders", 1).await;
    runtime.kill();

    let runtime = installation.start();
    http::read_at_least(&client, &runtime, "reminders", 2).await;
    // The text is the token: while the first message has it, no other one can; now it is free again.
    for event in [forget(4, "far away"), remind(5, "far away", 0)] {
        http::accepted(&client, &runtime, &event).await;
    }
    let reminders = http::read_at_least(&client, &runtime, "reminders", 3).await;
    let texts: Vec<&str> = reminders.iter().map(|record| record.payload.as_str()).collect();
    assert_eq!(texts, ["Ada: at once (1)", "Ada: over the kill (2)", "Ada: far away (3)"]);
    http::count_becomes(&client, &runtime, "example/reminder/Ada", "reminded", 3).await;
}
