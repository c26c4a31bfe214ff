//! The `millpond` binary.

fn main() -> std::process::ExitCode {
    millpond::cli::main()
}
