//! `millpond egress`: the Kafka egresses of a running node, and the records that their clusters refused for good.
//!
//! In: the arguments. Out: what the node says, on standard output; what it refuses is told as any other finding.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use super::admin_client::{Refused, ask, foreign};
use super::args::{EgressCommand, NodeArgs};
use super::{Console, Exit};
use millpond_protocol::TypeName;

/// Runs the command.
pub fn execute(command: &EgressCommand, console: &mut Console<'_>) -> Exit {
    let done = match command {
        EgressCommand::Show { json, node } => show(*json, node, console),
        EgressCommand::Refused { egress, node } => refused(egress, node, console),
        EgressCommand::Discard { egress, sequence, node } => discard(egress, *sequence, node, console),
    };
    match done {
        Ok(()) => Exit::Done,
        Err((finding, exit)) => {
            console.findings(&[*finding]);
            exit
        }
    }
}

fn show(json: bool, node: &NodeArgs, console: &mut Console<'_>) -> Result<(), Refused> {
    let text = ask(node, &Method::GET, "/v1/egresses", None)?;
    let mut page: Value = serde_json::from_str(&text).map_err(|_| foreign(&node.admin))?;
    let Value::Array(egresses) = page["egresses"].take() else { return Err(foreign(&node.admin)) };
    console.data(match json {
        true => format!("{:#}", Value::Array(egresses)),
        false => table(&egresses),
    });
    Ok(())
}

/// Part by part, because records may be large.
fn refused(egress: &TypeName, node: &NodeArgs, console: &mut Console<'_>) -> Result<(), Refused> {
    let mut after = 0;
    loop {
        let text = ask(node, &Method::GET, &path(egress), Some(&format!("after={after}")))?;
        let page: Value = serde_json::from_str(&text).map_err(|_| foreign(&node.admin))?;
        let Some(records) = page["refused"].as_array() else { return Err(foreign(&node.admin)) };
        records.iter().for_each(|record| console.data(record.to_string()));
        match page["next"].as_u64().filter(|next| *next > after) {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

fn discard(egress: &TypeName, sequence: u64, node: &NodeArgs, console: &mut Console<'_>) -> Result<(), Refused> {
    ask(node, &Method::DELETE, &path(egress), Some(&format!("sequence={sequence}")))?;
    console.data(format!("record {sequence} is removed"));
    Ok(())
}

fn path(egress: &TypeName) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!("/v1/egresses/{}/{}/refused", encoded(egress.namespace()), encoded(egress.name()))
}

/// One line an egress, under a heading, and below it why nothing gets through.
fn table(egresses: &[Value]) -> String {
    let rows: Vec<([String; 6], Option<String>)> = egresses
        .iter()
        .map(|egress| {
            let text = |field: &str| egress[field].as_str().unwrap_or_default().escape_debug().to_string();
            let count = |field: &str| egress[field].as_u64().unwrap_or(0).to_string();
            let name = format!("{}/{}", text("namespace"), text("name"));
            let row =
                [name, text("semantic"), text("state"), count("waiting"), count("publishedUpto"), count("refused")];
            let error = egress["error"]["code"].as_str().map(|code| {
                let words = egress["error"]["error"].as_str().unwrap_or_default();
                format!("{code}: {}", words.escape_debug())
            });
            (row, error)
        })
        .collect();
    let heading = ["EGRESS", "SEMANTIC", "STATE", "WAITING", "PUBLISHED", "REFUSED"].map(str::to_owned);
    let all = || std::iter::once(&heading).chain(rows.iter().map(|(row, _)| row));
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second, third) = (width(0), width(1), width(2));
    let mut text = String::new();
    let mut line = |row: &[String; 6], error: Option<&String>| {
        let [name, semantic, state, numbers @ ..] = row;
        // Writing to a string does not fail.
        let _ = write!(text, "{name:<first$}  {semantic:<second$}  {state:<third$}");
        numbers.iter().for_each(|number| _ = write!(text, "  {number:>9}"));
        text.push('\n');
        if let Some(error) = error {
            let _ = writeln!(text, "  {error}");
        }
    };
    line(&heading, None);
    rows.iter().for_each(|(row, error)| line(row, error.as_ref()));
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use millpond_protocol::TypeName;
    use millpond_protocol::proto::egress::KafkaProducerRecord;
    use prost::Message as _;
    use serde_json::{Value, json};

    use super::super::tests::{Run, millpond};
    use crate::admin::{Access, Admin, Token};
    use crate::edge::ConnectionLimits;
    use crate::edge::fake::{FakeNode, lanes, served};
    use crate::egress::kafka::KafkaStanding;
    use crate::ledger::RefusedByEgress;

    async fn run(args: &[&str]) -> Run {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let run = move || millpond(&args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    /// A node with an egress whose cluster refused these records; the fake's lane has been freed up to the third one.
    async fn start(refused: Vec<RefusedByEgress>, read_token: bool) -> (FakeNode, String, Arc<KafkaStanding>) {
        let node = FakeNode::start();
        let lane = lanes()[0].clone();
        for number in 1..=5 {
            node.publish(0, &number.to_string());
        }
        node.handle.free(millpond_engine::LaneId(0), 3).expect("there is an engine").await.expect("an answer");
        let standing =
            Arc::new(KafkaStanding::for_tests(TypeName::new("com.example", "out"), lane, refused.len() as u64));
        node.world().refused = refused;
        let bound = "127.0.0.1:1".parse().expect("an address");
        let access = match read_token {
            true => Access::new(bound, Some(Token::new("all").expect("a token")))
                .with_read_token(Some(Token::new("look").expect("a token"))),
            false => Access::new(bound, None),
        };
        let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access);
        let admin = admin.with_kafka_egresses(vec![Arc::clone(&standing)]);
        let address = served(admin.into_service(), ConnectionLimits::default()).await.to_string();
        (node, address, standing)
    }

    fn record(sequence: u64) -> RefusedByEgress {
        let record = KafkaProducerRecord {
            key: "ü".to_owned(),
            topic: "counts".to_owned(),
            value_bytes: Bytes::from_static(b"\xff!"),
            headers: Vec::new(),
        };
        RefusedByEgress { sequence, record: record.encode_to_vec().into(), error: "too large".to_owned() }
    }

    /// MP7050: how an egress stands is shown as a table and as JSON, with what holds it up.
    #[tokio::test]
    async fn standing() {
        let (_node, admin, standing) = start(Vec::new(), false).await;
        standing.in_trouble_for_tests("MP6030", "nobody is there\n");
        let table = run(&["egress", "show", "--admin", &admin]).await;
        let expected = "\
            EGRESS           SEMANTIC       STATE      WAITING  PUBLISHED    REFUSED\n\
            com.example/out  at-least-once  held-up          2          3          0\n  \
            MP6030: nobody is there\\n\n";
        assert_eq!((table.exit, table.out.as_str()), (0, expected));
        let json = run(&["egress", "show", "--json", "--admin", &admin]).await.out;
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(
            (&json[0]["name"], &json[0]["waiting"], &json[0]["error"]["code"]),
            (&json!("out"), &json!(2), &json!("MP6030"))
        );
        assert!(json[0]["waitingMs"].is_u64() && json[0]["publishedUpto"] == 3, "{json}");
        let other = run(&["egress", "refused", "com.example/in", "--admin", &admin]).await;
        assert!(
            other.exit == 1 && other.err.starts_with("error[MP7050]: no Kafka egress `com.example/in`"),
            "{}",
            other.err
        );
    }

    /// MP7051, MP7052, MP7053: refused records are listed, all parts of them, and removed one by one when publishing is past them.
    #[tokio::test]
    async fn refused_records() {
        let torn = RefusedByEgress { record: Bytes::from_static(b"\xff"), ..record(2) };
        let many = (6..300).map(record);
        let all = [record(1), torn, record(4)].into_iter().chain(many).collect::<Vec<_>>();
        let (node, admin, standing) = start(all.clone(), false).await;
        let listed = run(&["egress", "refused", "com.example/out", "--admin", &admin]).await;
        let lines: Vec<Value> = listed.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let numbers: Vec<u64> = lines.iter().filter_map(|line| line["sequence"].as_u64()).collect();
        assert_eq!(numbers, all.iter().map(|refused| refused.sequence).collect::<Vec<_>>());
        let expected = json!({
            "sequence": 1, "reason": "too large", "topic": "counts", "key": "ü", "value": "/yE=", "headers": [],
        });
        assert_eq!((&lines[0], &lines[1]["value"]), (&expected, &json!("/w==")));

        let discard = async |sequence: &str| {
            run(&["egress", "discard", "com.example/out", "--sequence", sequence, "--admin", &admin]).await
        };
        assert_eq!(discard("2").await.out, "record 2 is removed\n");
        for (sequence, code) in [("2", "MP7051"), ("3", "MP7051"), ("5", "MP7051"), ("4", "MP7052")] {
            let left = discard(sequence).await;
            assert!(left.exit == 1 && left.err.starts_with(&format!("error[{code}]")), "{sequence}: {}", left.err);
        }
        assert_eq!((node.world().refused.len(), standing.view().kept), (all.len() - 1, all.len() as u64 - 1));
        for (query, code) in [("after=x", "MP7053"), ("limit=-1", "MP7053"), ("after=1&after=2", "MP7053")] {
            let url = format!("http://{admin}/v1/egresses/com.example/out/refused?{query}");
            let answer: Value = reqwest::get(url).await.expect("an answer").json().await.expect("JSON");
            assert_eq!(answer["code"], code, "{query}");
        }
        let url = format!("http://{admin}/v1/egresses/com.example/out/refused");
        let unnamed = reqwest::Client::new().delete(url).send().await.expect("an answer");
        assert_eq!(unnamed.json::<Value>().await.expect("JSON")["code"], "MP7020");
    }

    /// Who may only look cannot remove anything.
    #[tokio::test]
    async fn roles() {
        let (node, admin, _) = start(vec![record(1)], true).await;
        let folder = tempfile::tempdir().expect("a folder");
        let token = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, name).expect("a file");
            path.display().to_string()
        };
        let (look, all) = (token("look"), token("all"));
        let listed =
            run(&["egress", "refused", "com.example/out", "--admin", &admin, "--admin-token-file", &look]).await;
        assert_eq!(listed.out.lines().count(), 1);
        let args = ["egress", "discard", "com.example/out", "--sequence", "1", "--admin", &admin, "--admin-token-file"];
        assert!(run(&[&args[..], &[&look]].concat()).await.err.starts_with("error[MP7022]"));
        assert_eq!(node.world().refused.len(), 1);
        assert_eq!(run(&[&args[..], &[&all]].concat()).await.exit, 0);
        assert!(node.world().refused.is_empty());
    }
}
