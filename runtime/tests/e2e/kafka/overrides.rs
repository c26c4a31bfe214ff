//! An operator's word: what was refused goes on with `--reset-cursor`, once, and whoever has the other history is stopped.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::broker::Broker;
use super::{Counting, EARLIEST, EXACTLY_ONCE, module};
use crate::runtime::{Installation, Runtime};

/// No test depends on how full the disk of this machine is.
const DISK: [&str; 4] = ["--disk-free-intake", "0", "--disk-free-calls", "0"];

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("there is `cp`");
    assert!(copied.success());
}

fn start(installation: &Installation, more: &[&str]) -> Runtime {
    installation.start_with(&[&DISK[..], more].concat())
}

/// A start that is refused with this code: the word that lets it pass.
fn refused(installation: &Installation, more: &[&str], code: &str) -> String {
    word(&installation.refused_with("127.0.0.1:0", more), code)
}

fn word(output: &Output, code: &str) -> String {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{words}");
    word_in(&words, code)
}

fn word_in(words: &str, code: &str) -> String {
    let (_, finding) = words
        .rsplit_once(&format!("error[{code}]: egress `com.example/out`: "))
        .unwrap_or_else(|| panic!("no {code} in {words}"));
    let (_, word) = finding.split_once("`--reset-cursor ").expect("the hint names the option");
    word.split('`').next().expect("the option ends").to_owned()
}

/// The numbers that were counted under the one key, once there are so many.
fn counted(counting: &Counting, count: usize) -> Vec<String> {
    counting.counted(&counting.key("k"), count)
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| format!("{number}:{number}")).collect()
}

/// MP6020: an older state of the directory is refused, and takes the place of the newer one when it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn older_state_takes_over() {
    let Some(broker) = Broker::shared() else { return };
    let topics = broker.topics(1);
    let Some(functions) = crate::functions::Functions::start_for_tests("kafka") else { return };
    let counting = Counting::with(functions, broker, topics, EARLIEST);
    let (installation, key) = (&counting.installation, counting.key("k"));
    counting.send(&key, 1..=20);
    let runtime = start(installation, &[]);
    assert_eq!(counted(&counting, 20), numbers(1..=20));
    runtime.terminate();
    let (data, older) = (installation.data(), installation.data().with_extension("older"));
    copy(&data, &older);
    counting.send(&key, 21..=40);
    let runtime = start(installation, &[]);
    assert_eq!(counted(&counting, 40), numbers(1..=40));
    runtime.terminate();
    std::fs::remove_dir_all(&data).expect("it is ours");
    std::fs::rename(&older, &data).expect("it is ours");

    let word = refused(installation, &[], "MP6020");
    let (egress, _) = word.split_once('=').expect("egress and word");
    let wrong = format!("{egress}=000000000000");
    assert_eq!(refused(installation, &["--reset-cursor", &wrong], "MP6020"), word, "another word is none");
    // Kills while it is carried out leave what was there, or what was asked for.
    for after in [20, 60, 100, 140, 180, 220, 260, 300, 400, 600] {
        start_and_kill(installation, &["--reset-cursor", &word], after);
    }
    let runtime = start(installation, &["--reset-cursor", &word]);
    // What the newer state had read is read again, what was published before is not.
    counting.send(&key, 41..=41);
    let expected = [numbers(1..=40), numbers(21..=41)].concat();
    assert_eq!(counted(&counting, 61), expected);
    runtime.terminate();
    // The word has had its effect.
    for more in [&["--reset-cursor", &word][..], &[]] {
        let runtime = start(installation, more);
        runtime.terminate();
    }
    counting.send(&key, 42..=42);
    let runtime = start(installation, &[]);
    assert_eq!(counted(&counting, 62), [expected, numbers(42..=42)].concat());
    runtime.terminate();
}

fn start_and_kill(installation: &Installation, more: &[&str], after_ms: u64) {
    let mut child = installation
        .command("127.0.0.1:0")
        .args(more)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary can be started");
    std::thread::sleep(Duration::from_millis(after_ms));
    let _ = child.kill();
    let _ = child.wait();
}

/// MP6020: a copy that is told to take over stops the original, which runs.
#[tokio::test(flavor = "multi_thread")]
async fn copy_stops_the_original() {
    let Some(broker) = Broker::shared() else { return };
    let topics = broker.topics(1);
    let Some(functions) = crate::functions::Functions::start_for_tests("kafka") else { return };
    let text = module(&functions, &broker, &topics, EARLIEST, EXACTLY_ONCE);
    let counting = Counting::with(functions, broker, topics, EARLIEST);
    let (original, key) = (&counting.installation, counting.key("k"));
    counting.send(&key, 1..=10);
    let runtime = start(original, &[]);
    assert_eq!(counted(&counting, 10), numbers(1..=10));
    runtime.terminate();
    let other = Installation::new(&text);
    copy(&original.data(), &other.data());
    counting.send(&key, 11..=20);
    let running = start(original, &[]);
    assert_eq!(counted(&counting, 20), numbers(1..=20));

    let word = refused(&other, &[], "MP6020");
    let taken_over = start(&other, &["--reset-cursor", &word]);
    let expected = [numbers(1..=20), numbers(11..=20)].concat();
    assert_eq!(counted(&counting, 30), expected);
    counting.send(&key, 21..=30);
    let (code, log) = running.ended();
    assert_eq!(code, Some(3), "{log}");
    word_in(&log, "MP6020");
    assert_eq!(counted(&counting, 40), [expected, numbers(21..=30)].concat());
    taken_over.terminate();
}

/// MP6021: a lost cursor topic is refused, and made anew when an operator says so; nothing that was confirmed comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn lost_cursor() {
    let Some(counting) = Counting::new(Broker::shared(), EARLIEST) else { return };
    let key = counting.key("k");
    let installation = &counting.installation;
    counting.send(&key, 1..=10);
    let runtime = start(installation, &[]);
    assert_eq!(counted(&counting, 10), numbers(1..=10));
    let topic = format!("{}.outbox", runtime.field("app"));
    runtime.terminate();
    counting.broker.remove_topic(&topic);
    let word = refused(installation, &[], "MP6021");
    for after in [50, 100, 150, 200, 300, 500] {
        start_and_kill(installation, &["--reset-cursor", &word], after);
    }
    let runtime = start(installation, &["--reset-cursor", &word]);
    counting.send(&key, 11..=20);
    assert_eq!(counted(&counting, 20), numbers(1..=20));
    runtime.terminate();
    // Left in place, the option does nothing about another loss.
    counting.broker.remove_topic(&topic);
    refused(installation, &["--reset-cursor", &word], "MP6021");
}

/// MP6023: a new directory of an application that published before is refused; when it is told to take over the old one is refused, and back.
#[tokio::test(flavor = "multi_thread")]
async fn new_directory() {
    let Some(broker) = Broker::shared() else { return };
    let topics = broker.topics(1);
    let Some(functions) = crate::functions::Functions::start_for_tests("kafka") else { return };
    let text = module(&functions, &broker, &topics, EARLIEST, EXACTLY_ONCE);
    let counting = Counting::with(functions, broker, topics, EARLIEST);
    let (old, new, key) = (&counting.installation, Installation::new(&text), counting.key("k"));
    let name = counting.topics.numbers.clone();
    let app = ["--app", name.as_str()];
    counting.send(&key, 1..=5);
    let runtime = start(old, &app);
    assert_eq!(counted(&counting, 5), numbers(1..=5));
    runtime.terminate();

    let word = refused(&new, &app, "MP6023");
    assert_eq!(refused(&new, &app, "MP6023"), word, "it is refused again as long as nobody says the word");
    for after in [50, 150, 250, 400] {
        start_and_kill(&new, &[&app[..], &["--reset-cursor", &word]].concat(), after);
    }
    let runtime = start(&new, &[&app[..], &["--reset-cursor", &word]].concat());
    // Its ingress begins where the module says: everything is read again.
    let expected = [numbers(1..=5), numbers(1..=5)].concat();
    assert_eq!(counted(&counting, 10), expected);
    runtime.terminate();
    let runtime = start(&new, &app);
    runtime.terminate();

    let back = refused(old, &[], "MP6021");
    let runtime = start(old, &["--reset-cursor", &back]);
    counting.send(&key, 6..=6);
    assert_eq!(counted(&counting, 11), [expected, numbers(6..=6)].concat());
    runtime.terminate();
    refused(&new, &[], "MP6021");
}

/// MP6020: a ledger that lost its newest checkpoints is behind what it published; it goes on from there when it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn ledger_that_lost_its_end() {
    let Some(broker) = Broker::shared() else { return };
    let topics = broker.topics(1);
    let Some(functions) = crate::functions::Functions::start_for_tests("kafka") else { return };
    let counting = Counting::with(functions, broker, topics, EARLIEST);
    let (installation, key) = (&counting.installation, counting.key("k"));
    let runtime = start(installation, &[]);
    for number in 1..=20 {
        counting.send(&key, number..=number);
        assert_eq!(counted(&counting, number as usize).len(), number as usize);
    }
    runtime.kill();
    // The newest log of the ledger, cut in the middle.
    let logs = std::fs::read_dir(installation.data().join("rocksdb")).expect("the folder of the ledger");
    let logs = logs.map(|entry| entry.expect("an entry").path());
    let log = logs.filter(|path| path.extension().is_some_and(|it| it == "log")).max().expect("there is a log");
    let length = std::fs::metadata(&log).expect("a file").len();
    let file = std::fs::File::options().write(true).open(&log).expect("it is ours");
    file.set_len(length * 2 / 3).expect("it can be cut");
    let word = refused(installation, &["--accept-data-loss"], "MP6020");
    let runtime = start(installation, &["--reset-cursor", &word]);
    counting.send(&key, 21..=21);
    // How much was lost is the cut's; what was lost is read and counted again, from where the state was then.
    let found = crate::wait::eventually("the last number to be counted", async || {
        let found = tokio::task::block_in_place(|| counting.broker.read(&counting.topics.counts, 21));
        let found = found.into_values().next().unwrap_or_default();
        (found.last().map(String::as_str) == Some("21:21")).then_some(found)
    })
    .await;
    let again = found.len() - 21;
    assert!(again > 0, "something was lost: {found:?}");
    let lost_from = 21 - again as u64;
    assert_eq!(found, [numbers(1..=20), numbers(lost_from..=21)].concat());
    runtime.terminate();
}
