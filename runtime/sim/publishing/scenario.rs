//! What a seed chose: work, limits, fault rates, and the drill.

use millpond_publisher::Limits;

/// What a seed chose.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) records: u32,
    /// Partitions of the egress topic. The cursor topic's one is behind them.
    pub(super) partitions: usize,
    /// No broker takes a record whose number divides by this.
    pub(super) poison: Option<u64>,
    pub(super) limits: Limits,
    pub(super) faulty_steps: u64,
    pub(super) faults: Faults,
    pub(super) drill: Drill,
    pub(super) drill_step: u64,
    /// When the state was kept that the drill brings back.
    pub(super) snapshot_step: u64,
}

/// Chances in a thousand, for each step or each request.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) crash: u32,
    pub(super) stop: u32,
    pub(super) clock_jump: u32,
    pub(super) outage: u32,
    pub(super) stranger: u32,
    pub(super) lost: u32,
    pub(super) late: u32,
    pub(super) answer_lost: u32,
    pub(super) slow: u32,
    pub(super) said_late: u32,
    pub(super) sync_slow: u32,
    pub(super) hanging: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drill {
    None,
    Twin,
    Backup,
    CursorLost,
}

impl Scenario {
    pub(super) fn new(random: &mut fastrand::Rng) -> Scenario {
        let faulty_steps = random.u64(200..4_000);
        let drill =
            [Drill::None, Drill::None, Drill::Twin, Drill::Twin, Drill::Backup, Drill::Backup, Drill::CursorLost];
        let drill_step = random.u64(0..faulty_steps);
        Scenario {
            records: random.u32(5..100),
            partitions: random.usize(1..4),
            poison: random.bool().then(|| random.u64(2..20)),
            limits: Limits {
                transaction_records: if random.bool() { random.usize(1..8) } else { 1_000 },
                transaction_bytes: if random.bool() { random.usize(1..64) } else { 1 << 20 },
                ..Limits::default()
            },
            faulty_steps,
            faults: Faults::new(random),
            drill: drill[random.usize(0..drill.len())],
            drill_step,
            snapshot_step: random.u64(0..=drill_step),
        }
    }
}

impl Faults {
    pub(super) fn new(random: &mut fastrand::Rng) -> Faults {
        let mut chance = |most: u32| if random.bool() { random.u32(0..most) } else { 0 };
        Faults {
            crash: chance(20),
            stop: chance(5),
            clock_jump: chance(10),
            outage: chance(10),
            stranger: chance(50),
            lost: chance(100),
            late: chance(200),
            answer_lost: chance(150),
            slow: chance(200),
            said_late: chance(50),
            sync_slow: chance(500),
            hanging: chance(10),
        }
    }
}
