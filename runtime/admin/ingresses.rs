//! Kafka ingresses as JSON: how far each partition is, and which stand; and the way past a record at which one stopped.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use millpond_protocol::TypeName;
use serde::Serialize;

use super::http::{Admin, decoded, gone, queried, short};
use crate::edge::{Problem, rfc3339};
use crate::ingress::kafka::{IngressHandle, NotThere, PartitionBoard, Standing};

/// All of them.
#[derive(Debug, Serialize)]
struct Ingresses {
    ingresses: Vec<Ingress>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ingress {
    namespace: String,
    name: String,
    /// Nothing is read for now, because the node takes nothing in.
    paused: bool,
    /// The cluster does not give what the ingress wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    away: Option<Away>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Away {
    since: String,
    error: String,
}

#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: u32,
    /// Offset of the record that comes next, as the ledger has it.
    next: Option<u64>,
    /// Offset behind the last record, as of the last look.
    end: Option<u64>,
    lag: Option<u64>,
    state: &'static str,
    /// The record at which it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    defect: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl Ingress {
    fn new(handle: &IngressHandle, paused: bool) -> Ingress {
        let mut partitions: Vec<Partition> =
            handle.board.partitions().iter().map(|board| Partition::new(board)).collect();
        partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Ingress {
            namespace: handle.id.namespace().to_owned(),
            name: handle.id.name().to_owned(),
            paused,
            away: handle.board.away().map(|away| Away { since: rfc3339(away.since), error: away.error }),
            partitions,
        }
    }
}

impl Partition {
    fn new(board: &PartitionBoard) -> Partition {
        let (state, offset, defect, since) = match board.standing() {
            Standing::Running => ("running", None, None, None),
            Standing::Held { offset, since } => ("held", Some(offset), None, Some(since)),
            Standing::Failed { offset, defect, since } => ("failed", Some(offset), Some(defect.as_str()), Some(since)),
        };
        Partition {
            topic: board.partition.topic.to_string(),
            partition: board.partition.number,
            next: board.position(),
            end: board.end(),
            lag: board.lag(),
            state,
            offset,
            defect,
            since: since.map(rfc3339),
        }
    }
}

/// The record that a person names.
struct Named {
    topic: String,
    partition: u32,
    offset: u64,
}

impl Named {
    fn read(uri: &Uri) -> Result<Named, String> {
        let query = uri.query().unwrap_or_default();
        let text = |name: &str| match queried(name, query)? {
            Some(text) => Ok(text),
            None => Err(format!("the request does not say which record: `{name}` is missing")),
        };
        let topic = decoded("topic", text("topic")?)?;
        fn number<N: std::str::FromStr>(name: &str, text: &str) -> Result<N, String> {
            text.parse().map_err(|_| format!("`{name}` is not a number: `{}`", short(text)))
        }
        let partition = number("partition", text("partition")?)?;
        Ok(Named { topic, partition, offset: number("offset", text("offset")?)? })
    }
}

impl Admin {
    /// All Kafka ingresses.
    pub(super) fn ingresses(&self) -> Response {
        let paused = self.engine.is_paused();
        let ingresses = self.kafka.iter().map(|handle| Ingress::new(handle, paused)).collect();
        Json(Ingresses { ingresses }).into_response()
    }

    /// Has a partition go on behind the record at which it stopped. The operator names it, so that no other one is lost.
    pub(super) async fn pass_over(&self, ingress: &TypeName, uri: &Uri) -> Result<Response, Problem> {
        let Some(handle) = self.kafka.iter().find(|handle| handle.id == *ingress) else {
            let names: Vec<String> = self.kafka.iter().map(|handle| format!("`{}`", handle.id)).collect();
            let hint = match names.is_empty() {
                true => "the application has none".to_owned(),
                false => format!("there are {}", names.join(", ")),
            };
            let error = format!("no Kafka ingress `{}` in this application", short(&ingress.to_string()));
            return Err(Problem::new(StatusCode::NOT_FOUND, "MP7024", error).hint(hint));
        };
        let named = Named::read(uri).map_err(|error| {
            let hint = format!("use `?topic=TOPIC&partition=N&offset=N`; {}", stopped(handle));
            Problem::new(StatusCode::BAD_REQUEST, "MP7026", error).hint(hint)
        })?;
        let Named { topic, partition, offset } = named;
        match tokio::time::timeout(self.call_patience, handle.skip(&topic, partition, offset)).await {
            Ok(Ok(Ok(()))) => Ok(StatusCode::OK.into_response()),
            Ok(Ok(Err(NotThere))) => {
                let topic = short(&topic);
                let error = format!(
                    "partition {partition} of topic `{topic}` does not stand at offset {offset}; nothing was done"
                );
                Err(Problem::new(StatusCode::CONFLICT, "MP7025", error).hint(stopped(handle)))
            }
            Ok(Err(_)) => Err(gone()),
            Err(_) => {
                let error =
                    "the partition goes on, and that is not durable yet: a restart may stop at the record again";
                Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "MP7027", error)
                    .hint("the ledger takes long: see the log of the node, and `next` of `GET /v1/ingresses`"))
            }
        }
    }
}

/// Which partitions stand at which records, for those who named another one.
fn stopped(handle: &IngressHandle) -> String {
    const LISTED_MAX: usize = 5;
    let boards = handle.board.partitions();
    let stopped = boards.iter().filter_map(|board| match board.standing() {
        Standing::Failed { offset, .. } => {
            let (topic, number) = (&board.partition.topic, board.partition.number);
            Some(format!("topic={topic}&partition={number}&offset={offset}"))
        }
        _ => None,
    });
    let all: Vec<String> = stopped.collect();
    match all.len() {
        0 => "no partition of the ingress stands at an invalid record".to_owned(),
        many => {
            let more = if many > LISTED_MAX { format!(" and {} more", many - LISTED_MAX) } else { String::new() };
            let listed: Vec<String> = all.iter().take(LISTED_MAX).map(|record| format!("`{record}`")).collect();
            format!("stopped are {}{more}", listed.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use millpond_protocol::TypeName;

    use crate::admin::{Access, Admin};
    use crate::edge::ConnectionLimits;
    use crate::edge::fake::{FakeNode, lanes, served};
    use crate::ingress::kafka::IngressHandle;

    /// MP7027, MP7015: a position that takes long to become durable, and an ingress that ends, are told apart.
    #[tokio::test]
    async fn no_answer() {
        let node = FakeNode::start();
        let (handle, told) = IngressHandle::fake(TypeName::new("a", "in"), Arc::default());
        let access = Access::new("127.0.0.1:1".parse().expect("an address"), None);
        let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access)
            .with_call_patience(Duration::from_millis(10))
            .with_kafka_ingresses(vec![handle]);
        let address = served(admin.into_service(), ConnectionLimits::default()).await;
        let skip = async || {
            let url = format!("http://{address}/v1/ingresses/a/in/skip?topic=t&partition=0&offset=1");
            let answer = reqwest::Client::new().post(url).send().await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("a body"))
        };
        let (status, body) = skip().await;
        assert!(status == 504 && body.contains("MP7027"), "{body}");
        drop(told);
        let (status, body) = skip().await;
        assert!(status == 503 && body.contains("MP7015"), "{body}");
    }
}
