//! What a person wants done about one address: try it now, or take its first invocation out.
//!
//! The invocation is named by its number, so that another one is never taken. While the address is being loaded or called
//! the word waits for the outcome: what ran is not skipped.

use millpond_protocol::Address;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::phase::Phase;
use crate::{Answer, DeadLetterRoute, DecidedBy, Receipt, Sequence};

/// What a person wants done about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Try it now, if it waits for its next attempt.
    Resume,
    /// Take its first invocation out, if that has this number, and drop it.
    Skip(Sequence),
    /// Take its first invocation out, if that has this number, and keep it as a dead letter.
    DeadLetter(Sequence),
}

impl Engine {
    /// Does what a person wants, as soon as the address is neither loaded nor called.
    pub(crate) fn operate(&mut self, address: &Address, operation: Operation, receipt: Receipt) {
        if self.stopping {
            return self.answer(receipt, Answer::Stopping);
        }
        if self.functions.find(&address.function).is_none() {
            // Of a type that was never named nothing waits.
            let nothing = matches!(operation, Operation::Resume);
            return self.answer(receipt, if nothing { Answer::Durable } else { Answer::NotFirst });
        }
        let slot = self.touch_loaded(address.clone());
        self.operations.entry(slot).or_default().push_back((operation, receipt));
        self.operable.push_back(slot);
    }

    /// Nobody waits for an address any more.
    pub(crate) fn stop_operating(&mut self) {
        for (_, receipt) in std::mem::take(&mut self.operations).into_values().flatten() {
            self.answer(receipt, Answer::Stopping);
        }
    }

    /// Runs what people want done about addresses that entered a phase.
    pub(crate) fn run_operations(&mut self) {
        while let Some(slot) = self.operable.pop_front() {
            self.run_operations_of(slot);
        }
    }

    /// The same for one address, unless it is being loaded or called: then it waits for the outcome.
    fn run_operations_of(&mut self, slot: Slot) {
        while let Some(operations) = self.operations.get_mut(&slot)
            && !matches!(self.cells[slot].phase, Phase::Loading | Phase::Refilling | Phase::InFlight(_))
        {
            let Some((operation, receipt)) = operations.pop_front() else {
                self.operations.remove(&slot);
                return;
            };
            let answer = match operation {
                Operation::Resume => {
                    self.wake(slot);
                    Some(Answer::Durable)
                }
                Operation::Skip(sequence) => self.take_out_named(slot, sequence, None),
                Operation::DeadLetter(sequence) => {
                    match self.endpoint_of(slot).map(|endpoint| endpoint.dead_letters.clone()) {
                        Some(Some(route)) => self.take_out_named(slot, sequence, Some(&route)),
                        _ => Some(Answer::NoRoute),
                    }
                }
            };
            match answer {
                Some(answer) => self.answer(receipt, answer),
                None => self.delta.wait(receipt, Answer::Durable),
            }
        }
    }

    /// Takes the first invocation out if it has this number. `None` when that was done.
    fn take_out_named(&mut self, slot: Slot, sequence: Sequence, route: Option<&DeadLetterRoute>) -> Option<Answer> {
        if self.cells[slot].mailbox.head().front().is_none_or(|first| first.sequence != sequence) {
            return Some(Answer::NotFirst);
        }
        self.take_out(slot, route, DecidedBy::Operator);
        self.go_on_behind(slot);
        None
    }
}
