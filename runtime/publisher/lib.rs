//! The publisher: carries the outbox of one egress to Kafka, each record exactly once.
//!
//! # The contract
//! [`Publisher`] is a plain state machine, as the engine is: no thread, clock, socket, file or random source. There is one
//! for each egress. A driver does three things, in this order, for ever:
//!
//! 1. [`Publisher::handle`] one [`Input`] together with the time, in milliseconds of a monotonic clock. Nothing of it is
//!    kept over a restart. A smaller number is read as the highest one seen.
//! 2. [`Publisher::poll`] until it gives `None`, and carry out each [`Output`] in that order.
//! 3. Wait for the next thing that happens, or for the moment that [`Publisher::wake_at`] names (then: [`Input::Tick`]).
//!
//! | output | the driver does | and answers |
//! |---|---|---|
//! | [`Output::Claim`] | writes the lineage to the ledger, ahead of every checkpoint of this process | [`Input::Claimed`] once synced |
//! | [`Output::Open`] | a new producer; `init_transactions` | [`Input::Opened`] |
//! | [`Output::EndOffset`] | the high watermark of the cursor topic, from a client of that isolation level | [`Input::EndOffset`] |
//! | [`Output::ReadCursor`] | consumes from `from` until its *position* is `upto`; keeps the last record with our key | [`Input::Cursor`] |
//! | [`Output::Fetch`] | reads the outbox of the ledger | [`Input::Fetched`] |
//! | [`Output::Begin`] | `begin_transaction` | nothing |
//! | [`Output::Send`] | `send` to the record's topic | [`Input::Delivered`] with the delivery report |
//! | [`Output::SendCursor`] | `send` to the cursor topic, under our key | [`Input::Delivered`] with the delivery report |
//! | [`Output::Commit`] | waits until `in_flight_count` is 0, then `commit_transaction` | [`Input::Committed`] |
//! | [`Output::Close`] | drops the producer and every call on it, without `abort_transaction` | nothing |
//! | [`Output::Confirm`] | the engine's `Freed`; durable some time later | nothing |
//! | [`Output::Refused`] | makes a dead letter durable under this number; told again, it is the same one | [`Input::Recorded`] once synced |
//! | [`Output::Halt`] | stops the process with this code | nothing comes any more |
//! | [`Output::Stopped`] | nothing | nothing comes any more |
//!
//! Whatever names a [`Session`] may be answered with [`Input::Failed`] instead, time-outs of the driver included; but it is
//! answered. [`Input::Disturbed`] is the client's error callback (`_TRANSPORT`, `_TIMED_OUT`, `_ALL_BROKERS_DOWN`); what the
//! client reported before a call returned is told before the answer of that call. Answers of a session that was closed
//! have no effect. Each new [`Publisher`] gets an incarnation that was never used, say 64 random bits.
//!
//! The transactional id belongs to application, ledger id and egress: two copies of a directory share it and fence each
//! other, two directories do not. The cursor topic is `<app>.outbox`, compacted, with one partition, in the egress's own
//! cluster; the key of the record is ledger id and egress.
//!
//! # What it promises
//! - A reader of committed data sees every record of the outbox exactly once; in outbox order within a partition, as long as
//!   the client keeps the order of its sends (`enable.idempotence`). Except for those that the broker refuses for good.
//! - A refused record is reported, and nothing passes it before the report is durable. It was alone in its transaction when
//!   it was refused for good: a broker refuses whole batches.
//! - Nothing is sent that is not durable, nothing is confirmed that is not committed.
//! - *Start and doubt are the same thing*: a new producer, `init_transactions`, end offset read uncommitted, cursor read
//!   committed up to there, on after max(cursor, confirmed). In doubt is: a fence, any error, a transport or time-out event
//!   while a transaction is open, a commit that took longer than [`Limits::commit_ms`]. The client speaks the first
//!   transaction protocol: a commit that it repeated may be carried out twice, and end the *next* transaction of the same
//!   producer the second time (KIP-890). A new epoch shuts out all that is still on its way.
//! - A transaction in doubt is left open and never aborted by us. `init_transactions` has the coordinator abort it, and the
//!   markers of that abort carry the new epoch to every partition of the transaction; so a record of ours that is late is
//!   turned away there. An abort by the client leaves the old epoch behind, and a late record would join the next transaction.
//! - A fence alone stops nobody: the coordinator fences a producer for a transaction that took too long, too. What stops a
//!   copy of a directory is the cursor, see [`Halt`].
//! - It never gives up on an error: it tries again, later each time up to [`Limits::backoff_ms_max`].
//!
//! # Where to read
//! [`Publisher`] (`publisher.rs`) is the table of contents. `opening.rs` is start and doubt, `transaction.rs` one transaction,
//! `refusal.rs` what the broker does not take, `lineage.rs` who may go on from a cursor, `cursor.rs` its bytes. The data that
//! crosses the border is in `input.rs`, `output.rs`, `config.rs`.
//!
//! # Deliberately not here
//! - `at-least-once`: it has no transaction and no cursor, so next to nothing of this; it is a loop of its own in the driver.
//! - A gap between transactions. What becomes durable while one is open shares the next one. A driver that wants larger
//!   ones tells [`Input::Durable`] later.
//! - A process cloned with its memory has its incarnation too. What gives it away is a cursor ahead of what it sent; two
//!   clones that send the same number of records in turn are not told apart.
//! - A copy that has nothing to publish is not stopped: only the cursor tells, and nobody reads it without need.
//! - An older state of a directory that holds every record up to the cursor passes: nothing of it was lost for publishing.
//!   Dead letters that only the newer state had are gone with it, as is all else that it had.
//! - A transaction in the cursor topic that nobody ends and that is not ours is not ended by us. It holds publishing up.
//! - The lineage grows by an entry for each start that does not get as far as the cursor.

mod config;
mod cursor;
mod input;
mod lineage;
mod opening;
mod output;
mod publisher;
mod refusal;
mod transaction;

pub use config::{Config, Limits};
pub use cursor::{CURSOR_BYTES, Cursor, CursorUnreadable};
pub use input::{Delivery, Failure, FailureKind, Input, Item};
pub use lineage::Incarnation;
pub use output::{Halt, Isolation, Notice, Output};
pub use publisher::{Phase, Publisher, View};

/// Milliseconds of a clock that only goes forward.
pub type Millis = u64;

/// Number of a record in the outbox, from 1, without a gap.
pub type Sequence = u64;

/// Offset in a partition, as the client gives it.
pub type Offset = i64;

/// One producer, from its `init_transactions` until it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u64);
