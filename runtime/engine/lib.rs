//! The Millpond engine: every decision of the runtime, and nothing else.
//!
//! # The contract
//! [`Engine`] is a plain state machine. It has no thread, clock, socket, file or random source; given the same inputs at
//! the same times it gives the same outputs, byte for byte. A driver does three things, in this order, for ever; it
//! begins with the second, because [`Engine::new`] has outputs already:
//!
//! 1. [`Engine::handle`] one [`Input`] together with the time, a number of milliseconds. Time never goes backwards in
//!    here: a smaller number is read as the highest one seen, also over a restart, because a checkpoint carries it.
//! 2. [`Engine::poll`] until it gives `None`, and carry out each [`Output`] in that order.
//! 3. Wait for the next thing that happens, or for the moment that [`Engine::wake_at`] names (then: [`Input::Tick`]).
//!
//! | input | means | what it mostly causes |
//! |---|---|---|
//! | [`Input::Ingested`] | an ingress read an event | `Load`, `Call`, `Checkpoint`, `Answer`, `Pause` |
//! | [`Input::Read`] | an ingress read a record of a partition | the same, but `HeldBack` instead of `Answer`; `Publish` |
//! | [`Input::Resumed`] | an ingress comes again with what was held back | nothing: the record is the next input |
//! | [`Input::Positioned`] | an ingress begins to read a partition somewhere | `Checkpoint` |
//! | [`Input::Loaded`] | the ledger gave what a `Load` asked for | `Call`, `Load`, `Answer` |
//! | [`Input::Reply`] | a function answered | `Call`, `Load`, `Checkpoint`, `Resume` |
//! | [`Input::CallFailed`] | an attempt brought no usable answer | `Notice`, a later `Call`, a dead letter |
//! | [`Input::Freed`] | outbox entries left: published, taken, freed | `Checkpoint`, `Answer` |
//! | [`Input::Operate`] | a person wants an address tried now, or its first invocation out | `Load`, `Call`, `Checkpoint`, `Answer` |
//! | [`Input::Durable`] | the ledger synced a checkpoint | `Answer`, `Publish`, `Checkpoint`, `Load` |
//! | [`Input::Tick`] | time passed | `Call`, `Checkpoint`, `Load` |
//! | [`Input::Stop`] | seal what is there | `Checkpoint`, `Answer`, `Stopped` behind its `Durable`; replies are ignored |
//!
//! Any input may cause any output, because room that one makes is used by another; the table says what to look for first.
//! Each `Load` and each `Call` is answered once; checkpoints are committed in their order, each until it is durable. A
//! `Load` sees at least what was durable when it was asked. `Pause` asks for no more events; what comes all the same is
//! taken in. How long ids, typenames, names of states and arguments may be is checked where they come from, in ingresses
//! and the invoker.
//!
//! # Start and crash
//! [`Engine::new`] takes what the ledger restores, and begins with a pass over the addresses that have something pending:
//! all that was not finished is called again, the parked at once. Calls are numbered from 0 again. Producers that had no
//! answer send again, with their key if it must not count twice. `Publish` is not repeated: a driver that starts publishes
//! what the restored lanes hold, because the checkpoint may have become durable just before the crash. A `Freed` that no
//! durable checkpoint holds is lost: its records are published again, under their numbers. Ingresses read on from
//! [`Restored::positions`]: a record and the offset behind it are in one checkpoint. A key is kept for a limited time and
//! number. How often something was tried is forgotten, unless it is parked; so it is of an address that leaves memory.
//!
//! # Words
//! The *head* of a mailbox is in memory, behind it may be a *gap* that only the ledger has. An address is *parked* when its
//! budget, the endpoint's `call` time, is used up, or ends before the time that the function named (`Retry-After`), and for
//! the reasons below the picture; it is *asleep* when it then left memory. It is *away* while only arrivals of it are here,
//! and *left behind* when it waits in the ledger for room. A *pass* brings those back; a *walk* removes values that are
//! over. Of each function type, one of the addresses that are parked because of their endpoint, or with the type *in
//! trouble*, *probes* for all. The first request to a function type carries no state: the answer teaches the engine what
//! the function declares, and the batch is sent again with it. A token that an answer names is looked up in the ledger
//! between reply and effect. A delayed message is due so long after its answer took effect, is kept like all that waits,
//! and is held up, like intake, while invocations fill their room.
//!
//! `Durable` answers an event that is kept, not one that has run. The answer waits for no load of the address; an event
//! with a key is looked up in the ledger first, and taken in after that. When an address in line or in a call, without a
//! failure, has `maxNumBatchRequests` waiting in memory, the producer of one more waits: until the call ends, good or bad,
//! the type is in trouble, or the address leaves memory. Its answer comes with the checkpoint behind that. Memory, lanes
//! and the next checkpoint pause intake when they are full. A function type with too much waiting, or one type more than
//! may be known, refuses events (`Full`) and holds records back (`HeldBack`: what was read behind one is passed over until
//! `Resumed`). Messages between functions wait for no room; only an answer that names too many new types is rejected.
//!
//! A checkpoint is sealed when a producer or a record for the outside waits for it, when it is large, or a second old.
//!
//! Three counts of bytes: *pending* ones are invocations in memory, *waiting* ones are addresses in memory that wait for
//! anything but an arrival or an answer, the *backlog* of a function type is all that it has not run, in memory and in the
//! ledger. Two counts of attempts: those of the *request* that is being tried, and those of the *failure* it is in, over
//! every parking. A failure is *judged* once the function rejected its messages.
//!
//! # One address in memory
//! ```text
//!  new                ┌─ nothing waits ──▶ Idle ──── arrival ─────────────────┐
//!  Away ──▶ Loading ──┤                                                       │
//!                     ▼                                                       │
//!        ┌────────▶ Runnable ◀────────────────────────────────────────────────┘
//!        │            │ its turn
//!        │            ▼
//!        │          InFlight ──┬─ answered, nothing waits ───────────────▶ Idle
//!        │                     ├─ more waits; states asked for; a cut ───▶ Runnable
//!        │                     ├─ answered, the rest is in the ledger ───▶ Refilling ──┐ page
//!        │                     ├─ failed, the budget lasts ──────────────▶ BackOff ────┤ time, a person
//!        │                     └─ failed, the budget is used up ─────────▶ Parked ─────┤ time, hope, a person
//!        └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//! `Parked` follows all but `Away` and `BackOff` as well: for want of an endpoint, for a failure that the ledger kept, for
//! a stored value that has another type than its function declares now, or when the turn came too late. What a policy or a
//! person takes out leads to where what is left belongs: `Runnable`, `Refilling` or `Idle`. An address may leave memory
//! from `Away`, `Idle`, `Runnable` or `Parked`, when the ledger has all of it: for room, or at once when it was loaded and
//! is parked still. `phase.rs` holds the arrows (some more that only an unsound ledger could cause), and is the only place
//! where an address changes its phase. `Away` leads to `Loading` with room, in a pass, in a walk, or for a person.
//!
//! # One failure
//! *Unreachable*: nobody judged the messages. The same batch is sent again behind pauses that double; when the endpoint's
//! `call` time is used up the address is parked, and tried about once a minute (those asleep less often, the more are
//! parked; each of them also when it is loaded). One of each function type probes every second: the first answer that is
//! accepted wakes all that are parked on the endpoint. No policy ever takes what nobody judged.
//!
//! *Rejected*: the function refused, or its answer broke a rule (`apply.rs`, `learn.rs`, `tokens.rs`). A batch is cut, its
//! invocations go out one by one, and the one that is still rejected when its `call` time is over meets the endpoint's
//! policy: it is dropped, becomes a dead letter in the same checkpoint that ends it, or its address is parked with all that
//! waits behind it. The first rejection of a failure, and the first behind an outage that parked the address, begins a
//! `call` time of its own. A parked one has one attempt about once a minute; one that is answered after all wakes two more
//! of its type, and the end of trouble wakes all of it: that is the *hope* in the picture.
//!
//! *No endpoint*: what nobody serves is kept, and waits for a start that knows an endpoint.
//!
//! A function type of which nothing but failures comes is in trouble (`window.rs`): one call at a time, with pauses. A
//! person may have an address tried now (answered when that is arranged), or its first invocation dropped or made a dead
//! letter (answered when it is durable; `NoRoute` without a place for it), which must be named by its number: else
//! `NotFirst`. That loads the address, whatever room there is, and waits for a call in flight: what ran is not skipped.
//!
//! # What it promises
//! - One batch in flight per address, in arrival order; the next one is what waits then, as far as it is in memory and fits
//!   into a request.
//! - The effects of an answer are applied together or not at all, and belong to one checkpoint together with the end of
//!   the invocations that caused them. So they happen once, however often a function runs.
//! - What can be seen outside (`Publish`, an `Answer` that says `Durable`, `Repeated` or `KeyReused` of an event) is given
//!   out only behind the `Durable` of its checkpoint. Other refusals wait for no checkpoint. Calls are not held back.
//! - A checkpoint is the difference to the one before. One is on its way at a time; the next one collects meanwhile.
//! - What grows with the work has a limit in [`Limits`]. Addresses that wait leave memory for the ledger; at a limit
//!   ingresses pause or single events are refused; nothing is dropped but by an endpoint's policy or a person's word.
//! - A failure belongs to one address, a function type that fails to that type: others never wait for it.
//! - [`Engine::view`], [`Engine::functions`] and [`Engine::metrics`] show what is there, and change nothing.
//! - Bad input from functions and producers is an outcome, never a panic. A panic in here is a broken invariant: stopping
//!   is better than writing wrong state.
//!
//! # Where to read
//! [`Engine`] (`engine.rs`) is the table of contents. An invocation meets the files in this order:
//!
//! | file | its one idea |
//! |---|---|
//! | `ingest.rs`, `loading.rs` | events and messages come in; what the ledger gives of an address |
//! | `position.rs` | records of partitions come in, each once, in order |
//! | `cell.rs`, `cells.rs` | one address in memory; the table of them, and who leaves when idle |
//! | `phase.rs` | what an address waits for, and what a change of that brings with it |
//! | `mailbox.rs` | what an address has not run, of which only a part is in memory |
//! | `function.rs`, `functions.rs` | one function type; the table of them, and who serves each |
//! | `window.rs` | how many calls a function type gets |
//! | `dispatch.rs` | who is called next, and with what |
//! | `answer.rs` | a call ends with an answer |
//! | `learn.rs`, `apply.rs` | it teaches what its function declares, or takes effect, all of it or nothing |
//! | `failure.rs`, `parking.rs` | what happens without an answer; how a parked address comes to its next attempt |
//! | `dead_letter.rs`, `operate.rs` | what is taken out without having run; what a person wants done |
//! | `delayed.rs`, `tokens.rs` | messages for later, and the names that cancel them |
//! | `expiry.rs`, `sweep.rs` | when values are over; how they leave though nobody asks for them |
//! | `room.rs` | what is counted, and who has room |
//! | `show.rs` | what people see |
//! | `spill.rs`, `asleep.rs`, `recall.rs` | what leaves memory for want of room; the parked of it; how all comes back |
//! | `timers.rs` | when to look at something again |
//! | `pressure.rs` | who has to wait when there is too much |
//! | `idempotency.rs`, `lane.rs` | events that come again; records for the outside |
//! | `seal.rs` | checkpoints |
//! | `audit.rs` | what must hold of all of it between two inputs |
//!
//! The data that crosses the border is in `input.rs`, `output.rs`, `checkpoint.rs`, `load.rs`, `reply.rs`, `view.rs` and
//! `config.rs`; `keygroup.rs` says which key group an id has. `ledger/` is what ledgers share; of it the engine uses only
//! the order of addresses (`Place`).
//!
//! # Deliberately not here
//! - A clock of its own: while the driver's time is behind the highest one seen, nothing falls due (retries, parking, age
//!   of a checkpoint; what waits for a checkpoint does not wait for that). A driver that wants none of this counts on from
//!   the highest time that it told.
//! - Values that expired and whose function type was not called since the start stay in the ledger until it is: how long
//!   they live is what it says then.

mod answer;
mod apply;
mod asleep;
mod audit;
mod cell;
mod cells;
mod checkpoint;
mod config;
mod dead_letter;
mod delayed;
mod dispatch;
mod engine;
mod expiry;
mod failure;
mod function;
mod functions;
mod idempotency;
mod ingest;
mod input;
mod keygroup;
mod lane;
mod learn;
mod ledger;
mod load;
mod loading;
mod mailbox;
mod operate;
mod output;
mod parking;
mod phase;
mod position;
mod pressure;
mod recall;
mod reply;
mod room;
mod seal;
mod show;
mod spill;
mod sweep;
mod timers;
mod tokens;
mod view;
mod window;

pub use checkpoint::{
    Backlog, Checkpoint, DelayedMessage, FailureRecord, IdempotencyEntry, Invocation, Meta, Restored, StateValue, Write,
};
pub use config::{EndpointConfig, EngineConfig, FailurePolicy, FunctionPattern, LaneName, Limits};
pub use dead_letter::{DeadLetter, DeadLetterForm, DeadLetterRoute, DecidedBy};
pub use engine::Engine;
pub use failure::{CallFailure, FailureKind};
pub use input::{Event, IdempotencyKey, Input};
pub use keygroup::{KEY_GROUPS, key_group};
pub use ledger::{Lanes, MemoryLedger, MovedLane, NEW_LANE, Place, Refused, moved_lanes};
pub use load::{Lives, Load, Loaded, LoadedAddress};
pub use operate::Operation;
pub use output::{Answer, Call, CallState, Notice, Output};
pub use position::{Partition, Record};
pub use reply::{DelayedEffect, Effects, EgressRecord, Expiration, Message, Mutation, Rejection, Reply, StateSpec};
pub use view::{AddressView, CallView, FailureView, FunctionMetrics, FunctionView, InvocationView, Metrics, StateView};

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// Position of an invocation in the order of one engine, never used twice.
pub type Sequence = u64;

/// Names one attempt to call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Names a producer that waits for an [`Answer`]; chosen by the driver, never interpreted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub u64);

/// A lane: one ordered stream of records to the outside, the place of its name in [`EngineConfig::lanes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u32);
