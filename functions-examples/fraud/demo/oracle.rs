//! The independent recomputation: `oracle.py` in a process of its own, which shares no code with the functions.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::traffic::Arrival;

/// What the functions must have done.
#[derive(Debug, Default)]
pub struct Expected {
    /// Alerts of each account, in order.
    pub alerts: BTreeMap<String, Vec<Value>>,
    /// First notifications of each account, in order.
    pub notifications: BTreeMap<String, Vec<Value>>,
    /// What each account keeps.
    pub accounts: Vec<Account>,
}

/// What `fraud/account` and `fraud/notifier` of an account keep.
#[derive(Debug, Deserialize)]
pub struct Account {
    pub account: String,
    pub profile: Value,
    pub notifier: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Alert { alert: Value },
    Notification { notification: Value },
    Account(Account),
}

/// The Python that `make` names, or the system's: `oracle.py` needs no package.
fn python() -> std::ffi::OsString {
    std::env::var_os("MILLPOND_PYTHON").unwrap_or_else(|| "python3".into())
}

/// Recomputes everything from the messages. It blocks its thread.
pub fn recompute(arrivals: &[Arrival]) -> anyhow::Result<Expected> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(python())
        .arg(folder.join("oracle.py"))
        .arg(folder.join("model.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("`oracle.py` needs Python 3; `make setup` sees to it")?;
    let mut stdin = child.stdin.take().expect("stdin was asked for above");
    let mut input = Vec::new();
    for arrival in arrivals {
        writeln!(input, "{}", line(arrival)).expect("memory takes everything");
    }
    // It reads to the end before it writes, so neither waits for the other.
    stdin.write_all(&input)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`oracle.py` ended with {}", output.status);
    }
    let mut expected = Expected::default();
    for line in String::from_utf8(output.stdout)?.lines().filter(|line| !line.is_empty()) {
        match serde_json::from_str(line)? {
            Line::Alert { alert } => expected.alerts.entry(account_of(&alert)).or_default().push(alert),
            Line::Notification { notification } => {
                expected.notifications.entry(account_of(&notification)).or_default().push(notification);
            }
            Line::Account(account) => expected.accounts.push(account),
        }
    }
    Ok(expected)
}

/// An arrival as `oracle.py` reads it; what it does not read is for those who judge it.
pub fn line(arrival: &Arrival) -> String {
    let Arrival { account, typename, value, transaction, episode, .. } = arrival;
    serde_json::json!([account, typename, value, transaction, episode]).to_string()
}

/// The account that an alert or a notification is about.
pub fn account_of(record: &Value) -> String {
    record["accountId"].as_str().unwrap_or_default().to_owned()
}
