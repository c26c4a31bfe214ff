//! What comes over HTTP, beside answers: paths, queries and headers of requests, and the packing of bodies.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use millpond::admin::metrics::Scrape;
use millpond::admin::{self, Access, Resource};
use millpond::edge;
use millpond::egress::EgressLimits;
use millpond::egress::follow::events;
use millpond::egress::query::Query;
use millpond::ingress::idempotency;
use millpond::invoker::coding::{Coding, Unpack};
use millpond::invoker::retry_after::{self, RETRY_AFTER_MS_MAX};
use millpond::invoker::template::{Server, Template};
use millpond::invoker::verdict::one_line;
use millpond::router;
use millpond_engine::{FunctionMetrics, LaneName, Metrics};
use millpond_protocol::{Address, TypeName, types};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::choices::Choices;
use crate::{Target, corpus};

/// The path of an event: the address that is read is read again from its parts, each percent-encoded.
pub fn event_path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(decoded) = edge::decode(&text) {
        assert!(decoded.len() <= text.len());
        assert_eq!(edge::decode(&escaped(&decoded)).as_deref(), Ok(&*decoded));
    }
    if let Ok(address) = router::target(&text) {
        let Address { function, id } = &address;
        assert!(!id.is_empty(), "a path cannot name an empty id");
        let again = format!("/{}/{}/{}", escaped(function.namespace()), escaped(function.name()), escaped(id));
        assert_eq!(router::target(&again), Ok(address));
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The value type of an event: a part of the header that names it, or that of text.
pub fn event_type(bytes: &[u8]) {
    let headers = headers(bytes, &CONTENT_TYPE);
    let sent: Vec<&[u8]> = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::as_bytes).collect();
    match router::value_type(sent.iter().copied()) {
        Ok(found) => {
            assert!(found == types::STRING || sent.contains(&&[b"application/vnd.", found.as_bytes()].concat()[..]))
        }
        Err(_) => assert!(sent.is_empty() || sent.iter().any(|value| !value.is_ascii())),
    }
}

/// Headers of one name: a line each, but for those that cannot be sent.
fn headers(bytes: &[u8], name: &HeaderName) -> HeaderMap {
    let lines = bytes.split(|byte| *byte == b'\n').take(8);
    lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).map(|value| (name.clone(), value)).collect()
}

/// `Idempotency-Key`: a key is the one header that there is, with 1 to 255 bytes; another event has another fingerprint.
pub fn idempotency_key(bytes: &[u8]) {
    let name = HeaderName::from_static("idempotency-key");
    let headers = headers(bytes, &name);
    let sent: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    let sound = matches!(sent[..], [key] if (1..=255).contains(&key.len()) && std::str::from_utf8(key).is_ok());
    match idempotency::key(&headers) {
        Ok(None) => assert!(sent.is_empty()),
        Ok(Some(key)) => assert!(sound && sent == [key.as_bytes()], "{key:?}"),
        Err(error) => assert!(!sound && error.to_string().len() < 100, "{error}"),
    }
    let mut choices = Choices::new(bytes);
    let event = event(&mut choices);
    let other = self::event(&mut choices);
    assert_eq!(fingerprint(&event), fingerprint(&event));
    assert_eq!(fingerprint(&event) == fingerprint(&other), event == other, "{event:?} {other:?}");
}

type Event = (Address, String, Bytes);

fn event(choices: &mut Choices<'_>) -> Event {
    let function = TypeName::new(&choices.text(4), &choices.text(4));
    (Address::new(function, choices.text(4)), choices.text(4), choices.bytes(4))
}

fn fingerprint((target, value_type, value): &Event) -> [u8; 16] {
    idempotency::guard("key".into(), target, value_type, value).fingerprint
}

/// The query of a reader: numbers within their limits, and the same numbers when they are written again.
pub fn egress_query(bytes: &[u8]) {
    let limits = EgressLimits::default();
    let query = match Query::parse(&String::from_utf8_lossy(bytes), &limits) {
        Ok(query) => query,
        Err(error) => return assert!(error.len() < 200 + 3 * bytes.len(), "{error}"),
    };
    assert!(query.limit.is_none_or(|limit| (1..=limits.page_records).contains(&limit)), "{query:?}");
    assert!(query.wait.is_none_or(|wait| wait <= limits.wait), "{query:?}");
    let parts = [
        query.after.map(|number| format!("after={number}")),
        query.limit.map(|number| format!("limit={number}")),
        query.wait.map(|wait| format!("wait_ms={}", wait.as_millis())),
        query.upto.map(|number| format!("upto={number}")),
    ];
    let written: Vec<String> = parts.into_iter().flatten().collect();
    assert_eq!(Query::parse(&written.join("&"), &limits), Ok(query));
}

/// The packing of answers: nothing unpacks to more than the limit, and what is packed is unpacked.
pub fn content_coding(bytes: &[u8]) {
    const LIMIT: usize = 10_000;
    let body = Bytes::copy_from_slice(bytes);
    for coding in [Coding::Identity, Coding::Gzip, Coding::Deflate] {
        match coding.unpack(body.clone(), LIMIT) {
            Ok(plain) => assert!(plain.len() <= LIMIT),
            Err(Unpack::TooLarge) => assert!(
                coding.unpack(body.clone(), LIMIT * 2).is_ok_and(|plain| plain.len() > LIMIT)
                    || bytes.len() > LIMIT / 1100
            ),
            Err(Unpack::Damaged(error)) => assert!(error.to_string().len() < 100),
        }
    }
    for (coding, packed) in [
        (Coding::Gzip, packed(GzEncoder::new(Vec::new(), Compression::fast()), bytes, GzEncoder::finish)),
        (Coding::Deflate, packed(ZlibEncoder::new(Vec::new(), Compression::fast()), bytes, ZlibEncoder::finish)),
    ] {
        assert!(coding.unpack(packed, bytes.len()).is_ok_and(|plain| plain == bytes), "{coding:?}");
    }
    // The name of a coding in the header.
    if let Err(error) = Coding::of(&headers(bytes, &CONTENT_ENCODING)) {
        assert!(error.to_string().len() < 200, "{error}");
    }
}

fn packed<E: std::io::Write>(mut encoder: E, bytes: &[u8], finish: fn(E) -> std::io::Result<Vec<u8>>) -> Bytes {
    encoder.write_all(bytes).expect("memory");
    finish(encoder).expect("memory").into()
}

/// `Retry-After`: never longer than the limit.
pub fn retry_after_header(bytes: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let headers = headers(bytes, &RETRY_AFTER);
    assert!(retry_after::parse(&headers, now).is_none_or(|wait| wait <= RETRY_AFTER_MS_MAX));
    assert!(retry_after::parse(&headers, SystemTime::UNIX_EPOCH).is_none_or(|wait| wait <= RETRY_AFTER_MS_MAX));
}

/// `urlPathTemplate`: no name of a function leads to another server, path or query than the template has room for, and what
/// is shown has no password in it.
pub fn url_template(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n').map(String::from_utf8_lossy);
    let (text, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let template = match Template::parse(&text) {
        Ok(template) => template,
        Err(error) => return assert!(error.to_string().len() < 200 + text.len()),
    };
    let ordinary = template.destination("name").expect("a template is checked with this name");
    for shown in [template.shown(), ordinary.shown] {
        let host = shown.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
        assert!(!shown.contains('?') && !host.contains('@'), "{shown}");
    }
    let Ok(found) = template.destination(&name) else { return };
    let hosted = match &ordinary.server {
        Server::Tcp { .. } => text.split("://").nth(1).unwrap_or_default().split(['/', '?']).next().unwrap_or_default(),
        // The name may stand in the path of the socket.
        Server::Unix(_) => text.split(".sock").next().unwrap_or_default(),
    };
    if !hosted.contains("{function.name}") {
        assert_eq!(found.server, ordinary.server, "{name:?}");
        assert_eq!(found.url.authority(), ordinary.url.authority(), "{name:?}");
    }
    assert_eq!(place(&found.server), place(&ordinary.server));
    let shape = |uri: &Uri| {
        let query = uri.query().map(|query| query.matches(['&', '=', ';', '+']).count());
        (uri.path().matches('/').count(), query)
    };
    assert_eq!(shape(&found.target), shape(&ordinary.target), "{name:?} in {text:?}");
    assert!(
        !found.target.path().split('/').any(|segment| matches!(segment, "." | ".."))
            || ordinary.target.path().split('/').any(|segment| matches!(segment, "." | "..")),
        "{name:?} in {text:?}"
    );
}

/// What no name may change of a server: its port, how deep in the folders its socket is.
fn place(server: &Server) -> (Option<u16>, usize) {
    match server {
        Server::Tcp { address, tls } => (address.port_u16(), usize::from(tls.is_some())),
        Server::Unix(path) => (None, path.components().count()),
    }
}

/// The admin API: what a request names, who may ask, and how values are shown.
pub fn admin_request(bytes: &[u8]) {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (target, host, origin, value) = (line(), line(), line(), line());
    if let Ok(uri) = Uri::try_from(target) {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            match admin::resource(&method, &uri) {
                Ok(Resource::Address(address) | Resource::Operation(_, address)) => {
                    let Address { function, id } = address;
                    let [namespace, name, id] = [function.namespace(), function.name(), &id].map(escaped);
                    let again: Uri = format!("/v1/addresses/{namespace}/{name}?id={id}").parse().expect("a target");
                    assert!(matches!(admin::resource(&Method::GET, &again), Ok(Resource::Address(_))), "{again}");
                }
                Ok(Resource::Health | Resource::Ready | Resource::Metrics | Resource::Functions) => {}
                Ok(Resource::Ingresses | Resource::PassOver(_)) => {}
                Ok(Resource::Egresses | Resource::Refused(_) | Resource::Discard(_)) => {}
                Err(problem) => assert!(problem.error.len() < 200 + target.len() * 3, "{problem:?}"),
            }
        }
        let mut sent = headers(host, &HOST);
        sent.extend(headers(origin, &ORIGIN));
        let access = Access::new(([127, 0, 0, 1], 8080).into(), None);
        if access.check(&uri, &sent).is_ok() && uri.authority().is_none() {
            let host = sent[HOST].to_str().expect("a host that is let in is text").to_ascii_lowercase();
            let local = ["localhost", "127.", "[", "::", "0"].iter().any(|start| host.starts_with(start));
            assert!(local && sent.get_all(HOST).iter().count() == 1, "{host}");
        }
    }
    for typename in [types::BOOL, types::INT, types::FLOAT, types::LONG, types::DOUBLE, types::STRING, "a/json"] {
        let shown = serde_json::to_string(&edge::value::shown(typename, value)).expect("it is JSON");
        assert!(shown.len() <= 400 + 6 * value.len(), "{shown}");
        serde_json::from_str::<serde_json::Value>(&shown).expect("it is JSON");
    }
    let moment = Choices::new(value).number();
    assert!(edge::time::rfc3339(moment).ends_with('Z'));
}

/// Records as server-sent events: a reader finds the numbers and the payloads, with a line feed for a line end of any kind.
pub fn event_stream(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let records = choices.some(4, |choices| (choices.number(), choices.bytes(255)));
    let written = events(&records);
    let mut read = Vec::new();
    let (mut id, mut data) = (0, Vec::new());
    for line in written.split(|byte| *byte == b'\n') {
        assert!(!line.contains(&b'\r'), "a line end within a line");
        if let Some(number) = line.strip_prefix(b"id: ") {
            id = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).expect("a number");
        } else if let Some(more) = line.strip_prefix(b"data: ") {
            data.push(more);
        } else if !data.is_empty() {
            assert!(line.is_empty(), "{line:?}");
            read.push((id, Bytes::from(std::mem::take(&mut data).join(&b'\n'))));
        }
    }
    let plain = |payload: &Bytes| {
        let text: Vec<u8> = payload
            .iter()
            .scan(0, |last, byte| {
                let pair = (std::mem::replace(last, *byte), *byte) == (b'\r', b'\n');
                Some((!pair).then_some(if *byte == b'\r' { b'\n' } else { *byte }))
            })
            .flatten()
            .collect();
        Bytes::from(text)
    };
    let expected: Vec<(u64, Bytes)> = records.iter().map(|(number, payload)| (*number, plain(payload))).collect();
    assert_eq!(read, expected);
}

/// The metrics: whatever functions and topics are called, a scraper finds each with its number, and nothing else.
pub fn metrics_text(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut metrics = Metrics::default();
    for _ in 0..choices.below(4) {
        let function = TypeName::new(&choices.text(20), &choices.text(20));
        metrics.functions.insert(function, FunctionMetrics { input: choices.number(), ..FunctionMetrics::default() });
    }
    let lane = LaneName { egress: TypeName::new("out", "topics"), part: choices.text(40) };
    metrics.lane_records = vec![choices.number()];
    let scrape =
        Scrape { metrics: metrics.clone(), ready: true, lanes: std::slice::from_ref(&lane), ..Scrape::default() };
    let text = admin::metrics::text(scrape);
    let mut found: Vec<(String, Vec<String>, u64)> =
        text.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect();
    found.retain(|(name, ..)| matches!(name.as_str(), "statefun_function_in_total" | "millpond_egress_records"));
    let mut expected =
        vec![("millpond_egress_records".to_owned(), vec!["out/topics".to_owned(), lane.part], metrics.lane_records[0])];
    expected.extend(metrics.functions.iter().map(|(function, counted)| {
        let labels = vec![function.namespace().to_owned(), function.name().to_owned()];
        ("statefun_function_in_total".to_owned(), labels, counted.input)
    }));
    assert_eq!(found, expected);
}

/// A line of metrics: its name, the values of its labels, its number.
fn sample(line: &str) -> (String, Vec<String>, u64) {
    let name_end = line.find(['{', ' ']).expect("a name");
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    while let Some(start) = rest.strip_prefix(['{', ',']) {
        let (label, value) = start.split_once("=\"").expect("a value");
        assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line:?}");
        let (mut text, mut left) = (String::new(), value.chars());
        loop {
            match left.next().expect("the end of the value") {
                '"' => break,
                '\\' => text.push(match left.next().expect("what is escaped") {
                    'n' => '\n',
                    escaped => escaped,
                }),
                other => text.push(other),
            }
        }
        labels.push(text);
        rest = left.as_str();
    }
    let number = rest.trim_start_matches('}').trim();
    // Not every number is a whole one.
    (
        name.to_owned(),
        labels,
        number.parse().unwrap_or_else(|_| {
            number.parse::<f64>().expect("a number");
            0
        }),
    )
}

/// What a function's server said, for the log: one line, no control characters, not long.
pub fn log_line(bytes: &[u8]) {
    let line = one_line(bytes);
    assert!(!line.contains(char::is_control) && line.chars().count() <= 201, "{line:?}");
    assert_eq!(one_line(line.as_bytes()).chars().count(), line.chars().count());
}

/// The list.
pub const TARGETS: &[Target] = &[
    Target {
        name: "event_path",
        run: event_path,
        corpus: || {
            corpus::texts(&["/com.example/greeter/Ann", "/a//c/", "/a/b/%2F%c3%bc", "///c", "/a/b/c;x=y?z", "*", "/"])
        },
        words: ESCAPES,
    },
    Target {
        name: "event_type",
        run: event_type,
        corpus: || corpus::texts(&["application/vnd.a/b", "text/plain\napplication/vnd.c/d; charset=utf-8", ""]),
        words: &[b"application/vnd.", b"\n", b"\xff", b"/"],
    },
    Target {
        name: "idempotency_key",
        run: idempotency_key,
        corpus: || corpus::texts(&["visit-1", "\"quoted\"", "é", "a\na", &"k".repeat(255), &"k".repeat(256)]),
        words: &[b"\n", b"\xff", "é".as_bytes(), b"\x01"],
    },
    Target {
        name: "egress_query",
        run: egress_query,
        corpus: || {
            corpus::texts(&["after=1&limit=100&wait_ms=60000", "upto=18446744073709551615", "_=1&cache", "after=%31"])
        },
        words: &[b"after", b"limit", b"upto", b"wait_ms", b"=", b"&", b"%", b"+", b"0", b"10001"],
    },
    Target {
        name: "content_coding",
        run: content_coding,
        corpus: bodies,
        words: &[b"gzip", b"deflate", b",", b"identity"],
    },
    Target {
        name: "retry_after_header",
        run: retry_after_header,
        corpus: || {
            corpus::texts(&[
                "7",
                "99999999999999999999",
                "Tue, 14 Nov 2023 22:13:50 GMT",
                "Fri, 31 Dec 9999 23:59:59 GMT",
            ])
        },
        words: &[b" ", b"GMT", b"9", b"-1", b"31", b"0000"],
    },
    Target { name: "url_template", run: url_template, corpus: templates, words: ESCAPES },
    Target {
        name: "event_stream",
        run: event_stream,
        corpus: corpus::decisions,
        words: &[b"\n", b"\r\n", b"\r", b"id: 7"],
    },
    Target {
        name: "metrics_text",
        run: metrics_text,
        corpus: corpus::decisions,
        words: &[b"\n", b"\\", b"\"", b"\\n", b"}"],
    },
    Target {
        name: "log_line",
        run: log_line,
        corpus: || corpus::texts(&["Traceback\n  File \"a.py\"", "\u{1b}[2J\u{85}"]),
        words: &[b"\n"],
    },
    Target { name: "admin_request", run: admin_request, corpus: requests, words: ESCAPES },
];

const ESCAPES: &[&[u8]] = &[
    b"/",
    b"//",
    b"%",
    b"%2F",
    b"%2e",
    b"%ff",
    b"%c3%bc",
    b"?",
    b"#",
    b"&",
    b"=",
    b"+",
    b";",
    b"@",
    b":",
    b"..",
    b".",
    b"\n",
    b"{function.name}",
    b"http://",
    b"[::1]",
    b"?id=",
    b"localhost",
    b"resume",
    "é".as_bytes(),
];

fn bodies() -> Vec<Vec<u8>> {
    let plain = b"an answer, an answer, an answer".as_slice();
    let bomb = vec![0; 100_000];
    let gzip =
        |bytes: &[u8]| packed(GzEncoder::new(Vec::new(), Compression::best()), bytes, GzEncoder::finish).to_vec();
    let zlib =
        |bytes: &[u8]| packed(ZlibEncoder::new(Vec::new(), Compression::best()), bytes, ZlibEncoder::finish).to_vec();
    let raw = |bytes: &[u8]| {
        packed(DeflateEncoder::new(Vec::new(), Compression::best()), bytes, DeflateEncoder::finish).to_vec()
    };
    let mut bodies: Vec<Vec<u8>> =
        [plain, &bomb].iter().flat_map(|bytes| [gzip(bytes), zlib(bytes), raw(bytes)]).collect();
    bodies.extend(corpus::texts(&["gzip", "identity, x-gzip", "gzip\ndeflate"]));
    bodies
}

fn templates() -> Vec<Vec<u8>> {
    corpus::texts(&[
        "http://localhost:8000/{function.name}\ngreeter",
        "http://user:pass@{function.name}.example:80/a/.{function.name}?q={function.name}\na-b",
        "http://[::1]:8000/statefun#{function.name}\n..",
        "http://example/a.{function.name}/b\n.",
        "https://example\nx",
    ])
}

fn requests() -> Vec<Vec<u8>> {
    corpus::texts(&[
        "/v1/addresses/com.example/greeter/Ann\nlocalhost:8080\nhttp://localhost:8080\n{\"a\": 1.5}",
        "/v1/addresses/a%2Fb/c?id=\n127.0.0.1\n\n\u{8}*",
        "/v1/addresses/a/b/c/resume\n[::1]:80\nnull\n[1]",
        "http://evil.example/metrics\nlocalhost",
        "/readyz\nlocalhost.",
    ])
}
