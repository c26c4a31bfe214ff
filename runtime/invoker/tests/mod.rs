//! The invoker against real servers on loopback.

mod answer;
mod authority;
mod classification;
mod connections;
mod headers;
mod hostile;
mod http2;
mod okhttp;
mod server;
mod tls;
mod transport;
mod unix;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_engine::{Call, CallFailure, CallId, CallState, Effects, EgressRecord, LaneId, Limits, Rejection, Reply};
use millpond_protocol::response::EgressMessage;
use millpond_protocol::{Address, TypeName, request};

use super::{Dialect, EgressResolver, EndpointTarget, Invoker, TlsTarget};

/// Tests that are not about time must never meet a limit on it.
const LONG_MS: u64 = 60_000;

/// Knows one egress, `example/out`, and passes payloads through.
pub(super) struct OneEgress;

impl EgressResolver for OneEgress {
    fn resolve(&self, message: &EgressMessage) -> Result<EgressRecord, Rejection> {
        if (message.egress_namespace.as_str(), message.egress_type.as_str()) != ("example", "out") {
            return Err(Rejection::new("MP6001", "unknown egress"));
        }
        Ok(EgressRecord { lane: LaneId(0), record: message.argument.clone().unwrap_or_default().value })
    }
}

fn target(url: &str) -> EndpointTarget {
    EndpointTarget {
        url: url.to_owned(),
        connect: Duration::from_secs(20),
        pool_ttl: Duration::from_secs(15),
        pool_size: 1024,
        pool_idle: None,
        pool_idle_max: 1024,
        payload_max_bytes: 32 << 20,
        dialect: Dialect::Async,
        http2: false,
        tls: TlsTarget::default(),
        headers: Vec::new(),
    }
}

fn invoker(target: EndpointTarget) -> Invoker {
    Invoker::new(vec![target], Limits::default(), Arc::new(OneEgress)).expect("a good endpoint")
}

fn call() -> Call {
    Call {
        id: CallId(1),
        endpoint: 0,
        target: Address::new(TypeName::new("greeter.fns", "user"), "1"),
        states: vec![CallState {
            name: "seen".into(),
            typename: TypeName::new("io.statefun.types", "int"),
            value: None,
        }],
        invocations: vec![(None, request::typed_value("io.statefun.types/string", b"\x0a\x02Hi"))],
        timeout_ms: LONG_MS,
        attempt: 0,
    }
}

/// An answer without effects.
fn nothing() -> Reply {
    Reply::Completed(Effects::default())
}

/// One call through an invoker of its own.
async fn once(target: EndpointTarget) -> Result<Reply, CallFailure> {
    invoker(target).call(&call()).await
}

fn bytes(parts: &[&[u8]]) -> Bytes {
    parts.concat().into()
}
