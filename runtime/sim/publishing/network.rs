//! The way between clients and brokers: requests and answers that are lost, late and repeated, and strangers.

use std::sync::Arc;

use bytes::Bytes;
use millpond_publisher::{Delivery, Failure, FailureKind, Input, Isolation, Item, Millis, Offset, Session};

use super::{CALL_MS, Happening, OURS, Pending, Place, STRANGER, World, poisonous};
use crate::client::Call;
use crate::kafka::{Answer, Producer, Request};

impl World {
    /// Another egress writes its cursor to the same topic, and takes its time.
    pub(super) fn stranger(&mut self) {
        if !self.kafka.at_rest(STRANGER) {
            return;
        }
        let partition = self.scenario.partitions;
        let Answer::Done(epoch) = self.serve(STRANGER, 0, &Request::Initialise) else { return };
        self.serve(STRANGER, epoch, &Request::AddPartition(partition));
        let values = vec![Bytes::from_static(b"not our cursor")];
        self.serve(STRANGER, epoch, &Request::Produce { partition, batch: 0, values });
        let delay = self.random.u64(0..4_000);
        self.after(delay, Happening::StrangerEnds { epoch });
    }

    pub(super) fn serve(&mut self, producer: Producer, epoch: u32, request: &Request) -> Answer {
        let poison = self.scenario.poison;
        let answer = self.kafka.serve(self.now, producer, epoch, request, |value| poisonous(poison, value));
        self.trace(&format!("broker {producer} {epoch} {request:?} {answer:?}"));
        self.mark_later();
        answer
    }

    pub(super) fn mark_later(&mut self) {
        if !self.marking {
            self.marking = true;
            let delay = self.delay();
            self.after(delay, Happening::Marker);
        }
    }

    /// Requests that the client has ready.
    pub(super) fn call_out(&mut self, process: usize) {
        let here = &mut self.processes[process];
        let Some(client) = &mut here.client else { return };
        let place = Place { process, generation: here.generation, session: client.session };
        for call in client.calls(&mut self.random) {
            self.call(place, call);
        }
    }

    pub(super) fn call(&mut self, place: Place, call: Call) {
        let epoch = self.processes[place.process].client.as_ref().map_or(0, |client| client.epoch);
        let id = self.next;
        self.next += 1;
        self.calls.insert(id, Pending { place, epoch, call, deadline: self.now + CALL_MS });
        self.send(id);
    }

    /// A request leaves; it may be lost, or come late, and so may its answer. The client repeats it then.
    pub(super) fn send(&mut self, call: u64) {
        let Some(pending) = self.calls.get(&call) else { return };
        let (epoch, request) = (pending.epoch, pending.call.request.clone());
        let there = self.random.u64(0..5);
        if self.now < self.down {
            return self.after(there, Happening::Lost { call, event: true });
        }
        let (lost, late) = (self.chance(self.scenario.faults.lost), self.chance(self.scenario.faults.late));
        let silent = self.chance(self.scenario.faults.answer_lost);
        if lost || late || silent {
            let event = self.random.bool();
            let noticed = if event { self.random.u64(1..200) } else { self.random.u64(2_500..4_000) };
            self.after(noticed, Happening::Lost { call, event });
            let arrives = if late { self.random.u64(0..noticed * 2 + 200) } else { there };
            if late || !lost {
                self.after(arrives, Happening::Arrive { call, epoch, request, answered: false });
            }
            return;
        }
        let there = if self.chance(self.scenario.faults.slow) { self.random.u64(0..1_500) } else { there };
        self.after(there, Happening::Arrive { call, epoch, request, answered: true });
    }

    pub(super) fn arrive(&mut self, call: u64, epoch: u32, request: &Request, answered: bool) {
        if self.now < self.down {
            if answered {
                self.after(1, Happening::Lost { call, event: true });
            }
            return;
        }
        let answer = self.serve(OURS, epoch, request);
        if answered {
            let back = self.random.u64(0..5);
            self.after(back, Happening::Answered { call, answer });
        }
    }

    pub(super) fn lost(&mut self, call: u64, event: bool) {
        let Some(pending) = self.calls.get(&call) else { return };
        let (place, late) = (pending.place, self.now > pending.deadline);
        if event {
            self.say(place, Input::Disturbed { session: place.session, error: "connection lost".into() });
        }
        if late {
            return self.give_up(call, FailureKind::Transient);
        }
        let delay = self.random.u64(20..100);
        self.after(delay, Happening::Resend { call });
    }

    /// The client reports a failure.
    fn give_up(&mut self, call: u64, kind: FailureKind) {
        let Some(Pending { place, call, .. }) = self.calls.remove(&call) else { return };
        if call.items.is_empty() {
            return self.say(place, failed(place.session, kind));
        }
        for item in call.items {
            self.delivered(place, item, Delivery::Failed(failure(kind)));
        }
    }

    fn delivered(&mut self, place: Place, item: Item, delivery: Delivery) {
        self.say(place, Input::Delivered { session: place.session, item, delivery });
    }

    pub(super) fn answered(&mut self, id: u64, answer: Answer) {
        let Some(pending) = self.calls.get(&id) else { return };
        let place = pending.place;
        match answer {
            Answer::Concurrent => {
                let delay = self.random.u64(20..50);
                return self.after(delay, Happening::Resend { call: id });
            }
            Answer::Fenced => return self.give_up(id, FailureKind::Fenced),
            Answer::Invalid => return self.give_up(id, FailureKind::Transient),
            Answer::Done(_) | Answer::Refused => {}
        }
        let Some(Pending { call, .. }) = self.calls.remove(&id) else { return };
        let Some(client) = &mut self.processes[place.process].client else { return };
        client.answered(&call.request);
        match (&call.request, answer) {
            (Request::Initialise, Answer::Done(epoch)) => {
                client.epoch = epoch;
                self.say(place, Input::Opened(place.session));
            }
            (Request::Commit, _) => self.say(place, Input::Committed(place.session)),
            (_, answer) => {
                for item in call.items {
                    let delivery = match answer {
                        Answer::Refused => Delivery::Refused { error: "record is too large".into() },
                        _ => Delivery::Done,
                    };
                    self.delivered(place, item, delivery);
                }
            }
        }
        self.call_out(place.process);
    }

    /// A reader asks where the cursor topic ends.
    pub(super) fn measure(&mut self, place: Place, isolation: Isolation) {
        let session = place.session;
        let input = if self.now < self.down {
            failed(session, FailureKind::Transient)
        } else {
            let offset = self.kafka.end(self.scenario.partitions, isolation) as Offset;
            Input::EndOffset { session, offset }
        };
        self.say(place, input);
    }

    /// A reader goes from `from` to `upto`; it waits where an open transaction holds back what is behind it.
    pub(super) fn read(&mut self, place: Place, from: usize, upto: usize, isolation: Isolation, deadline: Millis) {
        let partition = self.scenario.partitions;
        let here = &self.processes[place.process];
        if here.generation != place.generation {
            return;
        }
        if self.now < self.down || self.kafka.end(partition, isolation) < upto {
            if self.now > deadline {
                return self.say(place, failed(place.session, FailureKind::Transient));
            }
            return self.after(50, Happening::Read { place, from, upto, isolation, deadline });
        }
        let mut cursors = self.kafka.read(partition, OURS, isolation).filter(|(at, _)| (from..upto).contains(at));
        let found = cursors.next_back().map(|(offset, value)| (offset as Offset, value.clone()));
        drop(cursors);
        self.say(place, Input::Cursor { session: place.session, found });
    }

    pub(super) fn say(&mut self, place: Place, input: Input) {
        if self.processes[place.process].generation == place.generation {
            self.say_process(place.process, input);
        }
    }

    /// Word for a publisher: in order, sometimes late.
    pub(super) fn say_process(&mut self, process: usize, input: Input) {
        let most = if self.chance(self.scenario.faults.said_late) { 2_000 } else { 3 };
        let delay = self.random.u64(0..most);
        let here = &mut self.processes[process];
        here.heard = here.heard.max(self.now + delay);
        let generation = here.generation;
        let at = here.heard;
        self.queue.insert((at, self.next), Happening::Say { process, generation, input });
        self.next += 1;
    }

    /// Calls on a producer that was dropped may return for a while, with whatever they like: nobody listens.
    pub(super) fn say_anything(&mut self, place: Place) {
        let session = place.session;
        while self.chance(self.scenario.faults.said_late * 10) {
            let input = match self.random.u32(0..6) {
                0 => Input::Opened(session),
                1 => Input::EndOffset { session, offset: 0 },
                2 => Input::Cursor { session, found: None },
                3 => Input::Committed(session),
                4 => Input::Delivered { session, item: Item::Cursor, delivery: Delivery::Done },
                _ => failed(session, FailureKind::Fenced),
            };
            let delay = self.random.u64(0..2_000);
            let (process, generation) = (place.process, place.generation);
            self.after(delay, Happening::Say { process, generation, input });
        }
    }
}

fn failure(kind: FailureKind) -> Failure {
    let error: Arc<str> = match kind {
        FailureKind::Fenced => "fenced by a newer instance".into(),
        _ => "timed out".into(),
    };
    Failure { kind, error }
}

fn failed(session: Session, kind: FailureKind) -> Input {
    Input::Failed { session, failure: failure(kind) }
}
