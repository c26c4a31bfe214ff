//! The command line: `millpond run`, `check`, `address`, `ingress`, `functions`, `egress`, `metrics`, `ready`, `explain`.
//!
//! In: the arguments of the process. Out: an exit code, text on standard output (what was asked for) and on standard error
//! (everything else). Exit codes: 0 done, 1 the input has a problem, 2 wrong usage, 3 the environment failed, 101 a defect of ours.
//!
//! Each subcommand is a file. They write to a [`Console`], so that tests see what a user would.

pub mod address;
mod admin_client;
mod args;
pub mod check;
mod check_modules;
mod console;
pub mod egress;
pub mod explain;
pub mod ingress;
mod logging;
pub mod node;
pub mod run;
#[cfg(test)]
pub(crate) mod tests;

pub use args::Cli;
pub use console::Console;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser as _;

use crate::kafka::aside;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done = 0,
    /// The user's input has a problem.
    Input = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Something outside failed: a disk, a port, a broker.
    Environment = 3,
    /// We have a defect.
    Defect = 101,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Runs the command line; the exit code is that of the whole process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no error; clap knows which is which. That the terminal is
            // gone is nothing that we could tell anyone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let exit = execute(cli, &mut Console::process());
    leave_behind(exit);
    exit.into()
}

/// How long clients that are being closed may take when everything else is over.
const CLOSING: Duration = Duration::from_millis(300);

/// Ends the process at once when a client still waits for a cluster that does not answer. Everything is durable and said; an ordinary
/// end would take from under that client what it stands on.
fn leave_behind(exit: Exit) {
    let deadline = Instant::now() + CLOSING;
    while aside::under_way() > 0 {
        if Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let _ = std::io::stdout().lock().flush();
        #[expect(
            unsafe_code,
            reason = "the standard library only ends a process with what others registered to be run then"
        )]
        // SAFETY: it takes a number and does not return.
        unsafe {
            libc::_exit(exit as libc::c_int)
        }
    }
}

/// Runs a parsed command line.
pub fn execute(cli: Cli, console: &mut Console<'_>) -> Exit {
    match cli.command {
        args::Command::Run(args) => run::execute(args, console),
        args::Command::Check(args) => check::execute(&args, console),
        args::Command::CheckModules(args) => check_modules::execute(&args, console),
        args::Command::Address(command) => address::execute(&command, console),
        args::Command::Ingress(command) => ingress::execute(&command, console),
        args::Command::Functions(args) => node::functions(&args, console),
        args::Command::Egress(command) => egress::execute(&command, console),
        args::Command::Metrics(args) => node::metrics(&args, console),
        args::Command::Ready(args) => node::ready(&args, console),
        args::Command::Explain(args) => explain::execute(&args, console),
    }
}
