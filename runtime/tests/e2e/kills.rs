//! The promise: no kill, of the runtime or of the functions, and no loss of power loses or doubles anything.
//!
//! Clients send numbers 1, 2, 3, ... to many keys, each key's in order, again with the same `Idempotency-Key` until they get
//! their 200. Meanwhile processes are killed at moments that a seed picks. A reader follows the topic all the while: what it
//! was shown once must be there for ever. In the end each key has seen each number once and in order, its state and that of
//! the function behind it are exact, and each record is there once.
//!
//! `make kill` runs the long form. `MILLPOND_KILL_EVENTS`, `_KEYS`, `_RUNTIME`, `_FUNCTIONS`, `_POWER` and `_SEED` set the
//! numbers one by one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::delivery::Delivery;
use crate::functions::Functions;
use crate::http::{self, Event, Record};
use crate::power::{Power, Taken};
use crate::runtime::{Installation, Runtime};
use crate::transactions::Random;
use crate::wait::eventually;

const CLIENTS: usize = 64;
const GROUPS: u64 = 10;

/// A number of the environment, or the short form's.
fn setting(name: &str, short: u64) -> u64 {
    let given = std::env::var(format!("MILLPOND_KILL_{name}")).ok();
    given.map_or(short, |text| text.parse().unwrap_or_else(|_| panic!("MILLPOND_KILL_{name} is a number")))
}

/// All events: number `n` of each key before number `n + 1` of any.
fn events(count: u64, keys: u64) -> Vec<Event> {
    (0..count).map(|place| event(place % keys, place / keys + 1)).collect()
}

fn event(key: u64, number: u64) -> Event {
    Event {
        function: "example/tally",
        id: format!("{}-{key}", key % GROUPS),
        value_type: "example.types/Number",
        value: serde_json::json!({ "number": number }).to_string(),
        key: format!("{key}/{number}"),
    }
}

/// A workload under way.
struct Run {
    installation: Installation,
    functions: Functions,
    runtime: Runtime,
    delivery: Delivery,
    clients: JoinSet<()>,
    reader: Reader,
    random: Random,
    events: u64,
    keys: u64,
}

impl Run {
    fn start(name: &str, functions: Functions, power: Option<Power>) -> Run {
        let (events, keys) = (setting("EVENTS", 3_000), setting("KEYS", 100));
        let seed = setting("SEED", 20_261_120);
        crate::report(format_args!("{name}: seed {seed}: {events} events, {keys} keys, {CLIENTS} clients"));
        let mut installation = Installation::new(&functions.module());
        if let Some(power) = power {
            installation.power_by(power);
        }
        let runtime = installation.start();
        let delivery = Delivery::new(&self::events(events, keys), runtime.field("ingress"));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(delivery.clone().deliver());
        }
        let reader = Reader::start(runtime.field("egress"));
        let random = Random(seed);
        Run { installation, functions, runtime, delivery, clients, reader, random, events, keys }
    }

    /// Goes on to a moment in part `part` of `parts` of the way.
    async fn reach(&mut self, part: u64, parts: u64) {
        let length = self.events / (parts + 1);
        let moment = length * part + self.random.below(length.max(1));
        self.delivery.reaches(moment, &mut self.clients).await;
        // Not always where an answer has just been given.
        tokio::time::sleep(Duration::from_micros(self.random.below(20_000))).await;
    }

    /// Kills the runtime, does something to its folder, and starts it again.
    fn kill(self, between: impl FnOnce(&Installation, &mut Random)) -> Run {
        let Run { installation, functions, runtime, delivery, clients, reader, mut random, events, keys } = self;
        delivery.interrupt();
        reader.interrupt();
        runtime.kill();
        between(&installation, &mut random);
        let runtime = installation.start();
        delivery.resume(runtime.field("ingress"));
        reader.resume(runtime.field("egress"));
        Run { installation, functions, runtime, delivery, clients, reader, random, events, keys }
    }

    /// Waits for the end, and holds everything against what must be there.
    async fn ends_exact(mut self, name: &str, began: Instant) {
        self.delivery.reaches(self.events, &mut self.clients).await;
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client that was never refused");
        }
        let client = http::client();
        let count = self.events as usize;
        let records = http::read_at_least(&client, &self.runtime, "tallies", count).await;
        // Some clients missed their 200 and send old events again.
        for place in (0..self.events).step_by(40) {
            http::accepted(&client, &self.runtime, &event(place % self.keys, place / self.keys + 1)).await;
        }
        let mut groups = BTreeMap::<u64, (i64, i64)>::new();
        for key in 0..self.keys {
            let seen = self.events / self.keys + u64::from(key < self.events % self.keys);
            let id = format!("{}-{key}", key % GROUPS);
            let expected = (seen as i64, (seen * (seen + 1) / 2) as i64);
            state_becomes(&client, &self.runtime, &format!("example/tally/{id}"), expected).await;
            let group = groups.entry(key % GROUPS).or_default();
            *group = (group.0 + expected.0, group.1 + expected.1);
        }
        for (group, expected) in groups {
            state_becomes(&client, &self.runtime, &format!("example/sum/{group}"), expected).await;
        }
        assert_eq!(http::read_all(&client, &self.runtime, "tallies").await, records, "nothing came twice");
        each_once_in_order(&records, self.keys, count);
        let seen = self.reader.end(records.last().map_or(0, |record| record.sequence)).await;
        assert!(seen == records, "what the reader was shown on the way is not what is there");
        crate::report(format_args!(
            "{name}: exact resends={} seconds={:.1}",
            self.delivery.resends(),
            began.elapsed().as_secs_f64()
        ));
        self.runtime.terminate();
    }
}

async fn state_becomes(client: &Client, runtime: &Runtime, address: &str, (seen, total): (i64, i64)) {
    http::count_becomes(client, runtime, address, "seen", seen).await;
    http::count_becomes(client, runtime, address, "total", total).await;
}

/// Each key's records are its numbers, counted, in order.
fn each_once_in_order(records: &[Record], keys: u64, count: usize) {
    let mut last = BTreeMap::<&str, u64>::new();
    for record in records {
        let fields: Vec<&str> = record.payload.split(' ').collect();
        let next = last.entry(fields[0]).or_default();
        *next += 1;
        assert_eq!(fields[1..], [next.to_string(), next.to_string()], "record {record:?}");
    }
    assert_eq!((records.len(), last.len() as u64), (count, keys.min(count as u64)), "records and keys");
    assert!(records.windows(2).all(|pair| pair[0].sequence < pair[1].sequence), "sequence numbers grow");
}

/// Follows the topic through all interruptions and keeps what it was shown.
struct Reader {
    egress: watch::Sender<Option<String>>,
    until: watch::Sender<u64>,
    task: JoinHandle<Vec<Record>>,
}

impl Reader {
    fn start(egress: &str) -> Reader {
        let egress = watch::Sender::new(Some(egress.to_owned()));
        let until = watch::Sender::new(u64::MAX);
        let task = tokio::spawn(follow(egress.subscribe(), until.subscribe()));
        Reader { egress, until, task }
    }

    fn interrupt(&self) {
        self.egress.send_replace(None);
    }

    fn resume(&self, egress: &str) {
        self.egress.send_replace(Some(egress.to_owned()));
    }

    /// What it was shown, up to the last record.
    async fn end(self, last: u64) -> Vec<Record> {
        self.until.send_replace(last);
        self.task.await.expect("the reader reads to the end")
    }
}

async fn follow(mut egress: watch::Receiver<Option<String>>, until: watch::Receiver<u64>) -> Vec<Record> {
    let client = http::client();
    let mut seen: Vec<Record> = Vec::new();
    loop {
        let last = seen.last().map_or(0, |record| record.sequence);
        if last >= *until.borrow() {
            return seen;
        }
        let address = egress.wait_for(Option::is_some).await.expect("the sender is ours").clone();
        let url = format!("http://{}/tallies?after={last}&limit=500", address.expect("it was waited for"));
        let page: Vec<Record> = match client.get(url).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => answer.json().await.unwrap_or_default(),
            _ => Vec::new(),
        };
        if page.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        seen.extend(page);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_runtime_and_functions_lose_and_double_nothing() {
    let Some(functions) = Functions::start_for_tests("tally") else { return };
    let _turn = crate::HEAVY.lock().await;
    let began = Instant::now();
    let (of_runtime, of_functions) = (setting("RUNTIME", 6), setting("FUNCTIONS", 2));
    let mut run = Run::start("kills", functions, None);
    for kill in 1..=of_runtime {
        run.reach(kill, of_runtime).await;
        if kill * of_functions / of_runtime > (kill - 1) * of_functions / of_runtime {
            // Nobody answers for a while, and the runtime is killed in it.
            run.functions.stop();
            tokio::time::sleep(Duration::from_millis(run.random.below(100))).await;
            run = run.kill(|_, _| {});
            run.functions.start_again();
        } else {
            run = run.kill(|_, _| {});
        }
    }
    crate::report(format_args!("kills: {of_runtime} of the runtime, {of_functions} of the functions"));
    run.ends_exact("kills", began).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_of_power_lose_and_double_nothing() {
    let Some(functions) = Functions::start_for_tests("tally") else { return };
    let _turn = crate::HEAVY.lock().await;
    let began = Instant::now();
    let losses = setting("POWER", 15);
    let mut run = Run::start("power", functions, Some(Power::new()));
    let mut total = Taken::default();
    for loss in 1..=losses {
        run.reach(loss, losses).await;
        run = run.kill(|installation, random| {
            let taken = installation.lose_power(random);
            total.bytes += taken.bytes;
            total.files += taken.files;
            total.names += taken.names;
            // Now and then it goes off again while what was lost is being dealt with.
            if random.below(4) == 0 {
                installation.start_and_kill(Duration::from_millis(random.below(150)));
                installation.lose_power(random);
            }
        });
        if loss % 20 == 0 {
            crate::report(format_args!("power: {loss} losses"));
        }
    }
    crate::report(format_args!(
        "power: {losses} losses took {} bytes of {} files and {} names",
        total.bytes, total.files, total.names
    ));
    assert!(total.bytes > 0, "there was something to lose");
    run.ends_exact("power", began).await;
}

/// A disk that is full, or fails: nothing is acknowledged any more, `/readyz` says why, the process ends with 3; the next
/// start goes on. MP5004 is what it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_ends_the_process_and_loses_nothing() {
    let Some(functions) = Functions::start_for_tests("tally") else { return };
    let client = http::client();
    let mut sent = 0;
    let mut installation = Installation::new(&functions.module());
    installation.power_by(Power::new());
    for (fault, words) in
        [("write enospc", "No space left on device"), ("sync eio", "Input/output error"), ("write eio", "Input/output")]
    {
        let runtime = installation.start();
        for _ in 0..10 {
            sent += 1;
            http::accepted(&client, &runtime, &event(0, sent)).await;
        }
        installation.fail(fault);
        let answer = http::put(&client, runtime.field("ingress"), &event(0, sent + 1)).await;
        assert!(!answer.is_ok_and(|answer| answer.status() == StatusCode::OK), "{fault}: it was not durable");
        let url = format!("http://{}/readyz", runtime.field("admin"));
        let said = eventually("`/readyz` to say why", async || {
            let answer = client.get(&url).send().await.ok()?;
            (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(answer.text().await.ok()?)
        })
        .await;
        assert!(said.starts_with("failed: ") && said.contains(words) && said.contains("MP5004"), "{fault}: {said}");
        let (code, log) = runtime.ended();
        assert_eq!(code, Some(3), "{fault}");
        assert!(log.contains("error[MP5004]"), "{log}");
        installation.mend();
        installation.lose_power(&mut Random(sent));
    }
    let runtime = installation.start();
    for number in [sent, sent + 1] {
        http::accepted(&client, &runtime, &event(0, number)).await;
    }
    let seen = sent as i64 + 1;
    state_becomes(&client, &runtime, "example/tally/0-0", (seen, seen * (seen + 1) / 2)).await;
    let records = http::read_at_least(&client, &runtime, "tallies", seen as usize).await;
    each_once_in_order(&records, 1, seen as usize);
    runtime.terminate();
}

/// A disk on which nothing can be made: the start is refused with what the system said, and does no harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_is_refused_and_does_no_harm() {
    let Some(functions) = Functions::start_for_tests("tally") else { return };
    let client = http::client();
    let mut installation = Installation::new(&functions.module());
    installation.power_by(Power::new());
    let runtime = installation.start();
    http::accepted(&client, &runtime, &event(0, 1)).await;
    runtime.kill();
    for fault in ["create enospc", "write enospc", "sync eio"] {
        installation.fail(fault);
        let refused = installation.refused("127.0.0.1:0");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{fault}: {said}");
        assert!(said.contains("error[MP5001]") || said.contains("error[MP5004]"), "{fault}: {said}");
        installation.mend();
        installation.lose_power(&mut Random(1));
    }
    let runtime = installation.start();
    http::accepted(&client, &runtime, &event(0, 1)).await;
    http::accepted(&client, &runtime, &event(0, 2)).await;
    let records = http::read_at_least(&client, &runtime, "tallies", 2).await;
    each_once_in_order(&records, 1, 2);
    runtime.terminate();
}

/// MP5007: what was confirmed and is gone is missed; only a person's word is a way past, and what is gone is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_lost_something_starts_with_a_persons_word_only() {
    let Some(functions) = Functions::start_for_tests("tally") else { return };
    let client = http::client();
    let installation = Installation::new(&functions.module());
    for number in 1..=5 {
        let runtime = installation.start();
        http::accepted(&client, &runtime, &event(0, number)).await;
        http::read_at_least(&client, &runtime, "tallies", number as usize).await;
        runtime.kill();
    }
    let files = std::fs::read_dir(installation.data().join("rocksdb")).expect("it is there");
    let logs = files.map(|file| file.expect("it is there").path());
    let log = logs.filter(|path| path.extension().is_some_and(|end| end == "log")).max().expect("there is a log");
    std::fs::remove_file(log).expect("it is ours");
    for _ in 0..2 {
        let refused = installation.refused("127.0.0.1:0");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{said}");
        assert!(said.contains("error[MP5007]: ledger `") && said.contains("hint: bring the whole"), "{said}");
        assert!(refused.stdout.is_empty(), "nothing was ready");
    }
    let runtime = installation.start_with(&["--accept-data-loss"]);
    let log = runtime.log();
    assert!(log.contains("data loss accepted") && log.contains("checkpoints_lost="), "{log}");
    assert_eq!(http::read_all(&client, &runtime, "tallies").await.len(), 4, "the last one is gone");
    runtime.kill();
    let runtime = installation.start();
    http::accepted(&client, &runtime, &event(0, 5)).await;
    let records = http::read_at_least(&client, &runtime, "tallies", 5).await;
    each_once_in_order(&records, 1, 5);
    runtime.terminate();
}

/// A disk that is nearly full: no event is taken in (MP1016), no function is called, and both are said; what is there stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_nearly_full_stops_intake_and_calls() {
    let Some(functions) = Functions::start_for_tests("tally") else { return };
    let client = http::client();
    let installation = Installation::new(&functions.module());
    let runtime = installation.start();
    http::accepted(&client, &runtime, &event(0, 1)).await;
    http::read_at_least(&client, &runtime, "tallies", 1).await;
    runtime.terminate();

    // No disk is quite empty.
    let runtime = installation.start_with(&["--disk-free-intake", "100", "--disk-free-calls", "100"]);
    let admin = runtime.field("admin").to_owned();
    let get = async |path: &str| {
        let answer = client.get(format!("http://{admin}/{path}")).send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    };
    let (status, said) = get("readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    assert!(said.starts_with("no room: ") && said.contains("intake stops below 100 %"), "{said}");
    let refused = http::put(&client, runtime.field("ingress"), &event(0, 2)).await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("Retry-After"));
    let body = refused.text().await.expect("a body");
    assert!(body.contains("MP1016"), "{body}");
    let (_, metrics) = get("metrics").await;
    for sample in ["millpond_disk_intake_stopped 1", "millpond_disk_calls_stopped 1"] {
        assert!(metrics.contains(sample), "no {sample} in\n{metrics}");
    }
    assert_eq!(http::read_all(&client, &runtime, "tallies").await.len(), 1, "what is there can be read");
    runtime.terminate();

    let runtime = installation.start_with(&["--disk-free-intake", "0", "--disk-free-calls", "100"]);
    http::accepted(&client, &runtime, &event(0, 2)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(http::read_all(&client, &runtime, "tallies").await.len(), 1, "nobody was called");
    runtime.kill();
    let runtime = installation.start();
    http::read_at_least(&client, &runtime, "tallies", 2).await;
    runtime.terminate();
}
