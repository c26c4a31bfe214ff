//! The function: runs a request against the state that it carries, as an SDK does.
//!
//! `log` is every node number that ran, in order. `last` is the last one, and is removed after an odd one.

use bytes::Bytes;
use millpond_engine::{
    Call, DelayedEffect, Effects, EgressRecord, LaneId, Message, Millis, Mutation, Reply, StateSpec,
};

use crate::scenario::{Fate, Scenario, argument, number, specs};

/// Runs a call. `Err` names the invariant that the request itself broke.
pub(crate) fn run(scenario: &Scenario, call: &Call) -> Result<Reply, String> {
    let missing: Vec<StateSpec> = specs(scenario.ttl_ms)
        .into_iter()
        .filter(|spec| !call.states.iter().any(|state| state.name == spec.name))
        .collect();
    if !missing.is_empty() {
        return Ok(Reply::Incomplete(missing));
    }
    let value =
        |name: &str| call.states.iter().find(|state| &*state.name == name).and_then(|state| state.value.clone());
    let mut log = value("log").unwrap_or_default().to_vec();
    let expected_last = log.last_chunk::<8>().map(|last| u64::from_be_bytes(*last)).filter(|last| last % 2 == 0);
    let last = value("last").map(|last| number(&last));
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
            let message = Message { target: scenario.target(*child), argument: argument(*child) };
            match scenario.node(*child).delay_ms {
                None => effects.messages.push(message),
                Some(delay_ms) => {
                    effects.delayed.push(DelayedEffect::Send { delay_ms, message, token: token(scenario, *child) })
                }
            }
        }
        for doomed in &node.cancels {
            effects.delayed.push(DelayedEffect::Cancel { token: token(scenario, *doomed) });
        }
        for lane in &node.records {
            effects.egress.push(EgressRecord { lane: LaneId(*lane), record: argument(newest) });
        }
    }
    let modify = |name: &str, value: Bytes| Mutation::Modify {
        name: name.to_owned(),
        typename: "sim/numbers".to_owned(),
        value,
    };
    effects.mutations.push(modify("log", Bytes::from(log)));
    effects.mutations.push(match newest % 2 {
        0 => modify("last", argument(newest)),
        _ => Mutation::Delete { name: "last".to_owned() },
    });
    // An answer with tokens is applied when the ledger has said what they stand for: its time is not known here.
    if !effects.delayed.iter().any(names_token) {
        effects.mutations.extend(TIMES.map(|name| modify(name, argument(0))));
    }
    Ok(Reply::Completed(effects))
}

/// States that hold the time at which they were written; the world puts it in when it gives the answer.
const TIMES: [&str; 3] = ["stamp", "fleeting", "touched"];

/// Those that expire.
pub(crate) const MORTAL: [&str; 2] = [TIMES[1], TIMES[2]];

/// Puts the time at which an answer is given into its states.
pub(crate) fn put_time(reply: &mut Reply, now: Millis) {
    let Reply::Completed(effects) = reply else { return };
    for mutation in &mut effects.mutations {
        if let Mutation::Modify { name, value, .. } = mutation
            && TIMES.contains(&name.as_str())
        {
            *value = argument(now);
        }
    }
}

/// When the values that a request carries were written: `stamp`, `fleeting`, `touched`.
pub(crate) fn times(call: &Call) -> Option<[Option<Millis>; 3]> {
    let time = |name: &str| Some(call.states.iter().find(|state| &*state.name == name)?.value.as_deref().map(number));
    Some([time(TIMES[0])?, time(TIMES[1])?, time(TIMES[2])?])
}

fn names_token(effect: &DelayedEffect) -> bool {
    let (DelayedEffect::Send { token, .. } | DelayedEffect::Cancel { token }) = effect;
    !token.is_empty()
}

/// The token of a delayed node, if somebody is to cancel it; some have one that nobody uses.
fn token(scenario: &Scenario, node: u64) -> String {
    match scenario.node(node).fate {
        Fate::Runs if !node.is_multiple_of(3) => String::new(),
        _ => format!("token-{node}"),
    }
}
