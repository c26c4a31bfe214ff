//! How requests travel to an endpoint: `io.statefun.transports.v1/async` and `io.statefun.transports.v1/okhttp`.
//!
//! In: `spec.transport` of a v2 endpoint, or `spec` of a v1 endpoint, which is always okhttp. Out: [`Transport`]. Upstream
//! parses these properties when a function gets its first message; we parse them at start.

use std::num::NonZeroU32;
use std::time::Duration;

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::reference;
use super::tls::{self, Tls};
use super::yaml::Node;
use crate::errors::{self, near_miss};

const ASYNC: &str = "io.statefun.transports.v1/async";
const OKHTTP: &str = "io.statefun.transports.v1/okhttp";

/// How requests travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// `io.statefun.transports.v1/async`, the default of v2 endpoints.
    Async(AsyncTransport),
    /// `io.statefun.transports.v1/okhttp`, and every v1 endpoint.
    OkHttp(OkHttpTransport),
}

/// The properties of the async transport. They stand directly in `spec.transport`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsyncTransport {
    /// Property `call`, a duration: the time for a request with all its retries and pauses. Default 2 min, as upstream.
    /// A `timeouts` object wins and then defaults to 1 min.
    pub call: Duration,
    /// Property `connect`, a duration: the time for a TCP connect and for a free connection of the pool. Default 20 s, as
    /// upstream. A `timeouts` object wins and then defaults to 10 s.
    pub connect: Duration,
    /// Property `pool_ttl`, a duration: the age at which a connection is closed when it is next free. Default 15 s, as
    /// upstream, so that a function behind a load balancer is spread again. Zero means that age does not matter.
    pub pool_ttl: Duration,
    /// Property `pool_size`: connections to one function type. Default 1024, as upstream.
    pub pool_size: NonZeroU32,
    /// Property `payload_max_bytes`, bytes: the largest response body. Default 33554432 (32 MiB), as upstream.
    pub payload_max_bytes: u32,
    /// Properties `trust_cacerts`, `client_cert`, `client_key`, `client_key_password`: used by `https` URLs.
    pub tls: Tls,
    /// Property `http2` (ours): speak HTTP/2. Over `https` both are offered and the server chooses; on a plain URL or a Unix
    /// domain socket nothing else is spoken. Default false: upstream's async transport speaks HTTP/1.1 only.
    pub http2: bool,
}

/// The properties of the okhttp transport: its object `timeouts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OkHttpTransport {
    /// `timeouts.call`, a duration: the time for a request with all its retries. Default 1 min, as upstream.
    pub call: Duration,
    /// `timeouts.connect`, a duration: the time for a TCP connect. Default 10 s, as upstream. At most `call`.
    pub connect: Duration,
    /// `timeouts.read`, a duration: the longest pause between two reads. Default 10 s, as upstream. At most `call`.
    pub read: Duration,
    /// `timeouts.write`, a duration: the longest pause between two writes. Default 10 s, as upstream. At most `call`.
    pub write: Duration,
    /// Property `http2` (ours): as that of the async transport. Default: as upstream, offered over `https`, and not spoken
    /// on a plain connection.
    pub http2: Option<bool>,
    /// Property `verify_hostname` (ours): whether the certificate of an `https` endpoint has to be for the host of the URL.
    /// Default true.
    pub verify_hostname: bool,
}

impl Default for AsyncTransport {
    fn default() -> AsyncTransport {
        AsyncTransport {
            call: Duration::from_secs(120),
            connect: Duration::from_secs(20),
            pool_ttl: Duration::from_secs(15),
            pool_size: NonZeroU32::new(1024).unwrap_or(NonZeroU32::MIN),
            payload_max_bytes: 32 * 1024 * 1024,
            tls: Tls::default(),
            http2: false,
        }
    }
}

impl Default for OkHttpTransport {
    fn default() -> OkHttpTransport {
        OkHttpTransport {
            call: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            read: Duration::from_secs(10),
            write: Duration::from_secs(10),
            http2: None,
            verify_hostname: true,
        }
    }
}

/// Reads `spec.transport` of a v2 endpoint.
pub(crate) fn read(node: &Node, uses_tls: bool, cx: &mut Context<'_>) -> Result<Transport, Reported> {
    let mut fields = Fields::open(node, &reference::TRANSPORT, cx)?;
    let kind = match fields.get("type") {
        None => ASYNC.to_owned(),
        Some(kind) => {
            let text = cx.strict_text(kind, "type")?;
            let name = cx.parse_type_name(&text, kind, "type")?.to_string();
            if name != ASYNC && name != OKHTTP {
                let fact = format!("there is no transport `{name}`");
                let near = near_miss(&name, [ASYNC, OKHTTP]).map(|near| format!("did you mean `{near}`?"));
                let place = cx.place_of(kind);
                return Err(cx.add(
                    Diagnostic::error(errors::MP0052, fact)
                        .at(place, format!("possible: `{ASYNC}`, `{OKHTTP}`"))
                        .maybe_hint(near),
                ));
            }
            name
        }
    };
    if kind == ASYNC {
        read_async(fields, uses_tls, cx).map(Transport::Async)
    } else {
        read_okhttp_v2(fields, cx).map(Transport::OkHttp)
    }
}

fn read_async(mut fields: Fields<'_>, uses_tls: bool, cx: &mut Context<'_>) -> Result<AsyncTransport, Reported> {
    let default = AsyncTransport::default();
    let call = nullable_duration(&mut fields, "call", cx);
    let connect = nullable_duration(&mut fields, "connect", cx);
    let pool_ttl = nullable_duration(&mut fields, "pool_ttl", cx);
    let pool_size = positive(&mut fields, "pool_size", default.pool_size, cx);
    let payload_max_bytes = payload_max_bytes(&mut fields, default.payload_max_bytes, cx);
    let tls = tls::read(&mut fields, uses_tls, cx);
    let http2 = boolean(&mut fields, "http2", cx);
    let timeouts = match fields.get("timeouts").filter(|node| !node.is_null()) {
        Some(node) => migration_timeouts(node, cx).map(Some),
        None => Ok(None),
    };
    if fields.key_place("timeouts", cx).is_some() && matches!(timeouts, Ok(Some(_))) {
        for overridden in ["call", "connect"] {
            if let Some(place) = fields.key_place(overridden, cx) {
                let fact = format!("`{overridden}` has no effect beside `timeouts`");
                let hint = format!("write `timeouts.{overridden}`, or leave `timeouts` out");
                cx.add(Diagnostic::warning(errors::MP0033, fact).at(place, "ignored, as upstream does").hint(hint));
            }
        }
    }
    fields.finish(cx);
    let (call, connect, timeouts) = (call?, connect?, timeouts?);
    let (call, connect) = timeouts.unwrap_or((call.unwrap_or(default.call), connect.unwrap_or(default.connect)));
    Ok(AsyncTransport {
        call,
        connect,
        pool_ttl: pool_ttl?.unwrap_or(default.pool_ttl),
        pool_size: pool_size?,
        payload_max_bytes: payload_max_bytes?,
        tls: tls?,
        http2: http2?.unwrap_or(default.http2),
    })
}

/// `timeouts` of the async transport, a help for those who come from okhttp: it decides both values, with defaults of its
/// own for what it leaves out.
fn migration_timeouts(node: &Node, cx: &mut Context<'_>) -> Result<(Duration, Duration), Reported> {
    let mut fields = Fields::open(node, &reference::ASYNC_TIMEOUTS, cx)?;
    let call = timeout(&mut fields, "call", Duration::from_secs(60), cx);
    let connect = timeout(&mut fields, "connect", Duration::from_secs(10), cx);
    for ignored in ["read", "write"] {
        fields.without_effect(ignored, "the async transport has only `call` and `connect`", cx);
    }
    fields.finish(cx);
    Ok((call?, connect?))
}

/// Upstream reads nothing but `timeouts` of transport okhttp.
fn read_okhttp_v2(mut fields: Fields<'_>, cx: &mut Context<'_>) -> Result<OkHttpTransport, Reported> {
    let timeouts = fields.get("timeouts");
    let hint = format!("only `{ASYNC}` has this property");
    for property in ["pool_ttl", "pool_size", "payload_max_bytes"] {
        fields.without_effect(property, &hint, cx);
    }
    for property in ["trust_cacerts", "client_cert", "client_key", "client_key_password"] {
        fields.without_effect(property, &hint, cx);
    }
    for property in ["call", "connect", "read", "write"] {
        fields.without_effect(property, "write it inside `timeouts`", cx);
    }
    let http2 = boolean(&mut fields, "http2", cx);
    let verify_hostname = boolean(&mut fields, "verify_hostname", cx);
    fields.finish(cx);
    let transport = read_okhttp(timeouts.map(|node| &**node), cx)?;
    Ok(OkHttpTransport { http2: http2?, verify_hostname: verify_hostname?.unwrap_or(true), ..transport })
}

/// The object `timeouts` of okhttp, which a v1 endpoint has in its spec.
pub(crate) fn read_okhttp(timeouts: Option<&Node>, cx: &mut Context<'_>) -> Result<OkHttpTransport, Reported> {
    let default = OkHttpTransport::default();
    let Some(node) = timeouts else {
        return Ok(default);
    };
    let mut fields = Fields::open(node, &reference::OKHTTP_TIMEOUTS, cx)?;
    let call = timeout(&mut fields, "call", default.call, cx);
    let connect = timeout(&mut fields, "connect", default.connect, cx);
    let read = timeout(&mut fields, "read", default.read, cx);
    let write = timeout(&mut fields, "write", default.write, cx);
    let call = call?;
    let transport = OkHttpTransport {
        call,
        connect: at_most_call(&fields, "connect", connect?, call, cx)?,
        read: at_most_call(&fields, "read", read?, call, cx)?,
        write: at_most_call(&fields, "write", write?, call, cx)?,
        ..default
    };
    fields.finish(cx);
    Ok(transport)
}

fn at_most_call(
    fields: &Fields<'_>,
    field: &'static str,
    value: Duration,
    call: Duration,
    cx: &mut Context<'_>,
) -> Result<Duration, Reported> {
    if value <= call {
        return Ok(value);
    }
    let (value, call) = (super::duration::display(value), super::duration::display(call));
    let fact = format!("timeout `{field}` ({value}) is larger than `call` ({call})");
    let (place, label) = match fields.key_place(field, cx) {
        Some(place) => (place, format!("at most {call}")),
        None => (fields.place(), format!("`{field}` is {value} because it is not given")),
    };
    let hint = format!("write `{field}: {call}` or less, or a larger `call`");
    Err(cx.add(Diagnostic::error(errors::MP0054, fact).at(place, label).hint(hint)))
}

/// A timeout in a `timeouts` object: not zero, not null.
fn timeout(
    fields: &mut Fields<'_>,
    field: &'static str,
    default: Duration,
    cx: &mut Context<'_>,
) -> Result<Duration, Reported> {
    let Some(node) = fields.get(field) else {
        return Ok(default);
    };
    let duration = cx.duration(node, field)?;
    if duration.is_zero() {
        let place = cx.place_of(node);
        let fact = format!("timeout `{field}` is zero");
        return Err(cx.add(Diagnostic::error(errors::MP0053, fact).at(place, "has to be larger than 0")));
    }
    Ok(duration)
}

/// A duration for which null means the default.
fn nullable_duration(
    fields: &mut Fields<'_>,
    field: &'static str,
    cx: &mut Context<'_>,
) -> Result<Option<Duration>, Reported> {
    match fields.get(field).filter(|node| !node.is_null()) {
        Some(node) => cx.duration(node, field).map(Some),
        None => Ok(None),
    }
}

/// A property of ours; null is the default.
pub(crate) fn boolean(
    fields: &mut Fields<'_>,
    field: &'static str,
    cx: &mut Context<'_>,
) -> Result<Option<bool>, Reported> {
    fields.get(field).filter(|node| !node.is_null()).map(|node| cx.boolean(node, field)).transpose()
}

fn positive(
    fields: &mut Fields<'_>,
    field: &'static str,
    default: NonZeroU32,
    cx: &mut Context<'_>,
) -> Result<NonZeroU32, Reported> {
    let Some(node) = fields.get(field) else {
        return Ok(default);
    };
    let Some(number) = cx.int(node, field)? else {
        return Ok(default);
    };
    let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
    number.ok_or_else(|| cx.out_of_range(node, field, "1 to 2147483647"))
}

fn payload_max_bytes(fields: &mut Fields<'_>, default: u32, cx: &mut Context<'_>) -> Result<u32, Reported> {
    let field = "payload_max_bytes";
    let Some(node) = fields.get(field) else {
        return Ok(default);
    };
    let Some(number) = cx.int(node, field)? else {
        return Ok(default);
    };
    u32::try_from(number).map_err(|_| cx.out_of_range(node, field, "0 to 2147483647"))
}
