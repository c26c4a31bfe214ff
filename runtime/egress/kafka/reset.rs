//! An operator's word to go on from this ledger, though its cursor in Kafka is missing, cannot be read, or says that another state
//! of the directory has published: `--reset-cursor EGRESS=WORD`.
//!
//! The word is printed when publishing is refused, and names what was found. So it is good for that one finding: when another
//! process publishes meanwhile, and at every later start, it fits no more and has no effect.
//!
//! What it does is to write a cursor that this ledger knows. A start of its own, claimed in the ledger before, is named as its
//! writer; from then on that is the history that counts, and whoever comes with another one is stopped. Order: the claim;
//! `init_transactions`, which ends what the producers of this id had open; the look at the cursors; `init_transactions` for the
//! other ledgers whose cursors are there instead of this one's; one transaction, with the new cursor and without theirs. A crash anywhere leaves what was
//! there, or the new cursor; then a new producer, so that a commit which was asked for twice ends nothing else.

use std::time::Instant;

use bytes::Bytes;
use millpond_publisher::{Cursor, Incarnation, Sequence};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use sha2::{Digest as _, Sha256};

use super::CALL;
use super::cursor_topic::{CursorKey, Found};
use super::session::{Session, Unsent};
use crate::kafka::{LOOK, Leave, Settings};

/// What an operator wants.
#[derive(Debug, Clone)]
pub(super) struct Reset {
    /// The word.
    pub(super) word: String,
    /// The start that writes the cursor. It is durable in the ledger, ahead of the one that publishes.
    pub(super) writer: u64,
    /// All starts that the ledger knows, that one and the one that publishes included.
    pub(super) lineage: Vec<Incarnation>,
    /// What the ledger knows to be published.
    pub(super) confirmed: Sequence,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The cursor is written. Publishing goes on behind this record.
    Written(Sequence),
    /// The word is that of something else.
    NoEffect,
}

/// The word for what was found, in the eyes of a ledger whose oldest known start is this one.
pub(super) fn word(key: &CursorKey, oldest: Option<u64>, found: &Found) -> String {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(&key.bytes());
    add(&oldest.unwrap_or_default().to_be_bytes());
    add(found.ours.as_ref().map_or(&b"none"[..], |(_, value)| &value[..]));
    for (ledger, value) in found.rivals() {
        add(&ledger.to_be_bytes());
        add(value);
    }
    let digest: [u8; 32] = digest.finalize().into();
    digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Reset {
    /// Where publishing goes on: behind what the ledger knows to be published, or what it has in common with the history that
    /// was published, if its writer is known here.
    pub(super) fn position(&self, found: &Found) -> Sequence {
        let cursor = found.ours.as_ref().and_then(|(_, value)| Cursor::decode(value).ok());
        let common = cursor.and_then(|cursor| {
            let writer = self.lineage.iter().position(|start| start.id == cursor.incarnation)?;
            let next = self.lineage.get(writer + 1)?;
            Some(next.after.min(cursor.sequence))
        });
        common.unwrap_or(0).max(self.confirmed)
    }

    /// Carries it out. To be done again after an error.
    pub(super) fn carry_out(
        &self,
        of: &Place<'_>,
        look: impl FnOnce() -> Result<Found, KafkaError>,
    ) -> Result<Outcome, KafkaError> {
        let mut session = of.session(of.key.ledger)?;
        let found = look()?;
        if let Some(cursor) = found.ours.as_ref().and_then(|(_, value)| Cursor::decode(value).ok())
            && cursor.incarnation == self.writer
        {
            // It was written before, and nobody said so.
            return Ok(Outcome::Written(cursor.sequence));
        }
        if word(of.key, self.lineage.first().map(|start| start.id), &found) != self.word {
            return Ok(Outcome::NoEffect);
        }
        for (ledger, _) in found.rivals() {
            of.session(ledger)?;
        }
        let sequence = self.position(&found);
        let cursor = Cursor { ledger: of.key.ledger, incarnation: self.writer, sequence, checkpoint: 0 };
        session.begin()?;
        send(&mut session, of.topic, &of.key.bytes(), Some(&cursor.encode()))?;
        for (ledger, _) in found.rivals() {
            let key = CursorKey { ledger, ..of.key.clone() };
            send(&mut session, of.topic, &key.bytes(), None)?;
        }
        reported(&mut session, of.leave)?;
        session.commit(CALL)?;
        Ok(Outcome::Written(sequence))
    }
}

/// Where cursors are written, and how.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) topic: &'a str,
    pub(super) key: &'a CursorKey,
    pub(super) settings: &'a Settings,
    /// The transactional id that belongs to a ledger.
    pub(super) id: &'a dyn Fn(u128) -> String,
    pub(super) leave: &'a Leave,
}

impl Place<'_> {
    /// A producer under the id of this ledger, behind all that others did under it.
    fn session(&self, ledger: u128) -> Result<Session<()>, KafkaError> {
        let mut settings = self.settings.clone();
        settings.set("transactional.id", (self.id)(ledger));
        let session = Session::new(self.name, &settings, self.leave)?;
        session.init_transactions(CALL)?;
        Ok(session)
    }
}

fn send(session: &mut Session<()>, topic: &str, key: &[u8], value: Option<&Bytes>) -> Result<(), KafkaError> {
    session.send_to((), topic, Some(key), value.map(|value| &value[..]), None).map_err(|unsent| match unsent {
        Unsent::Failed(error) => error,
        Unsent::Refused(_) => KafkaError::MessageProduction(RDKafkaErrorCode::InvalidRecord),
    })
}

/// Waits until the broker has everything that was sent.
fn reported(session: &mut Session<()>, leave: &Leave) -> Result<(), KafkaError> {
    let deadline = Instant::now() + CALL;
    while session.unreported() > 0 {
        if let Some(error) = session.events().reports.into_iter().find_map(|((), error)| error) {
            return Err(session.why().unwrap_or(error));
        }
        if leave.is_told() {
            return Err(KafkaError::Canceled);
        }
        if Instant::now() > deadline {
            return Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut));
        }
        std::thread::sleep(LOOK / 10);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use millpond_publisher::{Cursor, Incarnation};

    use super::{Reset, word};
    use crate::egress::kafka::cursor_topic::{CursorKey, Found};

    fn cursor(incarnation: u64, sequence: u64) -> Bytes {
        Cursor { ledger: 1, incarnation, sequence, checkpoint: 0 }.encode()
    }

    fn found(ours: Option<Bytes>) -> Found {
        Found { ours: ours.map(|value| (7, value)), others: BTreeMap::new() }
    }

    /// What a known writer published and this ledger has is not published again; of an unknown one only what was confirmed counts.
    #[test]
    fn where_publishing_goes_on() {
        // Start 10 found nothing, start 11 found 50 records; 90 writes the cursor, 91 publishes.
        let start = |id, after| Incarnation { id, after };
        let lineage = vec![start(10, 0), start(11, 50), start(90, 60), start(91, 60)];
        let reset = Reset { word: String::new(), writer: 90, lineage, confirmed: 40 };
        for (ours, expected) in [
            (None, 40),
            (Some(cursor(77, 300)), 40),
            (Some(cursor(10, 300)), 50),
            (Some(cursor(11, 300)), 60),
            (Some(cursor(11, 55)), 55),
            (Some(cursor(11, 3)), 40),
            (Some(Bytes::from_static(b"no cursor")), 40),
        ] {
            assert_eq!(reset.position(&found(ours.clone())), expected, "{ours:?}");
        }
    }

    /// A word is that of one finding.
    #[test]
    fn words() {
        let key = |ledger, egress: &str| CursorKey { ledger, egress: egress.to_owned() };
        let other = |value: Bytes| Found { ours: None, others: [(9, value)].into() };
        let words = [
            word(&key(1, "a/b"), Some(10), &found(None)),
            word(&key(2, "a/b"), Some(10), &found(None)),
            word(&key(1, "a/c"), Some(10), &found(None)),
            word(&key(1, "a/b"), Some(11), &found(None)),
            word(&key(1, "a/b"), Some(10), &found(Some(cursor(77, 1)))),
            word(&key(1, "a/b"), Some(10), &found(Some(cursor(77, 2)))),
            word(&key(1, "a/b"), Some(10), &other(cursor(77, 1))),
            word(&key(1, "a/b"), Some(10), &other(cursor(77, 2))),
        ];
        for (at, one) in words.iter().enumerate() {
            assert!(one.len() == 12 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
            assert!(!words[at + 1..].contains(one), "{words:?}");
        }
        // Where it is says nothing about it, nor what others do while it is there.
        let moved = Found { ours: Some((8, cursor(77, 1))), others: [(9, cursor(77, 1))].into() };
        assert_eq!(word(&key(1, "a/b"), Some(10), &moved), words[4]);
    }
}
