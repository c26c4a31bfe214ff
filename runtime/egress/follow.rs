//! Follows a topic as server-sent events: what is there, then what comes.
//!
//! Records are read page by page when the client has taken the page before, so a slow reader costs one page of memory. The
//! stream ends when the node stops; a client that comes back with `Last-Event-ID` misses nothing that is still kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::topic::{Record, Topic};
use crate::handle::EngineHandle;

/// Records of one page.
const PAGE_RECORDS: usize = 256;
/// Bytes of one page, beyond its first record.
const PAGE_BYTES: usize = 1 << 20;

/// Where a follower stands.
pub(super) struct Follower {
    pub(super) topic: Arc<Topic>,
    pub(super) engine: EngineHandle,
    /// The last sequence number that was sent.
    pub(super) after: u64,
    /// Silence after which a comment is sent, so that proxies and both ends know that the connection lives.
    pub(super) keep_alive: Duration,
    /// Its place among the followers.
    pub(super) _slot: OwnedSemaphorePermit,
}

impl Follower {
    /// The answer that follows the topic.
    pub(super) fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
        (headers, Body::from_stream(self.events())).into_response()
    }

    fn events(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        let published = self.topic.published();
        // The first piece opens the stream at once, so that a client of an empty topic knows that it is connected.
        let opening = stream::iter([Ok(Bytes::from_static(b": following\n\n"))]);
        let pages = stream::unfold((self, published), |(mut follower, mut published)| async move {
            let piece = follower.next(&mut published).await?;
            Some((Ok(piece), (follower, published)))
        });
        stream::StreamExt::chain(opening, pages)
    }

    /// The next page, or a comment when there is none for a while; `None` at the end.
    async fn next(&mut self, published: &mut watch::Receiver<u64>) -> Option<Bytes> {
        let stopping = self.engine.clone();
        tokio::select! {
            biased;
            () = stopping.stopping() => None,
            piece = tokio::time::timeout(self.keep_alive, self.page(published)) => match piece {
                Ok(page) => page,
                Err(_) => Some(Bytes::from_static(b": nothing new\n\n")),
            },
        }
    }

    async fn page(&mut self, published: &mut watch::Receiver<u64>) -> Option<Bytes> {
        loop {
            // Marked as seen before the read: what becomes durable during it wakes us again.
            published.borrow_and_update();
            match self.topic.page(self.after, PAGE_RECORDS, PAGE_BYTES).await {
                Ok(records) => {
                    if let Some((last, _)) = records.last() {
                        self.after = *last;
                        return Some(events(&records));
                    }
                }
                // The log has it.
                Err(_) => return None,
            }
            published.changed().await.ok()?;
        }
    }
}

/// Writes records as events. A line end of any kind within a payload starts a new `data:` line, so a reader sees it as
/// a line feed; the JSON form keeps it exactly.
pub fn events(records: &[Record]) -> Bytes {
    let payloads: usize = records.iter().map(|(_, payload)| payload.len() + 48).sum();
    let mut out = BytesMut::with_capacity(payloads);
    for (sequence, payload) in records {
        out.put_slice(format!("id: {sequence}\n").as_bytes());
        for line in lines(payload) {
            out.put_slice(b"data: ");
            out.put_slice(line);
            out.put_u8(b'\n');
        }
        out.put_u8(b'\n');
    }
    out.freeze()
}

/// Splits at `\r\n`, `\n` and `\r`. Always one line at least.
fn lines(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(payload);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            rest = None;
            return Some(text);
        };
        let pair = text[end..].starts_with(b"\r\n");
        rest = Some(&text[end + if pair { 2 } else { 1 }..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::events;

    /// Payloads of any shape become events that a reader takes apart again.
    #[test]
    fn payloads_as_events() {
        for (payload, expected) in [
            ("Hi", "id: 7\ndata: Hi\n\n"),
            ("", "id: 7\ndata: \n\n"),
            (" x", "id: 7\ndata:  x\n\n"),
            ("a\nb\r\nc\rd", "id: 7\ndata: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("a\n", "id: 7\ndata: a\ndata: \n\n"),
            ("id: 9\n\ndata: y", "id: 7\ndata: id: 9\ndata: \ndata: data: y\n\n"),
        ] {
            assert_eq!(events(&[(7, Bytes::from(payload))]), expected, "{payload:?}");
        }
    }
}
