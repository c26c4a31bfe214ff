//! What happens to the one invocation that a function rejects for good: it stays, is dropped, or becomes a dead letter.

use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{
    Answer, DeadLetter, DeadLetterForm, DeadLetterRoute, DecidedBy, Effects, FailureKind, FailurePolicy, Input, LaneId,
    Limits, Notice, Operation,
};

use crate::bench::{Bench, CALL_MS, address, arguments, emits, modify, spec, typed_spec, writes};

/// Argument, code, attempts and who decided, as text.
#[derive(Debug)]
struct Text;

impl DeadLetterForm for Text {
    fn record(&self, letter: &DeadLetter) -> Bytes {
        let argument = String::from_utf8_lossy(&letter.invocation.argument).into_owned();
        let by = match letter.decided_by {
            DecidedBy::Policy => "policy",
            DecidedBy::Operator => "operator",
        };
        format!("{argument} {} {} {by} {}", letter.code, letter.attempts, letter.target.id).into()
    }
}

fn with(policy: FailurePolicy) -> Bench {
    let mut bench = Bench::new();
    for endpoint in &mut bench.config.endpoints {
        endpoint.failure_policy = policy;
        endpoint.dead_letters = Some(DeadLetterRoute { lane: LaneId(1), form: Arc::new(Text) });
    }
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    bench.open_gate("f");
    bench
}

/// Answers calls as a function would that rejects every batch with `poison` in it, and says on lane 0 what it ran.
fn serve(bench: &mut Bench, poison: &str) {
    loop {
        let Some(call) = (!bench.calls.is_empty()).then(|| bench.call()) else {
            let Some(due) = bench.engine.wake_at() else { return };
            if bench.engine.metrics().parked > 0 {
                return;
            }
            bench.now = due;
            bench.tell(Input::Tick);
            bench.commit();
            continue;
        };
        let ran = arguments(&call);
        if ran.iter().any(|argument| argument == poison) {
            bench.now += 1;
            bench.fail_call(&call, FailureKind::Rejected, None);
        } else {
            let ran: Vec<&str> = ran.iter().map(String::as_str).collect();
            bench.reply(&call, emits(0, &ran));
        }
        bench.commit();
    }
}

fn lane(bench: &Bench, lane: usize) -> Vec<String> {
    let records = bench.ledger.outbox(&bench.config.lanes[lane], 0, usize::MAX, usize::MAX);
    records.into_iter().map(|(_, record)| String::from_utf8_lossy(&record).into_owned()).collect()
}

/// A hundred wait for one address, the 37th is poisoned: 99 effects in order, one dead letter, and nobody waits.
#[test]
fn one_poisoned_of_a_hundred_becomes_one_dead_letter() {
    let mut bench = with(FailurePolicy::DeadLetter);
    let all: Vec<String> = (1..=100).map(|number| number.to_string()).collect();
    for argument in &all {
        bench.event(&address("f", "1"), argument);
    }
    serve(&mut bench, "37");
    let sound: Vec<&String> = all.iter().filter(|argument| *argument != "37").collect();
    assert_eq!(lane(&bench, 0).iter().collect::<Vec<_>>(), sound);
    let letters = lane(&bench, 1);
    assert_eq!(letters.len(), 1);
    assert!(letters[0].starts_with("37 MP4000 ") && letters[0].ends_with(" policy 1"), "{letters:?}");
    let metrics = &bench.engine.metrics().functions[&address("f", "1").function];
    assert_eq!((metrics.dead_letters, metrics.dropped, metrics.backlog), (1, 0, 0));
}

/// The same under `drop`: the one is gone, and the log says so.
#[test]
fn drop_takes_exactly_the_one_that_fails() {
    let mut bench = with(FailurePolicy::Drop);
    for argument in ["a", "poison", "b"] {
        bench.event(&address("f", "1"), argument);
    }
    serve(&mut bench, "poison");
    assert_eq!(lane(&bench, 0), ["a", "b"]);
    assert!(lane(&bench, 1).is_empty());
    let given_up = |notice: &Notice| match notice {
        Notice::GivenUp { letter, lane } => Some((letter.invocation.argument.clone(), letter.decided_by, *lane)),
        _ => None,
    };
    let given_up: Vec<_> = bench.notices.iter().filter_map(given_up).collect();
    assert_eq!(given_up, [(Bytes::from("poison"), DecidedBy::Policy, None)]);
}

/// Without a policy it stays, with all that comes behind it.
#[test]
fn park_keeps_it_and_what_follows() {
    let mut bench = with(FailurePolicy::Park);
    for argument in ["a", "poison", "b"] {
        bench.event(&address("f", "1"), argument);
    }
    serve(&mut bench, "poison");
    assert_eq!(lane(&bench, 0), ["a"]);
    assert_eq!(bench.engine.metrics().parked, 1);
}

/// What nobody judged is never dropped: an endpoint is down for three budgets under `drop`, and everything is delivered in
/// order when it is back, without a person.
#[test]
fn outage_under_drop_loses_nothing() {
    let mut bench = with(FailurePolicy::Drop);
    for argument in ["a", "b", "c"] {
        bench.event(&address("f", "1"), argument);
    }
    let up = bench.now + 3 * CALL_MS;
    while bench.now < up {
        if bench.calls.is_empty() {
            bench.now = bench.engine.wake_at().expect("it will try again").max(bench.now + 1);
            bench.tell(Input::Tick);
        } else {
            bench.fail(FailureKind::Unreachable);
        }
        bench.commit();
    }
    let mut ran = Vec::new();
    while ran.len() < 3 {
        if bench.calls.is_empty() {
            bench.now = bench.engine.wake_at().expect("it will try again").max(bench.now + 1);
            bench.tell(Input::Tick);
        } else {
            ran.extend(arguments(&bench.complete(Effects::default())));
        }
    }
    assert_eq!(ran, ["a", "b", "c"]);
    assert_eq!(bench.engine.metrics().functions[&address("f", "1").function].dropped, 0);
}

/// Time spent on reaching an endpoint does not count as judgement: the first rejection behind an outage is tried again.
#[test]
fn rejection_behind_an_outage_has_a_budget_of_its_own() {
    let mut bench = with(FailurePolicy::Drop);
    bench.event(&address("f", "1"), "a");
    bench.now += CALL_MS - 2;
    bench.fail(FailureKind::Unreachable);
    bench.tick(2);
    bench.fail(FailureKind::Rejected);
    let due = bench.engine.wake_at().expect("it will try again");
    bench.now = due;
    bench.tell(Input::Tick);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["a"]);
}

/// A person names the invocation that is to be taken out; another one is never touched.
#[test]
fn person_skips_exactly_the_named_one() {
    let mut bench = with(FailurePolicy::Park);
    let target = address("f", "1");
    for argument in ["poison", "b"] {
        bench.event(&target, argument);
    }
    serve(&mut bench, "poison");
    let first = bench.engine.view(&target).and_then(|view| view.first).expect("it waits");
    bench.operate(&target, Operation::Skip(first + 1), 1);
    assert_eq!(bench.answers, [(1, Answer::NotFirst)]);
    bench.operate(&target, Operation::DeadLetter(first), 2);
    bench.commit();
    bench.commit();
    assert_eq!(bench.answers[1..], [(2, Answer::Durable)]);
    serve(&mut bench, "poison");
    assert_eq!(lane(&bench, 0), ["b"]);
    assert!(lane(&bench, 1)[0].ends_with(" operator 1"));
    bench.operate(&target, Operation::Skip(first), 3);
    assert_eq!(bench.answers[2..], [(3, Answer::NotFirst)]);
}

/// While a call is out, a person's word waits for its outcome: what ran is not skipped.
#[test]
fn skip_waits_for_the_call_in_flight() {
    let mut bench = with(FailurePolicy::Park);
    let target = address("f", "1");
    bench.event(&target, "a");
    let first = bench.engine.view(&target).and_then(|view| view.first).expect("it is being called");
    bench.operate(&target, Operation::Skip(first), 1);
    assert!(bench.answers.is_empty());
    bench.complete(emits(0, &["a"]));
    assert_eq!(bench.answers, [(1, Answer::NotFirst)]);
    bench.event(&target, "b");
    bench.operate(&target, Operation::Skip(first + 1), 2);
    bench.fail(FailureKind::Rejected);
    bench.commit();
    bench.commit();
    assert_eq!(bench.answers[1..], [(2, Answer::Durable)]);
    assert_eq!(lane(&bench, 0), ["a"]);
}

/// Without a route there are no dead letters: a person is told, a policy parks.
#[test]
fn without_a_route_nothing_is_taken_out() {
    let mut bench = Bench::with(Limits::default());
    bench.config.endpoints[0].failure_policy = FailurePolicy::DeadLetter;
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    bench.open_gate("f");
    let target = address("f", "1");
    bench.event(&target, "poison");
    serve(&mut bench, "poison");
    assert_eq!(bench.engine.metrics().parked, 1);
    let first = bench.engine.view(&target).and_then(|view| view.first).expect("it waits");
    bench.operate(&target, Operation::DeadLetter(first), 1);
    assert_eq!(bench.answers, [(1, Answer::NoRoute)]);
}

/// A function that rejects a message and asks for more time than the budget has is asked once more before it is given up.
#[test]
fn rejection_that_asks_for_time_is_tried_again() {
    let mut bench = with(FailurePolicy::Drop);
    bench.event(&address("f", "1"), "a");
    let call = bench.call();
    bench.fail_call(&call, FailureKind::Rejected, Some(90_000));
    assert_eq!(bench.engine.metrics().parked, 1);
    bench.tick(90_000);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["a"]);
}

/// A value of another type is nobody's judgement of a message: once the function reverts, the message has its whole budget,
/// also in another process.
#[test]
fn message_behind_a_value_of_another_type_has_its_budget() {
    let mut bench = Bench::new();
    bench.config.endpoints.iter_mut().for_each(|endpoint| endpoint.failure_policy = FailurePolicy::Drop);
    let mut bench = Bench::restart(bench.config, bench.ledger, bench.now);
    let target = address("f", "1");
    bench.event(&target, "a");
    bench.incomplete(vec![spec("seen")]);
    bench.complete(writes(vec![modify("seen", "old")]));
    bench.settle();
    let mut bench = bench.crash();
    bench.event(&target, "b");
    bench.incomplete(vec![typed_spec("seen", "number")]);
    assert_eq!(bench.parked(), ["MP3003"]);
    bench.settle();
    let mut bench = bench.crash();
    bench.incomplete(vec![spec("seen")]);
    bench.fail(FailureKind::Rejected);
    bench.tick(CALL_MS / 2);
    assert_eq!(arguments(&bench.complete(Effects::default())), ["b"], "its first rejection was not its last");
    assert_eq!(bench.notices.iter().filter(|notice| matches!(notice, Notice::GivenUp { .. })).count(), 0);
}

/// A message that was rejected, and whose endpoint then was out of reach until the address was parked, has a budget of its
/// own to be judged in, whether or not the process is the same.
#[test]
fn outage_behind_a_rejection_takes_nothing_from_its_budget() {
    for crashes in [false, true] {
        let mut bench = with(FailurePolicy::Drop);
        bench.event(&address("f", "1"), "a");
        bench.fail(FailureKind::Rejected);
        bench.settle();
        while bench.parked().is_empty() {
            while !bench.calls.is_empty() {
                bench.fail(FailureKind::Unreachable);
            }
            bench.commit();
            bench.now = bench.engine.wake_at().expect("it is tried again");
            bench.tell(Input::Tick);
        }
        bench.settle();
        if crashes {
            bench = bench.crash();
        }
        while bench.calls.is_empty() {
            bench.now = bench.engine.wake_at().expect("it is tried again");
            bench.tell(Input::Tick);
            bench.commit();
        }
        bench.fail(FailureKind::Rejected);
        bench.tick(CALL_MS / 2);
        assert_eq!(arguments(&bench.complete(Effects::default())), ["a"], "crashes: {crashes}");
    }
}
