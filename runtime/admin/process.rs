//! What the system says of this process, under the names that Prometheus' own libraries use.
//!
//! Read from `/proc`, so it is there on Linux; elsewhere these metrics are missing.

use rustix::param::{clock_ticks_per_second, page_size};

/// Memory, time and files of the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// `process_cpu_seconds_total`.
    pub cpu_s: f64,
    /// `process_resident_memory_bytes`.
    pub resident_bytes: u64,
    /// `process_virtual_memory_bytes`.
    pub virtual_bytes: u64,
    /// `process_start_time_seconds`, since 1970.
    pub started_s: f64,
    /// `process_threads`.
    pub threads: u64,
    /// `process_open_fds`.
    pub open_files: u64,
    /// `process_max_fds`; `None` when there is no limit.
    pub open_files_max: Option<u64>,
}

/// What the system says now; `None` where it does not say it.
pub fn read() -> Option<Process> {
    let text = |path: &str| std::fs::read_to_string(path).ok();
    let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let max = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let booted = text("/proc/stat")?.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    // The folder itself was open while it was read.
    parse(&text("/proc/self/stat")?, booted, open_files.saturating_sub(1), max)
}

/// Reads `/proc/self/stat`: the name in brackets may hold anything, so the fields are counted behind it.
fn parse(stat: &str, booted: u64, open_files: u64, open_files_max: Option<u64>) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Numbered as in proc(5), whose third field is the first one behind the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = clock_ticks_per_second() as f64;
    Some(Process {
        cpu_s: (field(14)? + field(15)?) as f64 / ticks,
        threads: field(20)?,
        started_s: booted as f64 + field(22)? as f64 / ticks,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page_size() as u64,
        open_files,
        open_files_max,
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, read};

    /// The line is read whatever the process is called, and nothing is made of another line.
    #[test]
    fn lines() {
        let behind = "S 1 2 3 4 5 6 7 8 9 10 200 300 13 14 15 16 4 0 500 8192 3 x";
        for name in ["millpond", "a) S 1 (b", ""] {
            let process = parse(&format!("77 ({name}) {behind}"), 1_000, 5, None).expect("a line");
            assert_eq!((process.threads, process.virtual_bytes, process.open_files), (4, 8192, 5));
            assert!(process.cpu_s > 0.0 && process.started_s > 1_000.0 && process.resident_bytes >= 3 * 4096);
        }
        for line in ["", "77 (a", "77 (a) S 1", "77 (a) S x x x x x x x x x x x x x x x x x x x x x x"] {
            assert_eq!(parse(line, 0, 0, None), None, "{line}");
        }
    }

    /// This very process is there.
    #[test]
    fn this_process() {
        if cfg!(target_os = "linux") {
            let process = read().expect("Linux has `/proc`");
            assert!(process.resident_bytes > 1 << 20 && process.open_files > 0 && process.threads > 0);
        }
    }
}
