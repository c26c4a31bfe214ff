#!/usr/bin/env python3
"""Proves the simulator's net: puts one defect after the other into a copy of the source and lets it be found.

    runtime/sim/mutations.py [--seeds N] [NAME...]

Needs a copy of the workspace that it may change; it makes one under the folder that TMPDIR names. Prints a line per
defect: the seed that found it and the promise that broke, else the crate's own test that did, or that it was missed. Exit 1
when one was missed, or does not fit the source any more (then mend the table below).
"""

import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Name, file relative to runtime/engine, what stands there, what the defect makes of it. What no world can show (a function
# that declares another type, when a budget begins, whose time an event has) is not here: named tests of the engine hold it.
MUTATIONS = [
    ("answer-applied-twice", "answer.rs", "let slot = self.calls.remove(&call)?;", "let slot = self.calls.get(&call).copied()?;"),
    ("records-twice", "apply.rs", "self.lanes[record.lane.0 as usize].push(record.record, event_time);",
     "self.lanes[record.lane.0 as usize].push(record.record.clone(), event_time);\n"
     "            if self.cells[slot].mailbox.in_memory() > 2 { self.lanes[record.lane.0 as usize].push(record.record, event_time); }"),
    ("meta-behind", "seal.rs", "next_sequence: self.next_sequence,", "next_sequence: self.next_sequence.saturating_sub(1),"),
    ("time-forgotten", "seal.rs", "time: self.now,", "time: 0,"),
    ("published-at-seal", "seal.rs", "self.delta.sealed = number;",
     "self.delta.sealed = number;\n        for (place, lane) in self.lanes.iter_mut().enumerate() {\n"
     "            if let Some((upto, event_times)) = lane.durable() {\n"
     "                self.outputs.push_back(Output::Publish { lane: LaneId(place as u32), upto, event_times });\n            }\n        }"),
    ("answered-before-durable", "seal.rs", "self.delta.sealed_receipts = std::mem::take(&mut self.delta.receipts);",
     "for (receipt, answer) in std::mem::take(&mut self.delta.receipts) {\n            self.answer(receipt, answer);\n        }"),
    ("refused-before-durable", "idempotency.rs", "match checkpoint {\n            None => self.answer",
     "match checkpoint.filter(|_| same) {\n            None => self.answer"),
    ("batch-reordered", "dispatch.rs", ".take(cell.batch)\n", ".take(cell.batch)\n                .rev()\n"),
    ("key-in-later-checkpoint", "seal.rs", "let mut writes = std::mem::take(&mut self.delta.writes);",
     "let (mut late, mut writes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.delta.writes).into_iter()\n"
     "            .partition(|write| matches!(write, Write::Idempotency { .. }));\n"
     "        std::mem::swap(&mut late, &mut self.delta.late);\n        writes.extend(late);"),
    ("sealed-cell-evicted", "engine.rs", "        self.seal_if_due();\n",
     "        self.seal_if_due();\n        self.cells.evict(self.config.limits.cache_bytes, u64::MAX);\n"),
    ("dirty-cell-evicted", "cells.rs", "if cell.dirty || cell.checkpoint > durable {", "if cell.checkpoint > durable {"),
    ("deletion-not-written", "seal.rs", ".filter(|state| state.dirty)", ".filter(|state| state.dirty && state.value.is_some())"),
    ("late-load-over-memory", "loading.rs", "if cell.phase != Phase::Loading {", "if matches!(cell.phase, Phase::InFlight(_)) {"),
    ("not-listed-while-loading", "seal.rs", "if has_pending != cell.listed {",
     "if has_pending != cell.listed && cell.phase != crate::phase::Phase::Loading {"),
    ("stays-listed", "seal.rs", "if has_pending != cell.listed {", "if has_pending && !cell.listed {"),
    ("timer-left-behind", "phase.rs", "                self.timers.remove(&timer);\n            }\n            Phase::Runnable", "            }\n            Phase::Runnable"),
    ("freed-before-durable", "lane.rs", ".min(lane.durable);", ".min(lane.next);"),
    ("generation-forgotten", "idempotency.rs", "meta.idempotency_generation = self.generation;", "meta.idempotency_generation = 1;"),
    ("newest-keys-forgotten", "idempotency.rs", "let forgotten = keys.generation.saturating_sub(1);", "let forgotten = keys.generation;"),
    ("repetition-counts", "idempotency.rs", "self.idempotency.fresh.insert(", "if self.now % 2 == 0 { return self.take_in(event, self.now); }\n        self.idempotency.fresh.insert("),
    ("fresh-key-dropped", "idempotency.rs", "fresh.checkpoint > checkpoint);", "fresh.checkpoint > checkpoint + 1);"),
    ("stopped-before-durable", "seal.rs", "if self.delta.on_its_way() || self.stopped {",
     "if self.stopping && !self.stopped {\n            self.stopped = true;\n            self.outputs.push_back(Output::Stopped);\n        }\n"
     "        if self.delta.on_its_way() || self.stopped {"),
    ("stop-forgets-look-ups", "engine.rs", "        self.stop_looking();\n", ""),
    ("stop-loses-changes", "seal.rs", "if self.delta.is_empty() {\n            if self.stopping {",
     "if self.delta.is_empty() || self.stopping && self.delta.receipts.is_empty() {\n            if self.stopping {"),
    ("callers-lost", "apply.rs", "let caller = Some(caller.clone());", "let caller = None;"),
    ("two-in-flight", "ingest.rs", "if phase == Phase::Idle {", "if phase == Phase::Idle || matches!(phase, Phase::InFlight(_)) && self.calls.len() > 2 {"),
    ("limit-in-flight", "dispatch.rs", "self.calls.len() < self.config.limits.calls_in_flight &&", "self.calls.len() <= self.config.limits.calls_in_flight &&"),
    ("never-resumes", "pressure.rs", "if full != self.paused {", "if full && !self.paused {"),
    ("half-an-event", "ingest.rs", "        for (target, argument) in event.invocations {\n",
     "        for (place, (target, argument)) in event.invocations.into_iter().enumerate() {\n            if place > 0 && self.delta.bytes() > 400 { self.seal_if_due(); continue; }\n"),
    ("messages-swapped", "apply.rs", "for message in effects.messages {", "for message in effects.messages.into_iter().rev() {"),
    ("wakes-in-the-past", "engine.rs", "        self.fire_timers();\n", "        if self.now % 3 > 0 { self.fire_timers(); }\n"),
    ("delayed-lost-at-restart", "delayed.rs", "horizon: (0, 0),", "horizon: END,"),
    ("delayed-not-removed", "delayed.rs", "            if entry.sealed {\n                self.delayed.gone", "            if false {\n                self.delayed.gone"),
    ("delayed-early", "delayed.rs", "first.key().0 <= self.now", "first.key().0 <= self.now + 5"),
    ("cancelled-delivered", "delayed.rs", "if !self.delayed.cancelled.contains_key(&key) {", "if key != END {"),
    ("unsettled-leaves-memory", "delayed.rs", "let settled = *of <= checkpoint;", "let settled = *of < Sequence::MAX;"),
    ("token-forgotten-while-needed", "tokens.rs", " || asked.contains_key(name)", ""),
    ("token-not-freed", "delayed.rs", "self.set_token(&sender.id, &token, None);", "drop(token);"),
    ("ttl-off-by-one", "expiry.rs", "end <= now", "end < now"),
    ("finished-not-removed", "apply.rs", "if pending.sealed.is_some() {", "if pending.sealed.is_some() && ran == 1 {"),
    ("in-flight-not-pending", "seal.rs", "for pending in cell.mailbox.fresh() {",
     "let batch = cell.batch;\n        for pending in cell.mailbox.fresh().skip(batch) {"),
    ("cut-batch-loses-one", "failure.rs", "cell.one_by_one = cell.batch;",
     "cell.one_by_one = cell.batch - 1;\n            drop(cell.mailbox.take(1).count());"),
    ("load-twice-in-mailbox", "mailbox.rs", "&& first.sequence < next", "&& first.sequence + 1 < next"),
    ("load-forgets-pending", "mailbox.rs", "self.head.append(&mut self.tail);", "self.tail.clear();"),
    ("gap-skips-one", "mailbox.rs", "next = sequence.saturating_add(1);", "next = sequence.saturating_add(2);"),
    ("gap-begins-late", "mailbox.rs", "self.gap = Some(last.sequence.saturating_add(1));",
     "self.gap = Some(last.sequence.max(pending.sequence).saturating_add(1));"),
    ("tail-leaves-while-reading", "mailbox.rs", "if self.gap.is_none() || self.reading {", "if self.gap.is_none() {"),
    ("tail-leaves-before-durable", "mailbox.rs", ".is_some_and(|checkpoint| checkpoint <= durable)", ".is_some()"),
    ("page-without-more", "mailbox.rs", "match more {", "match more && self.head.len() < 2 {"),
    ("listed-not-loaded", "loading.rs", "cell.listed |= loaded.listed;", "let _ = loaded.listed;"),
    ("pass-ends-early", "recall.rs", "pass.last = !more || addresses.is_empty();", "pass.last = true;"),
    ("skipped-not-left-behind", "recall.rs", "        self.left_behind(function);\n        true\n", "        true\n"),
    ("spilled-line-forgotten", "spill.rs", "_ => self.left_behind(function),", "_ => {}"),
    ("away-forgotten", "spill.rs", "                self.left_behind(function);\n            }\n            match away", "            }\n            match away"),
    ("asleep-for-ever", "asleep.rs", "self.falls_asleep(function, due);", "let _ = due;"),
    ("leaves-before-durable", "spill.rs", "let settled = !cell.dirty && cell.checkpoint <= self.delta.durable();", "let settled = !cell.dirty;"),
    ("leaves-dirty", "spill.rs", "let settled = !cell.dirty && cell.checkpoint <= self.delta.durable();",
     "let settled = cell.checkpoint <= self.delta.durable();"),
    ("leaves-while-reading", "spill.rs", "settled && !cell.mailbox.is_reading() && ", "settled && "),
    ("held-for-ever", "phase.rs", "        if !matches!(phase, Phase::InFlight(_)) {", "        if phase == Phase::Away {"),
    ("held-by-the-spilled", "phase.rs", "        self.quit(slot);\n        self.release(slot);\n", "        self.quit(slot);\n"),
    ("not-counted-again", "phase.rs", "        self.recount(slot);\n        if phase", "        if phase"),
    ("operators-forgotten", "phase.rs", "            self.operable.push_back(slot);\n", ""),
    ("failed-not-behind", "dispatch.rs", "Some(_) => function.retries.push_back(slot),", "Some(_) => function.line.push_back(slot),"),
    ("parked-for-ever", "parking.rs", "self.park(slot, Some(self.now.saturating_add(pause.max(at_least).max(1))));", "self.park(slot, None);"),
    ("unreachable-not-woken", "parking.rs", "for function in std::mem::take(&mut self.unreachable[endpoint]) {",
     "for function in std::mem::take(&mut self.unreachable[endpoint]).into_iter().take(0) {"),
    ("policy-takes-the-unreachable", "failure.rs", "if !(left <= 1 && rejected && self.give_up(slot)) {", "if !self.give_up(slot) {"),
    ("dead-letter-of-a-batch", "failure.rs", "if failure.kind == FailureKind::Rejected && cell.batch > 1 {",
     "if failure.kind == FailureKind::Rejected && cell.batch > 2 {"),
    ("dead-letter-twice", "dead_letter.rs", "        self.finish(slot, 1);\n", "        if self.now % 2 == 0 { self.finish(slot, 1); }\n"),
    ("dead-letter-lost", "dead_letter.rs", "self.lanes[lane.0 as usize].push(record, letter",
     "if self.lanes[lane.0 as usize].waiting() >= 3 { return; }\n            self.lanes[lane.0 as usize].push(record, letter"),
    ("dead-letter-ends-two", "dead_letter.rs", "self.finish(slot, 1);", "let all = self.cells[slot].mailbox.head().len();\n        self.finish(slot, all.min(2));"),
    ("skips-another-one", "operate.rs", "|first| first.sequence != sequence)", "|first| first.sequence > sequence)"),
    ("stop-forgets-operators", "engine.rs", "        self.stop_operating();\n", ""),
    ("stop-forgets-the-held", "engine.rs", "        self.release_all();\n", ""),
    ("failure-record-stays", "failure.rs", "        cell.failure_dirty = true;\n        let backlog", "        let backlog"),
    ("backlog-not-counted-down", "apply.rs", "backlog.invocations.saturating_sub(ran as u64)", "backlog.invocations.saturating_sub(1)"),
    ("pending-bytes-leak", "room.rs", "self.pending_bytes = self.pending_bytes - before + pending;",
     "self.pending_bytes = self.pending_bytes - before + pending + pending % 7;"),
    ("window-leaks", "window.rs", "self.in_flight -= 1;", "self.in_flight -= usize::from(self.rounds == 0);"),
    ("window-ignored", "window.rs", "match self.in_flight < self.size() || impatient && waited <= now {", "match true {"),
    ("trouble-never-ends", "window.rs", "        self.rounds = 0;\n        self.pause_until = 0;", "        self.pause_until = 0;"),
    ("pause-without-timer", "dispatch.rs", "                    self.set_timer(later, Timer::Function(id));\n", "                    let _ = later;\n"),
    ("turn-not-offered", "dispatch.rs", "                    self.offer(id);\n", "                    if self.calls.len() % 2 == 0 { self.offer(id); }\n"),
    ("wakes-too-late", "engine.rs", "[timer, delayed, self.seal_deadline(), self.sweep_due()].into_iter().flatten().min()", "timer"),
    ("stamp-not-written", "seal.rs", "writes.push(Write::Accessed { address: cell.address.clone(), time: Some(time) });", "let _ = time;"),
    ("over-stays-in-the-ledger", "sweep.rs", "if self.cells[slot].phase == Phase::Idle {", "if false {"),
    ("walk-misses-the-fresh", "sweep.rs", "self.sweep.alive = self.sweep.written > self.delta.durable();", "self.sweep.alive = false;"),
    ("position-not-written", "seal.rs", "        self.positions.seal(&mut writes);\n", ""),
    ("position-ahead", "position.rs", "        self.positions.go_to(&partition, offset + 1);\n", "        self.positions.go_to(&partition, offset + 1 + offset % 2);\n"),
    ("position-behind", "position.rs", "writes.push(Write::Position { partition, next: position.next });",
     "writes.push(Write::Position { partition, next: position.next.saturating_sub(1) });"),
    ("record-taken-twice", "position.rs", "if offset < position.next || passed_over {", "if offset + 1 < position.next || passed_over {"),
    ("held-record-passed-over", "position.rs", "if offset < position.next || passed_over {", "if offset < position.next {"),
    ("letter-twice", "position.rs", "self.lanes[letter.lane.0 as usize].push(letter.record, event_time);",
     "self.lanes[letter.lane.0 as usize].push(letter.record.clone(), event_time);\n"
     "            if offset % 3 == 2 { self.lanes[letter.lane.0 as usize].push(letter.record, event_time); }"),
    ("letter-lost", "position.rs", "self.lanes[letter.lane.0 as usize].push(letter.record, event_time);",
     "if self.lanes[letter.lane.0 as usize].waiting() < 3 { self.lanes[letter.lane.0 as usize].push(letter.record, event_time); }"),
    ("letter-of-the-held", "position.rs", "        let event = Event { invocations, receipt: None, idempotency: None };\n        if self.refusal",
     "        let event = Event { invocations, receipt: None, idempotency: None };\n"
     "        for letter in &letters {\n            self.lanes[letter.lane.0 as usize].push(letter.record.clone(), self.now);\n        }\n"
     "        let letters: Vec<EgressRecord> = Vec::new();\n        if self.refusal"),
    ("letter-without-position", "position.rs", "        self.positions.go_to(&partition, offset + 1);\n",
     "        if letters.is_empty() { self.positions.go_to(&partition, offset + 1); }\n"),
    ("letter-not-hurried", "position.rs", "        if !letters.is_empty() {\n            self.delta.hurry();\n        }\n", ""),
    ("living-value-removed", "expiry.rs", "    let accessed = cell.accessed;\n", "    let accessed = None;\n"),
]

# The same for the publisher.
PUBLISHER = "../publisher/"
MUTATIONS += [(name, PUBLISHER + file, before, after) for name, file, before, after in [
    ("commit-before-reports", "transaction.rs", "if !transaction.waiting.is_empty() {", "if transaction.committing.is_some() {"),
    ("cursor-before-begin", "transaction.rs", "        self.outputs.push_back(Output::Begin(session));\n",
     "        self.outputs.push_back(Output::SendCursor { session, cursor: self.cursor(self.confirmed) });\n"
     "        self.outputs.push_back(Output::Begin(session));\n"),
    ("cursor-of-the-one-before", "transaction.rs", "cursor: self.cursor(upto) }", "cursor: self.cursor(self.confirmed) }"),
    ("cursor-report-not-awaited", "transaction.rs", "BTreeSet::from([Item::Cursor])", "BTreeSet::new()"),
    ("no-doubt-after-an-event", "opening.rs", "if matches!(self.state, State::Open(_)) {", "if matches!(self.state, State::Open(_)) && self.now == 0 {"),
    ("no-doubt-after-a-slow-commit", "transaction.rs", "if self.now - since > self.limits.commit_ms {", "if self.now - since > 60_000 {"),
    ("doubt-without-a-new-epoch", "transaction.rs", "return self.doubt(None, \"the commit took too long\".into());",
     "self.state = State::Opening(crate::opening::Opening::Initialising);\n            return self.opened();"),
    ("on-after-confirmed", "opening.rs", "        self.confirm(cursor.sequence);\n", ""),
    ("cursor-read-uncommitted", "opening.rs", "upto, isolation: Isolation::Committed }", "upto, isolation: Isolation::Uncommitted }"),
    ("cursor-not-read-to-the-end", "opening.rs", "Output::EndOffset { session, isolation: Isolation::Uncommitted }",
     "Output::EndOffset { session, isolation: Isolation::Committed }"),
    ("cursor-before-initialising", "opening.rs", "self.outputs.push_back(Output::Open(self.session));",
     "self.state = State::Opening(Opening::Measuring);\n        self.outputs.push_back(Output::Open(self.session));\n"
     "        self.outputs.push_back(Output::EndOffset { session: self.session, isolation: Isolation::Uncommitted });"),
    ("nothing-swept", "opening.rs", "self.unread |= matches!", "let _ = matches!"),
    ("swept-for-good", "opening.rs", "        self.reopen(0, None, \"an open transaction", "        self.outputs.push_back(Output::Commit(self.session));\n        self.reopen(0, None, \"an open transaction"),
    ("fence-is-a-rival", "opening.rs", "self.doubt(Some(failure.kind), failure.error);",
     "if failure.kind == FailureKind::Fenced {\n                    self.outputs.push_back(Output::Halt(Halt::Unknown { incarnation: 0 }));\n"
     "                    self.state = State::Ended;\n                    return;\n                }\n"
     "                self.doubt(Some(failure.kind), failure.error);"),
    ("stale-twin-goes-on", "lineage.rs", "let Some(writer) = writer else { return Err(Halt::Unknown { incarnation: cursor.incarnation }) };",
     "let Some(writer) = writer else { return Ok(false) };"),
    ("ahead-goes-on", "lineage.rs", "if cursor.sequence > outbox {", "if cursor.sequence > outbox && outbox == 0 {"),
    ("ahead-of-what-is-there-now", "opening.rs", "if self.lineage.judge(&cursor)? {",
     "self.lineage.now_has(self.durable);\n        if self.lineage.judge(&cursor)? {"),
    ("ahead-by-one", "lineage.rs", "if cursor.sequence > outbox {", "if cursor.sequence >= outbox {"),
    ("own-cursor-unknown", "lineage.rs", "self.attempted = self.attempted.max(sequence);", "let _ = sequence;"),
    ("lineage-forgets-the-writer", "lineage.rs", "self.starts.drain(..writer);", "self.starts.drain(..self.starts.len() - 1);"),
    ("claimed-before-durable", "publisher.rs", "state: State::Claiming,", "state: State::Opening(Opening::Initialising),"),
    ("cursor-missing-goes-on", "opening.rs", "if confirmed > 0 && !self.accept_missing_cursor {", "if confirmed > 99 && !self.accept_missing_cursor {"),
    ("acceptance-ignored", "opening.rs", "if confirmed > 0 && !self.accept_missing_cursor {", "if confirmed > 0 {"),
    ("other-topic-not-noticed", "opening.rs", "if found.is_none() && self.cursor_offset > 0 {", "if found.is_none() && self.cursor_offset > 1 << 40 {"),
    ("published-before-durable", "transaction.rs", "upto: self.durable,", "upto: Sequence::MAX,"),
    ("confirmed-at-commit", "transaction.rs", "self.outputs.push_back(Output::Commit(self.session));",
     "let upto = transaction.upto;\n            self.outputs.push_back(Output::Commit(self.session));\n            self.confirm(upto);"),
    ("failed-commit-confirms", "opening.rs", "        let state = std::mem::replace(",
     "        if let State::Open(crate::transaction::Transaction { upto, committing: Some(_), .. }) = self.state { self.confirm(upto); }\n"
     "        let state = std::mem::replace("),
    ("old-session-counts", "publisher.rs", "if session == self.session {", "if session <= self.session {"),
    ("innocent-refused", "refusal.rs", "let alone = transaction.records == 1;", "let alone = transaction.records > 0;"),
    ("refused-not-recorded", "transaction.rs", " || self.refusals.unrecorded()", ""),
    ("refused-passed-over-early", "refusal.rs", "self.refusals.reported.insert(sequence);",
     "self.refusals.reported.insert(sequence);\n                self.refusals.recorded(sequence);"),
    ("refused-forgotten-at-start", "publisher.rs", "Refusals::new(config.refused)", "Refusals::new(Default::default())"),
    ("refused-in-silence", "refusal.rs", "self.outputs.push_back(Output::Refused { sequence, error });", "let _ = error;"),
    ("gives-up", "opening.rs", "let pause = self.pause();", "let pause = if self.attempts > 8 { Millis::MAX } else { self.pause() };"),
    ("stop-keeps-going", "publisher.rs", "State::Claiming | State::Resting { .. } | State::Idle if self.stopping", "State::Claiming | State::Idle if self.stopping"),
]]

# Defects that need a place to keep something.
FIELDS = {
    "ahead-of-what-is-there-now": (PUBLISHER + "lineage.rs", [
        ("    /// This start is about to claim", "    pub(crate) fn now_has(&mut self, durable: Sequence) {\n"
         "        self.starts.last_mut().unwrap().after = durable;\n    }\n\n    /// This start is about to claim"),
    ]),
    "claimed-before-durable": (PUBLISHER + "publisher.rs", [
        ("session: Session(0),", "session: Session(1),"),
        ("VecDeque::from([Output::Claim(lineage.starts())]);", "VecDeque::from([Output::Claim(lineage.starts()), Output::Open(Session(1))]);"),
    ]),
    "failed-commit-confirms": (PUBLISHER + "transaction.rs", [
        ("    committing: Option<Millis>,", "    pub(crate) committing: Option<Millis>,"),
    ]),
    "key-in-later-checkpoint": ("seal.rs", [
        ("    writes: Vec<Write>,\n    bytes: usize,", "    writes: Vec<Write>,\n    late: Vec<Write>,\n    bytes: usize,"),
        ("            writes: Vec::new(),\n            bytes: 0,", "            writes: Vec::new(),\n            late: Vec::new(),\n            bytes: 0,"),
    ]),
}


def mutate(folder, name, edits):
    path = folder / name
    source = path.read_text()
    for before, after in edits:
        if before not in source:
            return f"{name} has no `{before.strip().splitlines()[0]}` any more"
        source = source.replace(before, after, 1)
    path.write_text(source)
    return None


# A defect may keep the engine busy for ever. Seconds of processor time: a sound run of 2,000 seeds takes some 25, however busy
# the machine is, so that a defect that was only slow to be found does not pass for one that never ends.
PATIENCE_S = 120


def run(command, folder):
    """Runs a command with all its children to its end, or until patience ends. None: it would not end."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True, preexec_fn=limit)
    out, err = process.communicate()
    # Cargo becomes the program that it runs, and ends with 101 when a test program of its was killed.
    over = process.returncode == -signal.SIGXCPU or "SIGXCPU" in err
    return None if over else (process.returncode, out, err)


def limit():
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE_S, PATIENCE_S + 5))


def by_seed(copy, world, seeds):
    """The first seed that the world does not hold with, and why."""
    outcome = run(["cargo", "run", "--quiet", "--package", "millpond-sim", "--", "--world", world, "--seeds", seeds], copy)
    if outcome is None:
        return "a seed that never ends"
    code, _, err = outcome
    found = re.search(r"^seed \d+: .*", err, re.M)
    return found.group(0) if code and found else None


def by_name(copy, package):
    """What the simulator cannot see may still break a test of its crate."""
    outcome = run(["cargo", "test", "--quiet", "--package", package], copy)
    if outcome is None:
        return "a test that never ends (no seed)"
    code, out, _ = outcome
    found = re.search(r"^---- (\S+) stdout", out, re.M)
    return f"test {found.group(1)} (no seed)" if code and found else None


def main():
    arguments = sys.argv[1:]
    seeds = "2000"
    if "--seeds" in arguments:
        place = arguments.index("--seeds")
        seeds = arguments[place + 1]
        del arguments[place:place + 2]
    chosen = [mutation for mutation in MUTATIONS if not arguments or mutation[0] in arguments]
    holes = 0
    with tempfile.TemporaryDirectory(prefix="millpond-mutations-") as temporary:
        copy = pathlib.Path(temporary) / "workspace"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns("target", ".git", "node_modules"))
        engine = copy / "runtime" / "engine"
        # A folder of its own: in one that is shared, what is built with a defect would pass for what is built without.
        os.environ["CARGO_TARGET_DIR"] = str(copy / "target")
        for name, file, before, after in chosen:
            field_file, fields = FIELDS.get(name, (file, []))
            sound = {path: (engine / path).read_text() for path in {file, field_file}}
            world = "publisher" if file.startswith(PUBLISHER) else "engine"
            problem = mutate(engine, field_file, fields) or mutate(engine, file, [(before, after)])
            build = ["cargo", "build", "--quiet", "--package", "millpond-sim"]
            if not problem and subprocess.run(build, cwd=copy, stderr=subprocess.DEVNULL).returncode:
                problem = "does not compile"
            if problem:
                verdict, holes = f"stale: {problem}", holes + 1
            else:
                verdict = by_seed(copy, world, seeds) or by_name(copy, f"millpond-{world}") or "MISSED"
                holes += verdict == "MISSED"
            print(f"{name:29} {verdict[:150]}", flush=True)
            for path, source in sound.items():
                (engine / path).write_text(source)
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
