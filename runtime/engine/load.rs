//! What the engine reads from the ledger, and what it gets.
//!
//! A load sees at least every checkpoint that was durable when the engine asked; it may see later ones. The engine copes
//! with both, because an address that is being loaded keeps everything that arrived since in memory, and sequence numbers
//! tell what is there twice.

use std::sync::Arc;

use millpond_protocol::Address;

use crate::{CallId, DelayedMessage, IdempotencyEntry, Invocation, Millis, Sequence, StateValue};

/// A question to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// Everything about one address.
    Address(Address),
    /// Addresses with pending invocations, in the order of [`Place`](crate::Place), behind `after`, which need not be
    /// listed any more.
    Pending {
        /// The last one of the page before.
        after: Option<Address>,
        /// At most so many.
        limit: usize,
    },
    /// Delayed messages in the order of their time, behind `after`.
    Delayed {
        /// Due time and sequence number of the last one known.
        after: (Millis, Sequence),
        /// At most so many.
        limit: usize,
    },
    /// Which delayed messages these tokens stand for.
    Tokens {
        /// Id of the senders who share them.
        id: Arc<str>,
        /// The tokens.
        tokens: Vec<Arc<str>>,
        /// The call whose answer waits for it.
        call: CallId,
    },
    /// What was recorded under an idempotency key in either of two generations.
    Idempotency {
        /// The key.
        key: Box<str>,
        /// Generations to look in, newest first.
        generations: [u64; 2],
    },
}

/// The ledger's answer to a [`Load`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// To [`Load::Address`].
    Address {
        /// Which one.
        address: Address,
        /// All its state values, declared or not, by name, in byte order. States and pending invocations are of one
        /// checkpoint: never an older state with the invocation that changed it gone.
        states: Vec<(Arc<str>, StateValue)>,
        /// Its pending invocations, in order.
        pending: Vec<(Sequence, Invocation)>,
        /// True when the ledger lists it among those with pending invocations.
        listed: bool,
        /// When a request carried its values last, if any of them expires after that.
        accessed: Option<Millis>,
    },
    /// To [`Load::Pending`].
    Pending {
        /// The page.
        addresses: Vec<Address>,
        /// False when this was the last page.
        more: bool,
    },
    /// To [`Load::Delayed`].
    Delayed {
        /// The place that was named.
        after: (Millis, Sequence),
        /// The page: due time, sequence number, message.
        messages: Vec<(Millis, Sequence, DelayedMessage)>,
        /// False when there are no more.
        more: bool,
    },
    /// To [`Load::Tokens`].
    Tokens {
        /// The call that was named.
        call: CallId,
        /// Due time and sequence number of the message behind each token that stands for one.
        found: Vec<(Arc<str>, (Millis, Sequence))>,
    },
    /// To [`Load::Idempotency`].
    Idempotency {
        /// The key that was asked for.
        key: Box<str>,
        /// What was recorded under it.
        found: Option<IdempotencyEntry>,
    },
}
