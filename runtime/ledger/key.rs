//! A key of the ledger, read: what it is of, and its words for people. `keys.rs` has the layout and writes it.

use std::fmt;

use millpond_engine::{KEY_GROUPS, LaneName, Millis, Partition, Sequence, key_group};
use millpond_protocol::{Address, TypeName};

use super::keys::{Kind, LONG, NO_GROUP};

/// A key, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A state value.
    State {
        /// Whose.
        address: Address,
        /// Its name.
        name: String,
    },
    /// When a request carried the values of an address last.
    Accessed(Address),
    /// The failure that an address is parked with.
    Failure(Address),
    /// A message that waits for its time.
    Delayed {
        /// The key group of its sender's id.
        group: u16,
        /// When it is due.
        due: Millis,
        /// Its place among those of one millisecond.
        sequence: Sequence,
    },
    /// The message that a cancellation token stands for.
    Token {
        /// The id of the senders who share it.
        id: String,
        /// The token.
        token: String,
    },
    /// The address has pending invocations.
    Listed(Address),
    /// A pending invocation.
    Pending {
        /// Its target.
        address: Address,
        /// Its place among those of the target.
        sequence: Sequence,
    },
    /// The engine's own variables.
    Meta,
    /// The last checkpoint's number and checksums.
    Chain,
    /// How far a lane has come.
    Lane(LaneName),
    /// The records that one checkpoint added to one lane.
    Outbox {
        /// The lane.
        lane: LaneName,
        /// Sequence number of the first one.
        first: u64,
    },
    /// An idempotency key.
    Idempotency {
        /// The generation it belongs to.
        generation: u64,
        /// The key.
        key: String,
    },
    /// A state that a function type declared.
    Spec {
        /// The function type.
        function: TypeName,
        /// The state.
        state: String,
    },
    /// What a function type has waiting.
    Backlog(TypeName),
    /// How far a partition of an ingress has come.
    Position(Partition),
    /// The id of the ledger.
    Identity,
    /// The starts that published a lane.
    Lineage(LaneName),
    /// A record of a lane that its egress refused for good.
    Refused {
        /// The lane.
        lane: LaneName,
        /// The number of the record.
        sequence: u64,
    },
}

impl Key {
    /// Reads a key; `None` when it is not one of ours.
    pub fn parse(bytes: &[u8]) -> Option<Key> {
        let mut rest = Rest(bytes);
        let group = rest.u16()?;
        let kind = rest.u8()?;
        let key = match kind {
            _ if kind == Kind::State as u8 => Key::State { address: rest.address(group)?, name: rest.remainder()? },
            _ if kind == Kind::Listed as u8 => Key::Listed(rest.address(group)?),
            _ if kind == Kind::Pending as u8 => Key::Pending { address: rest.address(group)?, sequence: rest.u64()? },
            _ if kind == Kind::Accessed as u8 => Key::Accessed(rest.address(group)?),
            _ if kind == Kind::Failure as u8 => Key::Failure(rest.address(group)?),
            _ if kind == Kind::Delayed as u8 => Key::Delayed {
                group: Some(group).filter(|group| *group < KEY_GROUPS)?,
                due: rest.u64()?,
                sequence: rest.u64()?,
            },
            _ if kind == Kind::Token as u8 => rest.token(group)?,
            _ if group != NO_GROUP => return None,
            _ if kind == Kind::Meta as u8 => Key::Meta,
            _ if kind == Kind::Chain as u8 => Key::Chain,
            _ if kind == Kind::Lane as u8 => Key::Lane(rest.lane()?),
            _ if kind == Kind::Outbox as u8 => Key::Outbox { lane: rest.lane()?, first: rest.u64()? },
            _ if kind == Kind::Idempotency as u8 => {
                Key::Idempotency { generation: rest.u64()?, key: rest.remainder()? }
            }
            _ if kind == Kind::Spec as u8 => Key::Spec { function: rest.typename()?, state: rest.remainder()? },
            _ if kind == Kind::Backlog as u8 => Key::Backlog(rest.typename()?),
            _ if kind == Kind::Position as u8 => Key::Position(rest.partition()?),
            _ if kind == Kind::Identity as u8 => Key::Identity,
            _ if kind == Kind::Lineage as u8 => Key::Lineage(rest.lane()?),
            _ if kind == Kind::Refused as u8 => Key::Refused { lane: rest.lane()?, sequence: rest.u64()? },
            _ => return None,
        };
        rest.0.is_empty().then_some(key)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::State { address, name } => write!(f, "state `{name}` of `{address}`"),
            Key::Accessed(address) => write!(f, "last call of `{address}`"),
            Key::Failure(address) => write!(f, "failure of `{address}`"),
            Key::Delayed { due, sequence, .. } => write!(f, "delayed message {sequence} due at {due}"),
            Key::Token { id, token } => write!(f, "cancellation token `{token}` of id `{id}`"),
            Key::Listed(address) => write!(f, "list entry of `{address}`"),
            Key::Pending { address, sequence } => {
                write!(f, "pending invocation {sequence} of `{address}`")
            }
            Key::Meta => f.write_str("variables of the engine"),
            Key::Chain => f.write_str("number of the last checkpoint"),
            Key::Lane(lane) => write!(f, "lane `{}` part `{}`", lane.egress, lane.part),
            Key::Outbox { lane, first } => {
                write!(f, "outbox records from {first} of lane `{}` part `{}`", lane.egress, lane.part)
            }
            Key::Idempotency { generation, key } => {
                write!(f, "idempotency key `{key}` of generation {generation}")
            }
            Key::Spec { function, state } => write!(f, "spec of state `{state}` of `{function}`"),
            Key::Backlog(function) => write!(f, "backlog of `{function}`"),
            Key::Position(Partition { ingress, topic, number }) => {
                write!(f, "position of partition {number} of topic `{topic}` in ingress `{ingress}`")
            }
            Key::Identity => f.write_str("id of the ledger"),
            Key::Lineage(lane) => write!(f, "starts that published lane `{}` part `{}`", lane.egress, lane.part),
            Key::Refused { lane, sequence } => {
                write!(f, "refused record {sequence} of lane `{}` part `{}`", lane.egress, lane.part)
            }
        }
    }
}

/// A key for people to read, whatever its bytes are.
pub fn describe(key: &[u8]) -> String {
    match Key::parse(key) {
        Some(key) => key.to_string(),
        None => format!("unknown key {}", key.escape_ascii()),
    }
}

/// What is left of a key that is being read.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn text_bytes(&mut self) -> Option<&'a [u8]> {
        let length = match self.u8()? {
            // A text has one form: two keys that say the same would be two places of one thing.
            LONG => usize::try_from(u32::from_be_bytes(self.array()?)).ok().filter(|long| *long >= LONG.into())?,
            short => usize::from(short),
        };
        self.take(length)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.text_bytes()?).ok()
    }

    fn remainder(&mut self) -> Option<String> {
        let text = std::str::from_utf8(self.0).ok()?;
        self.0 = &[];
        Some(text.to_owned())
    }

    fn typename(&mut self) -> Option<TypeName> {
        Some(TypeName::new(self.text()?, self.text()?))
    }

    fn address(&mut self, group: u16) -> Option<Address> {
        let address = Address::new(self.typename()?, self.text()?);
        (key_group(&address.id) == group).then_some(address)
    }

    fn token(&mut self, group: u16) -> Option<Key> {
        let id = self.text()?.to_owned();
        (key_group(&id) == group).then_some(Key::Token { id, token: self.remainder()? })
    }

    fn partition(&mut self) -> Option<Partition> {
        let (ingress, topic) = (self.typename()?, self.text()?.into());
        Some(Partition { ingress, topic, number: u32::from_be_bytes(self.array()?) })
    }

    fn lane(&mut self) -> Option<LaneName> {
        Some(LaneName { egress: self.typename()?, part: self.text()?.to_owned() })
    }
}
