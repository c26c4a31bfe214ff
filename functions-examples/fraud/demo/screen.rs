//! What the demo shows: lines that stay, and below them, on a terminal, one that lives.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The screen. Everybody may write to it.
pub struct Screen {
    began: Instant,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: String,
    last_live: Option<Instant>,
    last_alert: Option<Instant>,
}

/// Where nobody can erase a line, a new one comes this often.
const LIVE_EVERY: Duration = Duration::from_secs(5);
/// Alerts that come closer than this are counted and not shown.
const ALERT_EVERY: Duration = Duration::from_millis(1200);

impl Screen {
    /// An empty one.
    pub fn new() -> Screen {
        Screen { began: Instant::now(), terminal: std::io::stdout().is_terminal(), state: Mutex::default() }
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        let state = self.state.lock().expect("nobody panics with the screen");
        self.print(&state, line);
    }

    /// A line that stays, with the time.
    pub fn note(&self, line: &str) {
        self.say(&format!("{:>6.1} s  {line}", self.began.elapsed().as_secs_f64()));
    }

    /// An alert, unless one was shown just before.
    pub fn alert(&self, line: &str) {
        let mut state = self.state.lock().expect("nobody panics with the screen");
        if state.last_alert.is_none_or(|last| last.elapsed() >= ALERT_EVERY) {
            state.last_alert = Some(Instant::now());
            self.print(&state, &format!("{:>6.1} s  {line}", self.began.elapsed().as_secs_f64()));
        }
    }

    /// The line that lives.
    pub fn live(&self, line: &str) {
        let mut state = self.state.lock().expect("nobody panics with the screen");
        if self.terminal {
            state.live = line.to_owned();
            self.write(&format!("\r\x1b[2K{line}"));
        } else if state.last_live.is_none_or(|last| last.elapsed() >= LIVE_EVERY) {
            state.last_live = Some(Instant::now());
            self.write(&format!("{:>6.1} s  {line}\n", self.began.elapsed().as_secs_f64()));
        }
    }

    /// No line lives any more.
    pub fn still(&self) {
        let mut state = self.state.lock().expect("nobody panics with the screen");
        if self.terminal && !state.live.is_empty() {
            self.write("\r\x1b[2K");
        }
        state.live.clear();
    }

    fn print(&self, state: &State, line: &str) {
        if self.terminal && !state.live.is_empty() {
            self.write(&format!("\r\x1b[2K{line}\n{}", state.live));
        } else {
            self.write(&format!("{line}\n"));
        }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that went away is no reason to stop.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
