//! The story of `make chaos`: a steady load, and a deck of deaths whose order and moments a seed decides.
//!
//! A kill of the runtime counts as one inside an open transaction only when the broker says so behind it: the process is
//! dead, and there are records in the partitions that it alone writes to which no reader of committed records may see.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::report::{Findings, say};
use crate::stand::{Shape, Stand};

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides order and moments.
    pub seed: u64,
    /// The application.
    pub shape: Shape,
    /// `kill -9` of the runtime, at least.
    pub runtime: u32,
    /// Of those, inside an open transaction, at least.
    pub open: u32,
    /// `kill -9` of a function server.
    pub functions: u32,
    /// `kill -9` of a node of the broker.
    pub broker: u32,
    /// SIGSTOP of a node of the broker.
    pub pauses: u32,
    /// Seconds of the shortest and of the longest pause.
    pub pause_s: (u64, u64),
}

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Act {
    Runtime,
    Functions,
    Broker,
    Pause(Duration),
}

/// What has happened.
#[derive(Debug, Default)]
struct Deaths {
    runtime: u32,
    open: u32,
    functions: u32,
    broker: u32,
    pauses: u32,
    pause_max: Duration,
}

/// A moment somewhere in this time.
fn moment(random: &mut Random, up_to: Duration) -> Duration {
    Duration::from_micros(random.below(u64::try_from(up_to.as_micros()).unwrap_or(u64::MAX).max(1)))
}

fn deck(plan: &Plan, random: &mut Random) -> Vec<Act> {
    let mut deck = vec![Act::Runtime; plan.runtime as usize];
    deck.extend((0..plan.functions).map(|_| Act::Functions));
    deck.extend((0..plan.broker).map(|_| Act::Broker));
    let (shortest, longest) = plan.pause_s;
    deck.extend(
        (0..plan.pauses).map(|_| Act::Pause(Duration::from_secs(shortest + random.below(longest - shortest + 1)))),
    );
    random.shuffle(&mut deck);
    deck
}

/// Plays it and judges it. `program` serves functions when it is called with `serve --port PORT`.
///
/// # Errors
/// When something does not happen at all: a process does not start, or nothing is seen any more.
pub async fn run(plan: &Plan, program: &Path) -> anyhow::Result<Findings> {
    say(format_args!("chaos: seed {}: {} records/s, {} keys", plan.seed, plan.shape.rate, plan.shape.keys));
    let mut random = Random(plan.seed);
    let mut stand = Stand::start(plan.shape.clone(), program).await?;
    let mut deaths = Deaths::default();
    tokio::task::block_in_place(|| play(plan, &mut random, &mut stand, &mut deaths))?;
    let mut findings = Findings::default();
    let (runtime, open) = (format!("at least {}", plan.runtime), format!("at least {}", plan.open));
    findings.figure("seed", plan.seed);
    findings.promise("kills of the runtime", deaths.runtime, &runtime, deaths.runtime >= plan.runtime);
    findings.promise("of those in an open transaction", deaths.open, &open, deaths.open >= plan.open);
    findings.figure("kills of function servers", deaths.functions);
    findings.figure("kills of broker nodes", format_args!("{} (of {} nodes)", deaths.broker, plan.shape.nodes));
    findings
        .figure("pauses of broker nodes", format_args!("{}, longest {} s", deaths.pauses, deaths.pause_max.as_secs()));
    stand.judge(&mut findings).await?;
    Ok(findings)
}

fn play(plan: &Plan, random: &mut Random, stand: &mut Stand, deaths: &mut Deaths) -> anyhow::Result<()> {
    let mut deck = deck(plan, random);
    stand.goes_on()?;
    // Kills are in an open transaction more often than not; if they never are, that is a finding.
    let mut more = plan.open * 4;
    while let Some(act) = deck.pop() {
        line(stand, deaths, &format!("{act:?}"));
        std::thread::sleep(moment(random, Duration::from_millis(2500)));
        match act {
            Act::Runtime => runtime(stand, random, deaths)?,
            Act::Functions => functions(stand, random, deaths)?,
            Act::Broker => broker(stand, random, deaths)?,
            Act::Pause(length) => pause(stand, random, deaths, length)?,
        }
        // Mostly it has found its feet when the next one comes, and sometimes it has not.
        if !random.once_in(5) {
            stand.goes_on()?;
        }
        if deck.is_empty() && deaths.open < plan.open && more > 0 {
            more -= 1;
            deck.push(Act::Runtime);
        }
    }
    line(stand, deaths, "over");
    Ok(())
}

/// The runtime dies, stays away for a while, and sometimes dies again on its way back.
fn runtime(stand: &mut Stand, random: &mut Random, deaths: &mut Deaths) -> anyhow::Result<()> {
    stand.kill();
    deaths.runtime += 1;
    deaths.open += u32::from(stand.kafka.has_open_transaction()?);
    if random.once_in(6) {
        stand.start_and_kill(moment(random, Duration::from_millis(600)))?;
    }
    std::thread::sleep(moment(random, Duration::from_millis(500)));
    stand.start_runtime()
}

/// A function server dies; sometimes the runtime does while it is away.
fn functions(stand: &mut Stand, random: &mut Random, deaths: &mut Deaths) -> anyhow::Result<()> {
    let server = usize::from(random.once_in(2));
    stand.servers[server].kill();
    deaths.functions += 1;
    std::thread::sleep(moment(random, Duration::from_secs(3)));
    if random.once_in(3) {
        runtime(stand, random, deaths)?;
    }
    stand.servers[server].start_again()
}

/// A node of the broker dies; sometimes the runtime does while it is away.
fn broker(stand: &mut Stand, random: &mut Random, deaths: &mut Deaths) -> anyhow::Result<()> {
    let node = node(stand, random);
    stand.cluster.kill(node)?;
    deaths.broker += 1;
    std::thread::sleep(moment(random, Duration::from_secs(4)));
    if random.once_in(3) {
        away(stand, random, deaths)?;
    }
    if stand.cluster.nodes() > 1 {
        // The others do its work meanwhile.
        stand.goes_on()?;
    }
    stand.cluster.start_again()
}

/// A node of the broker stands still; sometimes the runtime dies meanwhile.
fn pause(stand: &mut Stand, random: &mut Random, deaths: &mut Deaths, length: Duration) -> anyhow::Result<()> {
    let (node, began) = (node(stand, random), Instant::now());
    stand.cluster.pause(node)?;
    deaths.pauses += 1;
    deaths.pause_max = deaths.pause_max.max(length);
    if random.once_in(2) {
        std::thread::sleep(moment(random, length / 2));
        away(stand, random, deaths)?;
    }
    std::thread::sleep(length.saturating_sub(began.elapsed()));
    stand.cluster.resume(node)
}

/// The runtime dies while nobody can say what was open.
fn away(stand: &mut Stand, random: &mut Random, deaths: &mut Deaths) -> anyhow::Result<()> {
    stand.kill();
    deaths.runtime += 1;
    std::thread::sleep(moment(random, Duration::from_millis(500)));
    stand.start_runtime()
}

fn node(stand: &Stand, random: &mut Random) -> usize {
    1 + usize::try_from(random.below(stand.cluster.nodes() as u64)).expect("there are three at most")
}

fn line(stand: &Stand, deaths: &Deaths, next: &str) {
    let (sent, seen) = stand.progress();
    let Deaths { runtime, open, functions, broker, pauses, .. } = deaths;
    say(format_args!(
        "{:>4} s  sent {sent:>7}  seen {seen:>7}  runtime {runtime:>2} (open {open:>2})  functions {functions}  broker {broker}  pauses {pauses}  next: {next}",
        stand.began.elapsed().as_secs(),
    ));
}
