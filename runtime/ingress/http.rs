//! The playground ingress: `PUT /<namespace>/<function name>/<id>`, with any method, as upstream.
//!
//! What comes in: a request. What goes out: one event to the engine, and an answer when the engine says that the event is
//! durable. Order: 200 leaves only behind that. Who owns the state: the engine; here is none.
//!
//! The status of an answer is real, and repeated in the header `Status`, where upstream puts it. A client that goes away
//! while it waits learns nothing; its event may be taken in nevertheless, which is what `Idempotency-Key` is for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use millpond_engine::{Answer, EndpointConfig, Event, Limits};
use millpond_protocol::{Address, request};

use super::idempotency;
use crate::edge::{BodyBudget, BodyError, BodyLimits, Granted, Problem, announces_too_much, discard, read};
use crate::handle::{EngineHandle, Readiness};
use crate::router::{Endpoints, PathError, target, value_type};

/// The code of the answer, as upstream's clients look for it.
const STATUS: HeaderName = HeaderName::from_static("status");
/// On the answer to a repetition.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Limits on requests.
#[derive(Debug, Clone)]
pub struct IngressLimits {
    /// Bytes of an id.
    pub id_bytes: usize,
    /// Bytes of a typename.
    pub typename_bytes: usize,
    /// Bytes of an argument, and times of a body. An argument is the body and its typename.
    pub body: BodyLimits,
    /// Bytes of all bodies that are being read or wait for their answer. Default 256 MiB.
    pub bodies_bytes: usize,
    /// How long a request waits for a paused intake. Default 10 s.
    pub pause: Duration,
}

impl IngressLimits {
    /// Those that follow from the engine's.
    pub fn new(limits: &Limits) -> IngressLimits {
        IngressLimits {
            id_bytes: limits.id_bytes,
            typename_bytes: limits.typename_bytes,
            body: BodyLimits { bytes: limits.argument_bytes, ..BodyLimits::default() },
            bodies_bytes: 256 << 20,
            pause: Duration::from_secs(10),
        }
    }
}

/// Takes events in over HTTP.
#[derive(Debug)]
pub struct HttpIngress {
    engine: EngineHandle,
    endpoints: Endpoints,
    limits: IngressLimits,
    bodies: BodyBudget,
}

impl HttpIngress {
    /// An ingress in front of this engine, whose functions these endpoints serve.
    pub fn new(engine: EngineHandle, endpoints: &[EndpointConfig], limits: IngressLimits) -> HttpIngress {
        let bodies = BodyBudget::new(limits.bodies_bytes);
        HttpIngress { engine, endpoints: Endpoints::new(endpoints), limits, bodies }
    }

    /// The service that [`serve`](crate::edge::serve) serves.
    pub fn into_service(self) -> Router {
        Router::new().fallback(accept).with_state(Arc::new(self))
    }

    /// What can be said of a request before its body is read.
    fn address(&self, parts: &Parts) -> Result<Addressed, Problem> {
        let target = target(parts.uri.path()).map_err(|error| path_problem(&error))?;
        let types = parts.headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes);
        let value_type = value_type(types).map_err(|error| {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Problem::new(status, "MP1003", error.to_string()).hint(
                "add the header `Content-Type: application/vnd.<namespace>/<name>` with the typename of the value",
            )
        })?;
        self.check_length("id", target.id.len(), self.limits.id_bytes)?;
        let function = &target.function;
        let function_bytes = function.namespace().len() + function.name().len();
        self.check_length("function type", function_bytes, self.limits.typename_bytes)?;
        self.check_length("value type", value_type.len(), self.limits.typename_bytes)?;
        let key = idempotency::key(&parts.headers).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "MP1008", error.to_string())
                .hint(format!("send one key of 1 to {} bytes", idempotency::KEY_BYTES_MAX))
        })?;
        if !self.endpoints.serve(function) {
            return Err(self.not_served(&target));
        }
        Ok(Addressed { value_type: value_type.to_owned(), target, key })
    }

    fn check_length(&self, what: &str, bytes: usize, limit: usize) -> Result<(), Problem> {
        if bytes <= limit {
            return Ok(());
        }
        let error = format!("the {what} has {bytes} bytes, more than the limit of {limit}");
        Err(Problem::new(StatusCode::BAD_REQUEST, "MP1006", error).hint(format!("shorten the {what}")))
    }

    fn not_served(&self, target: &Address) -> Problem {
        const LISTED_MAX: usize = 8;
        let error = format!("no endpoint serves function type `{}`", target.function);
        let hint = match self.endpoints.near_miss(&target.function) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declared endpoints: `{}`", self.endpoints.listed(LISTED_MAX).join("`, `")),
        };
        Problem::new(StatusCode::NOT_FOUND, "MP1007", error).hint(hint)
    }

    /// Waits until events may be taken in.
    async fn admit(&self) -> Result<(), Problem> {
        match self.engine.readiness() {
            Readiness::Ready => {}
            Readiness::Starting => return Err(not_ready("the node is starting")),
            Readiness::Stopping => return Err(not_ready("the node is stopping")),
            Readiness::NoRoom(why) => return Err(no_room(&why)),
            Readiness::Failed(_) => return Err(not_ready("the node has failed")),
        }
        tokio::select! {
            resumed = self.engine.wait_while_paused(self.limits.pause) => if resumed { Ok(()) } else {
                let error = "intake is paused: a limit of the runtime is reached";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP1010", error)
                    .hint("send it again; if this lasts, see which functions fail or are slow in `/metrics`")
                    .retry_after(RETRY_AFTER))
            },
            () = self.engine.stopping() => Err(not_ready("the node is stopping")),
        }
    }

    /// Hands the event to the engine and waits for its word.
    async fn ingest(&self, addressed: Addressed, body: Body) -> Result<Answer, Problem> {
        let Addressed { target, value_type, key } = addressed;
        let value = read(body, &self.limits.body, &self.bodies).await.map_err(|error| body_problem(&error))?;
        // The argument is a copy, so the bytes go; their grant stays, for the argument.
        let Granted { bytes: value, memory: _memory } = value;
        let argument = request::typed_value(&value_type, &value);
        if argument.len() > self.limits.body.bytes {
            return Err(body_problem(&BodyError::TooLarge(self.limits.body.bytes)));
        }
        let idempotency = key.map(|key| idempotency::guard(key, &target, &value_type, &value));
        drop(value);
        let event = Event { invocations: vec![(target, argument)], receipt: None, idempotency };
        self.engine.ingest(event).await.map_err(|_| {
            let error = "the node stopped before the event was known to be durable";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP1012", error)
                .hint("send it again with the same `Idempotency-Key`")
                .retry_after(RETRY_AFTER)
        })
    }
}

/// When a client that was told 503 may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the head of a request says.
struct Addressed {
    target: Address,
    value_type: String,
    key: Option<Box<str>>,
}

async fn accept(State(ingress): State<Arc<HttpIngress>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let too_large = announces_too_much(&body, &ingress.limits.body);
    let answer = match ready_to_read(&ingress, &parts, too_large).await {
        Ok(addressed) => ingress.ingest(addressed, body).await,
        Err(problem) => {
            // Who expects `100 Continue` has not sent the body yet and will not.
            if !parts.headers.contains_key(EXPECT) {
                discard(body, ingress.limits.body.bytes).await;
            }
            Err(problem)
        }
    };
    let mut response = answer.map_or_else(IntoResponse::into_response, answered);
    let status = response.status();
    response.headers_mut().insert(STATUS, HeaderValue::from(status.as_u16()));
    response
}

async fn ready_to_read(ingress: &HttpIngress, parts: &Parts, too_large: bool) -> Result<Addressed, Problem> {
    let addressed = ingress.address(parts)?;
    if too_large {
        return Err(body_problem(&BodyError::TooLarge(ingress.limits.body.bytes)));
    }
    ingress.admit().await?;
    Ok(addressed)
}

fn answered(answer: Answer) -> Response {
    match answer {
        Answer::Durable => StatusCode::OK.into_response(),
        Answer::Repeated => (StatusCode::OK, [(IDEMPOTENT_REPLAYED, "true")]).into_response(),
        Answer::KeyReused => {
            let error = "the `Idempotency-Key` was used before for another event; nothing was taken in";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "MP1009", error)
                .hint("give each event a key of its own, and send a repetition unchanged: target, type and body")
                .into_response()
        }
        Answer::Stopping => not_ready("the node is stopping").into_response(),
        Answer::Full => {
            let error = "the function type has as many messages waiting as it may; nothing was taken in";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP1015", error)
                .hint("send it again; if this lasts, see in `/metrics` whether the function fails or is slow")
                .retry_after(RETRY_AFTER)
                .into_response()
        }
        Answer::NotFirst | Answer::NoRoute => unreachable!("operators are answered so, producers are not"),
    }
}

fn path_problem(error: &PathError) -> Problem {
    let code = match error {
        PathError::Parts(_) => "MP1001",
        PathError::Part { .. } => "MP1002",
    };
    Problem::new(StatusCode::BAD_REQUEST, code, error.to_string())
        .hint("send to `/<namespace>/<function name>/<id>`, each part percent-encoded UTF-8")
}

fn body_problem(error: &BodyError) -> Problem {
    let problem = |status, code| Problem::new(status, code, error.to_string());
    match error {
        BodyError::TooLarge(limit) => {
            let error = format!("the argument is larger than the limit of {limit} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "MP1005", error)
                .hint("keep large payloads in an object store and send a reference")
        }
        BodyError::TooSlow(_) => problem(StatusCode::REQUEST_TIMEOUT, "MP1014").hint("send the body without pauses"),
        BodyError::Broken => problem(StatusCode::BAD_REQUEST, "MP1014").hint("send the body completely"),
        BodyError::NoMemory => problem(StatusCode::SERVICE_UNAVAILABLE, "MP1013")
            .hint("send fewer large bodies at one time")
            .retry_after(RETRY_AFTER),
    }
}

fn no_room(why: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP1016", format!("{why}; nothing was taken in"))
        .hint("make room on the disk of the data directory; intake goes on by itself")
        .retry_after(RETRY_AFTER)
}

fn not_ready(error: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "MP1011", format!("{error}; nothing was taken in"))
        .hint("send it again when the node is ready: `GET /readyz` of the admin API says so")
        .retry_after(RETRY_AFTER)
}
