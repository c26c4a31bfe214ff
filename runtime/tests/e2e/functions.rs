//! A Python function server, from `functions-examples/python` or beside the tests, as a user would start it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::runtime::first_line;

/// A function server; its process ends with this value.
pub struct Functions {
    python: PathBuf,
    example: PathBuf,
    child: Child,
    url: String,
}

impl Functions {
    /// Starts `functions-examples/python/NAME/functions.py` on a free port.
    /// `None` when there is no Python to run it with, which is said, and is a failure in CI.
    pub fn start(name: &str) -> Option<Functions> {
        Functions::start_in("../functions-examples/python", name)
    }

    /// The same with functions that nobody would start from: they are beside the tests.
    pub fn start_for_tests(name: &str) -> Option<Functions> {
        Functions::start_in("tests/e2e", name)
    }

    fn start_in(folder: &str, name: &str) -> Option<Functions> {
        let python = python(name)?;
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
        let started = (0..50).find_map(|_| serve(&python, &example, next_port()));
        let (child, url) = started.unwrap_or_else(|| panic!("the functions of `{name}` found no port to serve on"));
        Some(Functions { python, example, child, url })
    }

    /// Where they are called.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Nobody answers for these functions any more.
    pub fn stop(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// They are back after a stop, where they were.
    pub fn start_again(&mut self) {
        let port = self.url.trim_end_matches("/statefun").rsplit(':').next().and_then(|port| port.parse().ok());
        let started = serve(&self.python, &self.example, port.expect("a port in the URL"));
        (self.child, self.url) = started.expect("the port is still free");
    }

    /// The example's own `module.yaml`, with the addresses of this run: our endpoint, and any free port.
    pub fn module(&self) -> String {
        let path = self.example.join("module.yaml");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for shipped in [SHIPPED_URL, "port: 8090", "port: 8091"] {
            assert!(text.contains(shipped), "{} has no `{shipped}`", path.display());
        }
        text.replace(SHIPPED_URL, &self.url).replace("port: 8090", "port: 0").replace("port: 8091", "port: 0")
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that this test run has not used yet. It is below those that the system gives to outgoing connections, and no
/// other test gets it, so it is still free after a stop.
fn next_port() -> u16 {
    static USED: AtomicU32 = AtomicU32::new(0);
    let offset = std::process::id().wrapping_mul(97).wrapping_add(USED.fetch_add(1, Ordering::Relaxed));
    20_000 + u16::try_from(offset % 10_000).expect("a number below 10,000")
}

/// A server process on this port and its URL; `None` when it ended at once, because somebody else has the port.
fn serve(python: &Path, example: &Path, port: u16) -> Option<(Child, String)> {
    let mut child = Command::new(python)
        .arg(example.join("functions.py"))
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("`{}` did not start: {error}", python.display()));
    let stdout = child.stdout.take().expect("stdout was asked for above");
    match first_line(stdout, |line| line.starts_with("ready ")) {
        Some(line) => Some((child, line.trim_start_matches("ready ").to_owned())),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            None
        }
    }
}

const SHIPPED_URL: &str = "http://127.0.0.1:8000/statefun";

/// The Python that `make` names, or the one that it has installed in this checkout before.
pub fn python(example: &str) -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("MILLPOND_PYTHON") {
        return Some(PathBuf::from(python));
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/python/bin/python");
    if installed.exists() {
        return Some(installed);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "there is no Python for the functions, and CI skips nothing; run `make test`"
    );
    crate::report(format_args!("skipped: the functions of `{example}` need a Python that `make setup` installs"));
    None
}
