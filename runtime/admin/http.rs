//! The admin API over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process lives; needs no token |
//! | `GET /readyz` | 200 when events are taken in, else 503 with the reason; needs no token |
//! | `GET /metrics` | metrics in Prometheus' text format |
//! | `GET /v1/functions` | the function types, and how they are; `?from=` for the next part, `?limit=` |
//! | `GET /v1/ingresses` | the Kafka ingresses: how far each partition is, and which stand |
//! | `POST /v1/ingresses/{namespace}/{name}/skip?topic=&partition=&offset=` | passes over the record at which a partition stopped: 200 when that is durable |
//! | `GET /v1/egresses` | the Kafka egresses, and how they stand |
//! | `GET /v1/egresses/{namespace}/{name}/refused` | records that its cluster refused for good; `?after=`, `?limit=` |
//! | `DELETE` to that path, and `?sequence=N` | removes record N: 200 when that is durable |
//! | `GET /v1/addresses/{namespace}/{name}/{id}` | what the address holds |
//! | `GET /v1/addresses/{namespace}/{name}?id=` | the same, for ids that a path cannot carry well, such as an empty one |
//! | `POST` to either path, followed by `/resume` | tries the address now if it is parked: 202 |
//! | `POST` to either path, followed by `/skip`, and `?sequence=N` | takes message N out if it is first in line: 200 when that is durable |
//! | the same with `/dead-letter` | keeps it as a dead letter |
//!
//! Parts of the path are percent-encoded. Errors are JSON with `code`, `error` and `hint`. A probe has no token and comes to
//! whatever address the node has, so `/healthz` and `/readyz` answer everybody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use millpond_engine::{Answer, LaneName, Load, Operation, Sequence};
use millpond_protocol::{Address, TypeName};
use tokio::sync::Semaphore;
use tracing::error;

use super::access::{Access, Role};
use super::address::{AddressPage, specs_of};
use super::delayed::delayed_to;
use super::egresses::{self, Discarded, EgressesPage, RefusedPage};
use super::functions::{EndpointName, FunctionsPage};
use super::kafka_egress_metrics;
use super::kafka_metrics;
use super::metrics::{self, Scrape};
use super::process;
use super::rates::{self, Rates};
use crate::edge::{Complaints, Problem, decode};
use crate::egress::kafka::KafkaStanding;
use crate::handle::{EngineGone, EngineHandle, Readiness};
use crate::ingress::kafka::IngressHandle;
use crate::invoker::Invoker;
use crate::ledger::{Ledger, LedgerError};
use crate::measures::Measures;

/// How long the engine thread may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a call may take until those who want its message taken out are told to come back.
const CALL_PATIENCE: Duration = Duration::from_secs(60);
/// When a caller that was told 503 may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Answers questions about the node.
pub struct Admin {
    pub(super) engine: EngineHandle,
    ledger: Arc<dyn Ledger>,
    lanes: Vec<LaneName>,
    access: Access,
    calls: Option<Invoker>,
    endpoints: Vec<EndpointName>,
    measures: Option<Arc<Measures>>,
    pub(super) kafka: Vec<IngressHandle>,
    kafka_egresses: Vec<Arc<KafkaStanding>>,
    rates: Arc<Mutex<Rates>>,
    /// Reads of the ledger at one time: the functions need its disk too.
    reads: Semaphore,
    /// How long an operation may wait for the call that is under way. Default 60 s.
    pub(super) call_patience: Duration,
    complaints: Complaints,
}

/// Bytes of the invocations of an address that are read to show it: their number is a lower bound beyond that.
const INVOCATIONS_BYTES: usize = 1 << 20;

/// Reads of the ledger that are made for the admin API at one time.
const READS_MAX: usize = 2;

/// Function types in one part of their list.
const FUNCTIONS_MAX: usize = 1000;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/healthz`.
    Health,
    /// `/readyz`.
    Ready,
    /// `/metrics`.
    Metrics,
    /// The function types.
    Functions,
    /// The Kafka ingresses.
    Ingresses,
    /// The record at which a partition of a Kafka ingress stopped, to be passed over.
    PassOver(TypeName),
    /// The Kafka egresses.
    Egresses,
    /// Records that the cluster of one refused.
    Refused(TypeName),
    /// One of them, to be removed.
    Discard(TypeName),
    /// What one address holds.
    Address(Address),
    /// Something to be done about one address.
    Operation(Action, Address),
}

/// What people have done about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The next attempt, now.
    Resume,
    /// Its first invocation out, and gone.
    Skip,
    /// Its first invocation out, and kept.
    DeadLetter,
}

impl Action {
    /// The action of a word in a path.
    fn find(word: &str) -> Option<Action> {
        match word {
            "resume" => Some(Action::Resume),
            "skip" => Some(Action::Skip),
            "dead-letter" => Some(Action::DeadLetter),
            _ => None,
        }
    }
}

impl Admin {
    /// The admin API of the node behind `engine`, whose lanes have these names.
    pub fn new(engine: EngineHandle, ledger: Arc<dyn Ledger>, lanes: &[LaneName], access: Access) -> Admin {
        Admin {
            engine,
            ledger,
            lanes: lanes.to_vec(),
            access,
            calls: None,
            endpoints: Vec::new(),
            measures: None,
            kafka: Vec::new(),
            kafka_egresses: Vec::new(),
            rates: Arc::default(),
            reads: Semaphore::new(READS_MAX),
            call_patience: CALL_PATIENCE,
            complaints: Complaints::default(),
        }
    }

    /// Lets operations wait so long for a call that is under way.
    #[cfg(test)]
    pub(super) fn with_call_patience(self, call_patience: Duration) -> Admin {
        Admin { call_patience, ..self }
    }

    /// Shows in the metrics what this invoker counts, too.
    pub fn with_calls(self, invoker: Invoker) -> Admin {
        Admin { calls: Some(invoker), ..self }
    }

    /// Says which endpoint serves a function type: those of the engine's configuration, in its order.
    pub fn with_endpoints(self, endpoints: Vec<EndpointName>) -> Admin {
        Admin { endpoints, ..self }
    }

    /// Shows in the metrics what these measures say, too.
    pub fn with_measures(self, measures: Arc<Measures>) -> Admin {
        Admin { measures: Some(measures), ..self }
    }

    /// Shows these ingresses, and has them do what people want.
    pub(crate) fn with_kafka_ingresses(self, kafka: Vec<IngressHandle>) -> Admin {
        Admin { kafka, ..self }
    }

    /// Shows how these Kafka egresses stand.
    pub fn with_kafka_egresses(self, kafka_egresses: Vec<Arc<KafkaStanding>>) -> Admin {
        Admin { kafka_egresses, ..self }
    }

    /// Keeps the rates of the metrics up to date; to be run for as long as the engine answers.
    pub fn sampler(&self) -> impl Future<Output = ()> + Send + use<> {
        let (engine, rates) = (self.engine.clone(), Arc::clone(&self.rates));
        async move {
            let mut every = tokio::time::interval(rates::EVERY);
            loop {
                every.tick().await;
                let Ok(metrics) = engine.metrics().await else { return };
                rates.lock().unwrap_or_else(PoisonError::into_inner).sample(&metrics);
            }
        }
    }

    /// The service that [`serve`](crate::edge::serve) serves.
    pub fn into_service(self) -> Router {
        Router::new().fallback(answer).with_state(Arc::new(self))
    }

    async fn serve(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Response, Problem> {
        let resource = match resource(method, uri) {
            Ok(resource @ (Resource::Health | Resource::Ready)) => resource,
            other => {
                let role = self.access.check(uri, headers)?;
                let resource = other?;
                if role < resource.role() {
                    return Err(only_reads());
                }
                resource
            }
        };
        let allowed = match resource {
            Resource::Operation(..) | Resource::PassOver(_) => "POST",
            Resource::Refused(_) | Resource::Discard(_) => "GET, HEAD, DELETE",
            _ => "GET, HEAD",
        };
        if !allowed.split(", ").any(|name| name == method.as_str()) {
            let error = format!("this is asked for with {allowed}, not {method}");
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MP7016", error);
            return Err(problem.hint(format!("send it again as {allowed}")).allow(allowed));
        }
        match resource {
            Resource::Health => Ok("alive\n".into_response()),
            Resource::Ready => Ok(ready(&self.engine.readiness())),
            Resource::Metrics => self.metrics().await,
            Resource::Functions => self.functions(uri).await,
            Resource::Ingresses => Ok(self.ingresses()),
            Resource::PassOver(ingress) => self.pass_over(&ingress, uri).await,
            Resource::Egresses => Ok(Json(EgressesPage::new(&self.kafka_egresses)).into_response()),
            Resource::Refused(egress) => self.refused(&egress, uri).await,
            Resource::Discard(egress) => self.discard(&egress, uri).await,
            Resource::Address(address) => self.address(address).await,
            Resource::Operation(Action::Resume, address) => self.resume(address).await,
            Resource::Operation(Action::Skip, address) => self.take_out(address, uri, Operation::Skip).await,
            Resource::Operation(Action::DeadLetter, address) => {
                self.take_out(address, uri, Operation::DeadLetter).await
            }
        }
    }

    async fn metrics(&self) -> Result<Response, Problem> {
        let metrics = within(self.engine.metrics()).await?;
        let ledger = Arc::clone(&self.ledger);
        let (ledger, process) = self.blocking(move || Ok((ledger.measures(), process::read()))).await?;
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let text = metrics::text(Scrape {
            metrics,
            ready: self.engine.readiness() == Readiness::Ready,
            lanes: &self.lanes,
            calls: self.calls.as_ref().map(Invoker::metrics).unwrap_or_default(),
            rates: Some(&rates),
            measures: self.measures.as_deref(),
            ledger: Some(ledger),
            process,
        });
        let text = text + &metrics::disk(&self.engine.room()) + &kafka_egress_metrics::text(&self.kafka_egresses);
        let text = text + &kafka_metrics::ingresses(&self.kafka, self.engine.is_paused());
        Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
    }

    async fn functions(&self, uri: &Uri) -> Result<Response, Problem> {
        let from = number("from", uri, 0)?;
        let limit = number("limit", uri, FUNCTIONS_MAX)?.clamp(1, FUNCTIONS_MAX);
        let (views, more) = within(self.engine.functions(from, limit)).await?;
        let next = more.then_some(from.saturating_add(views.len()));
        let stored = match views.iter().all(|view| view.learned) {
            true => Vec::new(),
            false => {
                let ledger = Arc::clone(&self.ledger);
                self.blocking(move || ledger.specs()).await?
            }
        };
        Ok(Json(FunctionsPage::new(views, next, &self.endpoints, &stored)).into_response())
    }

    async fn address(&self, address: Address) -> Result<Response, Problem> {
        // What is in memory is newer than the ledger; what is being loaded is not in memory yet.
        let view = within(self.engine.inspect(address.clone())).await?;
        let (ledger, asked) = (Arc::clone(&self.ledger), address.clone());
        let page = self.blocking(move || match view {
            Some(view) => Ok(Some(AddressPage::of_memory(&asked, view, delayed_to(&*ledger, &asked)?))),
            None => {
                let loaded = ledger.load(&Load::Address { address: asked.clone(), bytes: INVOCATIONS_BYTES })?;
                let specs = specs_of(&asked.function, ledger.specs()?);
                Ok(AddressPage::of_ledger(&asked, loaded, delayed_to(&*ledger, &asked)?, &specs))
            }
        });
        let page = page.await?.filter(|page| !page.is_empty());
        page.map(|page| Json(page).into_response()).ok_or_else(|| {
            let error = format!("nothing is known of address `{address}`");
            Problem::new(StatusCode::NOT_FOUND, "MP7014", error)
                .hint("an address is known once an invocation for it waits or has left state")
        })
    }

    /// Asks for an attempt. Whether there is one to be made, and how it ends, is not waited for.
    async fn resume(&self, address: Address) -> Result<Response, Problem> {
        let asked = self.engine.operate(address, Operation::Resume);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Answer::Stopping)) | Ok(Err(EngineGone)) => Err(gone()),
            // No answer yet: a call is under way, which is an attempt too.
            Ok(Ok(_)) | Err(_) => Ok(StatusCode::ACCEPTED.into_response()),
        }
    }

    /// Has one message taken out. The operator names it, so that what came to be first meanwhile is not touched.
    async fn take_out(
        &self,
        address: Address,
        uri: &Uri,
        operation: fn(Sequence) -> Operation,
    ) -> Result<Response, Problem> {
        let sequence: Sequence = match sequence(uri) {
            Ok(sequence) => sequence,
            Err(error) => {
                let hint = self.first_in_line(&address).await?;
                return Err(Problem::new(StatusCode::BAD_REQUEST, "MP7020", error).hint(hint));
            }
        };
        let asked = self.engine.operate(address.clone(), operation(sequence));
        match tokio::time::timeout(self.call_patience, asked).await {
            Ok(Ok(Answer::Durable)) => Ok(StatusCode::OK.into_response()),
            Ok(Ok(Answer::NotFirst)) => {
                let error = format!("message {sequence} is not first in line; nothing was done");
                let hint = self.first_in_line(&address).await?;
                Err(Problem::new(StatusCode::CONFLICT, "MP7018", error).hint(hint))
            }
            Ok(Ok(Answer::NoRoute)) => {
                let error = format!("no `deadLetter` for function type `{}`; nothing was done", address.function);
                Err(Problem::new(StatusCode::CONFLICT, "MP7019", error)
                    .hint("add `deadLetter` to the endpoint in the module, or drop the message with `skip`"))
            }
            Ok(Ok(_)) | Ok(Err(EngineGone)) => Err(gone()),
            Err(_) => {
                let error = "the function is being called; what happens to the message is decided behind that call";
                Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "MP7021", error)
                    .hint("see with `GET` of the address what became of it; asking again does no harm"))
            }
        }
    }

    /// Which message can be taken out, for those who named another one or none.
    async fn first_in_line(&self, address: &Address) -> Result<String, Problem> {
        let view = within(self.engine.inspect(address.clone())).await?;
        Ok(match view.map(|view| view.first) {
            Some(Some(first)) => format!("first in line is `sequence={first}`"),
            Some(None) => "no message waits at this address".to_owned(),
            None => "see `first` of the address: `GET /v1/addresses/{namespace}/{name}/{id}`".to_owned(),
        })
    }

    /// Records that a cluster refused, in parts.
    async fn refused(&self, egress: &TypeName, uri: &Uri) -> Result<Response, Problem> {
        let standing = Arc::clone(egresses::find(&self.kafka_egresses, egress)?);
        let read = |name, default: u64| {
            let problem = |error: String| {
                Problem::new(StatusCode::BAD_REQUEST, "MP7053", error)
                    .hint("use `…/refused?after=N&limit=N`; `after` is `next` of the part before")
            };
            match queried(name, uri.query().unwrap_or_default()).map_err(problem)? {
                Some(text) => text.parse().map_err(|_| problem(format!("`{name}` is not a number: `{}`", short(text)))),
                None => Ok(default),
            }
        };
        let (after, limit) = (read("after", 0)?, read("limit", egresses::REFUSED_MAX as u64)?);
        let (ledger, limit) = (Arc::clone(&self.ledger), usize::try_from(limit).unwrap_or(usize::MAX));
        let page = self.blocking(move || RefusedPage::read(&*ledger, &standing, after, limit)).await?;
        Ok(Json(page).into_response())
    }

    /// Has one of them removed.
    async fn discard(&self, egress: &TypeName, uri: &Uri) -> Result<Response, Problem> {
        let standing = Arc::clone(egresses::find(&self.kafka_egresses, egress)?);
        let sequence = sequence(uri).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "MP7020", error).hint("`GET` of this path lists the records")
        })?;
        let ledger = Arc::clone(&self.ledger);
        match self.blocking(move || egresses::discard(&*ledger, &standing, sequence)).await? {
            Discarded::Done => Ok(StatusCode::OK.into_response()),
            Discarded::Unknown => {
                let error = format!("egress `{egress}` keeps no refused record {sequence}; nothing was done");
                Err(Problem::new(StatusCode::NOT_FOUND, "MP7051", error).hint("`GET` of this path lists the records"))
            }
            Discarded::NotPassed => {
                let error = format!("publishing has not passed record {sequence} for good yet; nothing was done");
                Err(Problem::new(StatusCode::CONFLICT, "MP7052", error)
                    .hint("ask again when what is behind it is published"))
            }
        }
    }

    /// Does what reads the ledger or the system, on a thread that may wait.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(Ok(_turn)) = tokio::time::timeout(PATIENCE, self.reads.acquire()).await else {
            let error = "too many questions to the ledger at one time";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP7015", error)
                .hint("ask again, one at a time")
                .retry_after(RETRY_AFTER));
        };
        let error = match tokio::task::spawn_blocking(work).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if let Some(suppressed) = self.complaints.due() {
            error!(%error, code = "MP7017", suppressed, "ledger cannot be read for the admin API");
        }
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "MP7017", error).hint("see the log of the node"))
    }
}

impl Resource {
    /// Who may ask for it.
    fn role(&self) -> Role {
        match self {
            Resource::Operation(..) | Resource::Discard(_) | Resource::PassOver(_) => Role::Operate,
            _ => Role::Read,
        }
    }
}

fn only_reads() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "MP7022", "this token is for looking; nothing was done")
        .hint("show the token of `--admin-token-file`")
}

async fn answer(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let answer = admin.serve(request.method(), request.uri(), request.headers()).await;
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn ready(readiness: &Readiness) -> Response {
    let reason = match readiness {
        Readiness::Ready => return "ready\n".into_response(),
        Readiness::Starting => "starting\n".to_owned(),
        Readiness::Stopping => "stopping\n".to_owned(),
        Readiness::NoRoom(reason) => format!("no room: {reason}\n"),
        Readiness::Failed(reason) => format!("failed: {}\n", reason.lines().next().unwrap_or_default()),
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}

/// Reads a path. Parts of an address are taken as they are, empty ones too.
pub fn resource(method: &Method, uri: &Uri) -> Result<Resource, Problem> {
    let parts: Vec<&str> = uri.path().split('/').skip(1).collect();
    let queried = || queried_id(uri.query().unwrap_or_default());
    match parts[..] {
        ["healthz"] => Ok(Resource::Health),
        ["readyz"] => Ok(Resource::Ready),
        ["metrics"] => Ok(Resource::Metrics),
        ["v1", "functions"] => Ok(Resource::Functions),
        ["v1", "ingresses"] => Ok(Resource::Ingresses),
        ["v1", "ingresses", namespace, name, "skip"] => {
            Ok(Resource::PassOver(TypeName::new(&part("namespace", namespace)?, &part("ingress name", name)?)))
        }
        ["v1", "egresses"] => Ok(Resource::Egresses),
        ["v1", "egresses", namespace, name, "refused"] => {
            let egress = address(namespace, name, "")?.function;
            Ok(if *method == Method::DELETE { Resource::Discard(egress) } else { Resource::Refused(egress) })
        }
        ["v1", "addresses", namespace, name] => Ok(Resource::Address(address(namespace, name, &queried()?)?)),
        ["v1", "addresses", namespace, name, word] if *method == Method::POST && Action::find(word).is_some() => {
            operation(word, address(namespace, name, &queried()?)?)
        }
        ["v1", "addresses", namespace, name, id] => Ok(Resource::Address(address(namespace, name, &part("id", id)?)?)),
        ["v1", "addresses", namespace, name, id, word] if Action::find(word).is_some() => {
            operation(word, address(namespace, name, &part("id", id)?)?)
        }
        _ => Err(no_such_path()),
    }
}

fn operation(word: &str, address: Address) -> Result<Resource, Problem> {
    Action::find(word).map(|action| Resource::Operation(action, address)).ok_or_else(no_such_path)
}

fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "MP7016", "the admin API has no such path").hint(
        "there are `/healthz`, `/readyz`, `/metrics`, `/v1/functions`, `/v1/ingresses`, `/v1/egresses` and \
         `/v1/addresses/{namespace}/{name}/{id}`",
    )
}

fn address(namespace: &str, name: &str, id: &str) -> Result<Address, Problem> {
    Ok(Address::new(TypeName::new(&part("namespace", namespace)?, &part("function name", name)?), id))
}

/// A value of a query. Here a `+` is a space.
pub(super) fn decoded(what: &str, text: &str) -> Result<String, String> {
    let text = text.replace('+', " ");
    decode(&text).map(|text| text.into_owned()).map_err(|error| format!("the {what} cannot be read: {error}"))
}

fn part(what: &str, text: &str) -> Result<String, Problem> {
    decode(text).map(Into::into).map_err(|error| bad_address(format!("the {what} cannot be read: {error}")))
}

/// The id of `?id=`. Here a `+` is a space, as everywhere in a query.
fn queried_id(query: &str) -> Result<String, Problem> {
    match queried("id", query) {
        Ok(Some(id)) => part("id", &id.replace('+', " ")),
        Ok(None) => Err(bad_address("the path names no id".to_owned())),
        Err(error) => Err(bad_address(error)),
    }
}

/// The value of a parameter as it is written, if it is there, once.
pub(super) fn queried<'q>(name: &str, query: &'q str) -> Result<Option<&'q str>, String> {
    let mut values = query.split('&').filter_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        (found == name).then_some(value)
    });
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(format!("`{name}` is given twice")),
    }
}

/// Which message or record an operator names.
fn sequence(uri: &Uri) -> Result<u64, String> {
    match queried("sequence", uri.query().unwrap_or_default())? {
        Some(text) => text.parse().map_err(|_| format!("`sequence` is not a number: `{}`", short(text))),
        None => Err("the request does not say which message: `sequence` is missing".to_owned()),
    }
}

/// A number of the query.
fn number(name: &'static str, uri: &Uri, default: usize) -> Result<usize, Problem> {
    let problem = |error: String| {
        Problem::new(StatusCode::BAD_REQUEST, "MP7023", error)
            .hint("use `/v1/functions?from=N&limit=N`; `from` is `next` of the part before")
    };
    match queried(name, uri.query().unwrap_or_default()).map_err(problem)? {
        Some(text) => text.parse().map_err(|_| problem(format!("`{name}` is not a number: `{}`", short(text)))),
        None => Ok(default),
    }
}

/// What somebody sent, cut to a length that a message can bear.
pub(super) fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

fn bad_address(error: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "MP7013", error).hint(
        "use `/v1/addresses/{namespace}/{name}/{id}` with percent-encoded parts, or `…/{name}?id=` for an empty id",
    )
}

async fn within<T>(asked: impl Future<Output = Result<T, EngineGone>>) -> Result<T, Problem> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(|EngineGone| gone()),
        Err(_) => {
            let error = format!("the engine did not answer within {} s", PATIENCE.as_secs());
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP7015", error)
                .hint("see the log of the node")
                .retry_after(RETRY_AFTER))
        }
    }
}

pub(super) fn gone() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP7015", EngineGone.to_string())
        .hint("the node is stopping or has failed: see `/readyz`")
        .retry_after(RETRY_AFTER)
}
