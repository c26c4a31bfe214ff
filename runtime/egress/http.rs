//! The playground egress reader: `GET /<topic>`.
//!
//! What comes in: requests of readers. What goes out: durable records, and word of what was taken or freed. Order: a record
//! is removed durably before the answer that carries it leaves, so it is given at most once. Who owns the state: ledger and
//! engine; see [`Topic`] for the rest.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /<topic>` (or another method, as upstream) | takes one record |
//! | `HEAD /<topic>` | says whether there is one |
//! | `GET /<topic>?after=N[&limit=M][&wait_ms=T]` | reads a page as JSON, without taking |
//! | the same with `Accept: text/event-stream` | follows the topic |
//! | `DELETE /<topic>?upto=N` | frees records |
//!
//! The path without its first `/`, percent-decoded as a whole, is the topic. The status of an answer is real, and repeated
//! in the header `Status`, where upstream puts it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, ALLOW};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use millpond_engine::{Answer, LaneId, LaneName};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use super::follow::Follower;
use super::page;
use super::query::Query;
use super::route::PLAYGROUND_EGRESS;
use super::topic::{ReadError, Record, Topic};
use crate::edge::{Problem, decode};
use crate::handle::{EngineGone, EngineHandle};
use crate::ledger::Ledger;

/// The code of the answer, as upstream's clients look for it.
const STATUS: HeaderName = HeaderName::from_static("status");
/// The sequence number of the record in the answer.
const SEQUENCE: HeaderName = HeaderName::from_static("sequence");
/// The lowest sequence number that is still kept: records between `after` and it were taken or freed.
const FIRST_SEQUENCE: HeaderName = HeaderName::from_static("first-sequence");
/// What a topic understands beside any other method, which takes as `GET` does.
const METHODS: &str = "GET, HEAD, DELETE, OPTIONS";
/// Where a follower that was cut off goes on.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Limits on readers.
#[derive(Debug, Clone)]
pub struct EgressLimits {
    /// Records of a page at most. Default 10000; a page has 100 when the reader does not say.
    pub page_records: usize,
    /// Bytes of a page's payloads, beyond the first. Default 4 MiB.
    pub page_bytes: usize,
    /// Longest `wait_ms`. Default 60 s.
    pub wait: Duration,
    /// Readers that follow a topic or wait for a page, together. Default 128.
    pub followers: usize,
    /// Silence after which a follower is sent a comment. Default 15 s.
    pub keep_alive: Duration,
}

impl Default for EgressLimits {
    fn default() -> EgressLimits {
        EgressLimits {
            page_records: 10_000,
            page_bytes: 4 << 20,
            wait: Duration::from_secs(60),
            followers: 128,
            keep_alive: Duration::from_secs(15),
        }
    }
}

/// Records of a page when the reader does not say.
const PAGE_RECORDS: usize = 100;
/// When a reader that was told 503 may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Gives records out over HTTP.
pub struct HttpEgress {
    engine: EngineHandle,
    topics: BTreeMap<String, Arc<Topic>>,
    limits: EgressLimits,
    followers: Arc<Semaphore>,
}

impl HttpEgress {
    /// A reader of those of these lanes (all lanes of the engine, in its order) that are playground topics.
    pub fn new(engine: EngineHandle, ledger: Arc<dyn Ledger>, lanes: &[LaneName], limits: EgressLimits) -> HttpEgress {
        let playground = |name: &LaneName| (name.egress.namespace(), name.egress.name()) == PLAYGROUND_EGRESS;
        let topics = (0..)
            .map(LaneId)
            .zip(lanes)
            .filter(|(_, name)| playground(name))
            .map(|(lane, name)| {
                let topic = Topic::new(Arc::clone(&ledger), engine.clone(), lane, name.clone());
                (name.part.clone(), Arc::new(topic))
            })
            .collect();
        let followers = Arc::new(Semaphore::new(limits.followers));
        HttpEgress { engine, topics, limits, followers }
    }

    /// The service that [`serve`](crate::edge::serve) serves.
    pub fn into_service(self) -> Router {
        Router::new().fallback(answer).with_state(Arc::new(self))
    }

    fn topic(&self, path: &str) -> Result<Arc<Topic>, Problem> {
        const LISTED_MAX: usize = 16;
        let text = path.strip_prefix('/').unwrap_or(path);
        let name = decode(text).map_err(|error| {
            let error = format!("the topic in the path cannot be read: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "MP6006", error).hint("percent-encode the topic's UTF-8 text")
        })?;
        // 405 is what upstream says of an unknown topic.
        self.topics.get(&*name).cloned().ok_or_else(|| {
            let name: String = name.chars().take(128).collect();
            let topics: Vec<&str> = self.topics.keys().take(LISTED_MAX).map(String::as_str).collect();
            let error = format!("there is no topic `{name}`");
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MP6004", error)
                .hint(format!("topics of the module: `{}`", topics.join("`, `")))
                .allow("")
        })
    }

    async fn take(&self, topic: &Topic) -> Result<Response, Problem> {
        let Some(((sequence, payload), receipt)) = topic.take().await.map_err(|error| read_problem(&error))? else {
            return Ok(StatusCode::NOT_FOUND.into_response());
        };
        durable(receipt).await?;
        Ok(([(SEQUENCE, HeaderValue::from(sequence))], Body::from(payload)).into_response())
    }

    async fn page(&self, topic: &Topic, after: u64, query: &Query) -> Result<Response, Problem> {
        let first = topic.first().await.map_err(|error| read_problem(&error))?;
        let limit = query.limit.unwrap_or(PAGE_RECORDS);
        let records = match query.wait {
            Some(wait) if !wait.is_zero() => self.awaited(topic, after, limit, Instant::now() + wait).await?,
            _ => topic.page(after, limit, self.limits.page_bytes).await.map_err(|error| read_problem(&error))?,
        };
        let mut response = page::json(&records);
        response.headers_mut().insert(FIRST_SEQUENCE, first.into());
        Ok(response)
    }

    /// A page as soon as it has a record, or an empty one at the deadline.
    async fn awaited(
        &self,
        topic: &Topic,
        after: u64,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Record>, Problem> {
        let _slot = self.followers.try_acquire().map_err(|_| self.too_many_followers())?;
        let mut published = topic.published();
        loop {
            published.borrow_and_update();
            let records = topic.page(after, limit, self.limits.page_bytes).await;
            let records = records.map_err(|error| read_problem(&error))?;
            if !records.is_empty() {
                return Ok(records);
            }
            let more = tokio::select! {
                () = self.engine.stopping() => false,
                changed = timeout_at(deadline, published.changed()) => matches!(changed, Ok(Ok(()))),
            };
            if !more {
                return Ok(records);
            }
        }
    }

    async fn follow(&self, topic: Arc<Topic>, after: u64) -> Result<Response, Problem> {
        let slot = Arc::clone(&self.followers).try_acquire_owned().map_err(|_| self.too_many_followers())?;
        let first = topic.first().await.map_err(|error| read_problem(&error))?;
        let engine = self.engine.clone();
        let follower = Follower { topic, engine, after, keep_alive: self.limits.keep_alive, _slot: slot };
        let mut response = follower.into_response();
        response.headers_mut().insert(FIRST_SEQUENCE, first.into());
        Ok(response)
    }

    fn too_many_followers(&self) -> Problem {
        let error = format!("{} readers wait or follow already, which is the limit", self.limits.followers);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP6008", error)
            .hint("close some, or read with `after` and without `wait_ms`")
            .retry_after(RETRY_AFTER)
    }

    async fn serve(&self, method: &Method, path: &str, query: &str, headers: &HeaderMap) -> Result<Response, Problem> {
        let topic = self.topic(path)?;
        let query = Query::parse(query, &self.limits).map_err(|error| bad_query(&error))?;
        match *method {
            Method::DELETE => return free(&topic, &query).await,
            Method::HEAD => return peek(&topic).await,
            // A browser asks before it reads; nobody takes a record by asking.
            Method::OPTIONS => return Ok((StatusCode::NO_CONTENT, [(ALLOW, METHODS)]).into_response()),
            _ => {}
        }
        if query.upto.is_some() {
            return Err(bad_query("`upto` belongs to `DELETE`"));
        }
        if *method == Method::GET && wants_events(headers) {
            // What a client that comes back has seen counts more than the address that it was given first.
            let after = last_event_id(headers)?.or(query.after).unwrap_or(0);
            return self.follow(topic, after).await;
        }
        match query.after {
            Some(after) => self.page(&topic, after, &query).await,
            None if query.limit.is_some() || query.wait.is_some() => {
                Err(bad_query("`limit` and `wait_ms` need `after`"))
            }
            None => self.take(&topic).await,
        }
    }
}

async fn answer(State(egress): State<Arc<HttpEgress>>, request: Request) -> Response {
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    let answer = egress.serve(request.method(), uri.path(), query, request.headers()).await;
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    let status = response.status();
    response.headers_mut().insert(STATUS, HeaderValue::from(status.as_u16()));
    response
}

async fn free(topic: &Topic, query: &Query) -> Result<Response, Problem> {
    let Some(upto) = query.upto else {
        return Err(bad_query("`DELETE` needs `upto`: records up to and including that sequence number are freed"));
    };
    durable(topic.free(upto).map_err(|EngineGone| gone())?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn peek(topic: &Topic) -> Result<Response, Problem> {
    Ok(match topic.oldest().await.map_err(|error| read_problem(&error))? {
        Some(sequence) => [(SEQUENCE, HeaderValue::from(sequence))].into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn durable(receipt: oneshot::Receiver<Answer>) -> Result<(), Problem> {
    match receipt.await {
        Ok(Answer::Durable | Answer::Repeated) => Ok(()),
        Ok(_) => Err(gone()),
        Err(_) => Err(gone()),
    }
}

fn wants_events(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |range| {
            let media = range.split(';').next().unwrap_or_default();
            media.trim().eq_ignore_ascii_case("text/event-stream")
        },
    )
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str().ok().map(str::trim) {
        Some("") => Ok(None),
        text => text
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or_else(|| bad_query("`Last-Event-ID` is not a sequence number of this topic")),
    }
}

fn bad_query(error: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "MP6006", error)
        .hint("`GET /<topic>` takes, `GET /<topic>?after=N` reads, `DELETE /<topic>?upto=N` frees")
}

fn gone() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP6009", "the node is stopping")
        .hint("read again when the node is ready; a record that was being taken may be gone")
        .retry_after(RETRY_AFTER)
}

fn read_problem(error: &ReadError) -> Problem {
    match error {
        ReadError::EngineGone(EngineGone) => gone(),
        ReadError::Ledger(_) | ReadError::ReaderGone => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "MP6007", error.to_string()).hint("see the log of the node")
        }
    }
}
