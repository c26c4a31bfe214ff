//! Opens TCP connections: name, addresses, both families side by side, within `connect`.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use super::error::CallError;

/// How the connections of an endpoint are opened.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    http: HttpConnector<Resolver>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(limit: Duration) -> Connector {
        let mut http = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        http.set_nodelay(true);
        // As upstream: a peer that vanished without a word is found while a call waits.
        http.set_keepalive(Some(Duration::from_secs(60)));
        http.set_connect_timeout(Some(limit));
        Connector { http, limit }
    }

    pub(super) async fn connect(&self, server: &Uri) -> Result<TokioIo<TcpStream>, CallError> {
        let timed_out = || CallError::ConnectTimeout(self.limit.as_millis());
        // The connector's own limit is for each address; this one is for the name as well, and for all of them.
        match tokio::time::timeout(self.limit, self.http.clone().oneshot(server.clone())).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(e)) => Err(match cause(&e) {
                Cause::Name => CallError::Resolve(Box::new(e)),
                Cause::Time => timed_out(),
                Cause::Other => CallError::Connect(Box::new(e)),
            }),
            Err(_) => Err(timed_out()),
        }
    }
}

enum Cause {
    Name,
    Time,
    Other,
}

fn cause(error: &(dyn std::error::Error + 'static)) -> Cause {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<ResolveError>() {
            return Cause::Name;
        }
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return Cause::Time;
        }
        next = error.source();
    }
    Cause::Other
}

/// The system's resolver, with an error that can be told from that of a connect.
#[derive(Debug, Clone)]
struct Resolver(GaiResolver);

/// A name without an address.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ResolveError(io::Error);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = ResolveError;
    type Future = futures_util::future::MapErr<
        <GaiResolver as Service<Name>>::Future,
        fn(<GaiResolver as Service<Name>>::Error) -> ResolveError,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        self.0.poll_ready(cx).map_err(ResolveError)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        futures_util::TryFutureExt::map_err(self.0.call(name), ResolveError)
    }
}
