//! When to say that an ingress gets nothing, so that few lines tell the story of a long time: at once, again behind pauses that
//! grow, and when it is over.

use std::time::{Duration, Instant};

/// The first pause; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(20);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What was said of it so far.
#[derive(Debug, Default)]
pub(super) struct Outage(Option<Going>);

#[derive(Debug)]
struct Going {
    since: Instant,
    said: Instant,
    pause: Duration,
    telling: u8,
    unsaid: u64,
}

/// A line to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// How long it has been going on.
    pub(super) lasts: Duration,
    /// Failures since the line before.
    pub(super) suppressed: u64,
}

impl Outage {
    /// Something failed; a reason that tells more than those that were said is said at once.
    pub(super) fn failed(&mut self, now: Instant, telling: u8) -> Option<Line> {
        let Some(going) = &mut self.0 else {
            self.0 = Some(Going { since: now, said: now, pause: PAUSE, telling, unsaid: 0 });
            return Some(Line { lasts: Duration::ZERO, suppressed: 0 });
        };
        if telling <= going.telling && now.duration_since(going.said) < going.pause {
            going.unsaid += 1;
            return None;
        }
        if telling <= going.telling {
            going.pause = (going.pause * 2).min(PAUSE_MAX);
        }
        going.telling = going.telling.max(telling);
        going.said = now;
        Some(Line { lasts: now.duration_since(going.since), suppressed: std::mem::take(&mut going.unsaid) })
    }

    /// It is over: how long it was, if there was one.
    pub(super) fn over(&mut self, now: Instant) -> Option<Duration> {
        self.0.take().map(|going| now.duration_since(going.since))
    }

    pub(super) fn goes_on(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Outage;

    /// A failure each second for ninety seconds is three lines, and one that it is over; for an hour it is one a minute.
    #[test]
    fn few_lines_tell_it() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        assert_eq!(outage.over(at(0)), None);
        let said: Vec<u64> = (0..90).filter(|second| outage.failed(at(*second), 0).is_some()).collect();
        assert_eq!(said, [0, 20, 60]);
        assert!(outage.goes_on());
        let line = (90..3600).filter_map(|second| outage.failed(at(second), 0)).last().expect("a line a minute");
        assert_eq!((line.lasts.as_secs() % 60, line.suppressed), (0, 59));
        assert_eq!(outage.over(at(3600)), Some(Duration::from_secs(3600)));
        assert_eq!((outage.over(at(3601)), outage.goes_on()), (None, false));
        assert!(outage.failed(at(3602), 0).is_some(), "another one is said at once");
    }

    /// Why a connection is refused is said as soon as it is known, once.
    #[test]
    fn what_tells_more_is_said_at_once() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let said = [0, 0, 2, 2, 1, 0].map(|telling| outage.failed(start, telling).is_some());
        assert_eq!(said, [true, false, true, false, false, false]);
    }
}
