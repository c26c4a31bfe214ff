//! Records that the broker refuses for good.
//!
//! A broker judges batches: with one record that is too large it refuses those beside it. So a refusal counts only for a
//! record that was alone in its transaction; one that was in company goes alone next time. A refusal that counts is
//! reported, and nothing is published until the report is durable: the cursor that passes the record over would be all that
//! is left of it.

use std::collections::BTreeSet;

use crate::publisher::Publisher;
use crate::transaction::Transaction;
use crate::{Output, Sequence};

/// What is known of refused records above the confirmed ones.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Refused in company: they go alone.
    accused: BTreeSet<Sequence>,
    /// Reported, not durable yet.
    reported: BTreeSet<Sequence>,
    /// Their dead letter is durable: they are passed over.
    recorded: BTreeSet<Sequence>,
}

impl Refusals {
    pub(crate) fn new(recorded: BTreeSet<Sequence>) -> Refusals {
        Refusals { accused: BTreeSet::new(), reported: BTreeSet::new(), recorded }
    }

    /// True while a report is not durable yet.
    pub(crate) fn unrecorded(&self) -> bool {
        !self.reported.is_empty()
    }

    pub(crate) fn goes_alone(&self, sequence: Sequence) -> bool {
        self.accused.contains(&sequence)
    }

    pub(crate) fn passed_over(&self, sequence: Sequence) -> bool {
        self.recorded.contains(&sequence)
    }

    pub(crate) fn recorded(&mut self, sequence: Sequence) {
        if self.reported.remove(&sequence) {
            self.recorded.insert(sequence);
        }
    }

    /// What is confirmed is not looked at again.
    pub(crate) fn confirmed(&mut self, upto: Sequence) {
        for known in [&mut self.accused, &mut self.recorded] {
            known.retain(|sequence| *sequence > upto);
        }
    }
}

impl Publisher {
    /// A transaction ended; what the broker refused in it is accused, or reported.
    pub(crate) fn refuse(&mut self, transaction: Transaction) {
        let alone = transaction.records == 1;
        for (sequence, error) in transaction.refused {
            if alone {
                self.refusals.accused.remove(&sequence);
                self.refusals.reported.insert(sequence);
                self.outputs.push_back(Output::Refused { sequence, error });
            } else {
                self.refusals.accused.insert(sequence);
            }
        }
    }
}
