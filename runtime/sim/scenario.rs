//! What a seed chose: limits, fault rates, and the tree of work behind each event.
//!
//! An event carries the number of a node. Whoever runs a node notes its number in the state of its address, then does what
//! the node says: messages to other addresses, which carry the numbers of its children, and records for a lane.

use bytes::Bytes;
use millpond_engine::{
    DeadLetter, DeadLetterForm, DeadLetterRoute, EndpointConfig, EngineConfig, Expiration, FailurePolicy,
    FunctionPattern, LaneId, LaneName, Limits, StateSpec,
};
use millpond_protocol::{Address, TypeName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One invocation of the workload.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Which address runs it.
    pub(crate) address: usize,
    /// Messages that it sends, in order.
    pub(crate) children: Vec<u64>,
    /// It is sent with this delay; `None` is at once.
    pub(crate) delay_ms: Option<i64>,
    /// It is sent with a token, which its sender or one of its id cancels.
    pub(crate) fate: Fate,
    /// Delayed nodes that it cancels.
    pub(crate) cancels: Vec<u64>,
    /// Lanes that it writes its number to, in order.
    pub(crate) records: Vec<u32>,
    /// The event it descends from, named by its first target.
    pub(crate) root: u64,
    /// The node that sends it; none when it comes from outside.
    pub(crate) parent: Option<u64>,
    /// Every batch with it is rejected, until faults end.
    pub(crate) poison: bool,
}

/// What is to become of a node once its event is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It runs once.
    Runs,
    /// It is cancelled long before its time.
    Cancelled,
    /// It is cancelled about when its time comes.
    Open,
}

/// Everything that a seed decides before the first step.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) config: EngineConfig,
    pub(crate) addresses: Vec<Address>,
    pub(crate) nodes: Vec<Node>,
    /// The events from outside: each is named by its first node, and has these nodes.
    pub(crate) events: BTreeMap<u64, Vec<u64>>,
    /// The events that are records: by partition, each offset with its event, in order.
    pub(crate) records: Vec<BTreeMap<u64, u64>>,
    /// Nodes of such events that no function gets: the ingress makes dead letters of them.
    pub(crate) letters: BTreeSet<u64>,
    /// Invocations may be given up, by policies and by a person. Nobody cancels anything then: who cancels must run.
    pub(crate) gives_up: bool,
    /// The last of the endpoints is there only once faults have ended.
    pub(crate) late_endpoint: bool,
    pub(crate) faults: Faults,
    /// Steps after which faults end.
    pub(crate) faulty_steps: u32,
    /// Life of the values that expire.
    pub(crate) ttl_ms: u64,
}

/// Chances in a thousand, per occasion.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) crash: u32,
    pub(crate) reply_lost: u32,
    pub(crate) reply_rejected: u32,
    pub(crate) reply_repeated: u32,
    pub(crate) batch_rejected: u32,
    pub(crate) clock_jump: u32,
    pub(crate) commit_slow: u32,
    pub(crate) load_slow: u32,
    pub(crate) key_share: u32,
    pub(crate) free: u32,
    /// The process is told to stop, and started again.
    pub(crate) stop: u32,
    /// An endpoint cannot be reached for a while, or until faults end.
    pub(crate) outage: u32,
    pub(crate) answer_late: u32,
    pub(crate) operate: u32,
    pub(crate) poison: u32,
    /// A failed call says `Retry-After`.
    pub(crate) retry_after: u32,
    /// Records of a partition are read again.
    pub(crate) reread: u32,
}

const NAMESPACE: &str = "sim";

/// Function types of this namespace have no endpoint until faults end.
const LATE: &str = "late";

impl Scenario {
    pub(crate) fn new(random: &mut fastrand::Rng) -> Scenario {
        let mut functions: Vec<TypeName> =
            (0..random.usize(1..4)).map(|n| TypeName::new(NAMESPACE, &format!("f{n}"))).collect();
        let late_endpoint = random.u32(0..4) == 0;
        if late_endpoint {
            functions.push(TypeName::new(LATE, "f"));
        }
        let ids = random.usize(1..8);
        let addresses: Vec<Address> =
            functions.iter().flat_map(|f| (0..ids).map(|id| Address::new(f.clone(), id.to_string()))).collect();
        let lanes = random.u32(1..3);
        let gives_up = random.u32(0..3) == 0;
        let mut scenario = Scenario {
            config: config(random, lanes, gives_up),
            gives_up,
            addresses,
            nodes: Vec::new(),
            events: BTreeMap::new(),
            records: Vec::new(),
            letters: BTreeSet::new(),
            late_endpoint,
            faults: faults(random),
            faulty_steps: random.u32(200..2000),
            ttl_ms: random.u64(1..3_000),
        };
        for _ in 0..random.usize(1..60) {
            let root = scenario.nodes.len() as u64;
            let targets = if random.u32(0..4) == 0 { random.u32(2..4) } else { 1 };
            let grow = |_| {
                let depth = random.u32(0..4);
                scenario.grow(random, depth, root, None, lanes)
            };
            let nodes = (0..targets).map(grow).collect();
            scenario.events.insert(root, nodes);
        }
        scenario.scatter(random);
        scenario
    }

    /// Makes some of the events records of partitions, at offsets with gaps.
    fn scatter(&mut self, random: &mut fastrand::Rng) {
        let partitions = random.usize(0..4);
        let mut records = vec![BTreeMap::new(); partitions];
        for root in self.events.keys().filter(|_| partitions > 0) {
            if random.bool() {
                let partition: &mut BTreeMap<u64, u64> = &mut records[random.usize(0..partitions)];
                let last = partition.keys().next_back().map_or(0, |last| last + 1);
                partition.insert(last + random.u64(0..3), *root);
            }
        }
        self.records = records;
        // By a random source of its own, so that what a seed chose before there were letters is what it still chooses.
        let mut random = fastrand::Rng::with_seed(self.config.hash_seed);
        let share = random.u32(0..4);
        let nodes = self.records.iter().flat_map(|records| records.values()).flat_map(|root| &self.events[root]);
        self.letters = nodes.copied().filter(|_| random.u32(0..10) < share).collect();
    }

    /// How many partitions there are.
    pub(crate) fn partitions(&self) -> u32 {
        self.records.len() as u32
    }

    /// The first record of a partition from an offset on.
    pub(crate) fn record(&self, partition: u32, from: u64) -> Option<(u64, u64)> {
        self.records[partition as usize].range(from..).next().map(|(offset, root)| (*offset, *root))
    }

    /// The offset behind the last record of a partition.
    pub(crate) fn end(&self, partition: u32) -> u64 {
        self.records[partition as usize].keys().next_back().map_or(0, |last| last + 1)
    }

    /// Whether an event is a record of a partition.
    pub(crate) fn is_record(&self, root: u64) -> bool {
        self.records.iter().any(|records| records.values().any(|record| *record == root))
    }

    /// Adds a node with its descendants; its number is the next one.
    fn grow(&mut self, random: &mut fastrand::Rng, depth: u32, root: u64, parent: Option<u64>, lanes: u32) -> u64 {
        let number = self.nodes.len() as u64;
        let records = (0..random.u32(0..3)).map(|_| random.u32(0..lanes)).collect();
        let address = random.usize(0..self.addresses.len());
        let poison = random.u32(0..1000) < self.faults.poison;
        let delayed = parent.is_some() && random.u32(0..5) == 0;
        let delay_ms = delayed.then(|| random.i64(0..400));
        let fate = Fate::Runs;
        let (children, cancels) = (Vec::new(), Vec::new());
        self.nodes.push(Node { address, children, delay_ms, fate, cancels, records, root, parent, poison });
        if depth > 0 {
            let children =
                (0..random.u32(0..4)).map(|_| self.grow(random, depth - 1, root, Some(number), lanes)).collect();
            self.nodes[number as usize].children = children;
            if random.u32(0..4) == 0 && !self.gives_up {
                self.grow_cancelled(random, root, number, lanes);
            }
        }
        number
    }

    /// Adds a delayed child with a token, and somebody of its sender's id who cancels it: the sender itself in the same
    /// answer, or another child, of any function type, that the sender sends at once.
    fn grow_cancelled(&mut self, random: &mut fastrand::Rng, root: u64, parent: u64, lanes: u32) {
        let doomed = self.grow(random, 0, root, Some(parent), lanes);
        let soon = random.bool();
        let node = &mut self.nodes[doomed as usize];
        (node.delay_ms, node.fate) = match soon {
            true => (Some(random.i64(0..200)), Fate::Open),
            false => (Some(1 << 50), Fate::Cancelled),
        };
        self.nodes[parent as usize].children.push(doomed);
        if random.u32(0..3) == 0 {
            self.nodes[parent as usize].cancels.push(doomed);
            self.nodes[doomed as usize].fate = Fate::Cancelled;
            return;
        }
        let id = self.addresses[self.nodes[parent as usize].address].id.clone();
        let siblings: Vec<usize> = (0..self.addresses.len()).filter(|place| self.addresses[*place].id == id).collect();
        let canceller = self.grow(random, 0, root, Some(parent), lanes);
        let node = &mut self.nodes[canceller as usize];
        node.address = siblings[random.usize(0..siblings.len())];
        node.cancels.push(doomed);
        self.nodes[parent as usize].children.push(canceller);
    }

    pub(crate) fn node(&self, number: u64) -> &Node {
        &self.nodes[number as usize]
    }

    /// The configuration: with all endpoints, or without the one that comes late.
    pub(crate) fn config(&self, healing: bool) -> EngineConfig {
        let mut config = self.config.clone();
        if self.late_endpoint && !healing {
            config.endpoints.pop();
        }
        config
    }

    /// The lane of dead letters.
    pub(crate) fn dead_lane(&self) -> u32 {
        self.config.lanes.len() as u32 - 1
    }

    pub(crate) fn target(&self, number: u64) -> Address {
        self.addresses[self.node(number).address].clone()
    }
}

/// A dead letter as the number of its node.
#[derive(Debug)]
struct Number;

impl DeadLetterForm for Number {
    fn record(&self, letter: &DeadLetter) -> Bytes {
        letter.invocation.argument.clone()
    }
}

/// The argument of a node's invocation.
pub(crate) fn argument(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The node that an argument names.
pub(crate) fn number(argument: &[u8]) -> u64 {
    u64::from_be_bytes(argument.try_into().expect("arguments are written by this file"))
}

fn config(random: &mut fastrand::Rng, lanes: u32, gives_up: bool) -> EngineConfig {
    let small = |random: &mut fastrand::Rng, small: usize, large: usize| if random.bool() { small } else { large };
    let limits = Limits {
        calls_in_flight: random.usize(1..20),
        pending_bytes: small(random, 600, 1 << 20),
        cache_bytes: small(random, 0, 1 << 20),
        checkpoint_bytes: small(random, 200, 1 << 20),
        checkpoint_age_ms: random.u64(1..2000),
        batch_bytes: small(random, 250, 1 << 20),
        lane_records: small(random, 5, 1 << 20) as u64,
        // Two generations hold all keys of a run, so that no repetition may count twice.
        idempotency_keys: small(random, 60, 1 << 20) as u64,
        parked_ms: random.u64(100..5000),
        expiry_ms: random.u64(1..20_000),
        recall_window: random.usize(1..10),
        waiting_bytes: small(random, 2_000, 1 << 20),
        mailbox_bytes: small(random, 250, 1 << 20),
        backlog_bytes: small(random, 2_000, 1 << 20) as u64,
        delayed_window: small(random, 2, 1 << 10),
        ..Limits::default()
    };
    let mut endpoint = |functions| EndpointConfig {
        functions,
        max_num_batch_requests: random.bool().then(|| random.u32(1..4)),
        calls_max: random.usize(1..40),
        call_ms: random.u64(1..3000),
        failure_policy: match random.u32(0..3) {
            0 if gives_up => FailurePolicy::Drop,
            1 if gives_up => FailurePolicy::DeadLetter,
            _ => FailurePolicy::Park,
        },
        dead_letters: Some(DeadLetterRoute { lane: LaneId(lanes), form: Arc::new(Number) }),
    };
    let endpoints = vec![
        endpoint(FunctionPattern::Namespace(NAMESPACE.to_owned())),
        endpoint(FunctionPattern::Exact(TypeName::new(NAMESPACE, "f1"))),
        endpoint(FunctionPattern::Namespace(LATE.to_owned())),
    ];
    let egress = TypeName::new(NAMESPACE, "egress");
    EngineConfig {
        endpoints,
        // The last one is for dead letters.
        lanes: (0..=lanes).map(|n| LaneName { egress: egress.clone(), part: n.to_string() }).collect(),
        limits,
        hash_seed: random.u64(..),
    }
}

fn faults(random: &mut fastrand::Rng) -> Faults {
    let mut chance = |most: u32| if random.bool() { random.u32(0..most) } else { 0 };
    Faults {
        crash: chance(20),
        reply_lost: chance(300),
        reply_rejected: chance(200),
        reply_repeated: chance(200),
        batch_rejected: chance(500),
        clock_jump: chance(20),
        commit_slow: chance(500),
        load_slow: chance(500),
        key_share: 1000 - chance(1000),
        free: chance(300),
        stop: chance(10),
        outage: chance(10),
        answer_late: chance(500),
        operate: chance(50),
        poison: chance(60),
        retry_after: chance(300),
        reread: chance(200),
    }
}

/// The states that the function keeps. `log` and `last` are what ran; the others hold the time at which they were written,
/// and `stamp` is the one of them that does not expire.
pub(crate) fn specs(ttl_ms: u64) -> Vec<StateSpec> {
    let spec = |name: &str, expiration| StateSpec {
        name: name.into(),
        typename: TypeName::new(NAMESPACE, "numbers"),
        expiration,
    };
    vec![
        spec("log", Expiration::None),
        spec("last", Expiration::None),
        spec("stamp", Expiration::None),
        spec("fleeting", Expiration::AfterWrite(ttl_ms)),
        spec("touched", Expiration::AfterInvoke(ttl_ms)),
    ]
}
