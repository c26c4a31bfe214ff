//! What may happen to a directory and to the cursor topic, and who must stop then.

use bytes::Bytes;
use millpond_publisher::{Cursor, Halt, Phase};

use super::process::Process;
use super::scenario::Drill;
use super::{Happening, OURS, World};
use crate::kafka::Request;
use crate::outbox::Outbox;

impl World {
    /// The last cursor that was committed, though a stranger's transaction may hide it.
    pub(super) fn cursor(&self) -> Option<Bytes> {
        self.kafka.last_committed(self.scenario.partitions, OURS).cloned()
    }

    pub(super) fn drill(&mut self) -> Result<(), String> {
        let step = self.report.steps;
        if self.scenario.drill == Drill::Backup && step == self.scenario.snapshot_step.max(1) {
            self.snapshot = Some((self.copy(), self.cursor()));
        }
        if step < self.scenario.drill_step {
            return Ok(());
        }
        match self.scenario.drill {
            Drill::None => {}
            Drill::Twin => {
                self.scenario.drill = Drill::None;
                let cursor = self.cursor();
                let twin = Process::new(self.copy(), self.scenario.records / 2, Some(cursor.clone()));
                self.processes[0].forked = Some(cursor);
                self.processes.push(twin);
                self.trace("twin");
                self.start(1)?;
            }
            Drill::Backup => {
                let Some((older, cursor)) = self.snapshot.take() else { return Ok(()) };
                self.scenario.drill = Drill::None;
                self.trace("backup");
                self.end(0);
                self.original = Some(std::mem::replace(&mut self.processes[0].outbox, older));
                self.processes[0].forked = Some(cursor);
                self.after(0, Happening::Start { process: 0 });
            }
            Drill::CursorLost => self.lose_cursor(),
        }
        Ok(())
    }

    /// The directory as it would be after a crash.
    fn copy(&mut self) -> Outbox {
        let mut copy = self.processes[0].outbox.clone();
        let kept = self.random.usize(0..=copy.unsynced());
        copy.crash(kept);
        copy
    }

    /// The cursor topic is lost while the ledger knows of everything that is committed: then an operator who lets that pass
    /// loses nothing.
    fn lose_cursor(&mut self) {
        let Some(Ok(cursor)) = self.cursor().map(|value| Cursor::decode(&value)) else { return };
        if cursor.sequence != self.processes[0].outbox.disk.confirmed || !self.kafka.at_rest(OURS) {
            return;
        }
        // A process that has just read the cursor may go on; the next start learns of it.
        let opening = self.processes[0].publisher.as_ref().is_some_and(|here| here.view().phase == Phase::Opening);
        if opening {
            return;
        }
        self.scenario.drill = Drill::None;
        self.trace("cursor lost");
        let lost = self.scenario.partitions;
        self.kafka.lose(lost);
        self.queue.retain(|_, happening| match happening {
            Happening::Arrive { request: Request::Produce { partition, .. }, .. } => *partition != lost,
            _ => true,
        });
        self.cursor_lost = true;
        if self.random.bool() {
            self.end(0);
            self.after(0, Happening::Start { process: 0 });
        }
    }

    /// A publisher says that its directory may not publish. Somebody else published from a copy of it, or the cursor is gone.
    pub(super) fn halted(&mut self, process: usize, halt: Halt) -> Result<(), String> {
        self.report.halts += 1;
        let cursor = self.cursor();
        let right = match halt {
            Halt::Unknown { .. } | Halt::Ahead { .. } => {
                self.processes[process].forked.as_ref().is_some_and(|then| *then != cursor)
            }
            Halt::Missing { .. } => self.cursor_lost && cursor.is_none(),
            Halt::Unreadable(_) | Halt::Foreign { .. } => false,
        };
        if !right {
            return Err(format!("process {process} stopped without need: {halt}"));
        }
        self.end(process);
        let here = &mut self.processes[process];
        here.halted = true;
        here.accept_missing_cursor |= matches!(halt, Halt::Missing { .. });
        if !matches!(halt, Halt::Missing { .. }) {
            if here.restarts == 0 || self.healing {
                here.restarts = 0;
                return if self.original.is_some() { self.put_back() } else { Ok(()) };
            }
            here.restarts -= 1;
        }
        let delay = self.random.u64(0..2_000);
        self.after(delay, Happening::Start { process });
        Ok(())
    }

    /// An operator finds the right disk.
    pub(super) fn put_back(&mut self) -> Result<(), String> {
        let here = &mut self.processes[0];
        if let Some(original) = self.original.take() {
            here.outbox = original;
        }
        (here.forked, here.halted) = (None, false);
        self.start(0)
    }
}
