//! Subcommands.

/// Runs the command line; the exit code is that of the whole process.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(2)
}
