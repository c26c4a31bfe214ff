//! Inputs of any shape, in any order: from functions, producers, readers and a ledger that answers what nobody asked.
//! None is a panic, and the engine always says when it wants to go on.

use bytes::Bytes;
use millpond_engine::{
    CallFailure, CallId, DelayedEffect, DelayedMessage, Effects, EgressRecord, Event, Expiration, FailureKind,
    FailureRecord, IdempotencyEntry, IdempotencyKey, Input, Invocation, LaneId, Limits, Loaded, LoadedAddress, Message,
    Mutation, Operation, Receipt, Reply, StateSpec, StateValue,
};
use millpond_protocol::{Address, TypeName};

use crate::bench::{Bench, typed_spec};

/// A small generator: the engine's tests need no other crate for this.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn some<T>(&mut self, most: u64, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => u64::MAX - self.below(3),
            _ => self.below(20),
        }
    }

    fn address(&mut self) -> Address {
        let namespace = ["ns", "nobody"][self.below(8) as usize / 7];
        let function = TypeName::new(namespace, ["f", "alone", ""][self.below(3) as usize]);
        Address::new(function, ["1", "2", "3", ""][self.below(4) as usize])
    }

    fn bytes(&mut self) -> Bytes {
        vec![b'x'; self.below(200) as usize].into()
    }

    fn name(&mut self) -> &'static str {
        ["a", "b", "", "never declared"][self.below(4) as usize]
    }

    fn spec(&mut self) -> StateSpec {
        let mut spec = typed_spec(self.name(), ["text", "text", "text", "number"][self.below(4) as usize]);
        spec.expiration =
            [Expiration::None, Expiration::AfterWrite(0), Expiration::AfterInvoke(3)][self.below(10) as usize / 4];
        spec
    }

    fn effects(&mut self) -> Effects {
        Effects {
            messages: self.some(2, |random| Message { target: random.address(), argument: random.bytes() }),
            delayed: self.some(1, |random| match random.below(3) {
                0 => DelayedEffect::Cancel { token: random.name().to_owned() },
                _ => DelayedEffect::Send {
                    delay_ms: [0, 5, i64::MAX, -1][random.below(4) as usize],
                    message: Message { target: random.address(), argument: random.bytes() },
                    token: random.name().to_owned(),
                },
            }),
            egress: self.some(2, |random| EgressRecord {
                lane: LaneId([0, 1, 1, 7][random.below(4) as usize]),
                record: random.bytes(),
            }),
            mutations: self.some(2, |random| match random.below(2) {
                0 => Mutation::Delete { name: random.name().to_owned() },
                _ => Mutation::Modify {
                    name: random.name().to_owned(),
                    typename: ["types/text", "", "/"][random.below(5).saturating_sub(2) as usize].to_owned(),
                    value: random.bytes(),
                },
            }),
        }
    }

    fn event(&mut self) -> Event {
        let key = |random: &mut Random| IdempotencyKey {
            key: random.name().into(),
            fingerprint: [random.below(2) as u8; 16],
        };
        Event {
            invocations: self.some(3, |random| (random.address(), random.bytes())),
            receipt: self.some(1, |random| Receipt(random.number())).pop(),
            idempotency: self.some(1, key).pop(),
        }
    }

    fn failure(&mut self) -> FailureRecord {
        let kinds = [FailureKind::Unreachable, FailureKind::Rejected, FailureKind::NoEndpoint];
        FailureRecord {
            kind: kinds[self.below(3) as usize],
            code: "MP4000".into(),
            error: "é".repeat(self.below(3) as usize * 600).into(),
            attempts: u32::MAX,
            since: self.number(),
            parked: self.number(),
            next: self.number(),
        }
    }

    fn loaded(&mut self) -> Loaded {
        let value = |random: &mut Random| StateValue {
            typename: TypeName::new("types", "text"),
            value: random.bytes(),
            written: random.number(),
        };
        let invocation =
            |random: &mut Random| Invocation { caller: None, argument: random.bytes(), arrived: 0, event_time: 0 };
        let delayed = |random: &mut Random| {
            let message = DelayedMessage {
                sender: random.address(),
                target: random.address(),
                argument: random.bytes(),
                token: random.some(1, |random| random.name().into()).pop(),
            };
            (random.number(), random.number(), message)
        };
        match self.below(6) {
            3 => Loaded::Delayed {
                after: (self.number(), self.number()),
                messages: self.some(3, delayed),
                more: self.below(2) == 0,
            },
            4 => Loaded::Tokens {
                call: CallId(self.number()),
                found: self.some(2, |random| (random.name().into(), (random.number(), random.number()))),
            },
            0 => Loaded::Address(LoadedAddress {
                address: self.address(),
                states: self.some(3, |random| (random.name().into(), value(random))),
                pending: self.some(3, |random| (random.number(), invocation(random))),
                more: self.below(2) == 0,
                failure: self.some(1, Random::failure).pop(),
                listed: self.below(2) == 0,
                accessed: self.some(1, Random::number).pop(),
            }),
            5 => Loaded::Mailbox {
                address: self.address(),
                from: self.number(),
                pending: self.some(3, |random| (random.number(), invocation(random))),
                more: self.below(2) == 0,
            },
            1 => Loaded::Pending {
                page: self.number(),
                addresses: self.some(3, Random::address),
                more: self.below(2) == 0,
            },
            _ => Loaded::Idempotency {
                key: self.name().into(),
                found: self.some(1, |random| IdempotencyEntry { fingerprint: [0; 16], time: random.number() }).pop(),
            },
        }
    }

    fn input(&mut self, calls: &[CallId]) -> Input {
        let call = match calls.len() as u64 {
            0 => CallId(self.number()),
            several => calls[self.below(several) as usize],
        };
        match self.below(20) {
            0..=5 => Input::Ingested(self.event()),
            6..=8 => Input::Loaded(self.loaded()),
            9..=11 => Input::Reply { call, reply: Reply::Completed(self.effects()) },
            12 => Input::Reply { call, reply: Reply::Incomplete(self.some(3, Random::spec)) },
            13 | 14 => {
                let kinds = [FailureKind::Unreachable, FailureKind::Rejected, FailureKind::NoEndpoint];
                let kind = kinds[self.below(3) as usize];
                let retry_after_ms = self.some(1, Random::number).pop();
                Input::CallFailed {
                    call,
                    failure: CallFailure { kind, code: "MP4000", error: "".into(), retry_after_ms },
                }
            }
            15 => Input::Freed { lane: LaneId(self.below(4) as u32), upto: self.number(), receipt: Some(Receipt(0)) },
            16 => Input::Durable(self.number()),
            17 => Input::Operate {
                address: self.address(),
                operation: match self.below(3) {
                    0 => Operation::Resume,
                    1 => Operation::Skip(self.number()),
                    _ => Operation::DeadLetter(self.number()),
                },
                receipt: Receipt(self.number()),
            },
            _ => Input::Tick,
        }
    }
}

#[test]
fn inputs_of_any_shape_are_no_panic() {
    for seed in 0..3_000 {
        let mut random = Random(seed);
        let mut bench = Bench::with(Limits {
            calls_in_flight: 1 + random.below(5) as usize,
            pending_bytes: 2_000,
            cache_bytes: random.below(3) as usize * 1_000,
            checkpoint_bytes: 500,
            idempotency_keys: 2,
            idempotency_ms: 5_000,
            recall_window: 1 + random.below(3) as usize,
            incomplete_rounds: 2,
            waiting_bytes: random.below(3) as usize * 2_000,
            mailbox_bytes: random.below(3) as usize * 200,
            backlog_bytes: 5_000,
            function_types: 4,
            ..Limits::default()
        });
        bench.loads_held = (random.below(2) == 0).then(Vec::new);
        for step in 0..200 {
            if step == 150 && random.below(2) == 0 {
                bench.tell(Input::Stop);
            }
            bench.now += random.below(300);
            if random.below(5) == 0 {
                bench.now = bench.engine.wake_at().unwrap_or(bench.now).min(1 << 50).max(bench.now);
            }
            let calls: Vec<CallId> = bench.calls.iter().map(|call| call.id).collect();
            let input = random.input(&calls);
            if bench.stopped {
                break;
            }
            bench.tell(input);
            assert!(
                bench.engine.wake_at().is_none_or(|due| due > bench.engine.now()),
                "seed {seed}: woken in the past"
            );
        }
    }
}
