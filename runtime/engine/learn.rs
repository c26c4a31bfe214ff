//! What a function declares: learned anew at every start, because SDKs answer the first request with all their states.
//!
//! An incomplete answer names states that its request did not carry. They are taken in for the whole type, and the same
//! batch is sent again with them. A function that never has enough is stopped after some rounds.

use crate::engine::Engine;
use crate::function::Function;
use crate::{CallId, Expiration, Rejection, StateSpec, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Engine {
    /// Takes in the states that the function asks for; the batch is sent again with them.
    pub(crate) fn learn(&mut self, call: CallId, specs: &[StateSpec]) -> Result<(), Rejection> {
        let Some(slot) = self.calls.get(&call).copied() else { return Ok(()) };
        let cell = &mut self.cells[slot];
        if cell.incomplete_rounds >= self.config.limits.incomplete_rounds {
            return Err(Rejection::new(
                "MP3006",
                format!("the function still asks for states after {} rounds", cell.incomplete_rounds),
            ));
        }
        let function = &mut self.functions[cell.function];
        let specs = function.register(specs)?;
        let mortal = specs.iter().any(|spec| spec.expiration != Expiration::None);
        for spec in specs {
            self.delta.write(Write::Spec { function: function.name.clone(), spec }, self.now);
        }
        cell.incomplete_rounds += 1;
        cell.attempts = 0;
        if mortal {
            self.expires();
        }
        Ok(())
    }
}

impl Function {
    /// Takes in what the function declared.
    ///
    /// # Errors
    /// A [`Rejection`] when a state that is known, or declared further up in the list, comes with another type: answers of
    /// two versions of the function are in play. Nothing of the list is taken in then.
    fn register(&mut self, specs: &[StateSpec]) -> Result<Vec<StateSpec>, Rejection> {
        let mut new: BTreeMap<Arc<str>, StateSpec> = BTreeMap::new();
        for spec in specs {
            let known = self.specs.get(&spec.name).or_else(|| new.get(&spec.name));
            if let Some(known) = known.filter(|known| known.typename != spec.typename) {
                return Err(Rejection::new(
                    "MP3002",
                    format!(
                        "state `{}` is declared as `{}`, but was declared as `{}` before",
                        spec.name, spec.typename, known.typename
                    ),
                ));
            }
            if known.is_none() {
                new.insert(spec.name.clone(), spec.clone());
            }
        }
        self.specs.extend(new.clone());
        Ok(new.into_values().collect())
    }
}
