//! The time of the engine: the system's clock, except that it never goes backwards and never stands still.
//!
//! The system's clock may be set back, or the ledger may have seen a later time than it shows. The engine reads a smaller
//! time as the highest one it saw; if time stood still until the system catches up, retries and delayed messages would wait
//! that long. So it counts on from the highest time by a clock that only runs.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millpond_engine::Millis;

/// Milliseconds since the Unix epoch that only grow.
#[derive(Debug)]
pub(super) struct Clock {
    time: Millis,
    at: Instant,
}

impl Clock {
    /// A clock that is not behind `least`.
    pub(super) fn new(least: Millis) -> Clock {
        Clock { time: least, at: Instant::now() }
    }

    pub(super) fn now(&mut self) -> Millis {
        self.read(system_ms())
    }

    fn read(&mut self, system: Millis) -> Millis {
        let counted = self.time.saturating_add(u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX));
        if system > counted {
            // From here on the system's clock is followed, and set forward with it.
            *self = Clock::new(system);
            return system;
        }
        counted
    }
}

fn system_ms() -> Millis {
    // A clock before 1970 reads as 1970; the engine's time never goes backwards anyway.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Clock;

    /// The system's clock is followed forward; set back, time goes on from the highest one.
    #[test]
    fn time_only_grows() {
        let mut clock = Clock::new(1_000);
        assert_eq!(clock.read(5_000_000), 5_000_000);
        let set_back = clock.read(10);
        assert!(set_back >= 5_000_000);
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(clock.read(10) > set_back, "it does not stand still");
        assert_eq!(clock.read(u64::MAX), u64::MAX);
        assert_eq!(clock.read(0), u64::MAX);
    }
}
