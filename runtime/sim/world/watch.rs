//! What must be true while the world runs, and what the ledger must hold at its end. The oracle judges the rest.

use millpond_engine::{
    Call, DeadLetter, DecidedBy, DelayedEffect, Effects, FailurePolicy, LaneId, Load, Loaded, LoadedAddress, Millis,
};
use millpond_protocol::Address;

use super::World;
use crate::function;
use crate::scenario::{argument, number};

impl World {
    /// Nothing is left behind in memory when there is nothing to do.
    pub(super) fn at_rest(&self) -> Result<(), String> {
        let metrics = self.engine.metrics();
        let backlog: u64 = metrics.functions.values().map(|function| function.backlog + function.in_flight).sum();
        let (delayed, tokens) = self.ledger.waiting();
        let memory = metrics.pending_bytes + metrics.waiting_bytes + metrics.calls_in_flight + metrics.delayed;
        let left = metrics.parked as usize + backlog as usize + self.ledger.backlogs().len() + self.ledger.failures();
        match memory + left + delayed + tokens {
            0 => Ok(()),
            _ => Err(format!("everything is done, but the engine says {metrics:?}")),
        }
    }

    /// Who was told to stop, and did, has nothing that the ledger has not.
    pub(super) fn nothing_is_lost(&self) -> Result<(), String> {
        for address in &self.scenario.addresses {
            let Some(view) = self.engine.view(address) else { continue };
            let load = Load::Address { address: address.clone(), bytes: usize::MAX };
            let Loaded::Address(LoadedAddress { states, .. }) = self.ledger.load(&load) else { continue };
            let kept = |name, value| states.iter().any(|(it, kept)| it == name && kept == value);
            if let Some(lost) = view.states.iter().find(|state| !kept(&state.name, &state.value)) {
                return Err(format!("the engine stopped, but the ledger has `{}` of {address} otherwise", lost.name));
            }
        }
        Ok(())
    }

    /// An invocation is taken out: a person wants it, or its function rejected it and the policy says so.
    pub(super) fn given_up(&mut self, letter: &DeadLetter, lane: Option<LaneId>) -> Result<(), String> {
        let node = number(&letter.invocation.argument);
        let policy = match lane {
            Some(_) => FailurePolicy::DeadLetter,
            None => FailurePolicy::Drop,
        };
        let wanted = self.scenario.config.endpoints.iter().any(|endpoint| endpoint.failure_policy == policy);
        if letter.decided_by == DecidedBy::Policy && !(wanted && self.rejected.contains(&node)) {
            return Err(format!("node {node} was given up by no policy: {letter:?}"));
        }
        let named = self.named.contains(&(letter.target.clone(), letter.sequence));
        if letter.decided_by == DecidedBy::Operator && !named {
            return Err(format!("node {node} was given up, but nobody named it: {letter:?}"));
        }
        if lane.is_none() {
            self.oracle.dropped(node);
        }
        Ok(())
    }

    /// An answer with delayed messages: none of them is due before its delay is over, counted from here at the earliest.
    pub(super) fn delayed(&mut self, effects: &Effects) {
        let now = self.now.max(self.engine.now());
        for effect in &effects.delayed {
            if let DelayedEffect::Send { delay_ms, message, .. } = effect {
                // Time that was in no checkpoint may come again.
                let due = self.not_before.entry(number(&message.argument)).or_insert(Millis::MAX);
                *due = (*due).min(now + *delay_ms as u64);
            }
        }
    }

    pub(super) fn check_due(&self, call: &Call) -> Result<(), String> {
        let now = self.engine.now();
        let node = call.invocations.iter().map(|(_, argument)| number(argument));
        match node.into_iter().find(|node| self.not_before.get(node).is_some_and(|due| *due > now)) {
            Some(node) => Err(format!("node {node} is delivered at {now}, before it is due")),
            None => Ok(()),
        }
    }

    /// A request carries a value up to its last millisecond, and not behind it. A repeated attempt carries what the first
    /// one did.
    pub(super) fn check_expiry(&mut self, call: &Call) -> Result<(), String> {
        let (now, ttl) = (self.engine.now(), self.scenario.ttl_ms);
        let Some([Some(written), fleeting, touched]) = function::times(call).filter(|_| call.attempt == 0) else {
            return Ok(());
        };
        let lives = |last: Millis| last + ttl > now;
        if fleeting.is_some() != lives(written) {
            return Err(format!("{}: `fleeting` of {written} is {fleeting:?} at {now}, life {ttl}", call.target));
        }
        let (ever, here) = self.touched.get(&call.target).copied().unwrap_or((0, None));
        // The stamp of a request may be lost with a crash, and then the clock runs from an earlier one.
        let right = match touched {
            Some(_) => lives(ever.max(written)),
            None => !lives(here.unwrap_or(0).max(written)),
        };
        if touched.is_some() {
            self.touched.insert(call.target.clone(), (now, Some(now)));
        }
        match right {
            true => Ok(()),
            false => Err(format!(
                "{}: `touched` of {written}, called {ever} {here:?}, is {touched:?} at {now}, life {ttl}",
                call.target
            )),
        }
    }

    /// The ledger has an invocation as a pending one, or its effect.
    pub(super) fn holds(&self, node: u64) -> bool {
        if self.oracle.may_be_dropped(node) || self.dead().contains(&node) {
            return true;
        }
        let LoadedAddress { states, pending, .. } = self.stored(self.scenario.target(node));
        let log = states.iter().find(|(name, _)| &**name == "log").map(|(_, value)| &value.value[..]);
        pending.iter().any(|(_, invocation)| invocation.argument == argument(node))
            || log.unwrap_or_default().chunks_exact(8).any(|entry| number(entry) == node)
    }

    /// The dead letters that the ledger has, those included that a reader freed.
    fn dead(&self) -> Vec<u64> {
        let lane = self.scenario.dead_lane();
        let kept = self.ledger.outbox(&self.scenario.config.lanes[lane as usize], 0, usize::MAX, usize::MAX);
        self.oracle.records(lane).chain(kept.iter().map(|(_, record)| number(record))).collect()
    }

    /// All of an address, as the ledger has it.
    fn stored(&self, address: Address) -> LoadedAddress {
        match self.ledger.load(&Load::Address { address, bytes: usize::MAX }) {
            Loaded::Address(loaded) => loaded,
            other => unreachable!("the ledger answered another question: {other:?}"),
        }
    }

    /// The state of every address, as the ledger has it.
    pub(super) fn logs(&self) -> Result<Vec<Vec<u64>>, String> {
        let log = |address: Address| {
            let learned = self.learned.contains(&address.function);
            let LoadedAddress { states, pending, listed, failure, .. } = self.stored(address);
            if !pending.is_empty() || listed || failure.is_some() {
                return Err("the ledger still holds pending invocations".to_owned());
            }
            let mortal = states.iter().find(|(name, _)| learned && function::MORTAL.contains(&&**name));
            if let Some((name, _)) = mortal {
                return Err(format!("the ledger still holds `{name}`, which is over for long"));
            }
            let log = states.into_iter().find(|(name, _)| &**name == "log").map(|(_, value)| value.value);
            Ok(log.unwrap_or_default().chunks_exact(8).map(number).collect())
        };
        self.scenario.addresses.iter().cloned().map(log).collect()
    }
}
