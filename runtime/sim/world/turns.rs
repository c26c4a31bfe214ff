//! Whose turn it is: what must be true of every call, and whenever the engine has done what it can.

use std::collections::{BTreeMap, BTreeSet};

use millpond_engine::{Call, CallId, DelayedEffect, FailureKind, Input, Load, Loaded, Millis, Reply};
use millpond_protocol::{Address, TypeName};

use super::World;

/// Calls to addresses that did not fail, between two to addresses that did, while there are such.
const OTHERS: u32 = 8;

/// What a watcher remembers, since the last start.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Calls that went out in this step.
    called: Vec<Address>,
    /// The endpoint that serves a function type.
    endpoints: BTreeMap<TypeName, usize>,
    /// Calls to others since an address that failed had its turn, by function type.
    others: BTreeMap<TypeName, u32>,
    /// Addresses whose function asked for states: they go on before all others.
    asked: BTreeSet<Address>,
    /// Mailboxes of which a page is being read.
    reading: BTreeSet<Address>,
}

impl World {
    pub(super) fn goes_out(&mut self, call: &Call) {
        self.turns.called.push(call.target.clone());
        self.turns.endpoints.insert(call.target.function.clone(), call.endpoint);
    }

    /// Nothing of an address is asked for while a page of its mailbox is on its way: the page may be older.
    pub(super) fn asks_for(&mut self, load: &Load) -> Result<(), String> {
        let again = match load {
            Load::Address { address, .. } => self.turns.reading.contains(address),
            Load::Mailbox { address, .. } => !self.turns.reading.insert(address.clone()),
            _ => false,
        };
        if again { Err(format!("{load:?} is asked for while a page of it is read")) } else { Ok(()) }
    }

    pub(super) fn comes_back(&mut self, input: &Input) {
        if let Input::Loaded(Loaded::Mailbox { address, .. }) = input {
            self.turns.reading.remove(address);
        }
    }

    /// The address whose answer takes effect with this input.
    pub(super) fn succeeds(&mut self, input: &Input) -> Option<Address> {
        let Input::Reply { call, reply } = input else { return None };
        let target = self.waits_for(*call)?;
        let has_token = |effect: &DelayedEffect| match effect {
            DelayedEffect::Send { token, .. } | DelayedEffect::Cancel { token } => !token.is_empty(),
        };
        match reply {
            Reply::Incomplete(_) => {
                self.turns.asked.insert(target.clone());
                Some(target)
            }
            // What its tokens stand for may have to be looked up first.
            Reply::Completed(effects) => (!effects.delayed.iter().any(has_token)).then_some(target),
        }
    }

    fn waits_for(&self, call: CallId) -> Option<Address> {
        self.flying.get(&call).filter(|_| !self.stopping).cloned()
    }

    /// Addresses that are parked because the endpoint of this one could not be reached, and when each is tried again.
    pub(super) fn parked_beside(&self, target: &Address) -> BTreeMap<Address, Option<Millis>> {
        let endpoint = self.turns.endpoints.get(&target.function);
        let beside = |address: &&Address| self.turns.endpoints.get(&address.function) == endpoint;
        let parked = |address: &Address| {
            let failure = self.engine.view(address)?.failure?;
            (failure.parked && failure.kind == FailureKind::Unreachable).then(|| (address.clone(), failure.next))
        };
        self.scenario.addresses.iter().filter(beside).filter_map(parked).collect()
    }

    /// A function type that answers is in no trouble, and nobody waits on for its endpoint to be reached.
    pub(super) fn check_success(
        &self,
        target: &Address,
        before: &BTreeMap<Address, Option<Millis>>,
    ) -> Result<(), String> {
        if self.engine.metrics().functions[&target.function].in_trouble {
            return Err(format!("{target} was answered, but its type is in trouble"));
        }
        let parked = self.parked_beside(target);
        match before.iter().find(|(address, next)| parked.get(address) == Some(next)) {
            Some((address, _)) => Err(format!("{target} was answered, but {address} waits on for their endpoint")),
            None => Ok(()),
        }
    }

    /// Whoever has a turn was called, no type beyond its window, and those that failed behind those that did not.
    pub(super) fn check_turns(&mut self) -> Result<(), String> {
        self.engine.audit()?;
        let metrics = self.engine.metrics();
        for address in std::mem::take(&mut self.turns.called) {
            let function = &metrics.functions[&address.function];
            if self.learned.contains(&address.function) && function.in_flight > function.window {
                return Err(format!("{address} is called beyond the window: {function:?}"));
            }
            let failed = self.engine.view(&address).is_some_and(|view| view.failure.is_some());
            let first = self.turns.asked.remove(&address);
            let others = self.turns.others.entry(address.function.clone()).or_default();
            if !failed || first {
                *others += 1;
            } else if function.in_line > 0 && *others < OTHERS {
                return Err(format!("{address} failed, but is called before others: {function:?}"));
            } else {
                *others = 0;
            }
        }
        if self.stopping || metrics.calls_in_flight >= self.scenario.config.limits.calls_in_flight {
            return Ok(());
        }
        let idle = metrics.functions.iter().find(|(_, function)| {
            let waits = function.in_line + function.retrying > 0;
            waits && function.in_flight < function.window && !function.in_trouble
        });
        match idle {
            Some((name, function)) => Err(format!("nobody of {name} is called: {function:?}")),
            None => Ok(()),
        }
    }
}
