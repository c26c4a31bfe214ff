//! One application on disk: what outlives a process.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Process};

/// A module file and a data folder, in a temporary folder that goes with this value.
#[derive(Debug)]
pub struct Installation {
    folder: tempfile::TempDir,
    binary: PathBuf,
}

impl Installation {
    /// An installation with an empty data folder and no module yet, to be run by `binary`.
    ///
    /// # Errors
    /// When there is no such binary, or no room for a folder.
    pub fn new(binary: &Path) -> Result<Installation, Error> {
        let failed = |source| Error::Process { what: "no temporary folder was made".to_owned(), source };
        if !binary.is_file() {
            return Err(Error::Wrong(format!("there is no runtime at `{}`; `make build` makes one", binary.display())));
        }
        let folder = tempfile::Builder::new().prefix("millpond-").tempdir().map_err(failed)?;
        Ok(Installation { folder, binary: binary.to_owned() })
    }

    /// Installs a module as an example ships it: with the URL of this run's functions, and any free ports.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn install(&self, shipped: &str, functions: &str) -> Result<(), Error> {
        let module = shipped
            .replace("http://127.0.0.1:8000/statefun", functions)
            .replace("port: 8090", "port: 0")
            .replace("port: 8091", "port: 0");
        let failed = |source| Error::Process { what: "the module was not written".to_owned(), source };
        std::fs::write(self.folder().join("module.yaml"), module).map_err(failed)
    }

    /// The runtime: the one that `MILLPOND` names, or the one that was built into the same folder as this program.
    pub fn binary() -> PathBuf {
        if let Some(binary) = std::env::var_os("MILLPOND") {
            return PathBuf::from(binary);
        }
        let mut folder = std::env::current_exe().unwrap_or_default();
        folder.pop();
        if folder.ends_with("deps") {
            folder.pop();
        }
        folder.join("millpond")
    }

    /// The folder; logs can be put into it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the runtime and waits until it serves. It blocks its thread.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(&self) -> Result<Process, Error> {
        self.start_with(&[])
    }

    /// The same with more arguments.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_with(&self, arguments: &[&str]) -> Result<Process, Error> {
        Process::start("the runtime", self.command(arguments), &self.folder().join("runtime.log"))
    }

    /// The command that a user would type, with any free port for the admin API.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("run")
            .arg(self.folder().join("module.yaml"))
            .arg("--data-dir")
            .arg(self.folder().join("data"))
            .args(["--admin", "127.0.0.1:0"])
            .args(arguments);
        command
    }

    /// Whether the folder stays behind this value, for somebody who wants to look into it.
    pub fn keep(&mut self, stays: bool) {
        self.folder.disable_cleanup(stays);
    }

    /// Bytes of the data folder.
    pub fn data_bytes(&self) -> u64 {
        fn bytes(folder: &Path) -> u64 {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.metadata() {
                    Ok(found) if found.is_dir() => bytes(&entry.path()),
                    Ok(found) => found.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        bytes(&self.folder().join("data"))
    }
}
