//! Promise: every notification ends exactly once, delivered or dead, through two `kill -9`.
//!
//! The platforms refuse one attempt in ten and say nothing at all about one notification in a hundred; which ones, a hash
//! decides. So it is known beforehand which end dead. `MILLPOND_NOTIFICATIONS` says how many there are; default 1,000.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_notifications::{
    COUNTS, Counts, DEAD, DELIVERED, Ended, Feedback, Notify, PLATFORMS, RETRIES, Sending, Times, functions,
};
use millpond_sdk::Value as _;
use millpond_stage::{DEADLINE, Delivery, Event, Installation, Process, Reader, client, states};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

const CLIENTS: usize = 32;
const WAIT: Duration = Duration::from_millis(200);
/// Long for a platform that answers at once; short enough for a test to see six of them pass.
const TIMES: Times = Times { answer: Duration::from_secs(3), retry: Duration::from_millis(50) };

/// Whatever is hashed, a number below 100.
fn percent(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (hash ^ (hash >> 29)) % 100
}

fn is_never_answered(id: &str) -> bool {
    percent(id) == 0
}

fn is_refused(id: &str, attempt: u32) -> bool {
    percent(&format!("{id} attempt {attempt}")) < 10
}

fn must_die(id: &str) -> bool {
    is_never_answered(id) || (1..=RETRIES + 1).all(|attempt| is_refused(id, attempt))
}

fn id(number: usize) -> String {
    format!("n-{number}")
}

fn platform(number: usize) -> &'static str {
    PLATFORMS[number % PLATFORMS.len()]
}

/// What everybody shares.
struct Scene {
    delivery: Delivery,
    egress: watch::Sender<String>,
    over: watch::Sender<bool>,
}

/// Reads one platform's topic and answers each attempt, or not.
async fn run_platform(scene: Arc<Scene>, topic: &'static str) {
    let mut reader = Reader::new(client(), topic);
    while !*scene.over.borrow() {
        let egress = scene.egress.borrow().clone();
        let records = reader.next(&egress, WAIT).await.expect("records");
        let mut answers = JoinSet::new();
        for record in records {
            let sending: Sending = serde_json::from_str(&record.payload).expect("an attempt");
            let id = sending.notification_id;
            if is_never_answered(&id) {
                continue;
            }
            let feedback = Feedback { attempt: sending.attempt, delivered: !is_refused(&id, sending.attempt) };
            let event = Event {
                address: format!("notifications/notification/{id}"),
                typename: Feedback::TYPENAME,
                value: serde_json::to_string(&feedback).expect("JSON"),
                key: format!("{id} attempt {}", sending.attempt),
            };
            let scene = scene.clone();
            answers.spawn(async move { scene.delivery.deliver(&event).await.expect("feedback is taken") });
            if answers.len() >= CLIENTS {
                answers.join_next().await;
            }
        }
        answers.join_all().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How notifications ended: for each how often on `delivered`, and how often on `dead-letters`.
struct Ends {
    readers: [Reader; 2],
    found: BTreeMap<String, [u32; 2]>,
}

impl Ends {
    async fn look(&mut self, scene: &Scene) {
        let egress = scene.egress.borrow().clone();
        for (side, reader) in self.readers.iter_mut().enumerate() {
            for record in reader.next(&egress, Duration::from_millis(1)).await.expect("records") {
                let ended: Ended = serde_json::from_str(&record.payload).expect("an end");
                self.found.entry(ended.notification_id).or_default()[side] += 1;
            }
        }
    }

    async fn reach(&mut self, scene: &Scene, count: usize) {
        let mut last = (Instant::now(), self.found.len());
        while self.found.len() < count {
            self.look(scene).await;
            if self.found.len() > last.1 {
                last = (Instant::now(), self.found.len());
            }
            assert!(last.0.elapsed() < DEADLINE, "no end in {DEADLINE:?}: {} of {count}", self.found.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_notification_ends_exactly_once() {
    let given = std::env::var("MILLPOND_NOTIFICATIONS").ok();
    let total: usize = given.map_or(1_000, |text| text.parse().expect("MILLPOND_NOTIFICATIONS is a number"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/statefun", listener.local_addr().expect("an address"));
    tokio::spawn(millpond_sdk::serve(listener, functions(TIMES)).into_future());

    let installation = Installation::new(&Installation::binary()).expect("a runtime");
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/module.yaml");
    installation.install(&std::fs::read_to_string(module).expect("a module"), &url).expect("a folder");
    let start = || tokio::task::block_in_place(|| installation.start().expect("the runtime starts"));
    let mut runtime: Process = start();
    let field = |runtime: &Process, name: &str| runtime.fields()[name].clone();
    let scene = Arc::new(Scene {
        delivery: Delivery::new(client(), &field(&runtime, "ingress")),
        egress: watch::Sender::new(field(&runtime, "egress")),
        over: watch::Sender::new(false),
    });

    let mut platforms = JoinSet::new();
    for topic in PLATFORMS {
        platforms.spawn(run_platform(scene.clone(), topic));
    }
    let mut producers = JoinSet::new();
    for client in 0..CLIENTS {
        let scene = scene.clone();
        producers.spawn(async move {
            for number in (client..total).step_by(CLIENTS) {
                let notify = Notify {
                    platform: platform(number).to_owned(),
                    to: "ada@example.com".to_owned(),
                    text: "hello".to_owned(),
                };
                let event = Event {
                    address: format!("notifications/notification/{}", id(number)),
                    typename: Notify::TYPENAME,
                    value: serde_json::to_string(&notify).expect("JSON"),
                    key: id(number),
                };
                scene.delivery.deliver(&event).await.expect("a notification is taken");
            }
        });
    }

    let mut ends =
        Ends { readers: [DELIVERED, DEAD].map(|topic| Reader::new(client(), topic)), found: BTreeMap::new() };
    for moment in [total / 4, total / 2] {
        ends.reach(&scene, moment).await;
        runtime.kill();
        scene.delivery.interrupt();
        runtime = start();
        scene.egress.send_replace(field(&runtime, "egress"));
        scene.delivery.resume(&field(&runtime, "ingress"));
    }
    ends.reach(&scene, total).await;
    producers.join_all().await;
    // An end that came twice would have come by the time of the next attempt.
    tokio::time::sleep(TIMES.answer).await;
    ends.look(&scene).await;

    let dead: BTreeSet<String> = (0..total).map(id).filter(|id| must_die(id)).collect();
    for number in 0..total {
        let id = id(number);
        let expected = if dead.contains(&id) { [0, 1] } else { [1, 0] };
        assert_eq!(ends.found[&id], expected, "{id}: how often delivered, how often dead");
    }
    assert_eq!(ends.found.len(), total);

    // The counts of the platforms say the same.
    let admin = field(&runtime, "admin");
    for name in PLATFORMS {
        let of_platform = || (0..total).filter(|number| platform(*number) == name);
        let died = of_platform().filter(|number| dead.contains(&id(*number))).count() as u64;
        let delivered = of_platform().count() as u64 - died;
        let began = Instant::now();
        let counts = loop {
            let mut found = states(&client(), &admin, "notifications/platform", name).await.expect("states");
            let counts = found.remove(COUNTS.name()).unwrap_or_default();
            let counts: Counts = serde_json::from_value(counts).unwrap_or_default();
            if counts.delivered + counts.dead >= delivered + died || began.elapsed() > DEADLINE {
                break counts;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!((counts.delivered, counts.dead), (delivered, died), "counts of {name}");
        assert!(counts.attempted >= delivered + died * u64::from(RETRIES + 1), "attempts of {name}: {counts:?}");
    }
    scene.over.send_replace(true);
    platforms.join_all().await;
    tokio::task::block_in_place(|| runtime.terminate()).expect("the runtime stops");
    eprintln!("notifications: {total}, of them {} dead, each once, through two kills", dead.len());
}
