//! Applying an answer: all of it or nothing.
//!
//! Every rule is checked before the first effect. Then, as upstream orders it: messages to functions, delayed messages and
//! cancellations, records for egresses, state. All of it lands in the same delta as the end of the invocations that caused it.

use std::collections::BTreeSet;

use millpond_protocol::TypeName;

use crate::cells::Slot;
use crate::engine::Engine;
use crate::function::Function;
use crate::{CallId, DelayedEffect, Effects, Expiration, Invocation, Limits, Millis, Mutation, Rejection, StateValue};

impl Engine {
    pub(crate) fn check(&self, call: CallId, effects: &Effects) -> Result<(), Rejection> {
        let Some(slot) = self.calls.get(&call) else { return Ok(()) };
        let function = &self.functions[self.cells[*slot].function];
        effects.delayed.iter().try_for_each(check_delay)?;
        self.check_tokens(&self.cells[*slot].address.id, effects)?;
        self.check_targets(effects)?;
        if let Some(record) = effects.egress.iter().find(|record| record.lane.0 as usize >= self.lanes.len()) {
            return Err(Rejection::new(
                "MP3005",
                format!("the answer names lane {}, which does not exist", record.lane.0),
            ));
        }
        effects.mutations.iter().try_for_each(|mutation| check_mutation(function, mutation, &self.config.limits))
    }

    /// Function types that nobody named before are few.
    fn check_targets(&self, effects: &Effects) -> Result<(), Rejection> {
        let delayed = effects.delayed.iter().filter_map(|effect| match effect {
            DelayedEffect::Send { message, .. } => Some(message),
            DelayedEffect::Cancel { .. } => None,
        });
        let targets = effects.messages.iter().chain(delayed).map(|message| &message.target.function);
        let new: BTreeSet<&TypeName> = targets.filter(|function| self.functions.find(function).is_none()).collect();
        let limit = self.config.limits.function_types;
        match self.functions.named_by_messages() + new.len() > limit && !new.is_empty() {
            true => Err(Rejection::new(
                "MP3015",
                format!("the answer names {} function types more; {limit} are known, which is the limit", new.len()),
            )),
            false => Ok(()),
        }
    }

    pub(crate) fn apply(&mut self, slot: Slot, effects: Effects) {
        let event_time = self.event_time(slot);
        self.finish_batch(slot);
        let caller = self.cells[slot].address.clone();
        let metrics = &mut self.functions[self.cells[slot].function].metrics;
        metrics.out_local += effects.messages.len() as u64;
        metrics.out_egress += effects.egress.len() as u64;
        for message in effects.messages {
            let caller = Some(caller.clone());
            let invocation = Invocation { caller, argument: message.argument, arrived: self.now, event_time };
            self.enqueue(message.target, invocation);
        }
        for effect in effects.delayed {
            self.apply_delayed(&caller, effect);
        }
        if !effects.egress.is_empty() {
            self.delta.hurry();
        }
        for record in effects.egress {
            self.delta.changed(record.record.len(), self.now);
            self.lanes[record.lane.0 as usize].push(record.record, event_time);
        }
        for mutation in effects.mutations {
            self.mutate(slot, mutation);
        }
        self.go_on(slot);
    }

    /// When the oldest event behind the batch happened.
    fn event_time(&self, slot: Slot) -> Millis {
        let cell = &self.cells[slot];
        let batch = cell.mailbox.head().iter().take(cell.batch);
        batch.map(|pending| pending.invocation.event_time).min().unwrap_or(self.now)
    }

    /// The invocations of the batch have run.
    fn finish_batch(&mut self, slot: Slot) {
        let cell = &mut self.cells[slot];
        let ran = std::mem::take(&mut cell.batch);
        self.functions[cell.function].metrics.finished += ran as u64;
        self.finish(slot, ran);
    }

    /// The first so many invocations are over; the address enters another phase next.
    pub(crate) fn finish(&mut self, slot: Slot, ran: usize) {
        self.mark_dirty(slot, 64);
        let cell = &mut self.cells[slot];
        cell.one_by_one = cell.one_by_one.saturating_sub(ran);
        cell.incomplete_rounds = 0;
        cell.attempts = 0;
        let mut bytes = 0;
        for pending in cell.mailbox.take(ran) {
            bytes += pending.bytes() as u64;
            if pending.sealed.is_some() {
                cell.finished.push(pending.sequence);
            }
        }
        let backlog = self.functions.backlog(cell.function);
        backlog.invocations = backlog.invocations.saturating_sub(ran as u64);
        backlog.bytes = backlog.bytes.saturating_sub(bytes);
        self.backlog_bytes = self.backlog_bytes.saturating_sub(bytes);
    }

    fn mutate(&mut self, slot: Slot, mutation: Mutation) {
        let cell = &mut self.cells[slot];
        let function = &self.functions[cell.function];
        let (name, value) = match &mutation {
            Mutation::Delete { name } => (name, None),
            Mutation::Modify { name, value, .. } => (name, Some(value)),
        };
        let Some((name, spec)) = function.specs.get_key_value(name.as_str()) else {
            unreachable!("every mutation was checked before the first one is applied")
        };
        let bytes = value.map_or(0, |value| value.len());
        let mortal = value.is_some() && spec.expiration != Expiration::None;
        let value =
            value.map(|value| StateValue { typename: spec.typename.clone(), value: value.clone(), written: self.now });
        cell.set_state(name, value);
        self.delta.changed(bytes, self.now);
        if mortal {
            self.expires();
        }
    }
}

fn check_delay(effect: &DelayedEffect) -> Result<(), Rejection> {
    match effect {
        DelayedEffect::Send { delay_ms, .. } if *delay_ms < 0 => {
            Err(Rejection::new("MP3012", format!("the answer delays a message by {delay_ms} ms")))
        }
        _ => Ok(()),
    }
}

fn check_mutation(function: &Function, mutation: &Mutation, limits: &Limits) -> Result<(), Rejection> {
    let (Mutation::Delete { name } | Mutation::Modify { name, .. }) = mutation;
    let Some(spec) = function.specs.get(name.as_str()) else {
        return Err(Rejection::new(
            "MP3008",
            format!("the answer changes state `{name}`, which the function did not declare"),
        ));
    };
    match mutation {
        Mutation::Modify { typename, .. } if *typename != spec.typename.to_string() => Err(Rejection::new(
            "MP3009",
            format!("the answer writes state `{name}` as `{typename}`, but it is declared as `{}`", spec.typename),
        )),
        Mutation::Modify { value, .. } if value.len() > limits.value_bytes => Err(Rejection::new(
            "MP3010",
            format!("the answer writes {} bytes to state `{name}`; the limit is {}", value.len(), limits.value_bytes),
        )),
        _ => Ok(()),
    }
}
