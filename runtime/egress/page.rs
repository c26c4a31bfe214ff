//! A page of records as JSON: `[{"sequence": 1, "payload": "…"}, …]`.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::topic::Record;

#[derive(Serialize)]
struct Row<'a> {
    sequence: u64,
    payload: std::borrow::Cow<'a, str>,
}

/// Writes a page. Payloads are text, because the playground egress takes nothing else.
pub(super) fn json(records: &[Record]) -> Response {
    let rows: Vec<Row<'_>> = records
        .iter()
        .map(|(sequence, payload)| Row { sequence: *sequence, payload: String::from_utf8_lossy(payload) })
        .collect();
    let body = serde_json::to_vec(&rows).expect("numbers and text are JSON");
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
