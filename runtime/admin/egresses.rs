//! Kafka egresses as JSON: how they stand, and the records that their clusters refused for good.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use millpond_protocol::TypeName;
use millpond_protocol::proto::egress::KafkaProducerRecord;
use prost::Message as _;
use serde::Serialize;

use crate::edge::Problem;
use crate::egress::kafka::{KafkaStanding, KafkaView};
use crate::ledger::{Ledger, LedgerError, RefusedByEgress};

/// Refused records in one part of their list.
pub(super) const REFUSED_MAX: usize = 100;
/// Bytes of them in one part; one record always fits.
const REFUSED_BYTES: usize = 8 << 20;

/// All Kafka egresses.
#[derive(Debug, Serialize)]
pub(super) struct EgressesPage {
    egresses: Vec<Egress>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Egress {
    namespace: String,
    name: String,
    /// `exactly-once`, `at-least-once` or `none`.
    semantic: &'static str,
    /// `opening`, `idle`, `publishing`, `held-up` or `stopped`.
    state: &'static str,
    /// Records that wait.
    waiting: u64,
    /// How long the oldest of them has waited, since this process runs.
    waiting_ms: u64,
    /// Everything up to this number is published.
    published_upto: u64,
    /// Refused records that are kept.
    refused: u64,
    /// Why nothing gets through; `null` while something does.
    error: Option<Trouble>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trouble {
    code: &'static str,
    error: String,
    /// For so long nothing got through.
    for_ms: u64,
}

impl EgressesPage {
    pub(super) fn new(standings: &[Arc<KafkaStanding>]) -> EgressesPage {
        EgressesPage { egresses: standings.iter().map(|standing| egress(&standing.id, standing.view())).collect() }
    }
}

fn egress(id: &TypeName, view: KafkaView) -> Egress {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Egress {
        namespace: id.namespace().to_owned(),
        name: id.name().to_owned(),
        semantic: view.semantic,
        state: view.state.name(),
        waiting: view.waiting,
        waiting_ms: ms(view.age),
        published_upto: view.published,
        refused: view.kept,
        error: view.error.map(|trouble| Trouble {
            code: trouble.code,
            error: trouble.error,
            for_ms: ms(trouble.since.elapsed()),
        }),
    }
}

/// A part of the refused records of an egress.
#[derive(Debug, Serialize)]
pub(super) struct RefusedPage {
    refused: Vec<Refused>,
    /// `after` of the next part, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    sequence: u64,
    /// Why, in the words of the cluster or the client.
    reason: String,
    topic: String,
    key: String,
    /// The value, in base64.
    value: String,
    headers: Vec<Header>,
}

#[derive(Debug, Serialize)]
struct Header {
    key: String,
    /// In base64; `null` for a header without a value.
    value: Option<String>,
}

impl RefusedPage {
    /// Reads a part: what lies behind `after`, at most `limit` records.
    pub(super) fn read(
        ledger: &dyn Ledger,
        standing: &KafkaStanding,
        after: u64,
        limit: usize,
    ) -> Result<RefusedPage, LedgerError> {
        let found = ledger.refused(&standing.lane, after, limit.clamp(1, REFUSED_MAX), REFUSED_BYTES)?;
        let next = match found.last() {
            Some(last) => {
                let more = ledger.refused(&standing.lane, last.sequence, 1, 0)?;
                (!more.is_empty()).then_some(last.sequence)
            }
            None => None,
        };
        Ok(RefusedPage { refused: found.into_iter().map(Refused::new).collect(), next })
    }
}

impl Refused {
    fn new(refused: RefusedByEgress) -> Refused {
        let RefusedByEgress { sequence, record, error } = refused;
        // What cannot be read was refused for that; then the whole of it is the value.
        let record = KafkaProducerRecord::decode(record.clone())
            .unwrap_or_else(|_| KafkaProducerRecord { value_bytes: record, ..KafkaProducerRecord::default() });
        let headers = record.headers.iter().map(|header| Header {
            key: header.key.clone(),
            value: header.has_value.then(|| STANDARD.encode(&header.value)),
        });
        Refused {
            sequence,
            reason: error,
            topic: record.topic.clone(),
            key: record.key.clone(),
            value: STANDARD.encode(&record.value_bytes),
            headers: headers.collect(),
        }
    }
}

/// What became of a refused record that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discarded {
    /// It is gone.
    Done,
    /// There is none of that number.
    Unknown,
    /// It is what the next start would go by.
    NotPassed,
}

/// Removes a refused record, unless publishing has not passed it for good: until then a restart would send it again.
pub(super) fn discard(ledger: &dyn Ledger, standing: &KafkaStanding, sequence: u64) -> Result<Discarded, LedgerError> {
    let (first, _) = ledger.lane(&standing.lane)?;
    if sequence >= first {
        let found = ledger.refused(&standing.lane, sequence.saturating_sub(1), 1, 0)?;
        let is_there = found.first().is_some_and(|refused| refused.sequence == sequence);
        return Ok(if is_there { Discarded::NotPassed } else { Discarded::Unknown });
    }
    if !ledger.discard(&standing.lane, sequence)? {
        return Ok(Discarded::Unknown);
    }
    standing.discarded();
    Ok(Discarded::Done)
}

/// The egress of a path.
pub(super) fn find<'a>(standings: &'a [Arc<KafkaStanding>], id: &TypeName) -> Result<&'a Arc<KafkaStanding>, Problem> {
    standings.iter().find(|standing| standing.id == *id).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "MP7050", format!("no Kafka egress `{id}` runs here"))
            .hint("`GET /v1/egresses` lists them")
    })
}
