//! A function type that answers 500 for ever: what it takes from another one, from memory and from its endpoint, and how it
//! comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::functions::{self, BLOCK, Seen};
use crate::node::Node;
use crate::{Findings, Options};

/// Producers of events for the sound function, each with one event under way.
const PRODUCERS: u64 = 64;
/// Messages that each address of the broken function has waiting.
const EACH: u64 = 2;

const SHARE_MIN: f64 = 0.9;
const MIB_MAX: f64 = 50.0;
const ATTEMPTS_MAX: f64 = 50.0;
const FIRST_MAX: Duration = Duration::from_secs(5);

pub async fn measure(options: &Options, findings: &mut Findings) -> anyhow::Result<()> {
    let (port, seen) = functions::serve().await?;
    let node = Arc::new(Node::start(options, port)?);
    let load = Load::start(&node);
    let pause = Duration::from_secs(options.seconds);

    // The first seconds are for learning, and for memory to be taken into use.
    tokio::time::sleep(pause).await;
    let alone = sound_per_second(&seen, pause).await;
    let memory = node.memory_mib("VmRSS")?;

    let blocks = options.failing.div_ceil(BLOCK);
    for number in 1..=EACH {
        for block in 0..blocks {
            node.put(&format!("limits/sower/{block}"), format!("broken {number}")).await?;
        }
    }
    tokio::time::sleep(pause).await;
    let failed = seen.failed.load(Ordering::Relaxed);
    let beside = sound_per_second(&seen, pause).await;
    let attempts = (seen.failed.load(Ordering::Relaxed) - failed) as f64 / pause.as_secs_f64();
    let more = node.memory_mib("VmRSS")? - memory;

    let share = beside / alone;
    let figures = format!("{alone:.0}/s alone, {beside:.0}/s beside it: {:.0} %", share * 100.0);
    findings.note("a sound function beside a broken one", figures, "at least 90 %", share >= SHARE_MIN);
    let what = format!("memory for {} failing addresses", blocks * BLOCK);
    findings.note(&what, format!("{memory:.0} MiB and {more:.0} more"), "under 50 MiB more", more < MIB_MAX);
    findings.note("attempts at the broken function", format!("{attempts:.1}/s"), "under 50/s", attempts < ATTEMPTS_MAX);

    load.stop();
    let mended = Instant::now();
    seen.mended.store(true, Ordering::Relaxed);
    let total = blocks * BLOCK * EACH;
    let mut first = None;
    while node.metric("millpond_addresses_parked").await? > 0.0 || seen.mended_messages.load(Ordering::Relaxed) < total
    {
        if first.is_none() && seen.mended_messages.load(Ordering::Relaxed) > 0 {
            first = Some(mended.elapsed());
        }
        anyhow::ensure!(mended.elapsed() < Duration::from_secs(600), "the broken function did not catch up in 10 min");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let first = first.unwrap_or_else(|| mended.elapsed());
    let figures = format!("{:.2} s, all {:.1} s", first.as_secs_f64(), mended.elapsed().as_secs_f64());
    findings.note("first call after it is mended", figures, "within 5 s", first <= FIRST_MAX);

    // What was seen may have been seen twice; what is kept counts.
    let wrong = wrong_states(&node, blocks * BLOCK).await?;
    let disorder = seen.out_of_order.load(Ordering::Relaxed);
    let figures = format!("{wrong} wrong states, {disorder} messages out of order");
    findings.note("each failing address has seen 1 to n once", figures, "none", wrong == 0 && disorder == 0);
    Ok(())
}

/// Addresses whose state does not say that they had all their messages.
async fn wrong_states(node: &Arc<Node>, addresses: u64) -> anyhow::Result<u64> {
    let next = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..16 {
        let (node, next) = (Arc::clone(node), Arc::clone(&next));
        readers.spawn(async move {
            let mut wrong = 0;
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= addresses {
                    return anyhow::Ok(wrong);
                }
                let page = node.address(&format!("limits/broken/{place}")).await?;
                wrong += u64::from(!page["states"][0].to_string().contains(ALL_SEEN));
            }
        });
    }
    let mut wrong = 0;
    while let Some(reader) = readers.join_next().await {
        wrong += reader??;
    }
    Ok(wrong)
}

/// How the state begins that says `EACH`, in base64: a number of eight bytes, and the first `v` behind it.
const ALL_SEEN: &str = "AAAAAAAAAAJ2";

/// What the sound function counts in a second.
async fn sound_per_second(seen: &Seen, pause: Duration) -> f64 {
    let (before, began) = (seen.sound.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(pause).await;
    (seen.sound.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64()
}

/// Producers that send to the sound function as fast as they are answered.
struct Load {
    stop: Arc<AtomicBool>,
}

impl Load {
    fn start(node: &Arc<Node>) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        for producer in 0..PRODUCERS {
            let (node, stop) = (Arc::clone(node), Arc::clone(&stop));
            tokio::spawn(async move {
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let id = (number * PRODUCERS + producer) % 10_000;
                    if let Err(error) = node.put(&format!("limits/sound/{id}"), "1".to_owned()).await {
                        eprintln!("{error:#}");
                        return;
                    }
                }
            });
        }
        Load { stop }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
