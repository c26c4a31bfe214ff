//! Rights: each one that is missing is named, and when it is given everything goes on by itself.

use std::sync::Arc;

use super::broker::Broker;
use super::{Counting, EARLIEST, EXACTLY_ONCE, module};
use crate::functions::Functions;
use crate::runtime::Runtime;
use crate::wait::eventually;

/// Waits for a line about publishing with all these words.
async fn until_line(runtime: &Runtime, words: &[&str]) {
    eventually(&format!("{words:?} in one line"), async || {
        let log = runtime.log();
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    })
    .await;
}

/// Waits until the admin API shows the reason with all these words: the log says the same thing ever more rarely.
async fn until_shown(runtime: &Runtime, words: &[&str]) {
    let url = format!("http://{}/v1/egresses", runtime.field("admin"));
    let client = crate::http::client();
    let mut last = String::new();
    for _ in 0..600 {
        last = client.get(&url).send().await.expect("an answer").text().await.expect("a body");
        if words.iter().all(|word| last.contains(word)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("{words:?} was never shown, but {last}");
}

/// MP6032: the topic of cursors, the transactional id, the topic: one after the other is named, with what has to be allowed.
#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named() {
    let Some(broker) = Broker::strict() else { return };
    let Some(functions) = Functions::start_for_tests("kafka") else { return };
    let broker = Arc::new(broker);
    let topics = broker.topics(1);
    let properties = format!(
        "  properties:\n    - security.protocol: SASL_SSL\n    - sasl.mechanism: SCRAM-SHA-512\n    \
         - sasl.username: ada\n    - sasl.password: correct horse\n    - ssl.truststore.location: {}\n",
        broker.path("tls/ca.pem").display()
    );
    let (ingress, egress) = (format!("{EARLIEST}{properties}"), format!("{EXACTLY_ONCE}{properties}"));
    let text = module(&functions, &broker, &topics, &ingress, &egress);
    let counting = Counting::with(functions, Arc::clone(&broker), topics, EARLIEST);
    counting.installation.rewrite(&text.replace(broker.address(), &broker.file("secure")));
    let runtime =
        counting.installation.start_with(&["--app", "strict", "--disk-free-intake", "0", "--disk-free-calls", "0"]);

    until_line(&runtime, &["MP6032", "user `ada`", "DESCRIBE, READ, WRITE, and CREATE", "topic `strict.outbox`"]).await;
    let topic = |operations: &[&str], name: &str| {
        let operations = operations.iter().flat_map(|operation| ["--operation", *operation]);
        let rights: Vec<&str> = operations.chain(["--topic", name]).collect();
        broker.allow(&rights);
    };
    topic(&["Create", "Describe", "Write"], "strict.outbox");
    until_shown(&runtime, &["MP6032", "DESCRIBE and WRITE on transactional id `strict-"]).await;
    let id = ["--transactional-id", "strict", "--resource-pattern-type", "prefixed"];
    broker.allow(&[&["--operation", "Describe", "--operation", "Write"][..], &id].concat());
    until_line(&runtime, &["MP1020"]).await;
    topic(&["Describe", "Read"], &counting.topics.numbers);
    broker.allow(&["--operation", "Read", "--group", &counting.topics.numbers]);
    let key = counting.key("k");
    counting.send(&key, 1..=3);
    let counts = format!("DESCRIBE and WRITE on topic `{}`", counting.topics.counts);
    until_line(&runtime, &["MP6032", &counts]).await;
    // The cursor of that transaction is there, and was aborted: from now on the topic has to be read.
    until_shown(&runtime, &["MP6032", "READ", "topic `strict.outbox`"]).await;
    topic(&["Read"], "strict.outbox");
    until_shown(&runtime, &["MP6032", &counts]).await;
    // Now the client finds the topic, and the transaction is refused.
    topic(&["Describe"], &counting.topics.counts);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    until_shown(&runtime, &["MP6032", &counts]).await;
    topic(&["Write"], &counting.topics.counts);
    assert_eq!(counting.counted(&key, 3), ["1:1", "2:2", "3:3"]);
    until_line(&runtime, &["publishing goes on"]).await;
    runtime.terminate();
}
