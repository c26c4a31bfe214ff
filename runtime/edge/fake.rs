//! A node for tests of the edges: a thread in the engine's place and a ledger in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use millpond_engine::{
    AddressView, Answer, Checkpoint, DelayedMessage, EndpointConfig, Event, FunctionPattern, FunctionView, LaneId,
    LaneName, Load, Loaded, LoadedAddress, Metrics, Millis, Operation, Restored, Sequence, StateSpec,
};
use millpond_protocol::{Address, TypeName};
use millpond_publisher::Incarnation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{ConnectionLimits, serve};
use crate::handle::{EngineGone, EngineHandle, NodeSide, Readiness, Request};
use crate::ledger::{Ledger, LedgerError, RefusedByEgress};

/// The lanes of the fake node.
pub(crate) const TOPICS: [&str; 3] = ["greetings", "ü/🦆", "other"];

/// What a fake node has seen and what it is told to do.
#[derive(Default)]
pub(crate) struct World {
    /// Events in the order of their arrival, repetitions included.
    pub(crate) events: Vec<Event>,
    /// Answers held back, oldest first.
    pub(crate) held: Vec<(oneshot::Sender<Answer>, Answer)>,
    /// Hold answers back instead of giving them.
    pub(crate) hold: bool,
    /// Drop the way to answer, as an engine that dies does.
    pub(crate) drop_answers: bool,
    /// Answer every event and every operation so.
    pub(crate) answer: Option<Answer>,
    /// Addresses in memory.
    pub(crate) addresses: BTreeMap<Address, AddressView>,
    /// Addresses in the ledger.
    pub(crate) stored: BTreeMap<Address, Loaded>,
    /// What was to be done about addresses.
    pub(crate) operated: Vec<(Address, Operation)>,
    /// Function types.
    pub(crate) functions: Vec<FunctionView>,
    /// Delayed messages in the ledger.
    pub(crate) delayed: Vec<(Millis, Sequence, DelayedMessage)>,
    /// State specs in the ledger.
    pub(crate) specs: Vec<(TypeName, StateSpec)>,
    /// What `Metrics` says.
    pub(crate) metrics: Metrics,
    /// Removals asked for.
    pub(crate) freed: Vec<u64>,
    /// Records that an egress refused.
    pub(crate) refused: Vec<RefusedByEgress>,
    lanes: BTreeMap<LaneName, Lane>,
    keys: BTreeMap<Box<str>, [u8; 16]>,
    broken: bool,
}

#[derive(Default)]
struct Lane {
    first: u64,
    next: u64,
    records: BTreeMap<u64, Bytes>,
}

pub(crate) struct FakeNode {
    pub(crate) handle: EngineHandle,
    pub(crate) node: Arc<NodeSide>,
    pub(crate) world: Arc<Mutex<World>>,
}

impl FakeNode {
    /// A node that is ready.
    pub(crate) fn start() -> FakeNode {
        let (sender, requests) = mpsc::channel();
        let (handle, node) =
            EngineHandle::new(TOPICS.len(), move |request| sender.send(request).map_err(|_| EngineGone));
        node.set_readiness(Readiness::Ready);
        let world = Arc::new(Mutex::new(World::default()));
        let seen = Arc::clone(&world);
        std::thread::spawn(move || {
            while let Ok(request) = requests.recv() {
                seen.lock().expect("no test panics in here").handle(request);
            }
        });
        FakeNode { handle, node: Arc::new(node), world }
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("no test panics in here")
    }

    pub(crate) fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(FakeLedger(Arc::clone(&self.world)))
    }

    /// Makes a record durable.
    pub(crate) fn publish(&self, topic: usize, payload: &str) -> u64 {
        let mut world = self.world();
        let lane = world.lanes.entry(lanes()[topic].clone()).or_insert(Lane { first: 1, next: 1, ..Lane::default() });
        let sequence = lane.next;
        lane.next += 1;
        lane.records.insert(sequence, Bytes::copy_from_slice(payload.as_bytes()));
        drop(world);
        self.node.publish(LaneId(u32::try_from(topic).expect("small")), sequence);
        sequence
    }

    /// Breaks the ledger.
    pub(crate) fn break_ledger(&self) {
        self.world().broken = true;
    }

    /// Gives the answers that were held back.
    pub(crate) fn release(&self) {
        for (reply, answer) in std::mem::take(&mut self.world().held) {
            let _ = reply.send(answer);
        }
    }

    /// Waits until the world is as it should be.
    pub(crate) async fn until(&self, what: impl Fn(&World) -> bool) {
        for _ in 0..1000 {
            if what(&self.world()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the fake node never got there");
    }
}

impl World {
    fn handle(&mut self, request: Request) {
        match request {
            Request::Ingested { event, reply } => {
                let repeated = event.idempotency.as_ref().and_then(|guard| {
                    let before = *self.keys.get(&guard.key)?;
                    Some(if before == guard.fingerprint { Answer::Repeated } else { Answer::KeyReused })
                });
                if let Some(guard) = &event.idempotency {
                    self.keys.entry(guard.key.clone()).or_insert(guard.fingerprint);
                }
                self.events.push(event);
                self.give(reply, self.answer.or(repeated).unwrap_or(Answer::Durable));
            }
            Request::Freed { lane, upto, reply } => {
                self.freed.push(upto);
                let lane = self.lanes.entry(lanes()[lane.0 as usize].clone()).or_insert(Lane {
                    first: 1,
                    next: 1,
                    ..Lane::default()
                });
                lane.first = lane.first.max(upto.saturating_add(1).min(lane.next));
                lane.records = lane.records.split_off(&lane.first);
                if let Some(reply) = reply {
                    self.give(reply, self.answer.unwrap_or(Answer::Durable));
                }
            }
            Request::Inspect { address, reply } => drop(reply.send(self.addresses.get(&address).cloned())),
            Request::Functions { from, most, reply } => {
                let page: Vec<FunctionView> = self.functions.iter().skip(from).take(most).cloned().collect();
                let more = from + page.len() < self.functions.len();
                let _ = reply.send((page, more));
            }
            Request::Metrics { reply } => drop(reply.send(self.metrics.clone())),
            Request::Operate { address, operation, reply } => {
                self.operated.push((address, operation));
                self.give(reply, self.answer.unwrap_or(Answer::Durable));
            }
        }
    }

    fn give(&mut self, reply: oneshot::Sender<Answer>, answer: Answer) {
        if self.hold {
            self.held.push((reply, answer));
        } else if !self.drop_answers {
            let _ = reply.send(answer);
        }
    }
}

struct FakeLedger(Arc<Mutex<World>>);

impl Ledger for FakeLedger {
    fn restore(&self) -> Result<Restored, LedgerError> {
        Ok(Restored::default())
    }

    fn commit(&self, _: &Checkpoint, _: &[LaneName]) -> Result<(), LedgerError> {
        Ok(())
    }

    fn load(&self, load: &Load) -> Result<Loaded, LedgerError> {
        let world = self.0.lock().expect("no test panics in here");
        if world.broken {
            return Err(LedgerError::Corrupt("broken for a test".to_owned()));
        }
        let Load::Address { address, .. } = load else { panic!("only addresses are read") };
        let nothing = || {
            Loaded::Address(LoadedAddress {
                address: address.clone(),
                states: Vec::new(),
                pending: Vec::new(),
                more: false,
                failure: None,
                listed: false,
                accessed: None,
            })
        };
        Ok(world.stored.get(address).cloned().unwrap_or_else(nothing))
    }

    fn outbox(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, LedgerError> {
        let world = self.0.lock().expect("no test panics in here");
        if world.broken {
            return Err(LedgerError::Corrupt("broken for a test".to_owned()));
        }
        let Some(lane) = world.lanes.get(lane) else { return Ok(Vec::new()) };
        let mut left = bytes;
        let behind = lane.records.iter().filter(|(sequence, _)| **sequence > after).take(limit).enumerate();
        let page = behind.take_while(|(at, (_, record))| {
            let fits = *at == 0 || record.len() <= left;
            left = left.saturating_sub(record.len());
            fits
        });
        Ok(page.map(|(_, (sequence, record))| (*sequence, record.clone())).collect())
    }

    fn specs(&self) -> Result<Vec<(TypeName, StateSpec)>, LedgerError> {
        Ok(self.0.lock().expect("no test panics in here").specs.clone())
    }

    fn delayed(
        &self,
        group: u16,
        after: (Millis, Sequence),
        limit: usize,
    ) -> Result<Vec<(Millis, Sequence, DelayedMessage)>, LedgerError> {
        let world = self.0.lock().expect("no test panics in here");
        let of_group = world.delayed.iter().filter(|(due, sequence, message)| {
            (*due, *sequence) > after && millpond_engine::key_group(&message.sender.id) == group
        });
        Ok(of_group.take(limit).cloned().collect())
    }

    fn lane(&self, lane: &LaneName) -> Result<(u64, u64), LedgerError> {
        let world = self.0.lock().expect("no test panics in here");
        Ok(world.lanes.get(lane).map_or((1, 1), |lane| (lane.first, lane.next)))
    }

    fn identity(&self) -> Result<u128, LedgerError> {
        unreachable!("nobody publishes to Kafka here")
    }

    fn lineage(&self, _: &LaneName) -> Result<Vec<Incarnation>, LedgerError> {
        unreachable!("nobody publishes to Kafka here")
    }

    fn claim(&self, _: &LaneName, _: &[Incarnation]) -> Result<(), LedgerError> {
        unreachable!("nobody publishes to Kafka here")
    }

    fn refuse(&self, _: &LaneName, _: &RefusedByEgress) -> Result<(), LedgerError> {
        unreachable!("nobody publishes to Kafka here")
    }

    fn refused(&self, _: &LaneName, after: u64, limit: usize, _: usize) -> Result<Vec<RefusedByEgress>, LedgerError> {
        let world = self.0.lock().expect("no test panics in here");
        let above = world.refused.iter().filter(|refused| refused.sequence > after);
        Ok(above.take(limit).cloned().collect())
    }

    fn refused_count(&self, _: &LaneName) -> Result<u64, LedgerError> {
        Ok(self.0.lock().expect("no test panics in here").refused.len() as u64)
    }

    fn discard(&self, _: &LaneName, sequence: u64) -> Result<bool, LedgerError> {
        let mut world = self.0.lock().expect("no test panics in here");
        let before = world.refused.len();
        world.refused.retain(|refused| refused.sequence != sequence);
        Ok(world.refused.len() < before)
    }
}

pub(crate) fn lanes() -> Vec<LaneName> {
    let egress = TypeName::new("io.statefun.playground", "egress");
    TOPICS.map(|topic| LaneName { egress: egress.clone(), part: topic.to_owned() }).to_vec()
}

pub(crate) fn endpoints() -> Vec<EndpointConfig> {
    let config = |functions| EndpointConfig {
        functions,
        max_num_batch_requests: None,
        calls_max: 1024,
        call_ms: 1000,
        failure_policy: millpond_engine::FailurePolicy::Park,
        dead_letters: None,
    };
    vec![
        config(FunctionPattern::Exact(TypeName::new("com.example.fns", "greeter"))),
        config(FunctionPattern::Namespace("com.example.audit".to_owned())),
    ]
}

/// Serves on a free port until the test ends.
pub(crate) async fn served(service: Router, limits: ConnectionLimits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(serve(listener, service, limits, std::future::pending()));
    address
}

/// Sends bytes as they are and reads until the server closes or is silent for a second.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}
