//! The functions, and what they have seen. They do as little as can be done.
//!
//! | function | a message makes it |
//! |---|---|
//! | `limits/sower` | send its number on, to each address of a block of 1,000: the message says of which function |
//! | `limits/keeper` | keep 200 bytes, and send itself a message for tomorrow |
//! | `limits/sound` | count |
//! | `limits/broken` | fail with 500 until it is mended; then count, and see that no number is missing or comes twice |

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use millpond_protocol::proto::reqreply::{Address, FromFunction, ToFunction, TypedValue, from_function, to_function};
use prost::Message as _;
use tokio::net::TcpListener;

/// Addresses that one message to a sower reaches.
pub const BLOCK: u64 = 1_000;

const STATE: &str = "state";
const STATE_TYPE: &str = "limits/State";
const STATE_BYTES: usize = 200;
const TOMORROW_MS: i64 = 24 * 60 * 60 * 1000;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Messages that keepers kept something for.
    pub kept: AtomicU64,
    /// Messages that the sound function counted.
    pub sound: AtomicU64,
    /// Attempts to call the broken one that failed.
    pub failed: AtomicU64,
    /// Messages that it counted since it was mended.
    pub mended_messages: AtomicU64,
    /// Messages that were not the next one of their address.
    pub out_of_order: AtomicU64,
    /// It answers.
    pub mended: AtomicBool,
}

/// Serves on a free port.
pub async fn serve() -> anyhow::Result<(u16, Arc<Seen>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let seen = Arc::new(Seen::default());
    let served = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let seen = Arc::clone(&served);
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, &seen));
                // A node that is killed leaves its connections.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok((port, seen))
}

async fn answer(request: Request<Incoming>, seen: &Seen) -> Result<Response<Full<Bytes>>, Infallible> {
    let function = request.uri().path().trim_start_matches('/').to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if function == "broken" && !seen.mended.load(Ordering::Relaxed) {
        seen.failed.fetch_add(1, Ordering::Relaxed);
        return Ok(status(500));
    }
    let Some(to_function::Request::Invocation(batch)) = ToFunction::decode(body).ok().and_then(|it| it.request) else {
        return Ok(status(400));
    };
    let answer = FromFunction { response: Some(respond(&function, &batch, seen)) };
    let mut response = Response::new(Full::new(Bytes::from(answer.encode_to_vec())));
    let octets = hyper::header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, octets);
    Ok(response)
}

fn status(code: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = hyper::StatusCode::from_u16(code).expect("a code that HTTP has");
    response
}

fn respond(function: &str, batch: &to_function::InvocationBatchRequest, seen: &Seen) -> from_function::Response {
    if function == "sower" {
        return from_function::Response::InvocationResult(sow(batch));
    }
    let Some(state) = batch.state.iter().find(|state| state.state_name == STATE) else {
        let missing = from_function::PersistedValueSpec {
            state_name: STATE.to_owned(),
            type_typename: STATE_TYPE.to_owned(),
            expiration_spec: None,
        };
        return from_function::Response::IncompleteInvocationContext(from_function::IncompleteInvocationContext {
            missing_values: vec![missing],
        });
    };
    let before = state.state_value.as_ref().and_then(|value| value.value.first_chunk());
    let mut last = before.map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let count = batch.invocations.len() as u64;
    let mut answer = from_function::InvocationResponse::default();
    match function {
        "keeper" => {
            last += count;
            answer.delayed_invocations = (0..count).map(|_| delayed(batch.target.clone())).collect();
            seen.kept.fetch_add(count, Ordering::Relaxed);
        }
        "broken" => {
            for invocation in &batch.invocations {
                last += 1;
                if number(invocation.argument.as_ref()).is_none_or(|number| number != last) {
                    seen.out_of_order.fetch_add(1, Ordering::Relaxed);
                }
            }
            seen.mended_messages.fetch_add(count, Ordering::Relaxed);
        }
        _ => {
            last += count;
            seen.sound.fetch_add(count, Ordering::Relaxed);
        }
    }
    let mut value = vec![b'v'; STATE_BYTES];
    value[..8].copy_from_slice(&last.to_be_bytes());
    answer.state_mutations = vec![from_function::PersistedValueMutation {
        mutation_type: from_function::persisted_value_mutation::MutationType::Modify.into(),
        state_name: STATE.to_owned(),
        state_value: Some(typed(STATE_TYPE, value)),
    }];
    from_function::Response::InvocationResult(answer)
}

/// `function number` to each address of the block that the sower's id names.
fn sow(batch: &to_function::InvocationBatchRequest) -> from_function::InvocationResponse {
    let block: u64 = batch.target.as_ref().and_then(|target| target.id.parse().ok()).unwrap_or(0);
    let mut answer = from_function::InvocationResponse::default();
    for invocation in &batch.invocations {
        let text = invocation.argument.as_ref().map(|it| String::from_utf8_lossy(&it.value)).unwrap_or_default();
        let Some((function, number)) = text.split_once(' ') else { continue };
        for place in 0..BLOCK {
            let (namespace, id) = ("limits".to_owned(), (block * BLOCK + place).to_string());
            answer.outgoing_messages.push(from_function::Invocation {
                target: Some(Address { namespace, r#type: function.to_owned(), id }),
                argument: Some(typed("limits/Number", number.as_bytes().to_vec())),
            });
        }
    }
    answer
}

fn delayed(target: Option<Address>) -> from_function::DelayedInvocation {
    from_function::DelayedInvocation {
        delay_in_ms: TOMORROW_MS,
        target,
        argument: Some(typed("limits/Number", b"0".to_vec())),
        ..from_function::DelayedInvocation::default()
    }
}

fn number(argument: Option<&TypedValue>) -> Option<u64> {
    std::str::from_utf8(&argument?.value).ok()?.parse().ok()
}

fn typed(typename: &str, value: Vec<u8>) -> TypedValue {
    TypedValue { typename: typename.to_owned(), has_value: true, value: value.into(), ..TypedValue::default() }
}
