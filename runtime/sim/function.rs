//! The function: runs a request against the state that it carries, as an SDK does.
//!
//! `log` is every node number that ran, in order. `last` is the last one, and is removed after an odd one.

use bytes::Bytes;
use millpond_engine::{Call, Effects, EgressRecord, Expiration, LaneId, Message, Mutation, Reply, StateSpec};
use millpond_protocol::TypeName;

use crate::scenario::{Scenario, argument, number, state_names};

/// Runs a call. `Err` names the invariant that the request itself broke.
pub(crate) fn run(scenario: &Scenario, call: &Call) -> Result<Reply, String> {
    let long = TypeName::new("sim", "numbers");
    let [log_name, last_name] = state_names();
    let missing: Vec<StateSpec> = [&log_name, &last_name]
        .into_iter()
        .filter(|name| !call.states.iter().any(|state| state.name == **name))
        .map(|name| StateSpec { name: name.clone(), typename: long.clone(), expiration: Expiration::None })
        .collect();
    if !missing.is_empty() {
        return Ok(Reply::Incomplete(missing));
    }
    let value =
        |name: &str| call.states.iter().find(|state| &*state.name == name).and_then(|state| state.value.clone());
    let mut log = value(&log_name).unwrap_or_default().to_vec();
    let expected_last = log.last_chunk::<8>().map(|last| u64::from_be_bytes(*last)).filter(|last| last % 2 == 0);
    let last = value(&last_name).map(|last| number(&last));
    if last != expected_last {
        return Err(format!("{}: `last` is {last:?}, the log says {expected_last:?}", call.target));
    }
    let mut effects = Effects::default();
    let mut newest = 0;
    for (caller, argument_bytes) in &call.invocations {
        newest = number(argument_bytes);
        let node = scenario.node(newest);
        let sender = node.parent.map(|parent| scenario.target(parent));
        if *caller != sender || scenario.target(newest) != call.target {
            return Err(format!("node {newest} of {sender:?} came to {} from {caller:?}", call.target));
        }
        log.extend_from_slice(argument_bytes);
        for child in &node.children {
            effects.messages.push(Message { target: scenario.target(*child), argument: argument(*child) });
        }
        for lane in &node.records {
            effects.egress.push(EgressRecord { lane: LaneId(*lane), record: argument(newest) });
        }
    }
    let typename = long.to_string();
    effects.mutations.push(Mutation::Modify {
        name: log_name.to_string(),
        typename: typename.clone(),
        value: Bytes::from(log),
    });
    effects.mutations.push(match newest % 2 {
        0 => Mutation::Modify { name: last_name.to_string(), typename, value: argument(newest) },
        _ => Mutation::Delete { name: last_name.to_string() },
    });
    Ok(Reply::Completed(effects))
}
