//! Keys of the ledger: what they are made of, and their order.
//!
//! ```text
//! key      = group kind part*
//! group    = u16, big endian: the key group of the id, or FFFF for what belongs to no address
//! kind     = u8, see `Kind`; no number is used twice, in either column family
//! text     = length bytes; the length is one byte up to 254, else FF and a u32, big endian
//! address  = text(namespace) text(name) text(id)
//! lane     = text(egress namespace) text(egress name) text(part)
//! sequence = u64, big endian
//!
//! family  kind                key behind group and kind
//! values  10 state            address, name of the state (to the end of the key)
//! values  11 accessed         address
//! values  12 failure          address
//! queues  20 listed           address
//! queues  21 pending          address, sequence
//! queues  22 delayed          due time (u64, big endian), sequence; the group is that of the sender's id
//! queues  23 token            text(id of the senders), token (to the end of the key)
//! queues  80 meta             -
//! queues  81 chain            -
//! queues  82 lane             lane
//! queues  83 outbox           lane, sequence of the first record in it
//! queues  84 idempotency      generation (u64, big endian), key (to the end of the key)
//! queues  85 spec             text(namespace) text(name) of the function, name of the state (to the end of the key)
//! queues  86 backlog          text(namespace) text(name) of the function
//! queues  87 position         text(ingress namespace) text(ingress name) text(topic), number of the partition (u32, big endian)
//! queues  88 identity         -
//! queues  89 lineage          lane
//! queues  8a refused          lane, sequence
//! ```
//!
//! A length stands in front of each text, so no address is a prefix of another one and everything that belongs to one
//! address is one exact range. The order of two addresses is that of their key groups, then namespace, name and id, of
//! which the shorter comes first and equally long ones are in byte order: the order of [`Place`](millpond_engine::Place).
//! This layout is part of the format of the directory. It grows by new kinds; what is here does not change.

use millpond_engine::{LaneName, Millis, Partition, Sequence, key_group};
use millpond_protocol::{Address, TypeName};

use super::key::Rest;
pub use super::key::{Key, describe};

/// The group of what belongs to no address. Key groups are below.
pub const NO_GROUP: u16 = 0xffff;

/// What a key is for: its third byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A state value.
    State = 0x10,
    /// When a request carried the values of an address last.
    Accessed = 0x11,
    /// The failure that an address is parked with.
    Failure = 0x12,
    /// The address has pending invocations.
    Listed = 0x20,
    /// A pending invocation.
    Pending = 0x21,
    /// A message that waits for its time.
    Delayed = 0x22,
    /// The message that a cancellation token stands for.
    Token = 0x23,
    /// The engine's own variables.
    Meta = 0x80,
    /// The last checkpoint's number and checksums.
    Chain = 0x81,
    /// How far a lane has come.
    Lane = 0x82,
    /// The records that one checkpoint added to one lane.
    Outbox = 0x83,
    /// An idempotency key.
    Idempotency = 0x84,
    /// A state that a function type declared.
    Spec = 0x85,
    /// What a function type has waiting.
    Backlog = 0x86,
    /// How far a partition of an ingress has come.
    Position = 0x87,
    /// The id of the ledger.
    Identity = 0x88,
    /// The starts that published a lane.
    Lineage = 0x89,
    /// A record of a lane that its egress refused for good.
    Refused = 0x8a,
}

/// The key of the engine's own variables.
pub const META: &[u8] = &[0xff, 0xff, Kind::Meta as u8];

/// The key of the last checkpoint's number and checksums.
pub const CHAIN: &[u8] = &[0xff, 0xff, Kind::Chain as u8];

/// What all keys of lanes begin with.
pub const LANES: &[u8] = &[0xff, 0xff, Kind::Lane as u8];

/// What all keys of specs begin with.
pub const SPECS: &[u8] = &[0xff, 0xff, Kind::Spec as u8];

/// The key of the ledger's id.
pub const IDENTITY: &[u8] = &[0xff, 0xff, Kind::Identity as u8];

/// What all keys of positions begin with.
pub const POSITIONS: &[u8] = &[0xff, 0xff, Kind::Position as u8];

/// What all keys of backlogs begin with.
pub const BACKLOGS: &[u8] = &[0xff, 0xff, Kind::Backlog as u8];

/// Makes keys, one at a time, in memory that is used again.
#[derive(Debug, Default)]
pub struct KeyBuffer(Vec<u8>);

impl KeyBuffer {
    /// The key of a state value.
    pub fn state(&mut self, address: &Address, name: &str) -> &[u8] {
        self.of_address(Kind::State, address);
        self.0.extend_from_slice(name.as_bytes());
        &self.0
    }

    /// What the keys of all state values of an address begin with, and no other key.
    pub fn states(&mut self, address: &Address) -> &[u8] {
        self.of_address(Kind::State, address);
        &self.0
    }

    /// The key of the time at which a request carried the values of an address last.
    pub fn accessed(&mut self, address: &Address) -> &[u8] {
        self.of_address(Kind::Accessed, address);
        &self.0
    }

    /// The key of the failure that an address is parked with.
    pub fn failure(&mut self, address: &Address) -> &[u8] {
        self.of_address(Kind::Failure, address);
        &self.0
    }

    /// What the keys of all state values of this key group begin with.
    pub fn states_in(&mut self, group: u16) -> &[u8] {
        self.begin(group, Kind::State);
        &self.0
    }

    /// The key of a delayed message, by the id of its sender.
    pub fn delayed(&mut self, id: &str, due: Millis, sequence: Sequence) -> &[u8] {
        self.delayed_in(key_group(id));
        self.0.extend_from_slice(&due.to_be_bytes());
        self.0.extend_from_slice(&sequence.to_be_bytes());
        &self.0
    }

    /// What the keys of delayed messages of this key group begin with.
    pub fn delayed_in(&mut self, group: u16) -> &[u8] {
        self.begin(group, Kind::Delayed);
        &self.0
    }

    /// The key of a cancellation token.
    pub fn token(&mut self, id: &str, token: &str) -> &[u8] {
        self.begin(key_group(id), Kind::Token);
        self.text(id);
        self.0.extend_from_slice(token.as_bytes());
        &self.0
    }

    /// The key that lists an address.
    pub fn listed(&mut self, address: &Address) -> &[u8] {
        self.of_address(Kind::Listed, address);
        &self.0
    }

    /// What the keys that list an address of this key group begin with.
    pub fn listed_in(&mut self, group: u16) -> &[u8] {
        self.begin(group, Kind::Listed);
        &self.0
    }

    /// The key of a pending invocation.
    pub fn pending(&mut self, address: &Address, sequence: Sequence) -> &[u8] {
        self.of_address(Kind::Pending, address);
        self.0.extend_from_slice(&sequence.to_be_bytes());
        &self.0
    }

    /// What the keys of all pending invocations of an address begin with.
    pub fn pendings(&mut self, address: &Address) -> &[u8] {
        self.of_address(Kind::Pending, address);
        &self.0
    }

    /// The key of a lane.
    pub fn lane(&mut self, lane: &LaneName) -> &[u8] {
        self.of_lane(Kind::Lane, lane);
        &self.0
    }

    /// The key of the records that begin with this sequence number.
    pub fn outbox(&mut self, lane: &LaneName, first: u64) -> &[u8] {
        self.of_lane(Kind::Outbox, lane);
        self.0.extend_from_slice(&first.to_be_bytes());
        &self.0
    }

    /// What the keys of all records of a lane begin with.
    pub fn outbox_of(&mut self, lane: &LaneName) -> &[u8] {
        self.of_lane(Kind::Outbox, lane);
        &self.0
    }

    /// The key of an idempotency key.
    pub fn idempotency(&mut self, generation: u64, key: &str) -> &[u8] {
        self.idempotency_in(generation);
        self.0.extend_from_slice(key.as_bytes());
        &self.0
    }

    /// What the keys of all idempotency keys of a generation begin with.
    pub fn idempotency_in(&mut self, generation: u64) -> &[u8] {
        self.begin(NO_GROUP, Kind::Idempotency);
        self.0.extend_from_slice(&generation.to_be_bytes());
        &self.0
    }

    /// The key of a declared state.
    pub fn spec(&mut self, function: &TypeName, state: &str) -> &[u8] {
        self.begin(NO_GROUP, Kind::Spec);
        self.text(function.namespace());
        self.text(function.name());
        self.0.extend_from_slice(state.as_bytes());
        &self.0
    }

    /// The key of what a function type has waiting.
    pub fn backlog(&mut self, function: &TypeName) -> &[u8] {
        self.begin(NO_GROUP, Kind::Backlog);
        self.text(function.namespace());
        self.text(function.name());
        &self.0
    }

    /// The key of how far a partition has come.
    pub fn position(&mut self, partition: &Partition) -> &[u8] {
        self.begin(NO_GROUP, Kind::Position);
        self.text(partition.ingress.namespace());
        self.text(partition.ingress.name());
        self.text(&partition.topic);
        self.0.extend_from_slice(&partition.number.to_be_bytes());
        &self.0
    }

    /// The key of the starts that published a lane.
    pub fn lineage(&mut self, lane: &LaneName) -> &[u8] {
        self.of_lane(Kind::Lineage, lane);
        &self.0
    }

    /// The key of a record of a lane that its egress refused.
    pub fn refused(&mut self, lane: &LaneName, sequence: u64) -> &[u8] {
        self.of_lane(Kind::Refused, lane);
        self.0.extend_from_slice(&sequence.to_be_bytes());
        &self.0
    }

    /// What the keys of all refused records of a lane begin with.
    pub fn refused_of(&mut self, lane: &LaneName) -> &[u8] {
        self.of_lane(Kind::Refused, lane);
        &self.0
    }

    fn of_address(&mut self, kind: Kind, address: &Address) {
        self.begin(key_group(&address.id), kind);
        self.text(address.function.namespace());
        self.text(address.function.name());
        self.text(&address.id);
    }

    fn of_lane(&mut self, kind: Kind, lane: &LaneName) {
        self.begin(NO_GROUP, kind);
        self.text(lane.egress.namespace());
        self.text(lane.egress.name());
        self.text(&lane.part);
    }

    fn begin(&mut self, group: u16, kind: Kind) {
        self.0.clear();
        self.0.extend_from_slice(&group.to_be_bytes());
        self.0.push(kind as u8);
    }

    fn text(&mut self, text: &str) {
        match u8::try_from(text.len()) {
            Ok(length) if length < LONG => self.0.push(length),
            _ => {
                let length = u32::try_from(text.len()).expect("limits keep names and ids far below 4 GiB");
                self.0.push(LONG);
                self.0.extend_from_slice(&length.to_be_bytes());
            }
        }
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// The first byte of a length of four more bytes.
pub(super) const LONG: u8 = 0xff;

/// The smallest key behind all that begin with `prefix`.
pub fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.pop_if(|last| *last == 0xff).is_some() {}
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// Whether a key is of what publishers keep beside checkpoints.
pub fn is_book_key(key: &[u8]) -> bool {
    let kinds = [Kind::Identity, Kind::Lineage, Kind::Refused];
    key.starts_with(&NO_GROUP.to_be_bytes()) && key.get(2).is_some_and(|kind| kinds.iter().any(|it| *it as u8 == *kind))
}

/// Length of the part of a key that names the address, with group and kind; `None` for a key of no address.
pub fn address_part(key: &[u8]) -> Option<usize> {
    let mut rest = Rest(key);
    if rest.u16()? == NO_GROUP {
        return None;
    }
    rest.u8()?;
    for _ in 0..3 {
        rest.text_bytes()?;
    }
    Some(key.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use millpond_engine::Place;
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-c/]{0,4}",
            2 => "\\PC{0,12}",
            1 => (250_usize..260).prop_map(|length| "x".repeat(length)),
        ]
    }

    fn typename() -> impl Strategy<Value = TypeName> {
        (text(), text()).prop_map(|(namespace, name)| TypeName::new(&namespace, &name))
    }

    fn address() -> impl Strategy<Value = Address> {
        (typename(), text()).prop_map(|(function, id)| Address::new(function, id))
    }

    fn lane() -> impl Strategy<Value = LaneName> {
        (typename(), text()).prop_map(|(egress, part)| LaneName { egress, part })
    }

    proptest! {
        /// What is written is what is read.
        #[test]
        fn keys_read_as_written(
            address in address(), lane in lane(), function in typename(), name in text(), number: u64,
        ) {
            let mut key = KeyBuffer::default();
            let parse = Key::parse;
            prop_assert_eq!(
                parse(key.state(&address, &name)),
                Some(Key::State { address: address.clone(), name: name.clone() })
            );
            prop_assert_eq!(parse(key.listed(&address)), Some(Key::Listed(address.clone())));
            prop_assert_eq!(
                parse(key.pending(&address, number)),
                Some(Key::Pending { address: address.clone(), sequence: number })
            );
            prop_assert_eq!(parse(key.accessed(&address)), Some(Key::Accessed(address.clone())));
            prop_assert_eq!(
                parse(key.delayed(&name, number, !number)),
                Some(Key::Delayed { group: key_group(&name), due: number, sequence: !number })
            );
            prop_assert_eq!(
                parse(key.token(&address.id, &name)),
                Some(Key::Token { id: address.id.to_string(), token: name.clone() })
            );
            prop_assert_eq!(parse(key.lane(&lane)), Some(Key::Lane(lane.clone())));
            prop_assert_eq!(
                parse(key.outbox(&lane, number)),
                Some(Key::Outbox { lane: lane.clone(), first: number })
            );
            let partition = Partition { ingress: function.clone(), topic: name.as_str().into(), number: number as u32 };
            prop_assert_eq!(parse(key.position(&partition)), Some(Key::Position(partition.clone())));
            prop_assert_eq!(parse(key.lineage(&lane)), Some(Key::Lineage(lane.clone())));
            prop_assert_eq!(
                parse(key.refused(&lane, number)),
                Some(Key::Refused { lane: lane.clone(), sequence: number })
            );
            prop_assert_eq!(
                parse(key.idempotency(number, &name)),
                Some(Key::Idempotency { generation: number, key: name.clone() })
            );
            prop_assert_eq!(
                parse(key.spec(&function, &name)),
                Some(Key::Spec { function: function.clone(), state: name.clone() })
            );
        }

        /// A key of one address never begins with the prefix of another one; its own prefix is found in it.
        #[test]
        fn addresses_do_not_share_prefixes(a in address(), b in address(), name in text(), sequence: u64) {
            let (mut one, mut other) = (KeyBuffer::default(), KeyBuffer::default());
            prop_assert_eq!(one.state(&a, &name).starts_with(other.states(&b)), a == b);
            prop_assert_eq!(one.pending(&a, sequence).starts_with(other.pendings(&b)), a == b);
            let prefix = address_part(one.state(&a, &name));
            prop_assert_eq!(prefix, Some(other.states(&a).len()));
        }

        /// The order of keys is the order of addresses, then that of sequence numbers.
        #[test]
        fn order_of_keys_is_order_of_places(a in address(), b in address(), m: u64, n: u64) {
            let (mut one, mut other) = (KeyBuffer::default(), KeyBuffer::default());
            let places = Place::new(a.clone()).cmp(&Place::new(b.clone()));
            prop_assert_eq!(one.listed(&a).cmp(other.listed(&b)), places);
            prop_assert_eq!(one.pending(&a, m).cmp(other.pending(&b, n)), places.then(m.cmp(&n)));
            prop_assert_eq!(one.delayed("a", m, n).cmp(other.delayed("a", n, m)), (m, n).cmp(&(n, m)));
        }

        /// Nothing behind a prefix's end begins with it, and nothing that begins with it is behind.
        #[test]
        fn a_prefix_ends_where_it_says(prefix in prop::collection::vec(any::<u8>(), 1..6), key in prop::collection::vec(any::<u8>(), 0..8)) {
            prop_assume!(prefix[0] != 0xff);
            let inside = key >= prefix && key < end_of(&prefix);
            prop_assert_eq!(inside, key.starts_with(&prefix));
        }

        /// Foreign bytes are no key, or one that is written back the same way; they never panic.
        #[test]
        fn foreign_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = describe(&bytes);
            let _ = address_part(&bytes);
        }
    }

    /// The layout is part of the format: these bytes may never change.
    #[test]
    fn layout_is_as_documented() {
        let address = Address::new(TypeName::new("ns", "fn"), "a");
        let lane = LaneName { egress: TypeName::new("e", "g"), part: String::new() };
        let mut key = KeyBuffer::default();
        assert_eq!(key.state(&address, "seen").escape_ascii().to_string(), r"\x00<\x10\x02ns\x02fn\x01aseen");
        assert_eq!(
            key.pending(&address, 258).escape_ascii().to_string(),
            r"\x00<!\x02ns\x02fn\x01a\x00\x00\x00\x00\x00\x00\x01\x02"
        );
        assert_eq!(key.accessed(&address).escape_ascii().to_string(), r"\x00<\x11\x02ns\x02fn\x01a");
        assert_eq!(
            key.delayed("a", 1, 258).escape_ascii().to_string(),
            r#"\x00<\"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x02"#
        );
        assert_eq!(key.token("a", "tok").escape_ascii().to_string(), r"\x00<#\x01atok");
        assert_eq!(
            key.outbox(&lane, 7).escape_ascii().to_string(),
            r"\xff\xff\x83\x01e\x01g\x00\x00\x00\x00\x00\x00\x00\x00\x07"
        );
        assert_eq!(
            key.idempotency(1, "k").escape_ascii().to_string(),
            r"\xff\xff\x84\x00\x00\x00\x00\x00\x00\x00\x01k"
        );
        let partition = Partition { ingress: TypeName::new("i", "n"), topic: "t".into(), number: 3 };
        assert_eq!(key.position(&partition).escape_ascii().to_string(), r"\xff\xff\x87\x01i\x01n\x01t\x00\x00\x00\x03");
        assert_eq!(key.lineage(&lane).escape_ascii().to_string(), r"\xff\xff\x89\x01e\x01g\x00");
        assert_eq!(
            key.refused(&lane, 7).escape_ascii().to_string(),
            r"\xff\xff\x8a\x01e\x01g\x00\x00\x00\x00\x00\x00\x00\x00\x07"
        );
        let long = "x".repeat(255);
        let key = key.listed(&Address::new(TypeName::new("", ""), long.as_str())).to_vec();
        assert_eq!(&key[2..10], [0x20, 0, 0, 0xff, 0, 0, 0, 255]);
    }

    /// A short text behind a long length is no key, so that there is one key for one thing.
    #[test]
    fn a_text_has_one_form() {
        let address = Address::new(TypeName::new("ns", "fn"), "a");
        let key = KeyBuffer::default().listed(&address).to_vec();
        assert_eq!(Key::parse(&key), Some(Key::Listed(address)));
        let (head, rest) = (&key[..3], &key[4..]);
        let foreign = [head, &[0xff, 0, 0, 0, 2], rest].concat();
        assert_eq!((Key::parse(&foreign), address_part(&foreign)), (None, None));
    }
}
