//! What the engine reads from the ledger, and what it gets.
//!
//! A load sees at least every checkpoint that was durable when the engine asked; it may see later ones. The engine copes
//! with both, because an address that is being loaded keeps everything that arrived since in memory, and sequence numbers
//! tell what is there twice.

use std::sync::Arc;

use millpond_protocol::{Address, TypeName};

use crate::{
    CallId, DelayedMessage, Expiration, FailureRecord, IdempotencyEntry, Invocation, Millis, Sequence, StateValue,
};

/// The lives of values, by function type and state.
pub type Lives = Vec<(TypeName, Arc<str>, Expiration)>;

/// A question to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// One address: all about it but its invocations, of which the first ones only.
    Address {
        /// Which one.
        address: Address,
        /// At most so many bytes of invocations ([`Invocation::bytes`]); one always fits.
        bytes: usize,
    },
    /// More invocations of one address.
    Mailbox {
        /// Which one.
        address: Address,
        /// From this number on.
        from: Sequence,
        /// At most so many bytes ([`Invocation::bytes`]); one always fits.
        bytes: usize,
    },
    /// Addresses with pending invocations, in the order of [`Place`](crate::Place), behind `after`, which need not be
    /// listed any more.
    Pending {
        /// Names this question.
        page: u64,
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
    /// Addresses with values that are over.
    Expired {
        /// Behind this one; `None` is from the first one on.
        after: Option<Address>,
        /// About so many rows are looked at; one address always fits.
        rows: usize,
        /// What time it is.
        now: Millis,
        /// How long values live; those that are not named live for ever.
        lives: Arc<Lives>,
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
    Address(LoadedAddress),
    /// To [`Load::Mailbox`].
    Mailbox {
        /// Which address.
        address: Address,
        /// The number that was named.
        from: Sequence,
        /// The page, in order.
        pending: Vec<(Sequence, Invocation)>,
        /// True when there are more.
        more: bool,
    },
    /// To [`Load::Pending`].
    Pending {
        /// The question.
        page: u64,
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
    /// To [`Load::Expired`].
    Expired {
        /// Addresses with at least one value that is over. A value that was written meanwhile is not.
        over: Vec<Address>,
        /// True when there are values among the others that will be over some day.
        alive: bool,
        /// The last address that was looked at; `None` when there are no more behind it.
        next: Option<Address>,
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

/// All of one address but the invocations that did not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedAddress {
    /// Which one.
    pub address: Address,
    /// All its state values, declared or not, by name, in byte order. States and pending invocations are of one
    /// checkpoint: never an older state with the invocation that changed it gone.
    pub states: Vec<(Arc<str>, StateValue)>,
    /// Its first pending invocations, in order.
    pub pending: Vec<(Sequence, Invocation)>,
    /// True when there are more of them.
    pub more: bool,
    /// The failure that it was parked with.
    pub failure: Option<FailureRecord>,
    /// True when the ledger lists it among those with pending invocations.
    pub listed: bool,
    /// When a request carried its values last, if any of them expires after that.
    pub accessed: Option<Millis>,
}
