//! Everything that the calls of one function type share: the layers down to its connections, and its counters.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_engine::{Call, CallFailure, Limits, Rejection, Reply};
use millpond_protocol::{TypeName, request};
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt};

use super::Endpoint;
use super::answer::{self, EgressResolver};
use super::deadline::{Deadline, DeadlineLayer};
use super::error::CallError;
use super::exchange::{Attempt, Exchange};
use super::metrics::{CallMetrics, Counters};
use super::pool::{Keep, Pool};
use super::slots::{Slots, SlotsLayer};
use super::template::Destination;

/// A longer time is cut to this one: the clock cannot count to the largest number that a module file can hold.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The way to one function type.
pub(super) struct Function {
    name: TypeName,
    /// `http://host:port/path` for `namespace/name`: how failures call it.
    at: String,
    layers: Deadline<Slots<Exchange>>,
    pub(super) pool: Arc<Pool>,
    counters: Counters,
}

impl Function {
    pub(super) fn new(name: TypeName, endpoint: &Endpoint, to: &Destination) -> Function {
        let target = &endpoint.target;
        let keep = Keep {
            ttl: (!target.pool_ttl.is_zero()).then_some(target.pool_ttl),
            idle: target.pool_idle,
            idle_max: target.pool_idle_max,
        };
        let pool = Arc::new(Pool::new(endpoint.connector.clone(), to.server.clone(), keep));
        let layers = ServiceBuilder::new()
            .layer(DeadlineLayer)
            .layer(SlotsLayer { size: target.pool_size, wait: target.connect })
            .service(Exchange::new(
                Arc::clone(&pool),
                target.dialect,
                to,
                endpoint.headers.clone(),
                target.payload_max_bytes,
            ));
        let at = format!("`{name}` at `{}`", to.shown);
        Function { name, at, layers, pool, counters: Counters::default() }
    }

    /// One attempt.
    pub(super) async fn call(
        &self,
        call: &Call,
        limits: &Limits,
        egresses: &dyn EgressResolver,
    ) -> Result<Reply, CallFailure> {
        let started = Instant::now();
        self.counters.begun();
        let deadline = started + Duration::from_millis(call.timeout_ms).min(TIMEOUT_MAX);
        let attempt = Attempt { body: encode(call), deadline };
        let answer = self.layers.clone().oneshot(attempt).await;
        let result = self.judge(answer, limits, egresses);
        self.counters.ended(started.elapsed());
        if let Err(failure) = &result {
            self.counters.failed(failure.code);
        }
        result
    }

    fn judge(
        &self,
        answer: Result<Bytes, CallError>,
        limits: &Limits,
        egresses: &dyn EgressResolver,
    ) -> Result<Reply, CallFailure> {
        let body = answer.map_err(|e| e.into_failure(&self.at))?;
        answer::decode(body, limits, egresses).map_err(|rejection| self.rejected(&rejection))
    }

    fn rejected(&self, rejection: &Rejection) -> CallFailure {
        CallFailure {
            kind: millpond_engine::FailureKind::Rejected,
            code: rejection.code,
            error: format!("{}: {}", self.at, rejection.error).into(),
            retry_after_ms: None,
        }
    }

    /// Closes connections that are of no use any more.
    pub(super) fn sweep(&self) {
        self.pool.sweep();
    }

    pub(super) fn metrics(&self) -> CallMetrics {
        CallMetrics {
            function: self.name.clone(),
            attempts: self.counters.attempts(),
            failures: self.counters.failures(),
            latency: self.counters.latency(),
            connections_open: self.pool.open(),
            connections_idle: self.pool.idle_count() as u64,
        }
    }
}

/// The body of a request.
fn encode(call: &Call) -> Bytes {
    let typenames: Vec<String> =
        call.states.iter().map(|state| [state.typename.namespace(), "/", state.typename.name()].concat()).collect();
    let states: Vec<request::State<'_>> = call
        .states
        .iter()
        .zip(&typenames)
        .map(|(state, typename)| request::State {
            name: &state.name,
            value: state.value.as_ref().map(|value| (typename.as_str(), value)),
        })
        .collect();
    let invocations: Vec<request::Invocation<'_>> = call
        .invocations
        .iter()
        .map(|(caller, argument)| request::Invocation { caller: caller.as_ref(), argument })
        .collect();
    request::encode(&call.target, &states, &invocations)
}
