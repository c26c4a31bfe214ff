//! The promises about starting and stopping: what is refused, and what a polite stop keeps.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::functions::Functions;
use crate::greeter::visit;
use crate::http::{self, Event};
use crate::runtime::Installation;
use crate::wait::eventually;

/// A module that needs no function server: nothing is sent to it.
const QUIET: &str = "\
kind: io.statefun.endpoints.v2/http
spec:
  functions: example/*
  urlPathTemplate: http://127.0.0.1:9/statefun
---
kind: io.statefun.playground.v1/ingress
spec:
  port: 0
";

#[test]
fn the_modules_of_the_examples_are_accepted_without_a_warning() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions-examples/python");
    for example in ["greeter", "balance", "reminder"] {
        let module = examples.join(example).join("module.yaml");
        let check = Command::new(env!("CARGO_BIN_EXE_millpond")).arg("check").arg(&module).output();
        let check = check.expect("the binary can be started");
        let said = String::from_utf8_lossy(&check.stderr);
        assert_eq!((check.status.code(), said.as_ref()), (Some(0), ""), "check of {}", module.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_in_use_is_refused() {
    let installation = Installation::new(QUIET);
    let runtime = installation.start();
    let refused = installation.refused("127.0.0.1:0");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "exit code; stderr:\n{said}");
    assert!(said.contains("error[MP5"), "stderr:\n{said}");
    assert!(said.contains("hint:"), "stderr:\n{said}");
    assert!(refused.stdout.is_empty(), "nothing was ready");

    // The one that holds the folder is none the worse for it, and a free folder can be used again.
    runtime.terminate();
    installation.start().terminate();
}

/// MP7030: a port that is taken is told with the listener and the address, before anything is opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let refused = Installation::new(QUIET).refused(&address);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "exit code; stderr:\n{said}");
    assert!(said.contains(&format!("error[MP7030]: admin cannot listen on `{address}`")), "stderr:\n{said}");
}

/// MP5001: a data folder that is a file is told as what it is, with what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_is_a_file_is_told() {
    let installation = Installation::new(QUIET);
    std::fs::write(installation.data(), "notes").expect("a file");
    let refused = installation.refused("127.0.0.1:0");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "exit code; stderr:\n{said}");
    assert!(said.starts_with("error[MP5001]: ") && said.contains("caused by: it is not a folder\nhint:"), "{said}");
    assert_eq!(std::fs::read(installation.data()).expect("it is still there"), b"notes");
}

/// Each call and each client takes a file descriptor; most systems start a process with 1024 and let it have more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_file_descriptors_that_the_system_allows_are_used() {
    let runtime = Installation::new(QUIET).start_behind("ulimit -Sn 256");
    let (soft, hard) = runtime.limits("Max open files");
    assert_eq!(soft, hard);
}

/// Names come from anybody who may send events: they do not write lines of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_the_log_stays_one_line() {
    let installation = Installation::new(QUIET);
    let runtime = installation.start();
    let url = format!("http://{}/example/a%0aERROR%20forged%1b[31m/x", runtime.field("ingress"));
    let sent = http::client().put(url).header("Content-Type", "application/vnd.a/b").send().await.expect("an answer");
    assert_eq!(sent.status(), StatusCode::OK);
    eventually("a line about the call that failed", async || runtime.log().contains("MP4001").then_some(())).await;
    let log = runtime.log();
    assert!(log.lines().all(|line| line.starts_with("20")) && !log.contains('\u{1b}'), "{log}");
    runtime.terminate();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_admin_api_is_refused_without_a_token() {
    let refused = Installation::new(QUIET).refused("0.0.0.0:0");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(matches!(refused.status.code(), Some(1 | 2)), "exit {:?}; stderr:\n{said}", refused.status);
    assert!(said.contains("--admin-token-file"), "stderr:\n{said}");
    assert!(refused.stdout.is_empty(), "nothing was ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_starting_lose_nothing() {
    const VISITS: usize = 40;
    let Some(functions) = Functions::start("greeter") else {
        return;
    };
    let installation = Installation::new(&functions.module());
    let client = http::client();
    let runtime = installation.start();
    for number in 1..=VISITS {
        http::accepted(&client, &runtime, &visit(number, "Ada", "Turin")).await;
    }
    runtime.kill();

    // From before the data folder is open to well after recovery has begun to call functions again.
    for after_ms in [0, 5, 15, 40, 100, 250, 600] {
        installation.start_and_kill(Duration::from_millis(after_ms));
    }
    let runtime = installation.start();
    for number in 1..=VISITS + 1 {
        http::accepted(&client, &runtime, &visit(number, "Ada", "Turin")).await;
    }
    let visits = VISITS as i64 + 1;
    http::count_becomes(&client, &runtime, "example/greeter/Ada", "visits", visits).await;
    http::count_becomes(&client, &runtime, "example/archivist/Turin", "greetings", visits).await;
    // The record of the last visit may come a moment behind its state.
    let records = http::read_at_least(&client, &runtime, "cities", VISITS + 1).await;
    assert_eq!(records.len(), VISITS + 1, "{records:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_for_functions_that_are_down() {
    const VISITS: usize = 20;
    let Some(mut functions) = Functions::start("greeter") else {
        return;
    };
    let installation = Installation::new(&functions.module());
    let client = http::client();
    let runtime = installation.start();
    http::accepted(&client, &runtime, &visit(1, "Ada", "Turin")).await;
    http::read_at_least(&client, &runtime, "cities", 1).await;

    // With nobody to call, events are still taken in, and the kill does not lose them.
    functions.stop();
    for number in 2..=VISITS {
        http::accepted(&client, &runtime, &visit(number, "Ada", "Turin")).await;
    }
    runtime.kill();
    let runtime = installation.start();
    let records = http::read_all(&client, &runtime, "greetings").await;
    assert_eq!(records.len(), 1, "nothing happened while the functions were down: {records:?}");

    functions.start_again();
    let records = http::read_at_least(&client, &runtime, "cities", VISITS).await;
    assert_eq!(records.len(), VISITS, "{records:?}");
    http::count_becomes(&client, &runtime, "example/greeter/Ada", "visits", VISITS as i64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_api_says_that_the_node_is_ready() {
    let installation = Installation::new(QUIET);
    let runtime = installation.start();
    for path in ["healthz", "readyz", "metrics"] {
        let url = format!("http://{}/{path}", runtime.field("admin"));
        let answer = http::client().get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "answer to /{path}");
    }
    runtime.terminate();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_acknowledged() {
    const CLIENTS: usize = 16;
    const BEFORE_THE_SIGNAL: usize = 400;
    let Some(functions) = Functions::start("greeter") else {
        return;
    };
    let _turn = crate::HEAVY.lock().await;
    let installation = Installation::new(&functions.module());
    let runtime = installation.start();

    let acknowledged = Arc::new(AtomicUsize::new(0));
    let enough = Arc::new(Notify::new());
    let client = http::client();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let ingress = runtime.field("ingress").to_owned();
        let (client, acknowledged, enough) = (client.clone(), acknowledged.clone(), enough.clone());
        clients.spawn(async move {
            // Sends visits of one person until one is not accepted any more: the stop has begun.
            for sent in 1.. {
                let event = of_client(number, sent);
                match http::put(&client, &ingress, &event).await {
                    Ok(answer) if answer.status() == StatusCode::OK => {
                        if acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == BEFORE_THE_SIGNAL {
                            enough.notify_one();
                        }
                    }
                    Ok(answer) if answer.status() != StatusCode::SERVICE_UNAVAILABLE => {
                        panic!("a visit was answered {}", answer.status())
                    }
                    _ => return (number, sent),
                }
            }
            unreachable!("a client sends until the runtime stops")
        });
    }
    enough.notified().await;
    runtime.terminate();

    // The last visit of each client is in doubt: it goes again, with its key, and must count once either way.
    let runtime = installation.start();
    let mut total = 0;
    while let Some(ended) = clients.join_next().await {
        let (number, sent) = ended.expect("a client that was never refused");
        http::accepted(&client, &runtime, &of_client(number, sent)).await;
        let address = format!("example/greeter/person-{number}");
        http::count_becomes(&client, &runtime, &address, "visits", sent as i64).await;
        total += sent;
    }
    http::count_becomes(&client, &runtime, "example/archivist/Turin", "greetings", total as i64).await;
    assert!(acknowledged.load(Ordering::Relaxed) + CLIENTS >= total);
}

fn of_client(client: usize, sent: usize) -> Event {
    Event { key: format!("client-{client}-{sent}"), ..visit(sent, &format!("person-{client}"), "Turin") }
}
