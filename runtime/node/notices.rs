//! The engine's notices in the log: a warning is repeated at most every 10 s for the same function and code, with a count
//! of what was left out. Ids stay out of the log at this level; the admin API shows them. Names of function types come from
//! whoever sends events, so they are written without control characters ([`OneLine`]).

use std::collections::HashMap;
use std::fmt::{self, Display, Write};
use std::time::{Duration, Instant};

use millpond_engine::{DeadLetter, FailureKind, FunctionMetrics, Metrics, Notice};
use millpond_protocol::TypeName;
use tracing::{debug, error, info, warn};

use crate::egress::decided_by as decided_by_word;

/// Pause between two lines about the same thing.
const EVERY: Duration = Duration::from_secs(10);

/// Pairs of function and code that have lines within 10 s; function types come from messages, so there may be any number.
/// The lines of others are counted.
const REMEMBERED_MAX: usize = 64;

/// Function types that one reminder names.
const REMINDED_MAX: usize = 5;

/// What was said lately.
#[derive(Debug, Default)]
pub(super) struct Notices {
    said: HashMap<(TypeName, &'static str, String), (Instant, u64)>,
    /// Lines about more function types than are remembered, since that was said last.
    left_out: u64,
}

impl Notices {
    pub(super) fn say(&mut self, notice: &Notice) {
        match notice {
            Notice::Retrying { address, attempt, next_ms, code, error } => {
                let (function, error) = (OneLine(&address.function), OneLine(error));
                debug!(address = %OneLine(address), attempt, next_ms, %code, %error, "function call failed, will retry");
                if let Some(suppressed) = self.due(&address.function, "retry", code) {
                    warn!(%function, %code, attempt, next_ms, %error, suppressed, "function call failed, will retry");
                }
            }
            Notice::Parked { address, kind, code, error } => {
                let (function, error) = (OneLine(&address.function), OneLine(error));
                debug!(address = %OneLine(address), %code, %error, "address parked");
                let Some(suppressed) = self.due(&address.function, "park", code) else { return };
                let hint = format!("millpond explain {code}");
                match kind {
                    FailureKind::Unreachable => {
                        warn!(%function, %code, %error, suppressed, hint, "address parked, function cannot be reached");
                    }
                    FailureKind::Rejected => {
                        error!(%function, %code, %error, suppressed, hint, "address parked, function rejects its message");
                    }
                    FailureKind::NoEndpoint => {
                        error!(%function, %code, %error, suppressed, hint, "address parked, nobody serves it");
                    }
                }
            }
            Notice::GivenUp { letter, lane } => self.given_up(letter, lane.is_some()),
            Notice::Recovered { address } => {
                debug!(address = %OneLine(address), "address answers again");
                if let Some(suppressed) = self.due(&address.function, "recovered", "") {
                    info!(function = %OneLine(&address.function), suppressed, "address answers again");
                }
            }
            Notice::InTrouble { function, kind, code, error } => {
                let Some(suppressed) = self.due(function, "trouble", code) else { return };
                let (function, error, hint) = (OneLine(function), OneLine(error), format!("millpond explain {code}"));
                match kind {
                    FailureKind::Unreachable => warn!(
                        %function, %code, %error, suppressed, hint,
                        "function type in trouble, nobody is reached; one call at a time"
                    ),
                    _ => error!(
                        %function, %code, %error, suppressed, hint,
                        "function type in trouble, it rejects everything; one call at a time"
                    ),
                }
            }
            Notice::OutOfTrouble { function } => {
                if let Some(suppressed) = self.due(function, "out of trouble", "") {
                    info!(function = %OneLine(function), suppressed, "function type answers again");
                }
            }
            Notice::KeysForgotten { count } => {
                warn!(count, "idempotency keys forgotten before their time, the store is full");
            }
        }
    }

    /// What failed before and still does: a line a minute for each of the worst, because a function type whose addresses are
    /// all parked makes no other.
    pub(super) fn remind(&mut self, metrics: &Metrics) {
        let count = std::mem::take(&mut self.left_out);
        if count > 0 {
            warn!(count, "lines about more function types were left out");
        }
        let waits = |metrics: &FunctionMetrics| metrics.in_trouble || metrics.parked > 0;
        let mut failing: Vec<_> = metrics.functions.iter().filter(|(_, metrics)| waits(metrics)).collect();
        failing.sort_by_key(|(_, metrics)| std::cmp::Reverse((metrics.in_trouble, metrics.parked, metrics.backlog)));
        let more = failing.len().saturating_sub(REMINDED_MAX);
        for (function, metrics) in failing.into_iter().take(REMINDED_MAX) {
            let FunctionMetrics { parked, backlog: pending, in_trouble, .. } = *metrics;
            let function = OneLine(function);
            warn!(%function, in_trouble, parked, pending, "messages wait behind failures");
        }
        if more > 0 || waits(&metrics.other_functions) {
            let parked = metrics.parked;
            warn!(
                more,
                parked, "messages of more function types wait behind failures, `millpond functions` lists them"
            );
        }
    }

    /// A message is gone from its queue: the log has to say where it is, if anywhere.
    fn given_up(&mut self, letter: &DeadLetter, kept: bool) {
        let DeadLetter { target, sequence, code, error, attempts, decided_by, .. } = letter;
        let (function, error) = (OneLine(&target.function), OneLine(error));
        let decided_by = decided_by_word(*decided_by);
        let (address, hint) = (OneLine(target), format!("millpond explain {code}"));
        debug!(%address, sequence, %code, attempts, %error, decided_by, kept, "message given up");
        if kept {
            let Some(suppressed) = self.due(&target.function, "dead letter", code) else { return };
            warn!(%function, %code, attempts, %error, decided_by, suppressed, hint, "message became a dead letter");
        } else {
            let Some(suppressed) = self.due(&target.function, "drop", code) else { return };
            error!(%function, %code, attempts, %error, decided_by, suppressed, hint, "message dropped");
        }
    }

    /// How many lines were left out since the last one, when it is time for another.
    fn due(&mut self, function: &TypeName, what: &'static str, code: &str) -> Option<u64> {
        let now = Instant::now();
        if self.said.len() >= REMEMBERED_MAX {
            let left_out = &mut self.left_out;
            self.said.retain(|_, (at, suppressed)| {
                let recent = now.duration_since(*at) < EVERY;
                *left_out += if recent { 0 } else { *suppressed };
                recent
            });
        }
        let remembered = self.said.len();
        match self.said.get_mut(&(function.clone(), what, code.to_owned())) {
            Some((at, suppressed)) if now.duration_since(*at) < EVERY => {
                *suppressed += 1;
                None
            }
            Some((at, suppressed)) => {
                *at = now;
                Some(std::mem::take(suppressed))
            }
            None if remembered >= REMEMBERED_MAX => {
                self.left_out += 1;
                None
            }
            None => {
                self.said.insert((function.clone(), what, code.to_owned()), (now, 0));
                Some(0)
            }
        }
    }
}

/// Text that stays on its line and does nothing to a terminal, whoever chose it.
struct OneLine<T>(T);

impl<T: Display> Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

        impl Write for Escaping<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars().try_for_each(|character| match character {
                    control if control.is_control() => write!(self.0, "{}", control.escape_default()),
                    other => self.0.write_char(other),
                })
            }
        }

        write!(Escaping(f), "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use millpond_protocol::TypeName;

    use super::{Notices, REMEMBERED_MAX};

    /// The same thing is said once in a while; of too many things the number is known.
    #[test]
    fn lines_are_few() {
        let mut notices = Notices::default();
        let function = |number: usize| TypeName::new("a", &number.to_string());
        for number in 0..REMEMBERED_MAX {
            assert_eq!(notices.due(&function(number), "retry", "MP4001"), Some(0));
        }
        for number in 0..1_000 {
            assert_eq!(notices.due(&function(number), "retry", "MP4001"), None);
        }
        assert_eq!(notices.left_out, 1_000 - REMEMBERED_MAX as u64);
        assert_eq!(notices.said.len(), REMEMBERED_MAX);
        assert!(notices.said.values().all(|(_, suppressed)| *suppressed == 1));
    }
}
