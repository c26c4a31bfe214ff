//! Which application a data directory belongs to, and what it consisted of at its last start.
//!
//! In: the file `APPLICATION` of the directory, the name that was asked for, the configuration, what the ledger holds. Out: the
//! application as it is from now on, or why it may not be started so. It is kept in the directory, because its name is part
//! of names at Kafka (topics, transactional ids), which must not change behind the back of what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use millpond_engine::{EndpointConfig, EngineConfig, FunctionPattern, LaneName, Millis, Restored, Sequence};
use millpond_protocol::TypeName;
use serde::{Deserialize, Serialize};

use crate::ledger::{Ledger, LedgerError};

/// Characters of a name. With what Millpond appends it stays below the 249 of a Kafka topic.
pub const NAME_CHARS_MAX: usize = 128;

/// Components that are listed when they were removed.
const LISTED_MAX: usize = 20;

/// Delayed messages that are read at a time.
const PAGE: usize = 4096;

/// What is kept of an application in its data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// The patterns of the functions that were served at the last start.
    endpoints: BTreeSet<String>,
    /// The lanes that there were: namespace and name of the egress, and the part of it.
    lanes: BTreeSet<(String, String, String)>,
}

/// A name that was asked for, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedName {
    /// The name.
    pub name: String,
    /// `--app` or a setting.
    pub by: &'static str,
}

/// Why a name cannot be that of an application.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It has no characters, or too many.
    #[error("it has {0} characters, not 1 to {NAME_CHARS_MAX}")]
    Length(usize),
    /// It has characters that a topic may not have, or begins with one that only stands inside.
    #[error("it has `{0}` in it, where only letters, digits, `-`, `_` and `.` may be, the last three not in front")]
    Character(char),
}

/// Whether a name can be part of a Kafka topic's.
///
/// # Errors
/// [`InvalidName`] says why not.
pub fn check_name(name: &str) -> Result<(), InvalidName> {
    let length = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) {
        return Err(InvalidName::Length(length));
    }
    let wrong = |(at, character): (usize, char)| {
        let inside = at > 0 && "-_.".contains(character);
        (!character.is_ascii_alphanumeric() && !inside).then_some(character)
    };
    match name.chars().enumerate().find_map(wrong) {
        Some(character) => Err(InvalidName::Character(character)),
        None => Ok(()),
    }
}

/// A name that upstream shows to people, made into one of ours: `Fraud detection` becomes `Fraud-detection`.
pub fn name_of(text: &str) -> String {
    let kept = text.chars().map(|it| if it.is_ascii_alphanumeric() || "-_.".contains(it) { it } else { '-' });
    let kept: String =
        kept.collect::<String>().trim_start_matches(['-', '_', '.']).chars().take(NAME_CHARS_MAX).collect();
    if kept.is_empty() { "application".to_owned() } else { kept }
}

/// The name of an application: the one that is kept, else the one that was asked for, else a new one from random bytes.
///
/// # Errors
/// The name that is kept, when another one was asked for.
pub fn name(kept: Option<&Application>, asked: Option<&AskedName>, random: u64) -> Result<String, String> {
    match (kept, asked) {
        (Some(kept), Some(asked)) if kept.name != asked.name => Err(kept.name.clone()),
        (Some(kept), _) => Ok(kept.name.clone()),
        (None, Some(asked)) => Ok(asked.name.clone()),
        (None, None) => Ok(format!("millpond-{:08x}", random >> 32)),
    }
}

impl Application {
    /// The application of this name, with the components that it has now.
    pub fn new(name: String, config: &EngineConfig) -> Application {
        Application {
            name,
            endpoints: config.endpoints.iter().map(pattern).collect(),
            lanes: config.lanes.iter().map(lane_parts).collect(),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Why it is not such a file.
    pub fn parse(text: &str) -> Result<Application, String> {
        let application: Application = serde_json::from_str(text).map_err(|error| error.to_string())?;
        check_name(&application.name).map_err(|why| format!("its name cannot be one: {why}"))?;
        Ok(application)
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("text and lists of text are JSON");
        text.push('\n');
        text
    }

    fn served(&self, function: &TypeName) -> bool {
        self.endpoints.contains(&function.to_string())
            || self.endpoints.contains(&format!("{}/*", function.namespace()))
    }

    /// Components of the last start that are gone now, though the ledger holds work for them, a line each. What never had a
    /// component waits for one, and holds up no start.
    ///
    /// # Errors
    /// [`LedgerError`] when the delayed messages cannot be read.
    pub fn removed(
        &self,
        now: &EngineConfig,
        restored: &Restored,
        ledger: &dyn Ledger,
    ) -> Result<Vec<String>, LedgerError> {
        let gone = |function: &TypeName| self.served(function) && !serves(&now.endpoints, function);
        let mut work: BTreeMap<&TypeName, Work> = BTreeMap::new();
        for (function, backlog) in restored.backlogs.iter().filter(|(function, _)| gone(function)) {
            let work = work.entry(function).or_default();
            (work.invocations, work.parked) = (backlog.invocations, backlog.parked);
        }
        let kept: BTreeSet<String> = now.endpoints.iter().map(pattern).collect();
        // Reading all of them takes its time, and most starts remove nothing.
        let delayed = match self.endpoints.is_subset(&kept) {
            true => BTreeMap::new(),
            false => delayed_by_target(ledger, gone)?,
        };
        for (function, messages) in &delayed {
            work.entry(function).or_default().delayed = *messages;
        }
        let mut lines: Vec<String> =
            work.iter().filter(|(_, work)| !work.is_empty()).map(|(function, work)| work.line(function)).collect();
        for (lane, (first, next)) in &restored.lanes {
            if next > first && self.lanes.contains(&lane_parts(lane)) && !now.lanes.contains(lane) {
                lines.push(format!("egress `{}`, topic `{}`: {} records wait", lane.egress, lane.part, next - first));
            }
        }
        if lines.len() > LISTED_MAX {
            let more = lines.len() - LISTED_MAX;
            lines.truncate(LISTED_MAX);
            lines.push(format!("and {more} more"));
        }
        Ok(lines)
    }
}

/// What the ledger holds for a function type.
#[derive(Debug, Default)]
struct Work {
    invocations: u64,
    parked: u64,
    delayed: u64,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.invocations == 0 && self.parked == 0 && self.delayed == 0
    }

    fn line(&self, function: &TypeName) -> String {
        let mut line = format!("function type `{function}`: {} invocations wait", self.invocations);
        // Writing to a string does not fail.
        if self.parked > 0 {
            let _ = write!(line, ", {} addresses parked", self.parked);
        }
        if self.delayed > 0 {
            let _ = write!(line, ", {} delayed messages", self.delayed);
        }
        line
    }
}

fn delayed_by_target(
    ledger: &dyn Ledger,
    wanted: impl Fn(&TypeName) -> bool,
) -> Result<BTreeMap<TypeName, u64>, LedgerError> {
    let mut found = BTreeMap::new();
    for group in 0..millpond_engine::KEY_GROUPS {
        let mut after: (Millis, Sequence) = (0, 0);
        loop {
            let page = ledger.delayed(group, after, PAGE)?;
            let Some((due, sequence, _)) = page.last() else { break };
            after = (*due, *sequence);
            for (_, _, message) in page.iter().filter(|(_, _, message)| wanted(&message.target.function)) {
                *found.entry(message.target.function.clone()).or_insert(0) += 1;
            }
            if page.len() < PAGE {
                break;
            }
        }
    }
    Ok(found)
}

fn serves(endpoints: &[EndpointConfig], function: &TypeName) -> bool {
    endpoints.iter().any(|endpoint| match &endpoint.functions {
        FunctionPattern::Exact(exact) => exact == function,
        FunctionPattern::Namespace(namespace) => namespace == function.namespace(),
    })
}

fn pattern(endpoint: &EndpointConfig) -> String {
    endpoint.functions.to_string()
}

fn lane_parts(lane: &LaneName) -> (String, String, String) {
    (lane.egress.namespace().to_owned(), lane.egress.name().to_owned(), lane.part.clone())
}

#[cfg(test)]
mod tests {
    use millpond_engine::{
        Backlog, Checkpoint, DelayedMessage, EngineConfig, FunctionPattern, LaneName, Limits, Meta, Restored, Write,
    };
    use millpond_protocol::{Address, TypeName};

    use super::{Application, AskedName, check_name, name, name_of};
    use crate::edge::fake::endpoints;
    use crate::ledger::{Ledger, SharedMemoryLedger};

    fn config(patterns: &[&str], topics: &[&str]) -> EngineConfig {
        let endpoint = |pattern: &&str| {
            let (namespace, name) = pattern.split_once('/').expect("a pattern");
            let functions = match name {
                "*" => FunctionPattern::Namespace(namespace.to_owned()),
                name => FunctionPattern::Exact(TypeName::new(namespace, name)),
            };
            millpond_engine::EndpointConfig { functions, ..endpoints()[0].clone() }
        };
        EngineConfig {
            endpoints: patterns.iter().map(endpoint).collect(),
            lanes: topics.iter().map(|topic| lane(topic)).collect(),
            limits: Limits::default(),
            hash_seed: 0,
        }
    }

    fn lane(topic: &str) -> LaneName {
        LaneName { egress: TypeName::new("e", "g"), part: topic.to_owned() }
    }

    /// Names are what Kafka takes as part of a topic's; upstream's are made so.
    #[test]
    fn names() {
        let long = "x".repeat(128);
        for right in ["a", "orders-2.eu_west", "0", &long] {
            assert_eq!(check_name(right), Ok(()), "{right}");
            assert_eq!(name_of(right), right);
        }
        let longer = "x".repeat(129);
        for wrong in ["", "-a", ".", "..", "a b", "a/b", "größe", "a\n", &longer] {
            assert!(check_name(wrong).is_err(), "{wrong}");
            assert_eq!(check_name(&name_of(wrong)), Ok(()), "{wrong}");
        }
        assert_eq!(name_of("Fraud detection"), "Fraud-detection");
    }

    /// The name is asked for or made at the first start, and kept.
    #[test]
    fn the_name_is_kept() {
        let asked = |name: &str| AskedName { name: name.to_owned(), by: "--app" };
        assert_eq!(name(None, None, 0x1234_5678_9abc_def0), Ok("millpond-12345678".to_owned()));
        assert_eq!(name(None, Some(&asked("orders")), 7), Ok("orders".to_owned()));
        let kept = Application::new("orders".to_owned(), &config(&["a/*"], &["t"]));
        assert_eq!(Application::parse(&kept.text()), Ok(kept.clone()));
        assert_eq!(name(Some(&kept), None, 7), Ok("orders".to_owned()));
        assert_eq!(name(Some(&kept), Some(&asked("orders")), 7), Ok("orders".to_owned()));
        assert_eq!(name(Some(&kept), Some(&asked("others")), 7), Err("orders".to_owned()));
        for broken in ["", "{}", r#"{"name":"a b","endpoints":[],"lanes":[]}"#] {
            assert!(Application::parse(broken).is_err(), "{broken}");
        }
    }

    /// What a component was removed of, and the ledger holds work for, is named; what never had one is not.
    #[test]
    fn removed_components() {
        let ledger = SharedMemoryLedger::default();
        let message = |target: (&str, &str)| DelayedMessage {
            sender: Address::new(TypeName::new("a", "b"), "1"),
            target: Address::new(TypeName::new(target.0, target.1), "1"),
            argument: "x".into(),
            token: None,
        };
        let targets = [("a", "later"), ("a", "later"), ("c", "d"), ("never", "served")];
        let writes = (1..).zip(targets);
        let writes = writes.map(|(sequence, it)| Write::Delayed { due: 9, sequence, message: message(it) }).collect();
        let checkpoint = Checkpoint { meta: Meta { checkpoint: 1, ..Meta::default() }, writes };
        ledger.commit(&checkpoint, &[]).expect("a checkpoint");

        let waits = |invocations, parked| Backlog { invocations, bytes: 1, parked };
        let restored = Restored {
            backlogs: [
                (TypeName::new("a", "b"), waits(3, 1)),
                (TypeName::new("c", "d"), waits(2, 0)),
                (TypeName::new("never", "served"), waits(9, 9)),
            ]
            .into(),
            lanes: [(lane("t"), (4, 9)), (lane("empty"), (4, 4)), (lane("foreign"), (1, 2)), (lane("kept"), (1, 2))]
                .into(),
            ..Restored::default()
        };
        let before = Application::new("x".to_owned(), &config(&["a/*", "c/d"], &["t", "empty", "kept"]));
        let removed = |patterns: &[&str], topics: &[&str]| {
            before.removed(&config(patterns, topics), &restored, &ledger).expect("no error")
        };
        let all_topics = ["t", "empty", "kept"];
        assert!(removed(&["a/*", "c/d"], &all_topics).is_empty());
        assert!(removed(&["a/b", "a/later", "c/*"], &all_topics).is_empty(), "all are served, by others");
        assert_eq!(
            removed(&["a/other"], &["kept"]),
            [
                "function type `a/b`: 3 invocations wait, 1 addresses parked",
                "function type `a/later`: 0 invocations wait, 2 delayed messages",
                "function type `c/d`: 2 invocations wait, 1 delayed messages",
                "egress `e/g`, topic `t`: 5 records wait",
            ]
        );
    }
}
