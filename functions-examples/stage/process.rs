//! A child process that says `ready ...` on standard output; what it says on standard error goes to a log file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::{DEADLINE, Error};

/// A running child. Dropping it kills it, so that nothing is left behind.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    ready: String,
    /// How long it took to be ready.
    pub ready_after: Duration,
}

impl Process {
    /// Starts a child and waits for its ready line. It blocks its thread.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it is ready; the end of its log is printed then.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Process, Error> {
        let failed = |source| Error::Process { what: format!("{name} was not started: `{command:?}`"), source };
        let stderr = File::options().create(true).append(true).open(log).map_err(failed)?;
        let began = Instant::now();
        let failed = |source| Error::Process { what: format!("{name} was not started"), source };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().map_err(failed)?;
        let stdout = child.stdout.take().expect("stdout was asked for above");
        let (found, line) = mpsc::channel();
        // Reads to the end, so that the child never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("ready") {
                    let _ = found.send(line);
                }
            }
        });
        let mut process = Process { name: name.to_owned(), child, ready: String::new(), ready_after: Duration::ZERO };
        match line.recv_timeout(DEADLINE) {
            Ok(line) => process.ready = line,
            Err(_) => {
                eprintln!("the end of the log of {name}:\n{}", tail(log));
                return Err(Error::NotReady(name.to_owned()));
            }
        }
        process.ready_after = began.elapsed();
        Ok(process)
    }

    /// The ready line.
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// The `name=value` pairs of the ready line.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let pairs = self.ready.split_whitespace().filter_map(|word| word.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory in bytes, now and at its highest; zero where there is no `/proc`.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        (kib("VmRSS:").unwrap_or(0) << 10, kib("VmHWM:").unwrap_or(0) << 10)
    }

    /// `kill -9`, and the wait for it to be over.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and the wait for its end. It blocks its thread.
    ///
    /// # Errors
    /// When it does not end in time, or not with exit code 0.
    pub fn terminate(mut self) -> Result<(), Error> {
        let name = self.name.clone();
        let failed = |source| Error::Process { what: format!("{name} was not told to end"), source };
        // The standard library sends nothing but SIGKILL; every shell has `kill`.
        let kill = format!("kill -TERM {}", self.child.id());
        Command::new("sh").args(["-c", &kill]).status().map_err(failed)?;
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            match self.child.try_wait().map_err(failed)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(Error::Wrong(format!("SIGTERM ended {name} with {status}"))),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        Err(Error::Wrong(format!("{name} was still alive {DEADLINE:?} after SIGTERM")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
