//! The `millpond` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    few_arenas();
    millpond::cli::main()
}

/// Memory that one thread takes and another gives back stays in the arena of the first. With an arena for each thread, as
/// glibc has it, a sixth of all memory is room in some arena that no other thread may use.
#[cfg(target_env = "gnu")]
fn few_arenas() {
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8));
    // SAFETY: it sets a number, and there is no second thread yet.
    #[expect(unsafe_code, reason = "the setting has no safe way, and the environment is read before the process runs")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, cores as libc::c_int);
    }
}

#[cfg(not(target_env = "gnu"))]
fn few_arenas() {}
