//! The edges' way to the engine thread, and the node's way back to them.
//!
//! What comes in: requests of the HTTP edges. What goes out: [`Request`]s, given to a function that the node chose, and the
//! engine's answers. Who owns the state: the node. It says through [`NodeSide`] whether intake is paused, how far each lane
//! is durable, and whether the node is ready; the edges only look.
//!
//! The number of requests under way needs no limit of its own: each belongs to one HTTP request, and connections are
//! limited (`edge/serve.rs`). An edge whose client went away drops its end of the answer; the request goes on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millpond_engine::{AddressView, Answer, Event, FunctionView, LaneId, Metrics, Operation};
use millpond_protocol::Address;
use tokio::sync::{oneshot, watch};

/// One thing that an edge asks of the engine thread.
#[derive(Debug)]
pub enum Request {
    /// Take an event in. The node chooses the event's receipt.
    Ingested {
        /// The event, without a receipt.
        event: Event,
        /// Told when it is durable.
        reply: oneshot::Sender<Answer>,
    },
    /// Records of a lane, up to and including `upto`, were taken or freed.
    Freed {
        /// The lane.
        lane: LaneId,
        /// The highest sequence number that left.
        upto: u64,
        /// Told when the removal is durable.
        reply: Option<oneshot::Sender<Answer>>,
    },
    /// What does the engine hold in memory of this address?
    Inspect {
        /// Which one.
        address: Address,
        /// `None` when it is not in memory.
        reply: oneshot::Sender<Option<AddressView>>,
    },
    /// Which function types are known, and how are they?
    Functions {
        /// From this place on, in the order in which they were met.
        from: usize,
        /// At most so many.
        most: usize,
        /// The page, and whether there are more.
        reply: oneshot::Sender<(Vec<FunctionView>, bool)>,
    },
    /// What do the counters say?
    Metrics {
        /// The counters.
        reply: oneshot::Sender<Metrics>,
    },
    /// Do what a person wants done about an address.
    Operate {
        /// Which one.
        address: Address,
        /// What.
        operation: Operation,
        /// Told when it is done and durable, or cannot be done.
        reply: oneshot::Sender<Answer>,
    },
}

/// The engine thread is gone, or went away before it answered: whether the request had an effect is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine does not answer any more")]
pub struct EngineGone;

/// Whether the node takes part in the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// The ledger is being opened, or its content read.
    Starting,
    /// Events are taken in.
    Ready,
    /// The disk is nearly full: no event is taken in until there is room.
    NoRoom(Arc<str>),
    /// No event is taken in any more; what is there becomes durable.
    Stopping,
    /// Something broke that a restart must mend.
    Failed(Arc<str>),
}

/// Who wants intake to pause.
#[derive(Debug, Clone, Copy, Default)]
struct Paused {
    engine: bool,
    disk: bool,
}

/// The disk that the ledger is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Room {
    /// Its size.
    pub bytes: u64,
    /// What this process may still write.
    pub free_bytes: u64,
    /// Why no event is taken in, while that is so.
    pub short: Option<Arc<str>>,
    /// True while no function is called either.
    pub calls_held: bool,
}

/// Asks the engine; cheap to clone.
#[derive(Clone)]
pub struct EngineHandle(Arc<Shared>);

struct Shared {
    send: Box<dyn Fn(Request) -> Result<(), EngineGone> + Send + Sync>,
    paused: watch::Receiver<Paused>,
    readiness: watch::Receiver<Readiness>,
    room: watch::Receiver<Room>,
    published: Vec<watch::Receiver<u64>>,
}

/// The node's half: what it tells the edges.
#[derive(Debug)]
pub struct NodeSide {
    paused: watch::Sender<Paused>,
    readiness: watch::Sender<Readiness>,
    room: watch::Sender<Room>,
    published: Vec<watch::Sender<u64>>,
}

impl EngineHandle {
    /// A handle for an engine with so many lanes, and the node's half of it. `send` brings a request to the engine thread
    /// without blocking, or says that there is none any more.
    pub fn new(
        lanes: usize,
        send: impl Fn(Request) -> Result<(), EngineGone> + Send + Sync + 'static,
    ) -> (EngineHandle, NodeSide) {
        let (paused_sender, paused) = watch::channel(Paused::default());
        let (readiness_sender, readiness) = watch::channel(Readiness::Starting);
        let (room_sender, room) = watch::channel(Room::default());
        let (published_senders, published) = (0..lanes).map(|_| watch::channel(0)).unzip();
        let shared = Shared { send: Box::new(send), paused, readiness, room, published };
        let node = NodeSide {
            paused: paused_sender,
            readiness: readiness_sender,
            room: room_sender,
            published: published_senders,
        };
        (EngineHandle(Arc::new(shared)), node)
    }

    /// Hands an event in and waits until it is durable or refused.
    ///
    /// # Errors
    /// [`EngineGone`] when no answer comes any more; the event may be durable nevertheless.
    pub async fn ingest(&self, event: Event) -> Result<Answer, EngineGone> {
        let (reply, answer) = oneshot::channel();
        (self.0.send)(Request::Ingested { event, reply })?;
        answer.await.map_err(|_| EngineGone)
    }

    /// Says that records left a lane. Requests made one after the other reach the engine in that order; the receiver is
    /// told when the removal is durable.
    ///
    /// # Errors
    /// [`EngineGone`] when there is no engine: nothing was removed.
    pub fn free(&self, lane: LaneId, upto: u64) -> Result<oneshot::Receiver<Answer>, EngineGone> {
        let (reply, answer) = oneshot::channel();
        (self.0.send)(Request::Freed { lane, upto, reply: Some(reply) })?;
        Ok(answer)
    }

    /// Says that records left a lane, and waits for nothing. Without an engine nothing is removed.
    pub fn freed(&self, lane: LaneId, upto: u64) {
        let _ = (self.0.send)(Request::Freed { lane, upto, reply: None });
    }

    /// What the engine holds in memory of an address.
    ///
    /// # Errors
    /// [`EngineGone`] when no answer comes any more.
    pub async fn inspect(&self, address: Address) -> Result<Option<AddressView>, EngineGone> {
        let (reply, answer) = oneshot::channel();
        (self.0.send)(Request::Inspect { address, reply })?;
        answer.await.map_err(|_| EngineGone)
    }

    /// Function types from a place on, in the order in which the engine met them, and whether there are more.
    ///
    /// # Errors
    /// [`EngineGone`] when no answer comes any more.
    pub async fn functions(&self, from: usize, most: usize) -> Result<(Vec<FunctionView>, bool), EngineGone> {
        let (reply, answer) = oneshot::channel();
        (self.0.send)(Request::Functions { from, most, reply })?;
        answer.await.map_err(|_| EngineGone)
    }

    /// The engine's counters.
    ///
    /// # Errors
    /// [`EngineGone`] when no answer comes any more.
    pub async fn metrics(&self) -> Result<Metrics, EngineGone> {
        let (reply, answer) = oneshot::channel();
        (self.0.send)(Request::Metrics { reply })?;
        answer.await.map_err(|_| EngineGone)
    }

    /// Has something done about an address and waits until it is durable or refused. While a function is being called for
    /// the address, that waits for the outcome of the call.
    ///
    /// # Errors
    /// [`EngineGone`] when no answer comes any more; it may be done nevertheless.
    pub async fn operate(&self, address: Address, operation: Operation) -> Result<Answer, EngineGone> {
        let (reply, answer) = oneshot::channel();
        (self.0.send)(Request::Operate { address, operation, reply })?;
        answer.await.map_err(|_| EngineGone)
    }

    /// What the node said last about itself.
    pub fn readiness(&self) -> Readiness {
        let readiness = self.0.readiness.borrow().clone();
        match (readiness, &self.0.room.borrow().short) {
            (Readiness::Ready, Some(why)) => Readiness::NoRoom(why.clone()),
            (readiness, _) => readiness,
        }
    }

    /// What the node said last about its disk.
    pub fn room(&self) -> Room {
        self.0.room.borrow().clone()
    }

    /// Returns when the node stops or has failed.
    pub async fn stopping(&self) {
        let mut readiness = self.0.readiness.clone();
        // An error means that the node's half is gone, which is stopping too.
        let _ = readiness.wait_for(|now| matches!(now, Readiness::Stopping | Readiness::Failed(_))).await;
    }

    /// Waits while intake is paused; false when it still is after `patience`.
    pub async fn wait_while_paused(&self, patience: Duration) -> bool {
        let mut paused = self.0.paused.clone();
        let resumed = paused.wait_for(|paused| !paused.engine && !paused.disk);
        matches!(tokio::time::timeout(patience, resumed).await, Ok(Ok(_)))
    }

    /// Whether intake is paused now.
    pub fn is_paused(&self) -> bool {
        let paused = self.0.paused.borrow();
        paused.engine || paused.disk
    }

    /// The highest durable sequence number of a lane, and its changes; `None` for a lane that the node does not have.
    pub fn published(&self, lane: LaneId) -> Option<watch::Receiver<u64>> {
        self.0.published.get(usize::try_from(lane.0).ok()?).cloned()
    }
}

impl NodeSide {
    /// Intake is paused, or goes on.
    pub fn set_paused(&self, paused: bool) {
        self.paused.send_modify(|now| now.engine = paused);
    }

    /// How much room the disk has. Intake pauses while it is short of it.
    pub fn set_room(&self, room: Room) {
        self.paused.send_modify(|now| now.disk = room.short.is_some());
        self.room.send_replace(room);
    }

    /// Records of a lane are durable up to and including `upto`. Also called at the start, with what was restored.
    pub fn publish(&self, lane: LaneId, upto: u64) {
        let lane = usize::try_from(lane.0).ok().and_then(|lane| self.published.get(lane));
        lane.expect("a lane of the configuration").send_replace(upto);
    }

    /// Says what the node is now.
    pub fn set_readiness(&self, readiness: Readiness) {
        self.readiness.send_replace(readiness);
    }
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineHandle").field("readiness", &self.readiness()).finish_non_exhaustive()
    }
}
