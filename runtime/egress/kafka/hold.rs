//! When the log says that an egress is held up: at once, then ever more rarely, and once when it goes on. Pure.

use std::time::{Duration, Instant};

/// Pause behind the first line.
const FIRST: Duration = Duration::from_secs(10);
/// Longest pause.
const MOST: Duration = Duration::from_secs(60);

/// What the log was told.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// It is held up since.
    since: Option<Instant>,
    /// The last line about that, and the pause behind it.
    said: Option<(Instant, Duration)>,
    /// A line was said since `since`.
    told: bool,
}

impl Hold {
    /// Publishing failed: true when the log should say so. Behind the first line come pauses of 10, 20, 40, then 60 s.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let pause = match self.said {
            None => FIRST,
            Some((at, pause)) if now.duration_since(at) < pause => return false,
            Some((_, pause)) if self.told => (pause * 2).min(MOST),
            Some(_) => FIRST,
        };
        self.said = Some((now, pause));
        self.told = true;
        true
    }

    /// Publishing goes on: how long it was held up, when the log was told that it is.
    pub(super) fn goes_on(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.take()?;
        // The next time is another one, but lines do not come faster for that.
        self.said = self.said.map(|(at, pause)| (at, pause.min(FIRST)));
        std::mem::take(&mut self.told).then(|| now.duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Hold;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// An outage of 90 s is told in four lines and one more, whatever happens in it.
    #[test]
    fn an_outage() {
        let (mut hold, began) = (Hold::default(), Instant::now());
        let said: Vec<u64> = (0..900).filter(|tenth| hold.failed(began + seconds(*tenth) / 10)).collect();
        assert_eq!(said, [0, 100, 300, 700]);
        assert_eq!(hold.goes_on(began + seconds(90)), Some(seconds(90)));
        assert_eq!(hold.goes_on(began + seconds(91)), None);
    }

    /// A failure every second that is over at once is told every ten seconds.
    #[test]
    fn blips() {
        let (mut hold, began) = (Hold::default(), Instant::now());
        let mut lines = Vec::new();
        for second in 0..40 {
            let now = began + seconds(second);
            let failed = hold.failed(now);
            let over = hold.goes_on(now);
            assert_eq!(failed, over.is_some(), "the end is told of what was told");
            lines.extend(failed.then_some(second));
        }
        assert_eq!(lines, [0, 10, 20, 30]);
    }

    /// Over days there is a line a minute.
    #[test]
    fn a_day() {
        let (mut hold, began) = (Hold::default(), Instant::now());
        let said = (0..86_400).filter(|second| hold.failed(began + seconds(*second))).count();
        assert!(said <= 24 * 60 + 4, "{said}");
    }
}
