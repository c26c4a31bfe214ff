//! The promise: functions written with the official Python SDK, unmodified, run here, and their state outlives a kill.

use std::collections::BTreeMap;

use reqwest::{Client, StatusCode};

use crate::functions::Functions;
use crate::http::{self, Event, Record};
use crate::runtime::{Installation, Runtime};
use crate::wait::DEADLINE;

/// A visit of a person to a city; visit `number` of the test has its own key.
pub fn visit(number: usize, person: &str, city: &str) -> Event {
    Event {
        function: "example/greeter",
        id: person.to_owned(),
        value_type: "example.types/Visit",
        value: serde_json::json!({ "city": city }).to_string(),
        key: format!("visit-{number}"),
    }
}

const PEOPLE: [&str; 3] = ["Ada", "Grace", "Zoë Ünal"];
const CITIES: [&str; 2] = ["Turin", "London"];

/// Visits `from..to`, in turn by each person to each city.
fn visits(from: usize, to: usize) -> impl Iterator<Item = Event> {
    (from..to).map(|number| visit(number, PEOPLE[number % 3], CITIES[number % 2]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn greeter_counts_through_a_kill() {
    let Some(functions) = Functions::start("greeter") else {
        return;
    };
    let installation = Installation::new(&functions.module());
    let client = http::client();

    let runtime = installation.start();
    for event in visits(0, 12) {
        http::accepted(&client, &runtime, &event).await;
    }
    let before = http::read_at_least(&client, &runtime, "greetings", 12).await;
    greetings_are_exact(&before, 12);

    // Nobody waits for these answers: they are in flight when the process dies.
    for event in visits(12, 18) {
        http::accepted(&client, &runtime, &event).await;
    }
    runtime.kill();

    let runtime = installation.start();
    for event in visits(18, 24) {
        http::accepted(&client, &runtime, &event).await;
    }
    // The client of the last visit before the kill is in doubt and asks again.
    for event in visits(17, 18) {
        http::accepted(&client, &runtime, &event).await;
    }
    let after = http::read_at_least(&client, &runtime, "greetings", 24).await;
    greetings_are_exact(&after, 24);
    assert_eq!(after[..12], before, "what was read before the kill reads the same after it");

    for person in PEOPLE {
        http::count_becomes(&client, &runtime, &format!("example/greeter/{person}"), "visits", 8).await;
    }
    for city in CITIES {
        http::count_becomes(&client, &runtime, &format!("example/archivist/{city}"), "greetings", 12).await;
    }
    cities_are_exact(&http::read_at_least(&client, &runtime, "cities", 24).await, 24);
    runtime.terminate();
}

/// Each person is greeted once per visit, in order, and sequence numbers only grow.
fn greetings_are_exact(records: &[Record], visits: usize) {
    let mut counts = BTreeMap::new();
    for record in records {
        let person = PEOPLE.iter().find(|person| record.payload.contains(**person));
        let person = person.unwrap_or_else(|| panic!("a greeting of nobody: {record:?}"));
        let count = counts.entry(person).or_insert(0);
        *count += 1;
        assert_eq!(record.payload, format!("Hello {person}, this is visit {count}"));
    }
    assert_eq!(records.len(), visits, "greetings");
    assert!(records.windows(2).all(|pair| pair[0].sequence < pair[1].sequence), "{records:?}");
}

/// The second function got each message once: its own numbering has no gap and no repeat.
fn cities_are_exact(records: &[Record], visits: usize) {
    for city in CITIES {
        let prefix = format!("{city}: greeting ");
        let numbers: Vec<usize> = records
            .iter()
            .filter_map(|record| record.payload.strip_prefix(&prefix)?.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(numbers, (1..=visits / CITIES.len()).collect::<Vec<_>>(), "greetings in {city}");
    }
    assert_eq!(records.len(), visits, "records on topic cities");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_read_taken_followed_and_freed() {
    let Some(functions) = Functions::start("greeter") else {
        return;
    };
    let installation = Installation::new(&functions.module());
    let client = http::client();
    let runtime = installation.start();
    for number in 0..6 {
        http::accepted(&client, &runtime, &visit(number, "Ada", "Turin")).await;
    }
    let records = http::read_at_least(&client, &runtime, "greetings", 6).await;

    // Reading without taking: from a position, at most so many, and again.
    let two = http::read(&client, &runtime, "greetings", records[1].sequence, Some(2)).await;
    assert_eq!(two, records[2..4]);
    assert_eq!(http::read_all(&client, &runtime, "greetings").await, records);

    // Taking: the oldest, and nobody gets it a second time, not even after a kill.
    assert_eq!(take(&client, &runtime).await, Some(records[0].payload.clone()));
    runtime.kill();
    let runtime = installation.start();
    assert_eq!(http::read_all(&client, &runtime, "greetings").await, records[1..]);

    // Following: what is there after a position, then what comes, each with its sequence as id.
    let mut stream = follow(&client, &runtime, records[3].sequence).await;
    assert_eq!(stream.next().await, records[4]);
    assert_eq!(stream.next().await, records[5]);
    http::accepted(&client, &runtime, &visit(6, "Ada", "Turin")).await;
    let seventh = stream.next().await;
    assert_eq!(seventh.payload, "Hello Ada, this is visit 7");
    assert!(seventh.sequence > records[5].sequence);
    drop(stream);

    // Freeing: everything up to a position is gone, the rest stays and can be taken.
    let url = format!("http://{}/greetings?upto={}", runtime.field("egress"), records[5].sequence);
    let freed = client.delete(url).send().await.expect("an answer").status();
    assert!(freed.is_success(), "answer to DELETE: {freed}");
    assert_eq!(http::read_all(&client, &runtime, "greetings").await, std::slice::from_ref(&seventh));
    assert_eq!(take(&client, &runtime).await, Some(seventh.payload));
    assert_eq!(take(&client, &runtime).await, None);
}

/// Takes the oldest record; `None` when the topic is empty.
async fn take(client: &Client, runtime: &Runtime) -> Option<String> {
    let url = format!("http://{}/greetings", runtime.field("egress"));
    let answer = client.get(url).send().await.expect("an answer");
    match answer.status() {
        StatusCode::OK => Some(answer.text().await.expect("a payload")),
        StatusCode::NOT_FOUND => None,
        status => panic!("taking from a topic was answered {status}"),
    }
}

/// A server-sent event stream of topic `greetings`, resumed as a browser does it: by `Last-Event-ID`.
async fn follow(client: &Client, runtime: &Runtime, after: u64) -> Stream {
    let answer = client
        .get(format!("http://{}/greetings", runtime.field("egress")))
        .header("Accept", "text/event-stream")
        .header("Last-Event-ID", after.to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "following a topic");
    assert_eq!(answer.headers()["Content-Type"], "text/event-stream");
    Stream { answer, unread: String::new() }
}

struct Stream {
    answer: reqwest::Response,
    unread: String,
}

impl Stream {
    /// The next event; comments (keep-alives) and the optional blank behind a colon are as the standard has them.
    async fn next(&mut self) -> Record {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                if let Some(record) = event(&block) {
                    return record;
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, self.answer.chunk()).await.expect("an event in time");
            let chunk = chunk.expect("an open stream").expect("a stream that does not end");
            self.unread.push_str(std::str::from_utf8(&chunk).expect("whole characters"));
        }
    }
}

fn event(block: &str) -> Option<Record> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(found, _)| *found == name);
        values.next().map(|(_, value)| value.trim_start().to_owned())
    };
    Some(Record { sequence: field("id")?.parse().expect("an id that is a sequence number"), payload: field("data")? })
}
