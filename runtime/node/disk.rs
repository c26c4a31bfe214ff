//! Room on the disk: when it becomes short, events are not taken in, and at last functions are not called.
//!
//! What comes in: what the file system of the data directory says, every second. What goes out: [`Room`] to the edges, and
//! whether calls are held to the engine thread. A full disk is the one thing that a node cannot work off by itself: finishing
//! what is there takes room too. So intake stops first, while there is room to finish in; calls stop when finishing would
//! fill the rest. Both go on by themselves when there is room again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{info, warn};

use super::driver::Message;
use crate::handle::{NodeSide, Room};

const EVERY: Duration = Duration::from_secs(1);

/// Percent of the disk that must be free. 0 is no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floors {
    /// For events to be taken in.
    pub(super) intake: u8,
    /// For functions to be called.
    pub(super) calls: u8,
}

/// The thread that looks; it ends when it is told to.
pub(super) struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub(super) fn end(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// Looks once, and then every second.
pub(super) fn watch(
    data_dir: &Path,
    floors: Floors,
    node: Arc<NodeSide>,
    engine: Sender<Message>,
) -> io::Result<Watch> {
    let mut look = Look { data_dir: data_dir.to_owned(), floors, intake: false, calls: false, failed: false };
    look.once(&node, &engine);
    let (stop, stopped) = mpsc::channel();
    let body = move || {
        while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            look.once(&node, &engine);
        }
    };
    let thread = std::thread::Builder::new().name("millpond-disk".to_owned()).spawn(body)?;
    Ok(Watch { stop, thread })
}

struct Look {
    data_dir: PathBuf,
    floors: Floors,
    /// What is stopped.
    intake: bool,
    calls: bool,
    /// The last look failed, and the log says so.
    failed: bool,
}

impl Look {
    fn once(&mut self, node: &NodeSide, engine: &Sender<Message>) {
        let disk = match rustix::fs::statvfs(&self.data_dir) {
            Ok(disk) => disk,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    warn!(%error, "the disk does not say how much room it has");
                }
                return;
            }
        };
        self.failed = false;
        let (bytes, free_bytes) = (disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize);
        let (intake, calls) = (self.intake, self.calls);
        self.intake = is_short(bytes, free_bytes, self.floors.intake, intake);
        self.calls = is_short(bytes, free_bytes, self.floors.calls, calls);
        let free_percent = free_bytes.saturating_mul(100).checked_div(bytes).unwrap_or(100);
        let short = self.intake.then(|| {
            let floor = self.floors.intake;
            format!("{free_percent} % of the disk is free, intake stops below {floor} %").into()
        });
        node.set_room(Room { bytes, free_bytes, short, calls_held: self.calls });
        if self.calls != calls {
            // No engine thread: the process is ending.
            let _ = engine.send(Message::HoldCalls(self.calls));
        }
        let hint = "millpond explain MP1016";
        match (intake, self.intake) {
            (false, true) => warn!(free_percent, free_bytes, hint, "the disk is nearly full, no event is taken in"),
            (true, false) => info!(free_percent, free_bytes, "the disk has room, events are taken in again"),
            _ => {}
        }
        match (calls, self.calls) {
            (false, true) => warn!(free_percent, free_bytes, hint, "the disk is nearly full, no function is called"),
            (true, false) => info!(free_percent, free_bytes, "the disk has room, functions are called again"),
            _ => {}
        }
    }
}

/// Whether less than the floor is free; what is short stays so until a hundredth of the disk more is free.
fn is_short(bytes: u64, free: u64, floor: u8, was: bool) -> bool {
    let floor = if was { floor.saturating_add(1) } else { floor };
    u128::from(free) * 100 < u128::from(bytes) * u128::from(floor) && (!was || floor > 1)
}

#[cfg(test)]
mod tests {
    use super::is_short;

    /// A floor is passed downwards at its number and upwards at one more; none is never passed.
    #[test]
    fn floors_have_some_play() {
        for (free, floor, was, expected) in [
            (100, 10, false, false),
            (99, 10, false, true),
            (100, 10, true, true),
            (110, 10, true, false),
            (0, 0, false, false),
            (0, 0, true, false),
            (1000, 100, false, false),
            (999, 100, false, true),
        ] {
            assert_eq!(is_short(1000, free, floor, was), expected, "{free} {floor} {was}");
        }
        assert!(!is_short(0, 0, 10, false), "a file system without a size is not full");
    }
}
