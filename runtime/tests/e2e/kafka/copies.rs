//! Copies of a data folder: one publishes, the other is stopped.

use std::process::Command;

use super::broker::Broker;
use super::{Counting, EARLIEST};

/// MP6020: a copy that is older than what was published is refused, and publishes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn stale_copy_is_refused() {
    let Some(counting) = Counting::new(Broker::shared(), EARLIEST) else { return };
    let (topic, sender) = (counting.topics.numbers.clone(), counting.broker.sender());
    let key = format!("k>{}", counting.topics.counts);
    let send = |numbers: std::ops::Range<usize>| {
        numbers.for_each(|number| sender.send(&topic, &key, &number.to_string()));
        sender.flush();
    };
    let read = |count| tokio::task::block_in_place(|| counting.broker.read(&counting.topics.counts, count));
    send(1..21);
    let runtime = counting.installation.start();
    read(20);
    runtime.terminate();
    let (data, copy) = (counting.installation.data(), counting.installation.data().with_extension("copy"));
    let copied = Command::new("cp").arg("-a").args([&data, &copy]).status().expect("there is `cp`");
    assert!(copied.success());
    send(21..41);
    let runtime = counting.installation.start();
    read(40);
    runtime.terminate();

    std::fs::remove_dir_all(&data).expect("it is ours");
    std::fs::rename(&copy, &data).expect("it is ours");
    let output = counting.installation.refused("127.0.0.1:0");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{words}");
    assert!(words.contains("error[MP6020]: egress `com.example/out`: ledger is a stale copy"), "{words}");
    let found = read(40);
    assert_eq!(found[&*key.clone()].len(), 40);
}
