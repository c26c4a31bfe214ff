//! The pause between two transactions of one producer.
//!
//! The end of a transaction is answered before its markers are written. Whoever begins the next one before that is turned away
//! by the coordinator, and the client comes again after 20 ms, whatever it is told. So a short pause makes transactions
//! faster, as long as it is just long enough: it grows when a first report took that long, and shrinks while none does.

use std::time::{Duration, Instant};

/// A first report that takes longer was turned away once.
const TURNED_AWAY: Duration = Duration::from_millis(20);
const STEP_UP: Duration = Duration::from_millis(1);
const STEP_DOWN: Duration = Duration::from_micros(50);
/// Longest pause.
const MOST: Duration = Duration::from_millis(10);

/// How fast one transaction follows the other.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    began: Option<Instant>,
    ended: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { pause: Duration::from_millis(2), began: None, ended: None }
    }
}

impl Pace {
    /// A transaction begins, with its records in hand.
    pub(super) fn begins(&mut self) {
        self.began = Some(Instant::now());
    }

    /// Something of it was reported.
    pub(super) fn reported(&mut self) {
        if let Some(began) = self.began.take() {
            self.judge(began.elapsed());
        }
    }

    fn judge(&mut self, first_report: Duration) {
        self.pause = match first_report > TURNED_AWAY {
            true => (self.pause + STEP_UP).min(MOST),
            false => self.pause.saturating_sub(STEP_DOWN),
        };
    }

    /// It is committed.
    pub(super) fn ends(&mut self) {
        self.ended = Some(Instant::now());
    }

    /// Waits until the next one may begin.
    pub(super) fn wait(&mut self) {
        if let Some(ended) = self.ended.take() {
            std::thread::sleep(self.pause.saturating_sub(ended.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MOST, Pace};

    /// It finds the pause at which hardly anything is turned away, and forgets it when that is over.
    #[test]
    fn pause_follows_the_broker() {
        let mut pace = Pace::default();
        for _ in 0..1000 {
            let turned_away = pace.pause < Duration::from_millis(4);
            pace.judge(Duration::from_millis(if turned_away { 25 } else { 5 }));
        }
        assert!((3_900..=5_100).contains(&pace.pause.as_micros()), "{:?}", pace.pause);
        (0..1000).for_each(|_| pace.judge(Duration::from_millis(25)));
        assert_eq!(pace.pause, MOST);
        (0..1000).for_each(|_| pace.judge(Duration::from_millis(5)));
        assert_eq!(pace.pause, Duration::ZERO);
    }
}
