//! Nobody waits for ever: producers get their answer, addresses their turn, and a start brings everything back.

use millpond_engine::{Answer, Input, LaneId, Receipt};

use crate::bench::{Bench, address, event, keyed, waiting};

/// A stop answers producers whose key is still being looked up; nothing comes behind `Stopped`.
#[test]
fn stop_answers_those_who_wait_for_a_look_up() {
    let mut bench = Bench::new();
    bench.loads_held = Some(Vec::new());
    bench.tell(Input::Ingested(waiting(1, keyed("k", event(&address("f", "1"), "a")))));
    bench.tell(Input::Stop);
    assert_eq!(bench.answers, [(1, Answer::Stopping)]);
    assert!(bench.stopped);
    bench.release_loads();
    assert_eq!(bench.answers.len(), 1);
    assert_eq!(bench.engine.metrics().ingested, 0);
}

/// Freeing records of a lane that does not exist frees nothing, and says so like any other.
#[test]
fn unknown_lane_is_freed_of_nothing() {
    let mut bench = Bench::new();
    bench.tell(Input::Freed { lane: LaneId(99), upto: 5, receipt: Some(Receipt(1)) });
    bench.commit();
    assert_eq!(bench.answers, [(1, Answer::Durable)]);
}
