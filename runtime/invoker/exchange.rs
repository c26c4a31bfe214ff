//! One request and its answer: the innermost service of an invoker.
//!
//! In: an encoded request. Out: the body of a good answer, plain and within `payload_max_bytes`, or why there is none.
//! Order: a connection is put back before the slot is given on, so that there are never more connections than slots.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use tokio::time::Instant;
use tower::Service;

use super::coding;
use super::connection::Connection;
use super::error::CallError;
use super::pool::Pool;
use super::template::Destination;
use super::verdict::{self, OCTET_STREAM};

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
    target: Uri,
    headers: HeaderMap,
    payload_max_bytes: usize,
}

impl Exchange {
    pub(super) fn new(pool: Arc<Pool>, destination: &Destination, payload_max_bytes: usize) -> Exchange {
        Exchange(Arc::new(Parts {
            pool,
            target: destination.target.clone(),
            headers: headers(destination.host.clone()),
            payload_max_bytes,
        }))
    }
}

/// What every request carries, in upstream's order; each puts its own length in place of the zero.
fn headers(host: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCTET_STREAM));
    headers.insert(ACCEPT, HeaderValue::from_static(OCTET_STREAM));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::OFFERED));
    headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    headers.insert(USER_AGENT, HeaderValue::from_static("statefun"));
    headers.insert(HOST, host);
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers
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
                    // Closed while it lay idle, and nothing of the request left this machine: it cannot have been seen.
                    Err(CallError::Broken(_)) if !connection.has_written() => {}
                    result => return parts.done(connection, result),
                }
            }
            // Seldom taken and large, so it does not make the future of every call large.
            Box::pin(parts.send_on_new(attempt.body)).await
        })
    }
}

impl Parts {
    async fn send_on_new(&self, body: Bytes) -> Result<Bytes, CallError> {
        let mut connection = self.pool.connect().await?;
        let result = self.send(&mut connection, body).await;
        self.done(connection, result)
    }

    async fn send(&self, connection: &mut Connection, body: Bytes) -> Result<Bytes, CallError> {
        let length = HeaderValue::from(body.len());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(CONTENT_LENGTH, length);
        connection.send(request, |answer| verdict::read(answer, self.payload_max_bytes)).await
    }

    fn done(&self, connection: Box<Connection>, result: Result<Bytes, CallError>) -> Result<Bytes, CallError> {
        self.pool.put(connection);
        result
    }
}
