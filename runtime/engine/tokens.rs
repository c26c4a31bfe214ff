//! Cancellation tokens: a name for a delayed message, in a space that all function types of one id share.
//!
//! Which message a token stands for is in the ledger; what changed since is here. An answer that names tokens is applied
//! only when all of them are known: it is set aside and the ledger is asked, while its address stays in flight. A change is
//! forgotten here when it is durable, unless somebody is asking for that very token: the answer may be older.
//! Upstream: `FlinkStateDelayedMessagesBuffer`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::delayed::Due;
use crate::engine::Engine;
use crate::{CallId, DelayedEffect, Effects, Limits, Load, Rejection, Write};

/// Id and token.
type Name = (Arc<str>, Arc<str>);

/// What is known of tokens beyond the ledger.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: BTreeMap<Name, Known>,
    /// Names whose change no sealed checkpoint holds.
    fresh: BTreeMap<Name, ()>,
    /// Answers that wait for the ledger.
    waiting: BTreeMap<CallId, Waiting>,
    /// How many of them need a name: it is not forgotten meanwhile.
    asked: BTreeMap<Name, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    due: Option<Due>,
    /// The checkpoint that holds it.
    checkpoint: u64,
}

#[derive(Debug)]
struct Waiting {
    names: Vec<Name>,
    effects: Effects,
}

impl Tokens {
    /// What changed since the last seal.
    pub(crate) fn seal(&mut self, writes: &mut Vec<Write>) {
        for (name, ()) in std::mem::take(&mut self.fresh) {
            let Some(known) = self.known.get(&name) else { continue };
            let (id, token) = name;
            writes.push(Write::Token { id, token, delayed: known.due });
        }
    }

    /// The ledger knows what this checkpoint holds.
    pub(crate) fn durable(&mut self, checkpoint: u64) {
        let asked = &self.asked;
        self.known.retain(|name, known| known.checkpoint > checkpoint || asked.contains_key(name));
    }

    fn release(&mut self, names: &[Name]) {
        for name in names {
            if let Some(count) = self.asked.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.asked.remove(name);
                }
            }
        }
    }
}

impl Engine {
    /// Sets an answer aside when it names tokens that only the ledger knows. Gives it back when it can be applied now.
    pub(crate) fn look_up_tokens(&mut self, call: CallId, id: &Arc<str>, effects: Effects) -> Option<Effects> {
        let mut names: Vec<Name> = effects
            .delayed
            .iter()
            .map(token)
            .filter(|token| !token.is_empty())
            .map(|token| (id.clone(), Arc::from(token)))
            .collect();
        names.sort();
        names.dedup();
        let unknown: Vec<Arc<str>> =
            names.iter().filter(|name| !self.tokens.known.contains_key(name)).map(|(_, token)| token.clone()).collect();
        if unknown.is_empty() {
            return Some(effects);
        }
        // Those that are known now must not be forgotten until the answer is applied, either.
        for name in &names {
            *self.tokens.asked.entry(name.clone()).or_default() += 1;
        }
        self.tokens.waiting.insert(call, Waiting { names, effects });
        self.load(Load::Tokens { id: id.clone(), tokens: unknown, call });
        None
    }

    /// True while the answer to a call waits for the ledger.
    pub(crate) fn awaits_tokens(&self, call: CallId) -> bool {
        self.tokens.waiting.contains_key(&call)
    }

    pub(crate) fn tokens_loaded(&mut self, call: CallId, found: &[(Arc<str>, Due)]) {
        let Some(Waiting { names, effects }) = self.tokens.waiting.remove(&call) else { return };
        let checkpoint = self.delta.durable();
        for name in &names {
            let due = found.iter().find(|(token, _)| *token == name.1).map(|(_, due)| *due);
            // A change that came meanwhile is newer than what the ledger said.
            self.tokens.known.entry(name.clone()).or_insert(Known { due, checkpoint });
        }
        self.answered(call, effects);
        self.tokens.release(&names);
        self.tokens.durable(checkpoint);
    }

    /// Checks the tokens of an answer, and that none stands for two messages.
    pub(crate) fn check_tokens(&self, id: &Arc<str>, effects: &Effects) -> Result<(), Rejection> {
        let mut pending: BTreeMap<&str, bool> = BTreeMap::new();
        for effect in &effects.delayed {
            let token = check_one(effect, &self.config.limits)?;
            if token.is_empty() {
                continue;
            }
            let stands = pending.entry(token).or_insert_with(|| self.token(id, token).is_some());
            match effect {
                DelayedEffect::Cancel { .. } => *stands = false,
                DelayedEffect::Send { .. } if *stands => {
                    return Err(Rejection::new(
                        "MP3011",
                        "the answer gives a delayed message a cancellation token that another one has still",
                    ));
                }
                DelayedEffect::Send { .. } => *stands = true,
            }
        }
        Ok(())
    }

    /// The message that a token stands for; known for every token of an answer that is being applied.
    pub(crate) fn token(&self, id: &Arc<str>, token: &str) -> Option<Due> {
        self.tokens.known.get(&(id.clone(), Arc::from(token)))?.due
    }

    /// From now on a token stands for this message, or for none.
    pub(crate) fn set_token(&mut self, id: &Arc<str>, token: &Arc<str>, due: Option<Due>) {
        let name = (id.clone(), token.clone());
        let checkpoint = self.delta.next_checkpoint();
        self.tokens.fresh.insert(name.clone(), ());
        self.tokens.known.insert(name, Known { due, checkpoint });
        self.delta.changed(32, self.now);
    }
}

fn token(effect: &DelayedEffect) -> &str {
    let (DelayedEffect::Send { token, .. } | DelayedEffect::Cancel { token }) = effect;
    token
}

fn check_one<'a>(effect: &'a DelayedEffect, limits: &Limits) -> Result<&'a str, Rejection> {
    let token = token(effect);
    match effect {
        DelayedEffect::Cancel { token } if token.is_empty() => {
            return Err(Rejection::new("MP3013", "the answer cancels a delayed message without naming its token"));
        }
        _ => {}
    }
    if token.len() > limits.token_bytes {
        let error = format!("the answer names a token of {} bytes; the limit is {}", token.len(), limits.token_bytes);
        return Err(Rejection::new("MP3014", error));
    }
    Ok(token)
}
