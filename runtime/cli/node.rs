//! `millpond functions`, `metrics` and `ready`: what a running node says of itself.
//!
//! In: the arguments. Out: what the node says, on standard output; what it refuses is told as any other finding.

use std::fmt::Write as _;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::admin_client::{Refused, answer, ask, foreign};
use super::args::{FunctionsArgs, NodeArgs};
use super::{Console, Exit};

/// Runs `millpond functions`.
pub fn functions(args: &FunctionsArgs, console: &mut Console<'_>) -> Exit {
    let listed = all_functions(&args.node).map(|functions| match args.json {
        true => format!("{:#}", Value::Array(functions)),
        false => table(&functions),
    });
    told(listed, console)
}

/// Runs `millpond metrics`.
pub fn metrics(node: &NodeArgs, console: &mut Console<'_>) -> Exit {
    let text = ask(node, &Method::GET, "/metrics", None);
    told(text.map(|text| text.trim_end().to_owned()), console)
}

/// Runs `millpond ready`: exit code 0 when the node takes events in, 3 when it does not.
pub fn ready(node: &NodeArgs, console: &mut Console<'_>) -> Exit {
    match answer(node, &Method::GET, "/readyz", None) {
        Ok((StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE, text)) if text.lines().count() == 1 => {
            console.data(text.trim_end());
            if text == "ready\n" { Exit::Done } else { Exit::Environment }
        }
        Ok(_) => told(Err(foreign(&node.admin)), console),
        Err(refused) => told(Err(refused), console),
    }
}

fn told(done: Result<String, Refused>, console: &mut Console<'_>) -> Exit {
    match done {
        Ok(text) => {
            console.data(text);
            Exit::Done
        }
        Err((finding, exit)) => {
            console.findings(&[*finding]);
            exit
        }
    }
}

/// All function types, part by part.
fn all_functions(node: &NodeArgs) -> Result<Vec<Value>, Refused> {
    let mut functions = Vec::new();
    let mut from = 0;
    loop {
        let text = ask(node, &Method::GET, "/v1/functions", Some(&format!("from={from}")))?;
        let mut page: Value = serde_json::from_str(&text).map_err(|_| foreign(&node.admin))?;
        let Value::Array(part) = page["functions"].take() else { return Err(foreign(&node.admin)) };
        functions.extend(part);
        match page["next"].as_u64().filter(|next| *next > from) {
            Some(next) => from = next,
            None => return Ok(functions),
        }
    }
}

/// One line a function type, under a heading. Names are made safe for a terminal: anybody can send them.
fn table(functions: &[Value]) -> String {
    let count = |function: &Value, field: &str| function[field].as_u64().unwrap_or(0).to_string();
    let rows: Vec<[String; 7]> = functions
        .iter()
        .map(|function| {
            let part = |field: &str| function[field].as_str().unwrap_or_default();
            let name = format!("{}/{}", part("namespace"), part("name")).escape_debug().to_string();
            let state = match (
                function["endpoint"].is_null(),
                function["inTrouble"].as_bool(),
                function["learned"].as_bool(),
            ) {
                (true, ..) => "no endpoint",
                (_, Some(true), _) => "in trouble",
                (_, _, Some(false)) => "not called",
                _ => "ok",
            };
            let [pending, calls, window, parked, failed] =
                ["pending", "callsInFlight", "window", "parkedAddresses", "failedAttempts"]
                    .map(|it| count(function, it));
            [name, state.to_owned(), pending, calls, window, parked, failed]
        })
        .collect();
    let heading = ["FUNCTION", "STATE", "PENDING", "CALLS", "WINDOW", "PARKED", "FAILED"].map(str::to_owned);
    let all: Vec<&[String; 7]> = std::iter::once(&heading).chain(&rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let mut text = String::new();
    for [name, state, numbers @ ..] in all {
        // Writing to a string does not fail.
        let _ = write!(text, "{name:<first$}  {state:<second$}");
        numbers.iter().for_each(|number| _ = write!(text, "  {number:>7}"));
        text.push('\n');
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use millpond_engine::{FunctionMetrics, FunctionView};
    use millpond_protocol::TypeName;

    use super::super::tests::{Run, millpond};
    use crate::admin::{Access, Admin};
    use crate::edge::ConnectionLimits;
    use crate::edge::fake::{FakeNode, endpoints, lanes, served};
    use crate::handle::Readiness;

    async fn run(args: &'static [&'static str], admin: &str) -> Run {
        let admin = admin.to_owned();
        let run = move || millpond(&[args, &["--admin", &admin]].concat());
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    async fn start(node: &FakeNode) -> String {
        let access = Access::new("127.0.0.1:1".parse().expect("an address"), None);
        let names = endpoints().iter().map(|config| crate::admin::EndpointName::new(config, "http://h")).collect();
        let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access).with_endpoints(names);
        served(admin.into_service(), ConnectionLimits::default()).await.to_string()
    }

    /// All parts of the list are shown, and no name does anything to a terminal.
    #[tokio::test]
    async fn function_types() {
        let node = FakeNode::start();
        let admin = start(&node).await;
        let view = |name: &str, endpoint, in_trouble| FunctionView {
            name: TypeName::new("a", name),
            endpoint,
            learned: true,
            specs: Vec::new(),
            metrics: FunctionMetrics { backlog: 12, window: 1, in_trouble, ..FunctionMetrics::default() },
        };
        node.world().functions =
            vec![view("b", Some(0), false), view("c\u{1b}[2J\n", Some(1), true), view("d", None, false)];
        let table = run(&["functions"], &admin).await;
        let expected = "\
            FUNCTION        STATE        PENDING    CALLS   WINDOW   PARKED   FAILED\n\
            a/b             ok                12        0        1        0        0\n\
            a/c\\u{1b}[2J\\n  in trouble        12        0        1        0        0\n\
            a/d             no endpoint       12        0        1        0        0\n";
        assert_eq!((table.exit, table.out.as_str()), (0, expected));
        node.world().functions = (0..2_500).map(|number| view(&number.to_string(), None, false)).collect();
        let all = run(&["functions", "--json"], &admin).await.out;
        let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
        assert_eq!((all.as_array().map(Vec::len), &all[2_499]["name"]), (Some(2_500), &"2499".into()));
    }

    /// Metrics and readiness are said as the node says them; who is not ready is a failure.
    #[tokio::test]
    async fn the_node() {
        let node = FakeNode::start();
        let admin = start(&node).await;
        assert!(run(&["metrics"], &admin).await.out.contains("\nmillpond_ready 1\n"));
        let ready = run(&["ready"], &admin).await;
        assert_eq!((ready.exit, ready.out.as_str()), (0, "ready\n"));
        node.node.set_readiness(Readiness::Failed("the disk is full".into()));
        let failed = run(&["ready"], &admin).await;
        assert_eq!((failed.exit, failed.out.as_str()), (3, "failed: the disk is full\n"));
        let other = served(axum::Router::new(), ConnectionLimits::default()).await.to_string();
        for command in [&["ready"][..], &["functions"], &["metrics"]] {
            let other = run(command, &other).await;
            assert!(other.exit != 0 && other.err.starts_with("error[MP7001]"), "{}", other.err);
        }
    }
}
