//! `millpond ingress`: how far the Kafka ingresses of a running node are, and the way past a record at which a partition stopped.
//!
//! In: the arguments. Out: a table or JSON on standard output, or one line that says what was done; what the node refuses is told
//! as any other finding, with the node's own code. Who owns the state: the node.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use super::admin_client::{Refused, ask, foreign};
use super::args::{IngressCommand, NodeArgs, PassOverArgs};
use super::{Console, Exit};

/// Runs the command.
pub fn execute(command: &IngressCommand, console: &mut Console<'_>) -> Exit {
    let done = match command {
        IngressCommand::Show { json, node } => show(*json, node),
        IngressCommand::Skip(args) => skip(args),
    };
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

fn show(json: bool, node: &NodeArgs) -> Result<String, Refused> {
    let text = ask(node, &Method::GET, "/v1/ingresses", None)?;
    let page: Value = serde_json::from_str(&text).map_err(|_| foreign(&node.admin))?;
    let ingresses = page["ingresses"].as_array().ok_or_else(|| foreign(&node.admin))?;
    Ok(if json { format!("{page:#}") } else { table(ingresses) })
}

fn skip(args: &PassOverArgs) -> Result<String, Refused> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let PassOverArgs { ingress, topic, partition, offset, node } = args;
    let path = format!("/v1/ingresses/{}/{}/skip", encoded(ingress.namespace()), encoded(ingress.name()));
    let query = format!("topic={}&partition={partition}&offset={offset}", encoded(topic));
    ask(node, &Method::POST, &path, Some(&query))?;
    Ok(format!("record {offset} was passed over, partition {partition} of topic `{topic}` goes on"))
}

/// One line a partition, under a heading; behind them what clusters do not give.
fn table(ingresses: &[Value]) -> String {
    let mut rows = vec![["INGRESS", "TOPIC", "PARTITION", "STATE", "NEXT", "END", "LAG"].map(str::to_owned)];
    let mut notes = String::new();
    for ingress in ingresses {
        let text = |value: &Value| value.as_str().unwrap_or_default().escape_debug().to_string();
        let name = format!("{}/{}", text(&ingress["namespace"]), text(&ingress["name"]));
        let paused = ingress["paused"].as_bool() == Some(true);
        for partition in ingress["partitions"].as_array().into_iter().flatten() {
            let number = |field: &str| partition[field].as_u64().map_or("-".to_owned(), |number| number.to_string());
            let state = match (partition["state"].as_str(), partition["defect"].as_str()) {
                (Some("running" | "held"), _) if paused => "paused".to_owned(),
                (Some("failed"), Some(defect)) => format!("failed at {} ({defect})", number("offset")),
                (Some("held"), _) => format!("held at {}", number("offset")),
                (state, _) => state.unwrap_or("-").to_owned(),
            };
            let topic = text(&partition["topic"]);
            let [partition, next, end, lag] = ["partition", "next", "end", "lag"].map(number);
            rows.push([name.clone(), topic, partition, state, next, end, lag]);
        }
        if let Some(error) = ingress["away"]["error"].as_str() {
            let since = text(&ingress["away"]["since"]);
            // Writing to a string does not fail.
            let _ = write!(notes, "\n{name} reads nothing since {since}: {}", error.escape_debug());
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut table = String::new();
    for [name, topic, partition, state, numbers @ ..] in &rows {
        let _ = write!(
            table,
            "{name:<a$}  {topic:<b$}  {partition:>9}  {state:<c$}",
            a = widths[0],
            b = widths[1],
            c = widths[3]
        );
        for (number, width) in numbers.iter().zip(&widths[4..]) {
            let _ = write!(table, "  {number:>width$}");
        }
        table.push('\n');
    }
    table.trim_end().to_owned() + &notes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millpond_engine::Partition;
    use millpond_protocol::TypeName;

    use super::super::tests::{Run, millpond};
    use crate::admin::{Access, Admin};
    use crate::edge::ConnectionLimits;
    use crate::edge::fake::{FakeNode, lanes, served};
    use crate::ingress::kafka::{Away, Board, IngressHandle, NotThere, Standing, Word};
    use crate::router::Defect;

    async fn run(args: &[&str], admin: &str) -> Run {
        let args: Vec<String> = [args, &["--admin", admin]].concat().into_iter().map(str::to_owned).collect();
        let run = move || millpond(&args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    async fn start(node: &FakeNode, kafka: Vec<IngressHandle>) -> String {
        let access = Access::new("127.0.0.1:1".parse().expect("an address"), None);
        let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access).with_kafka_ingresses(kafka);
        served(admin.into_service(), ConnectionLimits::default()).await.to_string()
    }

    fn board(id: &TypeName) -> Arc<Board> {
        let board = Board::new([("t 1".to_owned(), "fail")]);
        let partition = |number| Arc::new(Partition { ingress: id.clone(), topic: "t 1".into(), number });
        let second = board.add(&partition(1), None);
        second.set_standing(Standing::Failed { offset: 41, defect: Defect::NullKey, since: 0 });
        let first = board.add(&partition(0), Some(1_000_000));
        first.set_end(1_000_007);
        Arc::new(board)
    }

    /// Partitions in their order, what is known of each, and what the cluster does not give; no name does anything to a terminal.
    #[tokio::test]
    async fn table() {
        let node = FakeNode::start();
        let id = TypeName::new("a", "in");
        let (handle, _told) = IngressHandle::fake(id.clone(), board(&id));
        handle.board.set_away(Some(Away { since: 1_000, error: "no broker\u{1b}[2J".to_owned() }));
        let admin = start(&node, vec![handle]).await;
        let shown = run(&["ingress", "show"], &admin).await;
        let expected = "\
            INGRESS  TOPIC  PARTITION  STATE                       NEXT      END  LAG\n\
            a/in     t 1            0  running                  1000000  1000007    7\n\
            a/in     t 1            1  failed at 41 (NULL_KEY)        -        -    -\n\
            a/in reads nothing since 1970-01-01T00:00:01.000Z: no broker\\u{1b}[2J\n";
        assert_eq!((shown.exit, shown.out.as_str()), (0, expected));
        let json = run(&["ingress", "show", "--json"], &admin).await.out;
        let page: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let failed = &page["ingresses"][0]["partitions"][1];
        assert_eq!((&failed["defect"], &failed["since"]), (&"NULL_KEY".into(), &"1970-01-01T00:00:00.000Z".into()));
        node.node.set_paused(true);
        let paused = run(&["ingress", "show"], &admin).await.out;
        assert!(paused.contains("0  paused ") && paused.contains("1  failed at 41 "), "{paused}");
    }

    /// MP7024, MP7025, MP7026: exactly the named record is passed over, and what cannot be done says what can.
    #[tokio::test]
    async fn skip() {
        let node = FakeNode::start();
        let id = TypeName::new("a", "in");
        let (handle, told) = IngressHandle::fake(id.clone(), board(&id));
        let admin = start(&node, vec![handle]).await;
        std::thread::spawn(move || {
            for word in told {
                let Word::Skip(skip) = word else { continue };
                let there = (skip.topic.as_str(), skip.partition, skip.offset) == ("t 1", 1, 41);
                let _ = skip.reply.send(if there { Ok(()) } else { Err(NotThere) });
            }
        });
        let skip = |ingress: &'static str, offset: &'static str| {
            ["ingress", "skip", ingress, "--topic", "t 1", "--partition", "1", "--offset", offset]
        };
        let done = run(&skip("a/in", "41"), &admin).await;
        assert_eq!(done.out, "record 41 was passed over, partition 1 of topic `t 1` goes on\n");
        let other = run(&skip("a/in", "42"), &admin).await;
        let expected = "error[MP7025]: partition 1 of topic `t 1` does not stand at offset 42; nothing was done\n\
                        hint: stopped are `topic=t 1&partition=1&offset=41`\n\n";
        assert_eq!((other.exit, other.err.as_str()), (1, expected));
        let unknown = run(&skip("a/out", "41"), &admin).await;
        assert!(
            unknown.err.starts_with("error[MP7024]") && unknown.err.contains("there are `a/in`"),
            "{}",
            unknown.err
        );
        let client = reqwest::Client::new();
        for query in ["", "?topic=t&partition=1", "?topic=t&partition=-1&offset=1", "?topic=%ff&partition=1&offset=1"] {
            let asked = client.post(format!("http://{admin}/v1/ingresses/a/in/skip{query}")).send().await;
            let answer = asked.expect("an answer");
            let (status, body) = (answer.status().as_u16(), answer.text().await.expect("a body"));
            assert!(status == 400 && body.contains("MP7026"), "{query}: {body}");
        }
        let looked = client.get(format!("http://{admin}/v1/ingresses/a/in/skip")).send().await.expect("an answer");
        assert_eq!(looked.status().as_u16(), 405);
        assert_eq!(run(&skip("a", "41"), &admin).await.exit, 2);
    }
}
