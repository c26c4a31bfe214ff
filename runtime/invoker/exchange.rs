//! One request and its answer: the innermost service of an invoker.
//!
//! In: an encoded request. Out: the body of a good answer, plain and within `payload_max_bytes`, or why there is none.
//! Order: a connection is put back before the slot is given on, so that there are never more connections than slots.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body_util::Full;
use tokio::time::Instant;
use tower::Service;

use super::dialect::Dialect;
use super::error::CallError;
use super::headers::Headers;
use super::pool::{Connection, Pool};
use super::socket::Wire;
use super::template::Destination;
use super::verdict;

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// An encoded `ToFunction`.
    pub(super) body: Bytes,
    /// When there has to be an answer.
    pub(super) deadline: Instant,
}

/// Sends attempts of one function type. Clones share everything.
#[derive(Clone)]
pub(super) struct Exchange(Arc<Parts>);

struct Parts {
    pool: Arc<Pool>,
    dialect: Dialect,
    target: Uri,
    /// The whole URL, as HTTP/2 wants it.
    url: Uri,
    headers: HeaderMap,
    added: Option<Arc<Headers>>,
    payload_max_bytes: usize,
}

impl Exchange {
    pub(super) fn new(
        pool: Arc<Pool>,
        dialect: Dialect,
        destination: &Destination,
        added: Option<Arc<Headers>>,
        payload_max_bytes: usize,
    ) -> Exchange {
        Exchange(Arc::new(Parts {
            pool,
            dialect,
            target: destination.target.clone(),
            url: destination.url.clone(),
            headers: dialect.headers(destination.host_header(dialect)),
            added,
            payload_max_bytes,
        }))
    }
}

impl Service<Attempt> for Exchange {
    type Response = Bytes;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Bytes, CallError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let parts = Arc::clone(&self.0);
        Box::pin(async move {
            if let Some(mut connection) = parts.pool.take() {
                match parts.send(&mut connection, attempt.body.clone()).await {
                    Err(e) if is_unseen(&connection, &e) => {}
                    result => return parts.done(connection, result),
                }
            }
            // Seldom taken and large, so it does not make the future of every call large.
            Box::pin(parts.send_on_new(attempt.body)).await
        })
    }
}

/// Whether it is certain that nobody has seen the request: the connection was closed while it lay idle and nothing left
/// this machine, or the server says so of a stream. Then it is sent once more, on a new connection.
fn is_unseen(connection: &Connection, error: &CallError) -> bool {
    match (connection, error) {
        (Connection::Whole(it), CallError::Broken(_)) => !it.has_written(),
        (Connection::Stream(_), CallError::Unseen(_)) => true,
        _ => false,
    }
}

impl Parts {
    async fn send_on_new(&self, body: Bytes) -> Result<Bytes, CallError> {
        let mut connection = self.pool.connect().await?;
        let result = match self.send(&mut connection, body).await {
            Err(error) => Err(self.pool.explain(error, connection.wire()).await),
            answered => answered,
        };
        self.done(connection, result)
    }

    async fn send(&self, connection: &mut Connection, body: Bytes) -> Result<Bytes, CallError> {
        let request = self.request(body, matches!(connection, Connection::Stream(_)));
        let read = |answer| verdict::read(answer, self.dialect, self.payload_max_bytes);
        let Dialect::OkHttp { .. } = self.dialect else {
            return match connection {
                Connection::Whole(it) => it.send(request, read).await,
                // Seldom taken, as above.
                Connection::Stream(it) => Box::pin(it.send(request, read)).await,
            };
        };
        match connection {
            Connection::Whole(it) => {
                let wire = Arc::clone(&it.wire);
                Box::pin(self.patiently(&wire, it.send(request, read))).await
            }
            Connection::Stream(it) => Box::pin(self.patiently(it.wire(), it.send(request, read))).await,
        }
    }

    fn request(&self, body: Bytes, http2: bool) -> Request<Full<Bytes>> {
        let length = HeaderValue::from(body.len());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_LENGTH, length);
        if let Some(added) = &self.added {
            added.add_to(request.headers_mut());
        }
        if http2 {
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = self.url.clone();
            request.headers_mut().remove(CONNECTION);
            request.headers_mut().remove(HOST);
        } else {
            *request.uri_mut() = self.target.clone();
        }
        request
    }

    /// Ends an exchange in which nothing moves: `timeouts.read` and `timeouts.write` of okhttp. Over HTTP/2 a connection
    /// moves as long as any of its streams does.
    async fn patiently<T>(
        &self,
        wire: &Wire,
        exchange: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let Dialect::OkHttp { read, write } = self.dialect else { return exchange.await };
        wire.touch();
        let mut exchange = pin!(exchange);
        loop {
            let (pause, blocked) = wire.pause();
            if blocked && pause >= write {
                return Err(CallError::WriteTimeout(write.as_millis()));
            }
            if !blocked && pause >= read {
                return Err(CallError::ReadTimeout(read.as_millis()));
            }
            // Whichever of the two comes next.
            let next = if pause < read.min(write) { read.min(write) } else { read.max(write) };
            if let Ok(result) = tokio::time::timeout(next.saturating_sub(pause), exchange.as_mut()).await {
                return result;
            }
        }
    }

    fn done(&self, connection: Connection, result: Result<Bytes, CallError>) -> Result<Bytes, CallError> {
        self.pool.put(connection);
        result
    }
}
