//! The engine thread: hands inputs to the engine with their time, and carries out what it asks for.
//!
//! What comes in: [`Message`]s of all other threads, in one queue. What goes out: calls to the invoker, jobs to the ledger,
//! answers to the edges. It owns the engine and the list of those who wait for an answer. It reads the clock, the engine
//! does not.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use millpond_engine::{Answer, Call, Engine, Input, Millis, Output, Receipt};
use tokio::sync::oneshot;

use super::clock::Clock;
use super::kafka::Kafka;
use super::notices::Notices;
use super::storage::Storage;
use crate::egress::kafka::EgressHalted;
use crate::handle::{NodeSide, Request};
use crate::ingress::kafka::Feed;
use crate::invoker::Invoker;
use crate::ledger::LedgerError;

/// Time between two reminders of what still fails.
const REMIND_MS: Millis = 60_000;

/// What other threads tell the engine thread.
pub(super) enum Message {
    /// An edge asks for something.
    Request(Request),
    /// A stage answered.
    Input(Box<Input>),
    /// An ingress read something.
    Feed(Feed),
    /// The ledger cannot go on.
    LedgerFailed(LedgerError),
    /// An egress may not go on.
    EgressHalted(EgressHalted),
    /// The disk is too full for what functions answer, or has room again.
    HoldCalls(bool),
    /// Make everything durable and end.
    Stop,
}

/// How the engine thread ended.
pub(super) enum Ending {
    /// As it was told, with everything durable.
    Stopped,
    /// The ledger failed. What was acknowledged is durable.
    LedgerFailed(LedgerError),
    /// An egress may not go on.
    EgressHalted(EgressHalted),
}

/// The engine thread's content.
pub(super) struct Driver {
    engine: Engine,
    clock: Clock,
    inbox: Receiver<Message>,
    messages: Sender<Message>,
    invoker: Invoker,
    io: tokio::runtime::Handle,
    storage: Storage,
    node: Arc<NodeSide>,
    kafka: Kafka,
    next_receipt: u64,
    waiting: HashMap<Receipt, oneshot::Sender<Answer>>,
    notices: Notices,
    /// When the log says again what still fails.
    remind_at: Millis,
    /// Calls that wait for room on the disk, while that is so. The engine has them in flight.
    held: Option<VecDeque<Box<Call>>>,
    stopped: bool,
}

impl Driver {
    /// To be made inside the tokio runtime that calls shall run on.
    pub(super) fn new(
        engine: Engine,
        inbox: Receiver<Message>,
        messages: Sender<Message>,
        invoker: Invoker,
        storage: Storage,
        node: Arc<NodeSide>,
        kafka: Kafka,
    ) -> Driver {
        Driver {
            clock: Clock::new(engine.now()),
            engine,
            inbox,
            messages,
            invoker,
            io: tokio::runtime::Handle::current(),
            storage,
            node,
            kafka,
            next_receipt: 0,
            waiting: HashMap::new(),
            notices: Notices::default(),
            remind_at: 0,
            held: None,
            stopped: false,
        }
    }

    /// Runs until it is told to stop, or the ledger fails.
    pub(super) fn run(mut self) -> Ending {
        self.carry_out();
        while !self.stopped {
            match self.next() {
                Some(Message::Request(request)) => self.request(request),
                Some(Message::Input(input)) => {
                    if let Input::Durable(checkpoint) = *input {
                        self.kafka.durable(checkpoint);
                    }
                    self.tell(*input);
                }
                Some(Message::Feed(feed)) => self.feed(feed),
                Some(Message::HoldCalls(hold)) => self.hold_calls(hold),
                Some(Message::Stop) => self.tell(Input::Stop),
                Some(Message::LedgerFailed(error)) => return Ending::LedgerFailed(error),
                Some(Message::EgressHalted(error)) => return Ending::EgressHalted(error),
                None => self.tell(Input::Tick),
            }
        }
        Ending::Stopped
    }

    /// The next message, or `None` when the engine wanted to be woken before there is one.
    fn next(&mut self) -> Option<Message> {
        let now = self.clock.now();
        if now >= self.remind_at {
            self.notices.remind(&self.engine.metrics());
            self.remind_at = now.saturating_add(REMIND_MS);
        }
        let wait = match self.engine.wake_at() {
            // The clock is read again now and then, because it may be set forward while we sleep.
            Some(due) => Duration::from_millis(due.saturating_sub(now)).min(Duration::from_secs(1)),
            None => Duration::from_secs(1),
        };
        match self.inbox.recv_timeout(wait) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("this thread holds a sender itself"),
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Ingested { mut event, reply } => {
                event.receipt = Some(self.receipt(reply));
                self.tell(Input::Ingested(event));
            }
            Request::Freed { lane, upto, reply } => {
                let receipt = reply.map(|reply| self.receipt(reply));
                self.tell(Input::Freed { lane, upto, receipt });
            }
            // Whoever asked may have gone away.
            Request::Inspect { address, reply } => drop(reply.send(self.engine.view(&address))),
            Request::Functions { from, most, reply } => drop(reply.send(self.engine.functions(from, most))),
            Request::Metrics { reply } => drop(reply.send(self.engine.metrics())),
            Request::Operate { address, operation, reply } => {
                let receipt = self.receipt(reply);
                self.tell(Input::Operate { address, operation, receipt });
            }
        }
    }

    fn feed(&mut self, feed: Feed) {
        match feed {
            Feed::Resumed(partition, offset) => self.tell(Input::Resumed { partition, offset }),
            Feed::Positioned(partition, next) => self.tell(Input::Positioned { partition, next }),
            Feed::Records(records, _debt) => {
                for record in records {
                    self.tell(Input::Read(record));
                }
            }
        }
    }

    fn receipt(&mut self, reply: oneshot::Sender<Answer>) -> Receipt {
        let receipt = Receipt(self.next_receipt);
        self.next_receipt += 1;
        self.waiting.insert(receipt, reply);
        receipt
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle(self.clock.now(), input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Load(load) => self.storage.load(load),
                Output::Call(call) => match &mut self.held {
                    Some(held) => held.push_back(call),
                    None => self.call(call),
                },
                Output::Checkpoint(checkpoint) => {
                    self.kafka.sealed(&checkpoint);
                    self.storage.commit(checkpoint);
                }
                Output::Answer { receipt, answer } => {
                    if let Some(reply) = self.waiting.remove(&receipt) {
                        // Whoever went away will ask again: a producer with its key, a person for the address.
                        let _ = reply.send(answer);
                    }
                }
                Output::Publish { lane, upto, .. } => {
                    self.kafka.publish(lane, upto);
                    self.node.publish(lane, upto);
                }
                Output::HeldBack { partition, offset } => self.kafka.held_back(partition, offset),
                Output::Pause => self.node.set_paused(true),
                Output::Resume => self.node.set_paused(false),
                Output::Notice(notice) => self.notices.say(&notice),
                Output::Stopped => self.stopped = true,
            }
        }
    }

    fn hold_calls(&mut self, hold: bool) {
        match hold {
            true => _ = self.held.get_or_insert_default(),
            false => {
                for call in self.held.take().into_iter().flatten() {
                    self.call(call);
                }
            }
        }
    }

    fn call(&self, call: Box<Call>) {
        let (invoker, messages) = (self.invoker.clone(), self.messages.clone());
        self.io.spawn(async move {
            let result = invoker.call(&call).await;
            let input = match result {
                Ok(reply) => Input::Reply { call: call.id, reply },
                Err(failure) => Input::CallFailed { call: call.id, failure },
            };
            // No engine thread: the process is ending, and the call will be made again.
            let _ = messages.send(Message::Input(Box::new(input)));
        });
    }
}
