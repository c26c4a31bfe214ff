//! The promises about messages that are rejected for good, and about those that nobody could be asked about.

use std::process::Command;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::functions::Functions;
use crate::http::{self, Event, Record};
use crate::runtime::{Installation, Runtime};
use crate::wait::eventually;

/// `call` of the module.
const CALL: Duration = Duration::from_secs(2);

const DEAD_LETTER: &str = "  failurePolicy: dead-letter
  deadLetter:
    egress: io.statefun.playground/egress
    topic: dead-letters
";

fn number(number: u64, poisoned: bool) -> Event {
    let value = if poisoned { json!({ "number": number, "poisoned": true }) } else { json!({ "number": number }) };
    Event {
        function: "example/picky",
        id: "Ada".to_owned(),
        value_type: "example.types/Number",
        value: value.to_string(),
        key: format!("number-{number}"),
    }
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.payload.parse().expect("a number")).collect()
}

/// What the admin API shows of the address.
async fn page(client: &Client, runtime: &Runtime) -> Value {
    let url = format!("http://{}/v1/addresses/example/picky/Ada", runtime.field("admin"));
    client.get(url).send().await.expect("an answer").json().await.expect("JSON")
}

/// One of the metrics of the function.
async fn metric(client: &Client, runtime: &Runtime, name: &str) -> u64 {
    let text = client.get(format!("http://{}/metrics", runtime.field("admin"))).send().await.expect("an answer");
    let text = text.text().await.expect("a body");
    let sample = format!("{name}{{namespace=\"example\",name=\"picky\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&sample));
    value.unwrap_or_else(|| panic!("no {sample}in\n{text}")).parse().expect("a number")
}

/// Waits until the first message is parked, and gives its number.
async fn parked(client: &Client, runtime: &Runtime, kind: &str) -> u64 {
    eventually("the address to be parked", async || {
        let page = page(client, runtime).await;
        let parked = page["failure"]["parked"] == true && page["failure"]["kind"] == kind;
        parked.then(|| page["first"].as_u64().expect("something waits"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poisoned_of_a_hundred_becomes_one_dead_letter() {
    const POISONED: u64 = 37;
    let Some(functions) = Functions::start_for_tests("picky") else {
        return;
    };
    let module = functions.module() + DEAD_LETTER;
    let installation = Installation::new(&module);
    let client = http::client();
    let runtime = installation.start();
    for sent in 1..=60 {
        http::accepted(&client, &runtime, &number(sent, sent == POISONED)).await;
    }
    // The kill comes while the poisoned one is in the way, or just behind: it is one dead letter either way.
    http::read_at_least(&client, &runtime, "numbers", 36).await;
    runtime.kill();
    let runtime = installation.start();
    for sent in 61..=100 {
        http::accepted(&client, &runtime, &number(sent, false)).await;
    }
    let records = http::read_at_least(&client, &runtime, "numbers", 99).await;
    let sound: Vec<u64> = (1..=100).filter(|number| *number != POISONED).collect();
    assert_eq!(numbers(&records), sound);
    let letters = http::read_all(&client, &runtime, "dead-letters").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    is_the_poisoned_one(&letters[0], POISONED, &module);
    assert!(runtime.log().contains("message became a dead letter"), "the log says so");

    runtime.kill();
    let runtime = installation.start();
    assert_eq!(http::read_all(&client, &runtime, "dead-letters").await, letters);
    assert_eq!(http::read_all(&client, &runtime, "numbers").await, records);
}

fn is_the_poisoned_one(letter: &Record, number: u64, module: &str) {
    let mut letter: Value = serde_json::from_str(&letter.payload).expect("JSON");
    let text = json!({ "number": number, "poisoned": true }).to_string();
    for moment in ["arrivedAt", "firstFailureAt", "lastFailureAt"] {
        let moment = letter[moment].take();
        assert!(moment.as_str().is_some_and(|text| text.starts_with("20") && text.ends_with('Z')), "{moment}");
    }
    let attempts = letter["attempts"].take();
    assert!(attempts.as_u64().is_some_and(|attempts| attempts >= 2), "{attempts}");
    assert!(letter["sequence"].take().is_u64());
    let error = letter["error"]["text"].take();
    assert!(error.as_str().is_some_and(|error| error.contains("500")), "{error}");
    let (value, encoded) = (letter["argument"]["value"].take(), letter["argument"]["encoded"].take());
    assert!(value.is_string() && encoded.is_string(), "{value} {encoded}");
    let expected = json!({
        "format": "millpond.dead-letter/1",
        "target": { "namespace": "example", "name": "picky", "id": "Ada" },
        "argument": { "typename": "example.types/Number", "value": null, "text": text, "encoded": null },
        "sequence": null, "arrivedAt": null, "attempts": null, "firstFailureAt": null, "lastFailureAt": null,
        "error": { "code": "MP4008", "text": null },
        "decidedBy": "policy",
        "module": { "digest": sha256(module) },
        "runtime": { "version": env!("CARGO_PKG_VERSION") },
    });
    assert_eq!(letter, expected);
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Without a policy the address waits; an operator finds the number of the message that holds it up, and takes it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_skips_the_one_that_is_in_the_way() {
    let Some(functions) = Functions::start_for_tests("picky") else {
        return;
    };
    let installation = Installation::new(&functions.module());
    let client = http::client();
    let runtime = installation.start();
    for (sent, poisoned) in [(1, false), (2, true), (3, false), (4, true), (5, false)] {
        http::accepted(&client, &runtime, &number(sent, poisoned)).await;
    }
    let first = parked(&client, &runtime, "rejected").await;
    assert_eq!(numbers(&http::read_all(&client, &runtime, "numbers").await), [1]);

    let post = async |query: String| {
        let url = format!("http://{}/v1/addresses/example/picky/Ada/{query}", runtime.field("admin"));
        let answer = client.post(url).send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    };
    // Neither without a name, nor another one, nor to a place that there is not.
    let (status, body) = post("skip".to_owned()).await;
    assert!(status == StatusCode::BAD_REQUEST && body.contains(&format!("sequence={first}")), "{status} {body}");
    assert_eq!(post(format!("skip?sequence={}", first + 1)).await.0, StatusCode::CONFLICT);
    assert_eq!(post(format!("dead-letter?sequence={first}")).await.0, StatusCode::CONFLICT);
    let (status, body) = post(format!("skip?sequence={first}")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(post(format!("skip?sequence={first}")).await.0, StatusCode::CONFLICT, "it is gone");
    assert_eq!(numbers(&http::read_at_least(&client, &runtime, "numbers", 2).await), [1, 3]);

    // What 200 was answered to is durable; the next one goes by way of the command line.
    runtime.kill();
    let runtime = installation.start();
    let first = parked(&client, &runtime, "rejected").await;
    let skip = ["address", "skip", "example/picky", "Ada", "--sequence", &first.to_string(), "--admin"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    let output = command.args(skip).arg(runtime.field("admin")).output().expect("the binary can be started");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("message {first} was dropped\n"), "{output:?}");
    assert_eq!(numbers(&http::read_at_least(&client, &runtime, "numbers", 3).await), [1, 3, 5]);
    assert_eq!(metric(&client, &runtime, "millpond_function_dropped_total").await, 1);
    assert!(runtime.log().contains("message dropped"), "the log says so");
}

/// An operator may give a message up that nobody could be asked about, whatever the policy is, and it is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_makes_a_dead_letter() {
    let Some(mut functions) = Functions::start_for_tests("picky") else {
        return;
    };
    let installation = Installation::new(&(functions.module() + &DEAD_LETTER.replace("dead-letter\n", "park\n")));
    let client = http::client();
    let runtime = installation.start();
    http::accepted(&client, &runtime, &number(1, false)).await;
    http::read_at_least(&client, &runtime, "numbers", 1).await;
    functions.stop();
    for sent in [2, 3] {
        http::accepted(&client, &runtime, &number(sent, false)).await;
    }
    let first = parked(&client, &runtime, "unreachable").await;
    let url = format!("http://{}/v1/addresses/example/picky/Ada/dead-letter", runtime.field("admin"));
    let answer = client.post(format!("{url}?sequence={first}")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    runtime.kill();

    let runtime = installation.start();
    let letters = http::read_all(&client, &runtime, "dead-letters").await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter: Value = serde_json::from_str(&letters[0].payload).expect("JSON");
    assert_eq!((&letter["decidedBy"], &letter["sequence"]), (&json!("operator"), &json!(first)));
    assert_eq!((&letter["error"]["code"], &letter["argument"]["text"]), (&json!("MP4001"), &json!(r#"{"number":2}"#)));
    functions.start_again();
    let records = http::read_at_least(&client, &runtime, "numbers", 2).await;
    assert_eq!(numbers(&records), [1, 3]);
}

/// What nobody judged is not dropped: functions that are down for longer than the budget cost nothing but time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_under_drop_loses_nothing() {
    const NUMBERS: u64 = 20;
    let Some(mut functions) = Functions::start_for_tests("picky") else {
        return;
    };
    let installation = Installation::new(&(functions.module() + "  failurePolicy: drop\n"));
    let client = http::client();
    let runtime = installation.start();
    http::accepted(&client, &runtime, &number(1, false)).await;
    http::read_at_least(&client, &runtime, "numbers", 1).await;

    functions.stop();
    for sent in 2..=NUMBERS {
        http::accepted(&client, &runtime, &number(sent, false)).await;
    }
    tokio::time::sleep(3 * CALL).await;
    parked(&client, &runtime, "unreachable").await;
    functions.start_again();
    let records = http::read_at_least(&client, &runtime, "numbers", NUMBERS as usize).await;
    assert_eq!(numbers(&records), (1..=NUMBERS).collect::<Vec<_>>());
    assert_eq!(metric(&client, &runtime, "millpond_function_dropped_total").await, 0);

    // The policy is there all the same.
    http::accepted(&client, &runtime, &number(NUMBERS + 1, true)).await;
    http::accepted(&client, &runtime, &number(NUMBERS + 2, false)).await;
    let records = http::read_at_least(&client, &runtime, "numbers", NUMBERS as usize + 1).await;
    assert_eq!(numbers(&records).last(), Some(&(NUMBERS + 2)));
    assert_eq!(metric(&client, &runtime, "millpond_function_dropped_total").await, 1);
}
