//! Functions over HTTP: as a tower service, for axum, and as a hyper service.
//!
//! A call is a POST of `application/octet-stream`, whatever its path. The statuses are those of StateFun's Go SDK, the one
//! that has an HTTP side of its own: 405 for another method, 415 for another content type, 400 for an empty body, and 500
//! with the reason as text for everything that fails behind these. The runtime reads each as "rejected", not "unreachable".

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body;

use crate::error::{BoxError, CallError, chain};
use crate::functions::Functions;

const OCTET_STREAM: &str = "application/octet-stream";

/// What both kinds of service answer with.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

impl<B> tower_service::Service<Request<B>> for Functions
where
    B: Body<Data: Send> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        let functions = self.clone();
        Box::pin(async move { Ok(functions.answer(request).await) })
    }
}

impl<B> hyper::service::Service<Request<B>> for Functions
where
    B: Body<Data: Send> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<B>) -> Answer {
        let functions = self.clone();
        Box::pin(async move { Ok(functions.answer(request).await) })
    }
}

impl Functions {
    async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data: Send> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if request.method() != Method::POST {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "a function is called with POST");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if !is_octet_stream(request.headers()) {
            let text = format!("the content type of a call is `{OCTET_STREAM}`");
            return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
        let body = match Limited::new(request.into_body(), self.request_bytes_max).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return self.unreadable(&*error),
        };
        if body.is_empty() {
            return refusal(StatusCode::BAD_REQUEST, "a call has a body");
        }
        match self.handle(body).await {
            Ok(answer) => {
                let mut response = Response::new(Full::new(answer));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OCTET_STREAM));
                response
            }
            Err(error) => failure(&error),
        }
    }

    fn unreadable(&self, error: &(dyn StdError + Send + Sync + 'static)) -> Response<Full<Bytes>> {
        if error.is::<LengthLimitError>() {
            let text = format!("the request has more than {} bytes", self.request_bytes_max);
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        refusal(StatusCode::BAD_REQUEST, format!("the request was cut off: {}", chain(error)))
    }
}

/// Absent, or `application/octet-stream` with whatever parameters.
fn is_octet_stream(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return true };
    let value = value.to_str().unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(OCTET_STREAM)
}

fn failure(error: &CallError) -> Response<Full<Bytes>> {
    let text = chain(error);
    tracing::error!(error = %text, "a call failed");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, text)
}

fn refusal(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
