//! The local ledger does what its twin does, over random checkpoints and reopenings. `LEDGER_SEED` replays one run,
//! `LEDGER_CHECKPOINTS` says how many checkpoints it has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millpond_engine::{
    Backlog, CallId, DelayedMessage, Expiration, FailureKind, FailureRecord, Load, Millis, Sequence, StateSpec, Write,
};
use millpond_protocol::Address;

use super::words::*;
use crate::ledger::Ledger;

#[test]
fn both_ledgers_tell_the_same() {
    let number = |variable: &str| std::env::var(variable).ok().and_then(|number| number.parse().ok());
    let seeds = number("LEDGER_SEED").map_or(vec![1, 2, 3], |seed| vec![seed]);
    for seed in seeds {
        // Shown when the test fails.
        eprintln!("LEDGER_SEED={seed}");
        run(seed, number("LEDGER_CHECKPOINTS").unwrap_or(700));
    }
}

fn run(seed: u64, checkpoints: u64) {
    let mut world = World::new(seed);
    let (twin, mut local) = (Memory::default(), Local::default());
    for number in 1..=checkpoints {
        let writes = world.writes();
        let checkpoint = world.hand.seal(writes);
        for subject in [twin.ledger(), local.ledger()] {
            subject.commit(&checkpoint, &world.hand.lanes).expect("it is in order");
            if world.random.one_in(20) {
                subject.commit(&checkpoint, &world.hand.lanes).expect("it is a repetition");
            }
        }
        if world.random.one_in(40) {
            local.reopen();
        }
        let looks = if number % 25 == 0 { 200 } else { 4 };
        for _ in 0..looks {
            world.look(twin.ledger(), local.ledger());
        }
    }
}

/// What the writer of checkpoints knows, to keep the engine's promises.
struct World {
    random: Random,
    hand: Hand,
    addresses: Vec<Address>,
    pending: BTreeMap<usize, BTreeSet<Sequence>>,
    delayed: BTreeMap<(Millis, Sequence), Arc<str>>,
    sequence: Sequence,
    generation: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut addresses: Vec<Address> = (0..20).map(|number| address(&"a".repeat(number))).collect();
        for (namespace, name) in [("a/b", "c"), ("a", "b/c"), ("", ""), ("com.example", "counter2")] {
            for id in ["", "a", "aa", "ä/\0"] {
                addresses.push(Address::new(typename(namespace, name), id));
            }
        }
        World {
            random: Random(seed),
            hand: Hand::with_lanes(vec![lane(""), lane("a"), lane("aa")]),
            addresses,
            pending: BTreeMap::new(),
            delayed: BTreeMap::new(),
            sequence: 0,
            generation: 2,
        }
    }

    /// Random writes of one checkpoint, each key at most once.
    fn writes(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        let addresses: BTreeSet<usize> = (0..self.random.below(6)).map(|_| self.some_address()).collect();
        for place in addresses {
            self.writes_of(place, &mut writes);
        }
        for lane in 0..self.hand.lanes.len() {
            if self.random.one_in(3) {
                let records: Vec<String> = (0..self.random.below(6)).map(|_| self.text()).collect();
                let (first, next) = self.hand.stand[lane];
                let freed = if self.random.one_in(2) { 0 } else { first - 1 + self.random.below(next - first + 1) };
                let records: Vec<&str> = records.iter().map(String::as_str).collect();
                writes.extend(self.hand.publish(lane, &records, freed));
            }
        }
        if self.random.one_in(4) {
            let key = self.random.below(20).to_string();
            let seed = self.random.below(256) as u8;
            writes.push(idempotency(self.generation, &key, seed));
        }
        if self.random.one_in(50) {
            self.generation += 1;
            writes.push(Write::ForgetIdempotency { generation: self.generation - 2 });
        }
        self.delayed_writes(&mut writes);
        if self.random.one_in(3) {
            let place = self.some_address();
            let function = self.addresses[place].function.clone();
            let mut number = || self.random.below(3);
            let backlog = Backlog { invocations: number(), bytes: number(), parked: number() };
            writes.push(Write::Backlog { function, backlog });
        }
        if self.random.one_in(10) {
            let expiration = Expiration::AfterWrite(self.random.below(1 << 40));
            let name = format!("s{}", self.random.below(3));
            let spec = StateSpec { name: name.into(), typename: typename("t", "v"), expiration };
            let place = self.some_address();
            let function = self.addresses[place].function.clone();
            writes.push(Write::Spec { function, spec });
        }
        writes
    }

    fn delayed_writes(&mut self, writes: &mut Vec<Write>) {
        let gone: Vec<(Millis, Sequence)> = self.delayed.keys().copied().filter(|_| self.random.one_in(5)).collect();
        for (due, sequence) in gone {
            let id = self.delayed.remove(&(due, sequence)).expect("it is there");
            writes.push(Write::DelayedGone { id, due, sequence });
        }
        for _ in 0..self.random.below(4) {
            self.sequence += 1;
            let due = self.random.below(40);
            let (sender, target) = (self.some_address(), self.some_address());
            let message = DelayedMessage {
                sender: self.addresses[sender].clone(),
                target: self.addresses[target].clone(),
                argument: self.text().into(),
                token: self.random.one_in(2).then(|| "t".into()),
            };
            self.delayed.insert((due, self.sequence), message.sender.id.clone());
            writes.push(Write::Delayed { due, sequence: self.sequence, message });
        }
        if self.random.one_in(2) {
            let place = self.some_address();
            let delayed = self.random.one_in(2).then(|| (self.random.below(40), self.random.below(1000)));
            let token = self.random.below(4).to_string().into();
            writes.push(Write::Token { id: self.addresses[place].id.clone(), token, delayed });
        }
    }

    fn writes_of(&mut self, place: usize, writes: &mut Vec<Write>) {
        let of = self.addresses[place].clone();
        for name in ["", "a", "ab", "b"] {
            match self.random.below(6) {
                0 => writes.push(state(&of, name, None)),
                1 | 2 => writes.push(state(&of, name, Some(value(self.text())))),
                _ => {}
            }
        }
        if self.random.one_in(3) {
            let time = (!self.random.one_in(4)).then(|| self.random.below(1 << 40));
            writes.push(Write::Accessed { address: of.clone(), time });
        }
        if self.random.one_in(4) {
            let failure = (!self.random.one_in(3)).then(|| self.failure());
            writes.push(Write::Failure { address: of.clone(), failure });
        }
        let mut pending_here = self.pending.remove(&place).unwrap_or_default();
        let ends: Vec<Sequence> = pending_here.iter().copied().filter(|_| self.random.one_in(2)).collect();
        for sequence in ends {
            pending_here.remove(&sequence);
            writes.push(finished(&of, sequence));
        }
        for _ in 0..self.random.below(3) {
            self.sequence += 1 + self.random.below(200);
            pending_here.insert(self.sequence);
            writes.push(pending(&of, self.sequence, &self.text()));
        }
        writes.push(listed(&of, !pending_here.is_empty()));
        self.pending.insert(place, pending_here);
    }

    /// One random question to both.
    fn look(&mut self, twin: &dyn Ledger, local: &dyn Ledger) {
        let seed = self.hand.number;
        let of = self.some_address();
        match self.random.below(10) {
            6 => {
                let after = (self.random.below(41), self.random.below(self.sequence + 2));
                let limit = self.random.below(12) as usize;
                self.ask(twin, local, &Load::Delayed { after, limit });
            }
            7 => {
                let tokens = (0..5u64).map(|token| token.to_string().into()).collect();
                let id = self.addresses[of].id.clone();
                self.ask(twin, local, &Load::Tokens { id, tokens, call: CallId(seed) });
            }
            0 | 1 => {
                let (address, bytes) = (self.addresses[of].clone(), self.random.below(400) as usize);
                self.ask(twin, local, &Load::Address { address, bytes });
            }
            8 => {
                let (address, bytes) = (self.addresses[of].clone(), self.random.below(400) as usize);
                let from = self.random.below(self.sequence + 2);
                self.ask(twin, local, &Load::Mailbox { address, from, bytes });
            }
            9 => {
                let after = if self.random.one_in(3) { None } else { Some(self.addresses[of].clone()) };
                let function = self.addresses[of].function.clone();
                let life = [Expiration::AfterWrite(5), Expiration::AfterInvoke(5), Expiration::AfterWrite(u64::MAX)];
                let life = life[self.random.below(3) as usize];
                let lives = ["a", "ab"].map(|name| (function.clone(), name.into(), life)).to_vec().into();
                let (rows, now) = (self.random.below(12) as usize, 1_700_000_000_000 + self.random.below(300));
                self.ask(twin, local, &Load::Expired { after, rows, now, lives });
            }
            2 => {
                let after = if self.random.one_in(3) { None } else { Some(self.addresses[of].clone()) };
                let limit = self.random.below(12) as usize;
                self.ask(twin, local, &Load::Pending { page: seed, after, limit });
            }
            3 => {
                let key = self.random.below(20).to_string().into();
                let newest = self.generation - self.random.below(2);
                self.ask(twin, local, &Load::Idempotency { key, generations: [newest, newest - 1] });
            }
            4 => {
                let lane = &self.hand.lanes[self.random.below(3) as usize];
                let (first, next) = twin.lane(lane).expect("it can be read");
                assert_eq!(local.lane(lane).expect("it can be read"), (first, next), "checkpoint {seed}");
                let after = (first + self.random.below(next - first + 4)).saturating_sub(2);
                let (limit, bytes) = (self.random.below(12) as usize, self.random.below(200) as usize);
                let expected = read(twin, lane, after, limit, bytes);
                assert_eq!(read(local, lane, after, limit, bytes), expected, "checkpoint {seed}: {lane:?} {after}");
            }
            _ => {
                let expected = twin.restore().expect("it can be read");
                assert_eq!(local.restore().expect("it can be read"), expected, "checkpoint {seed}");
                let expected = twin.specs().expect("they can be read");
                assert_eq!(local.specs().expect("they can be read"), expected, "checkpoint {seed}");
            }
        }
    }

    fn ask(&self, twin: &dyn Ledger, local: &dyn Ledger, load: &Load) {
        let expected = twin.load(load).expect("it can be read");
        let found = local.load(load).expect("it can be read");
        assert_eq!(found, expected, "checkpoint {}: {load:?}", self.hand.number);
    }

    fn failure(&mut self) -> FailureRecord {
        let kinds = [FailureKind::Unreachable, FailureKind::Rejected, FailureKind::NoEndpoint];
        FailureRecord {
            kind: kinds[self.random.below(3) as usize],
            code: "MP4000".into(),
            error: self.text().into(),
            attempts: self.random.below(1 << 32) as u32,
            since: self.random.below(1 << 40),
            parked: self.random.below(1 << 40),
            next: u64::MAX - self.random.below(2),
        }
    }

    fn some_address(&mut self) -> usize {
        self.random.below(self.addresses.len() as u64) as usize
    }

    fn text(&mut self) -> String {
        let length = if self.random.one_in(50) { self.random.below(5_000) } else { self.random.below(30) };
        (0..length).map(|place| char::from(b'a' + ((place * 7 + length) % 26) as u8)).collect()
    }
}

/// SplitMix64: enough for tests, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
