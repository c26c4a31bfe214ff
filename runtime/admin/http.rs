//! The admin API over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process lives; needs no token |
//! | `GET /readyz` | 200 when events are taken in, else 503 with the reason |
//! | `GET /metrics` | metrics in Prometheus' text format |
//! | `GET /v1/addresses/{namespace}/{name}/{id}` | what the address holds |
//! | `GET /v1/addresses/{namespace}/{name}?id=` | the same, for ids that a path cannot carry well, such as an empty one |
//! | `POST` to either path, followed by `/resume` | tries the address now if it is parked: 202 |
//!
//! Parts of the path are percent-encoded. Errors are JSON with `code`, `error` and `hint`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode, Uri};
use millpond_engine::{Answer, LaneName, Load, Operation};
use millpond_protocol::{Address, TypeName};
use tracing::error;

use super::access::Access;
use super::address::AddressPage;
use super::metrics;
use crate::edge::{Problem, decode};
use crate::handle::{EngineGone, EngineHandle, Readiness};
use crate::invoker::Invoker;
use crate::ledger::Ledger;

/// How long the engine thread may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(5);
/// When a caller that was told 503 may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Answers questions about the node.
pub struct Admin {
    engine: EngineHandle,
    ledger: Arc<dyn Ledger>,
    lanes: Vec<LaneName>,
    access: Access,
    calls: Option<Invoker>,
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Resource {
    Ready,
    Metrics,
    Address(Address),
    Resume(Address),
}

impl Admin {
    /// The admin API of the node behind `engine`, whose lanes have these names.
    pub fn new(engine: EngineHandle, ledger: Arc<dyn Ledger>, lanes: &[LaneName], access: Access) -> Admin {
        Admin { engine, ledger, lanes: lanes.to_vec(), access, calls: None }
    }

    /// Shows in the metrics what this invoker counts, too.
    pub fn with_calls(self, invoker: Invoker) -> Admin {
        Admin { calls: Some(invoker), ..self }
    }

    /// The service that [`serve`](crate::edge::serve) serves.
    pub fn into_service(self) -> Router {
        Router::new().fallback(answer).with_state(Arc::new(self))
    }

    async fn serve(&self, method: &Method, uri: &Uri) -> Result<Response, Problem> {
        let resource = resource(method, uri)?;
        let allowed = if matches!(resource, Resource::Resume(_)) { "POST" } else { "GET, HEAD" };
        if !allowed.split(", ").any(|name| name == method.as_str()) {
            let error = format!("this is asked for with {allowed}, not {method}");
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MP7016", error);
            return Err(problem.hint(format!("send it again as {allowed}")).allow(allowed));
        }
        match resource {
            Resource::Ready => Ok(ready(&self.engine.readiness())),
            Resource::Metrics => self.metrics().await,
            Resource::Address(address) => self.address(address).await,
            Resource::Resume(address) => self.resume(address).await,
        }
    }

    async fn metrics(&self) -> Result<Response, Problem> {
        let metrics = within(self.engine.metrics()).await?;
        let calls = self.calls.as_ref().map(Invoker::metrics).unwrap_or_default();
        let text = metrics::text(&metrics, self.engine.readiness() == Readiness::Ready, &self.lanes, &calls);
        Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
    }

    async fn address(&self, address: Address) -> Result<Response, Problem> {
        // What is in memory is newer than the ledger; what is being loaded is not in memory yet.
        let page = match within(self.engine.inspect(address.clone())).await? {
            Some(view) => Some(AddressPage::of_memory(&address, view)).filter(|page| !page.is_empty()),
            None => self.stored(&address).await?,
        };
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

    async fn stored(&self, address: &Address) -> Result<Option<AddressPage>, Problem> {
        let (ledger, load) = (Arc::clone(&self.ledger), Load::Address(address.clone()));
        let loaded = tokio::task::spawn_blocking(move || ledger.load(&load)).await;
        let error = match loaded {
            Ok(Ok(loaded)) => return Ok(AddressPage::of_ledger(address, loaded)),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        error!(%error, code = "MP7017", "address cannot be read from the ledger");
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "MP7017", error).hint("see the log of the node"))
    }
}

async fn answer(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let uri = request.uri();
    // Whether the process lives is no secret.
    if uri.path() == "/healthz" {
        return healthy(request.method());
    }
    let answer = match admin.access.check(uri, request.headers()) {
        Ok(()) => admin.serve(request.method(), uri).await,
        Err(problem) => Err(problem),
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn healthy(method: &Method) -> Response {
    match *method {
        Method::GET | Method::HEAD => "alive\n".into_response(),
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")]).into_response(),
    }
}

fn ready(readiness: &Readiness) -> Response {
    let reason = match readiness {
        Readiness::Ready => return "ready\n".into_response(),
        Readiness::Starting => "starting\n".to_owned(),
        Readiness::Stopping => "stopping\n".to_owned(),
        Readiness::Failed(reason) => format!("failed: {reason}\n"),
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
}

/// Reads a path. Parts of an address are taken as they are, empty ones too.
fn resource(method: &Method, uri: &Uri) -> Result<Resource, Problem> {
    let parts: Vec<&str> = uri.path().split('/').skip(1).collect();
    let queried = || queried_id(uri.query().unwrap_or_default());
    match parts[..] {
        ["readyz"] => Ok(Resource::Ready),
        ["metrics"] => Ok(Resource::Metrics),
        ["v1", "addresses", namespace, name] => Ok(Resource::Address(address(namespace, name, &queried()?)?)),
        ["v1", "addresses", namespace, name, "resume"] if *method == Method::POST => {
            Ok(Resource::Resume(address(namespace, name, &queried()?)?))
        }
        ["v1", "addresses", namespace, name, id] => Ok(Resource::Address(address(namespace, name, &part("id", id)?)?)),
        ["v1", "addresses", namespace, name, id, "resume"] => {
            Ok(Resource::Resume(address(namespace, name, &part("id", id)?)?))
        }
        _ => Err(Problem::new(StatusCode::NOT_FOUND, "MP7016", "the admin API has no such path")
            .hint("there are `/healthz`, `/readyz`, `/metrics` and `/v1/addresses/{namespace}/{name}/{id}`")),
    }
}

fn address(namespace: &str, name: &str, id: &str) -> Result<Address, Problem> {
    Ok(Address::new(TypeName::new(&part("namespace", namespace)?, &part("function name", name)?), id))
}

fn part(what: &str, text: &str) -> Result<String, Problem> {
    decode(text).map(Into::into).map_err(|error| bad_address(format!("the {what} cannot be read: {error}")))
}

/// The id of `?id=`. Here a `+` is a space, as everywhere in a query.
fn queried_id(query: &str) -> Result<String, Problem> {
    let mut ids = query.split('&').filter_map(|pair| match pair.split_once('=') {
        Some(("id", id)) => Some(id),
        None if pair == "id" => Some(""),
        _ => None,
    });
    match (ids.next(), ids.next()) {
        (Some(id), None) => part("id", &id.replace('+', " ")),
        (None, _) => Err(bad_address("the path names no id".to_owned())),
        (Some(_), Some(_)) => Err(bad_address("`id` is given twice".to_owned())),
    }
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

fn gone() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP7015", EngineGone.to_string())
        .hint("the node is stopping or has failed: see `/readyz`")
        .retry_after(RETRY_AFTER)
}
