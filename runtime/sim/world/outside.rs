//! Who is outside of the engine: functions that answer, producers and readers, persons.

use millpond_engine::{Call, CallFailure, CallId, FailureKind, Input, LaneId, Millis, Operation, Receipt};

use super::{Happening, World};
use crate::function;
use crate::scenario::number;

impl World {
    /// The function runs; its answer comes late, is lost, is refused, or comes twice.
    pub(super) fn serve(&mut self, call: &Call) -> Result<(), String> {
        self.report.calls += 1;
        let faults = self.scenario.faults.clone();
        let reply = function::run(&self.scenario, call)?;
        let delay = self.random.u64(0..50);
        let after = self.chance(faults.retry_after).then(|| self.random.u64(0..10_000));
        let mut nodes = call.invocations.iter().map(|(_, argument)| number(argument));
        let poisoned = !self.healing && nodes.any(|node| self.scenario.node(node).poison);
        if self.now < self.down[call.endpoint] {
            self.say(delay, failed(call.id, FailureKind::Unreachable, after));
        } else if poisoned
            || call.invocations.len() > 1 && self.chance(faults.batch_rejected)
            || self.chance(faults.reply_rejected)
        {
            if let [(_, argument)] = &call.invocations[..] {
                self.rejected.insert(number(argument));
            }
            self.say(delay, failed(call.id, FailureKind::Rejected, after));
        } else if self.chance(faults.reply_lost) {
            self.say(delay, failed(call.id, FailureKind::Unreachable, after));
            let late = self.random.u64(0..500);
            self.say(delay + late, Input::Reply { call: call.id, reply });
        } else {
            if self.chance(faults.reply_repeated) {
                let late = self.random.u64(0..500);
                self.say(delay + late, Input::Reply { call: call.id, reply: reply.clone() });
            }
            self.say(delay, Input::Reply { call: call.id, reply });
        }
        Ok(())
    }

    pub(super) fn produce(&mut self) -> Result<(), String> {
        if !self.paused {
            if self.chance(100) {
                self.producer.repeat(&mut self.random);
            }
            if self.chance(50)
                && let Some(event) = self.producer.forge(&self.scenario, &mut self.random)
            {
                self.tell(Input::Ingested(event))?;
            }
            if let Some(event) = self.producer.event(&self.scenario, &mut self.random) {
                self.tell(Input::Ingested(event))?;
            }
            if let Some(input) = self.readers.step(&self.scenario, &mut self.random, self.now) {
                self.tell(input)?;
            }
        }
        if !self.producer.done(&self.scenario) || !self.readers.done(&self.scenario) {
            // Who is told to wait looks again now and then only: a clock that was set back may hold up retries for long.
            let slow = self.paused || self.refused || self.engine.now() > self.now;
            let delay = self.random.u64(0..if slow { 5_000 } else { 30 });
            self.after(delay, Happening::Produce);
        }
        if self.chance(self.scenario.faults.free) {
            self.read_lanes()?;
            self.free()?;
        }
        Ok(())
    }

    /// A person resumes an address, or takes its first invocation out, perhaps under a number that is an old one.
    pub(super) fn operate(&mut self) -> Result<(), String> {
        let address = self.random.usize(0..self.scenario.addresses.len());
        let address = self.scenario.addresses[address].clone();
        let first = self.engine.view(&address).and_then(|view| view.first).unwrap_or(1);
        let sequence = first.saturating_sub(u64::from(self.random.u32(0..4) == 0));
        let operation = match self.random.u32(0..6) {
            0 if self.scenario.gives_up => Operation::Skip(sequence),
            1 if self.scenario.gives_up => Operation::DeadLetter(sequence),
            _ => Operation::Resume,
        };
        let receipt = Receipt(self.next_free);
        self.next_free += 1;
        self.operated.insert(receipt);
        if let Operation::Skip(sequence) | Operation::DeadLetter(sequence) = operation {
            self.named.insert((address.clone(), sequence));
        }
        self.tell(Input::Operate { address, operation, receipt })
    }

    /// A reader frees a part of what it has seen.
    pub(super) fn free(&mut self) -> Result<(), String> {
        let lane = self.random.usize(0..self.scenario.config.lanes.len());
        let (first, next) = self.ledger.lane(&self.scenario.config.lanes[lane]);
        let upto = self.random.u64(first - 1..next + 3);
        let receipt = self.random.bool().then_some(Receipt(self.next_free));
        if let Some(receipt) = receipt {
            self.next_free += 1;
            // Only what the engine knows to be durable can be freed.
            let (_, known) = self.told.lane(&self.scenario.config.lanes[lane]);
            self.frees.insert(receipt, (lane as u32, upto.min(known - 1)));
        }
        self.tell(Input::Freed { lane: LaneId(lane as u32), upto, receipt })
    }

    /// A reader looks at all lanes.
    pub(super) fn read_lanes(&mut self) -> Result<(), String> {
        for lane in 0..self.scenario.config.lanes.len() {
            for (sequence, record) in self.ledger.outbox(&self.scenario.config.lanes[lane], 0, usize::MAX, usize::MAX) {
                self.oracle.saw(lane as u32, sequence, &record)?;
            }
        }
        Ok(())
    }
}

fn failed(call: CallId, kind: FailureKind, retry_after_ms: Option<Millis>) -> Input {
    let failure = CallFailure { kind, code: "MP4000", error: "simulated".into(), retry_after_ms };
    Input::CallFailed { call, failure }
}
