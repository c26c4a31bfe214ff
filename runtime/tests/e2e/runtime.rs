//! The `millpond` process: start, ready line, kill, polite stop.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::power::{Power, Taken};
use crate::transactions::Random;
use crate::wait::DEADLINE;

/// Everything about one application that outlives a process: its module file and its data folder.
pub struct Installation {
    folder: tempfile::TempDir,
    power: Option<Power>,
}

impl Installation {
    /// An installation with an empty data folder.
    pub fn new(module: &str) -> Installation {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("module.yaml"), module).expect("it can be written to");
        Installation { folder, power: None }
    }

    /// From the next start on it depends on this supply of power.
    pub fn power_by(&mut self, power: Power) {
        self.power = Some(power);
    }

    /// The power is gone, and with it what was not durable. No process runs.
    pub fn lose_power(&self, random: &mut Random) -> Taken {
        self.power.as_ref().expect("it has a supply").lose(self.folder.path(), random)
    }

    /// From now on its disk fails in the way that the words name.
    pub fn fail(&self, words: &str) {
        self.power.as_ref().expect("it has a supply").fail(words);
    }

    /// Its disk fails no more.
    pub fn mend(&self) {
        self.power.as_ref().expect("it has a supply").mend();
    }

    /// Another module in place of the one that is there, for the next start.
    pub fn rewrite(&self, module: &str) {
        std::fs::write(self.folder.path().join("module.yaml"), module).expect("it can be written to");
    }

    /// The command that a user would type, with any free port for the admin API.
    pub fn command(&self, admin: &str) -> Command {
        // No test depends on how full the disk of this machine is.
        self.command_with(admin, &["--disk-free-intake", "0", "--disk-free-calls", "0"])
    }

    fn command_with(&self, admin: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
        command
            .arg("run")
            .arg(self.folder.path().join("module.yaml"))
            .arg("--data-dir")
            .arg(self.data())
            .args(["--admin", admin])
            .args(arguments)
            .stdin(Stdio::null());
        if let Some(power) = &self.power {
            power.supply(&mut command, self.folder.path());
        }
        command
    }

    /// Another module for the same data.
    pub fn change_module(&self, module: &str) {
        std::fs::write(self.folder.path().join("module.yaml"), module).expect("it can be written to");
    }

    /// Starts the runtime and waits until it serves.
    pub fn start(&self) -> Runtime {
        tokio::task::block_in_place(|| Runtime::start(self))
    }

    /// Starts the runtime with arguments about its disk or data, and waits until it serves.
    pub fn start_with(&self, arguments: &[&str]) -> Runtime {
        tokio::task::block_in_place(|| Runtime::spawn(self, self.command_with("127.0.0.1:0", arguments)))
    }

    /// Starts the runtime behind a line of shell, such as one that sets a limit, and waits until it serves.
    pub fn start_behind(&self, line: &str) -> Runtime {
        let plain = self.command("127.0.0.1:0");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{line} && exec \"$0\" \"$@\"")]).arg(plain.get_program()).args(plain.get_args());
        command.stdin(Stdio::null());
        tokio::task::block_in_place(|| Runtime::spawn(self, command))
    }

    /// Starts the runtime and kills it so soon that it may not even serve yet.
    pub fn start_and_kill(&self, after: Duration) {
        tokio::task::block_in_place(|| {
            let mut command = self.command("127.0.0.1:0");
            command.stdout(Stdio::null()).stderr(self.open_log());
            let mut child = command.spawn().expect("the binary can be started");
            std::thread::sleep(after);
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child can be waited for");
        });
    }

    /// Runs a start that is expected to be refused, to its end.
    pub fn refused(&self, admin: &str) -> Output {
        self.refused_with(admin, &[])
    }

    /// The same with more arguments.
    pub fn refused_with(&self, admin: &str, args: &[&str]) -> Output {
        tokio::task::block_in_place(|| {
            let mut child = self
                .command(admin)
                .args(args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the binary can be started");
            if wait_for_exit(&mut child).is_none() {
                let _ = child.kill();
            }
            child.wait_with_output().expect("its output can be read")
        })
    }

    /// The same module and a copy of the data, in a folder of its own. No process runs.
    pub fn copy(&self) -> Installation {
        let module = std::fs::read_to_string(self.folder.path().join("module.yaml")).expect("it was written");
        let copy = Installation::new(&module);
        let copied = Command::new("cp").arg("-a").args([self.data(), copy.data()]).status();
        assert!(copied.expect("there is `cp`").success());
        copy
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }

    fn open_log(&self) -> File {
        File::options().create(true).append(true).open(self.log()).expect("a log file can be made")
    }
}

/// A running runtime. Dropping it kills it, so that no test leaves one behind.
pub struct Runtime {
    child: Child,
    fields: BTreeMap<String, String>,
    log: PathBuf,
}

impl Runtime {
    fn start(installation: &Installation) -> Runtime {
        Runtime::spawn(installation, installation.command("127.0.0.1:0"))
    }

    fn spawn(installation: &Installation, mut command: Command) -> Runtime {
        let mut child =
            command.stdout(Stdio::piped()).stderr(installation.open_log()).spawn().expect("the binary can be started");
        let stdout = child.stdout.take().expect("stdout was asked for above");
        let mut runtime = Runtime { child, fields: BTreeMap::new(), log: installation.log() };
        match first_line(stdout, |line| line.starts_with("ready ")) {
            Some(line) => runtime.fields = fields(&line),
            None => panic!("the runtime ended, or said nothing, before it was ready"),
        }
        runtime
    }

    /// A value of the ready line.
    pub fn field(&self, name: &str) -> &str {
        match self.fields.get(name) {
            Some(value) => value,
            None => panic!("the ready line has no `{name}`: {:?}", self.fields),
        }
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log can be read")
    }

    /// What the system lets it have, as `/proc/<pid>/limits` says: the soft and the hard limit.
    pub fn limits(&self, name: &str) -> (String, String) {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).expect("it runs");
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect("a limit of that name");
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().expect("the soft limit"), words.next().expect("the hard limit"))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child can be waited for").is_some()
    }

    /// Waits for it to end by itself: its exit code, and what it wrote to its log.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = tokio::task::block_in_place(|| wait_for_exit(&mut self.child));
        (status.and_then(|status| status.code()), self.log())
    }

    /// `kill -9`, and the wait for it to be over.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// SIGTERM, which must end it with exit code 0.
    pub fn terminate(mut self) {
        tokio::task::block_in_place(|| {
            // The standard library sends nothing but SIGKILL; every shell has `kill`.
            let sent = Command::new("sh")
                .args(["-c", &format!("kill -TERM {}", self.child.id())])
                .status()
                .expect("a shell can be started");
            assert!(sent.success(), "SIGTERM was not sent: the runtime is gone already");
            let status =
                wait_for_exit(&mut self.child).unwrap_or_else(|| panic!("still alive {DEADLINE:?} after SIGTERM"));
            assert!(status.success(), "SIGTERM ended the runtime with {status}");
        });
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            crate::report(format_args!("the last lines of the runtime's log:\n{}", tail(&self.log)));
        }
    }
}

/// The first line that fits; the rest of the stream is read and dropped, so that the writer never blocks.
/// `None` when the stream ends first, or after the deadline.
pub fn first_line(stream: impl Read + Send + 'static, fits: fn(&str) -> bool) -> Option<String> {
    let (found, line) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if fits(&line) {
                let _ = found.send(line);
            }
        }
    });
    line.recv_timeout(DEADLINE).ok()
}

fn fields(line: &str) -> BTreeMap<String, String> {
    line.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn wait_for_exit(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("our own child can be waited for") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
