//! The promise about damage that a start cannot see: whoever meets it first, the node says which file it is and ends.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Client, StatusCode};
use serde_json::json;

use crate::functions::Functions;
use crate::http::{self, Event};
use crate::power::Power;
use crate::runtime::{Installation, Runtime};
use crate::transactions::Random;
use crate::wait::eventually;

/// Records on topic `out`: many blocks of them.
const RECORDS: u64 = 60;

/// Text that does not become smaller when it is packed.
fn payload(random: &mut Random) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..20_000).map(|_| char::from(LETTERS[random.below(64) as usize])).collect()
}

/// An application with many records, and a state of `example/keeper/later`, all of it in files and nothing in memory.
async fn filled(client: &Client, installation: &Installation) {
    let mut random = Random(7);
    let runtime = installation.start();
    for number in 1..=RECORDS {
        let mut order = json!({ "records": 1, "payload": payload(&mut random) });
        if number == 1 {
            order["later_ms"] = json!([10]);
        }
        let event = Event {
            function: "example/metered",
            id: "Ada".to_owned(),
            value_type: "example.types/Order",
            value: order.to_string(),
            key: format!("order-{number}"),
        };
        http::accepted(client, &runtime, &event).await;
    }
    http::read_at_least(client, &runtime, "out", RECORDS as usize).await;
    http::count_becomes(client, &runtime, "example/keeper/later", "orders", 1).await;
    runtime.terminate();
    // The log becomes files when the ledger is opened.
    installation.start().terminate();
}

/// The file of data with, or without, these bytes in it; the largest one.
fn table(data: &Path, bytes: &[u8], with: bool) -> PathBuf {
    let files =
        fs::read_dir(data.join("rocksdb")).expect("it is there").map(|entry| entry.expect("it is there").path());
    let tables = files.filter(|file| file.extension().is_some_and(|ending| ending == "sst")).filter(|file| {
        let content = fs::read(file).expect("it can be read");
        content.windows(bytes.len()).any(|window| window == bytes) == with
    });
    tables.max_by_key(|file| fs::metadata(file).expect("it is there").len()).expect("there is one")
}

fn flip(file: &Path, at: usize) {
    let mut content = fs::read(file).expect("it can be read");
    content[at] ^= 0x55;
    fs::write(file, content).expect("it is ours");
}

/// The reader is told that it cannot be read, and the node what that means: it says it on `/readyz`, and ends with 3.
async fn ends(client: &Client, runtime: Runtime, url: &str, expected: (&str, &str), file: &Path) {
    let (code, words) = expected;
    let answer = client.get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{url}");
    let ready = format!("http://{}/readyz", runtime.field("admin"));
    let said = eventually("`/readyz` to say why", async || {
        let answer = client.get(&ready).send().await.ok()?;
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(answer.text().await.ok()?)
    })
    .await;
    let named = file.display().to_string();
    for word in [code, words, &named] {
        assert!(said.starts_with("failed: ") && said.contains(word), "{word}: {said}");
    }
    let (exit, log) = runtime.ended();
    assert_eq!(exit, Some(3), "{log}");
    let error = log.rfind(&format!("error[{code}]")).unwrap_or_else(|| panic!("{code} in {log}"));
    assert!(log[error..].contains(&named), "{named} in {log}");
}

/// Damage in a block is met by whoever reads it first: by a reader of a topic, or by somebody who looks at an address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_a_reader_meets_ends_the_node() {
    let Some(functions) = Functions::start_for_tests("metered") else { return };
    let client = http::client();
    let installation = Installation::new(&functions.module());
    filled(&client, &installation).await;

    // Values have their addresses in a filter, which only their files say.
    let values = table(&installation.data(), b"millpond.address", true);
    flip(&values, 3);
    let runtime = installation.start();
    let url = format!("http://{}/v1/addresses/example/keeper/later", runtime.field("admin"));
    ends(&client, runtime, &url, ("MP5005", "is damaged"), &values).await;
    flip(&values, 3);

    let queues = table(&installation.data(), b"millpond.address", false);
    let middle = fs::metadata(&queues).expect("it is there").len() as usize / 2;
    flip(&queues, middle);
    let runtime = installation.start();
    let url = format!("http://{}/out?after=0&limit=500", runtime.field("egress"));
    ends(&client, runtime, &url, ("MP5005", "is damaged"), &queues).await;

    // What was damaged is as it was: nothing else is wrong.
    flip(&queues, middle);
    let runtime = installation.start();
    assert_eq!(http::read_all(&client, &runtime, "out").await.len() as u64, RECORDS);
    runtime.terminate();
}

/// A disk that does not give back what it has is no damage, as far as anybody knows, and ends the node as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_does_not_read_ends_the_node() {
    let Some(functions) = Functions::start_for_tests("metered") else { return };
    let client = http::client();
    let mut installation = Installation::new(&functions.module());
    filled(&client, &installation).await;
    installation.power_by(Power::new());
    let queues = table(&installation.data(), b"millpond.address", false);
    let runtime = installation.start();
    installation.fail("read eio");
    let url = format!("http://{}/out?after=0&limit=500", runtime.field("egress"));
    ends(&client, runtime, &url, ("MP5004", "Input/output error"), &queues).await;
    installation.mend();
    let runtime = installation.start();
    assert_eq!(http::read_all(&client, &runtime, "out").await.len() as u64, RECORDS);
    runtime.terminate();
}
