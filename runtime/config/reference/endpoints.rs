//! `io.statefun.endpoints.v2/http` and `io.statefun.endpoints.v1/http`.

use super::{Field, Mapping, Section, default, optional, required};

pub(super) static SECTION_V2: Section = Section {
    heading: "io.statefun.endpoints.v2/http",
    text: "Where functions are, and how they are called. More in [endpoints](endpoints.md).",
    example: "\
kind: io.statefun.endpoints.v2/http
spec:
  functions: example/*
  urlPathTemplate: https://functions.example.com/statefun/{function.name}
  maxNumBatchRequests: 500
  failurePolicy: dead-letter
  deadLetter:
    egress: io.statefun.playground/egress
    topic: dead-letters
  headers:
    X-Team: payments
  transport:
    type: io.statefun.transports.v1/async
    call: 2min
    connect: 5s
",
    mappings: &[&ENDPOINT_V2, &TRANSPORT, &ASYNC_TIMEOUTS, &OKHTTP_TIMEOUTS, &DEAD_LETTER, &HEADERS, &HEADER],
};

pub(super) static SECTION_V1: Section = Section {
    heading: "io.statefun.endpoints.v1/http",
    text: "The older kind, always by transport okhttp. `timeouts`, `deadLetter` and `headers` are as above.",
    example: "\
kind: io.statefun.endpoints.v1/http
spec:
  functions: example/counter
  urlPathTemplate: http://127.0.0.1:8000/statefun
  timeouts:
    call: 1min
",
    mappings: &[&ENDPOINT_V1],
};

const FUNCTIONS: Field = required(
    "functions",
    "`<namespace>/<name>` or `<namespace>/*`",
    "which function types are served here. The exact name goes before the namespace",
);
const URL: Field = required(
    "urlPathTemplate",
    "URL",
    "where they are called. `{function.name}` stands for the name of the function type. `http`, `https`, `http+unix`, `https+unix`",
);
const BATCH: Field = default(
    "maxNumBatchRequests",
    "whole number",
    "1000",
    "how many messages may wait for one address before its producers are answered late. 0 and less is no limit",
);
const FAILURE_POLICY: Field = default(
    "failurePolicy",
    "`park`, `drop`, `dead-letter`",
    "park",
    "what becomes of a message that the function rejects for good ([dead letters](dead-letters.md))",
)
.ours();
const DEAD_LETTERS: Field = optional(
    "deadLetter",
    "mapping",
    "where dead letters go. `failurePolicy: dead-letter` needs it; with any other, operators may use it",
)
.ours();
const HEADERS_FIELD: Field =
    optional("headers", "mapping", "what every request carries beside upstream's headers: up to 32").ours();

pub(crate) static ENDPOINT_V2: Mapping = Mapping {
    name: "`spec`",
    title: "`spec`",
    fields: &[
        FUNCTIONS,
        URL,
        BATCH,
        default("transport", "mapping", "{type: io.statefun.transports.v1/async}", "how requests travel"),
        FAILURE_POLICY,
        DEAD_LETTERS,
        HEADERS_FIELD,
    ],
};

pub(crate) static ENDPOINT_V1: Mapping = Mapping {
    name: "`spec`",
    title: "`spec`",
    fields: &[
        FUNCTIONS,
        URL,
        BATCH,
        optional("timeouts", "mapping", "that of transport okhttp, above"),
        FAILURE_POLICY,
        DEAD_LETTERS,
        HEADERS_FIELD,
    ],
};

pub(crate) static TRANSPORT: Mapping = Mapping {
    name: "`transport`",
    title: "`transport`",
    fields: &[
        default(
            "type",
            "`io.statefun.transports.v1/async`, `io.statefun.transports.v1/okhttp`",
            "io.statefun.transports.v1/async",
            "decides which of the fields below count. Of okhttp they are `timeouts`, `http2` and `verify_hostname`",
        ),
        default("call", "duration", "2min", "the time for a request with all its retries and pauses"),
        default("connect", "duration", "20s", "the time for a TCP connect, and for a free connection of the pool"),
        default(
            "pool_ttl",
            "duration",
            "15s",
            "the age at which a connection is closed when it is next free. 0 means that age does not matter",
        ),
        default("pool_size", "whole number from 1", "1024", "how many connections one function type may have"),
        default("payload_max_bytes", "bytes", "33554432", "the largest answer that is read"),
        optional(
            "timeouts",
            "mapping",
            "where okhttp has all its times. With async it takes the place of `call` and `connect`",
        ),
        optional("trust_cacerts", "path", "a PEM file of the authorities to trust, in place of those of the platform"),
        optional("client_cert", "path", "a PEM file with the certificate to show; it goes with `client_key`"),
        optional("client_key", "path", "a PEM file with its key"),
        optional("client_key_password", "path", "a file with the password of the key; every byte of it counts"),
        default("verify_hostname", "true or false", "true", "whether a certificate has to be for the host of the URL")
            .ours(),
        optional(
            "http2",
            "true or false",
            "whether HTTP/2 is spoken. Without it async never does, and okhttp offers it over `https`",
        )
        .ours(),
    ],
};

pub(crate) static ASYNC_TIMEOUTS: Mapping = Mapping {
    name: "`timeouts`",
    title: "`transport.timeouts` of async",
    fields: &[
        default("call", "duration over 0", "1min", "as `transport.call`"),
        default("connect", "duration over 0", "10s", "as `transport.connect`"),
    ],
};

pub(crate) static OKHTTP_TIMEOUTS: Mapping = Mapping {
    name: "`timeouts`",
    title: "`transport.timeouts` of okhttp",
    fields: &[
        default("call", "duration over 0", "1min", "the time for a request with all its retries"),
        default("connect", "duration over 0", "10s", "the time for a TCP connect; at most `call`"),
        default("read", "duration over 0", "10s", "the longest pause between two reads; at most `call`"),
        default("write", "duration over 0", "10s", "the longest pause between two writes; at most `call`"),
    ],
};

pub(crate) static DEAD_LETTER: Mapping = Mapping {
    name: "`deadLetter`",
    title: "`deadLetter`",
    fields: &[
        required("egress", "type name", "the id of an egress of the application").ours(),
        required("topic", "text", "the topic of that egress").ours(),
    ],
};

/// Its names are those of headers, which nobody can list.
pub(crate) static HEADERS: Mapping = Mapping { name: "`headers`", title: "`headers`", fields: &[] };

pub(crate) static HEADER: Mapping = Mapping {
    name: "header",
    title: "one of `headers`, if it is not text",
    fields: &[
        optional("env", "text", "the variable of the environment that has the value. Either this or `file`").ours(),
        optional("file", "path", "a file that has the value; a new content is used without a restart").ours(),
        optional("prefix", "text", "stands before the value, such as `\"Bearer \"`").ours(),
    ],
};
