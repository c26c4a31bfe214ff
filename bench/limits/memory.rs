//! Many addresses with state and delayed messages: what they take of memory, and of a start.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::functions::{self, BLOCK};
use crate::node::Node;
use crate::{Findings, Options};

const MIB_MAX: f64 = 250.0;
const READY_MS_MAX: u64 = 3_000;

/// Messages on their way to keepers at a time: enough to keep all busy, and little beside what is kept.
const UNDER_WAY: u64 = 4_000;

/// What a number of addresses takes.
struct Taken {
    /// Memory at the end, and the most on the way.
    resident: f64,
    peak: f64,
}

pub async fn measure(options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    let small = with_addresses(options, findings, options.addresses).await?;
    let large = with_addresses(options, findings, 4 * options.addresses).await?;
    for (what, small, large) in
        [("resident at the end", small.resident, large.resident), ("peak resident", small.peak, large.peak)]
    {
        let more = (large / small - 1.0) * 100.0;
        let figures = format!("{small:.0} MiB, {large:.0} MiB: {more:+.1} %");
        findings.note(what, figures, "at most 10 % more with 4 times the addresses", more <= 10.0);
    }
    Ok(())
}

async fn with_addresses(options: &Options, findings: &mut Findings, addresses: u64) -> anyhow::Result<Taken> {
    let (port, seen) = functions::serve().await?;
    let mut node = Node::start(options, port)?;
    let began = Instant::now();
    let mut said = Instant::now();
    for block in 0..addresses.div_ceil(BLOCK) {
        while block * BLOCK > seen.kept.load(Ordering::Relaxed) + UNDER_WAY {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        node.put(&format!("limits/sower/{block}"), "keeper 1".to_owned()).await?;
        if said.elapsed() > Duration::from_secs(30) {
            said = Instant::now();
            eprintln!("{} of {addresses}: {:.0} MiB", block * BLOCK, node.memory_mib("VmRSS")?);
        }
    }
    while node.metric("millpond_calls_in_flight").await? > 0.0 || seen.kept.load(Ordering::Relaxed) < addresses {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What is not durable yet is by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let taken = Taken { resident: node.memory_mib("VmRSS")?, peak: node.memory_mib("VmHWM")? };
    let each = addresses as f64 / began.elapsed().as_secs_f64();
    let what = format!("{addresses} addresses with 200 bytes and a delayed message each");
    let figures = format!(
        "{:.0} MiB, peak {:.0} MiB, disk {:.0} MiB, {each:.0} calls/s",
        taken.resident,
        taken.peak,
        node.disk_mib()?
    );
    findings.note(&what, figures, "under 250 MiB", taken.peak < MIB_MAX);

    let ready = node.start_again(options)?;
    let known = node.address(&format!("limits/keeper/{}", addresses / 2)).await?;
    let has_state = known["states"].as_array().is_some_and(|states| states.len() == 1);
    let figures = format!("{ready} ms, {:.0} MiB", node.memory_mib("VmRSS")?);
    findings.note("ready again after a kill", figures, "within 3 s", ready <= READY_MS_MAX && has_state);
    Ok(taken)
}
