//! A Python function server from `functions-examples/python`, as a user would start it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::runtime::first_line;

/// A running function server; it ends with this value.
pub struct Functions {
    child: Child,
    url: String,
    example: PathBuf,
}

impl Functions {
    /// Starts `functions-examples/python/NAME/functions.py` on a free port.
    /// `None` when there is no Python to run it with, which is said, and is a failure in CI.
    pub fn start(name: &str) -> Option<Functions> {
        let python = python(name)?;
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions-examples/python").join(name);
        let mut child = Command::new(&python)
            .arg(example.join("functions.py"))
            .args(["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`{}` did not start: {error}", python.display()));
        let stdout = child.stdout.take().expect("stdout was asked for above");
        let line = first_line(stdout, |line| line.starts_with("ready "))
            .unwrap_or_else(|| panic!("the functions of `{name}` ended before they were ready"));
        let url = line.trim_start_matches("ready ").to_owned();
        Some(Functions { child, url, example })
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

const SHIPPED_URL: &str = "http://127.0.0.1:8000/statefun";

/// The Python that `make` names, or the one that it has installed in this checkout before.
fn python(example: &str) -> Option<PathBuf> {
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
