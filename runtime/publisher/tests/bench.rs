//! A scripted driver: the test says what happens, and looks at all that the publisher asks for.

use std::collections::BTreeSet;

use bytes::Bytes;
use millpond_publisher::{
    Config, Cursor, Delivery, Failure, FailureKind, Incarnation, Input, Isolation, Item, Limits, Notice, Output,
    Publisher, Sequence, Session,
};

/// The ledger of every test.
pub const LEDGER: u128 = 0x1ed6e5;

/// The start that a test looks at.
pub const OURS: u64 = 0xb;

/// The start before it.
pub const BEFORE: u64 = 0xa;

/// What the ledger holds: five records, two of them confirmed, written by an earlier start.
pub fn config() -> Config {
    Config {
        ledger: LEDGER,
        incarnation: OURS,
        lineage: vec![Incarnation { id: BEFORE, after: 0 }],
        confirmed: 2,
        durable: 5,
        checkpoint: 9,
        refused: BTreeSet::new(),
        accept_missing_cursor: false,
        limits: Limits::default(),
    }
}

pub fn cursor(incarnation: u64, sequence: Sequence) -> Bytes {
    Cursor { ledger: LEDGER, incarnation, sequence, checkpoint: 9 }.encode()
}

pub fn record(sequence: Sequence) -> Bytes {
    Bytes::from(format!("record {sequence}"))
}

pub fn failure(kind: FailureKind) -> Failure {
    Failure { kind, error: "scripted".into() }
}

pub struct Bench {
    pub publisher: Publisher,
    pub now: u64,
    pub session: Session,
    /// What `new` asked for.
    pub first: Vec<Output>,
}

impl Bench {
    pub fn new(config: Config) -> Bench {
        let mut publisher = Publisher::new(config);
        let first = std::iter::from_fn(|| publisher.poll()).collect();
        Bench { publisher, now: 1_000, session: Session(0), first }
    }

    /// One that read this cursor and goes on behind it; with what it asked for then.
    pub fn ready(config: Config, found: Bytes) -> (Bench, Vec<Output>) {
        let mut bench = Bench::new(config);
        bench.tell(Input::Claimed);
        let outputs = bench.open(Some(found));
        (bench, outputs)
    }

    pub fn tell(&mut self, input: Input) -> Vec<Output> {
        self.publisher.handle(self.now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.publisher.poll()).collect();
        for output in &outputs {
            if let Output::Open(session) = output {
                self.session = *session;
            }
        }
        assert!(self.publisher.wake_at().is_none_or(|at| at > self.now), "it wants to be woken in the past");
        outputs
    }

    /// Waits until the publisher wants to be woken.
    pub fn wake(&mut self) -> Vec<Output> {
        self.now = self.publisher.wake_at().expect("it rests");
        self.tell(Input::Tick)
    }

    /// The producer that was asked for is there, and finds this.
    pub fn open(&mut self, found: Option<Bytes>) -> Vec<Output> {
        let session = self.session;
        self.tell(Input::Opened(session));
        self.tell(Input::EndOffset { session, offset: 40 });
        self.tell(Input::Cursor { session, found: found.map(|value| (30, value)) })
    }

    /// Gives the records from the first to the last number.
    pub fn fetched(&mut self, first: Sequence, last: Sequence) -> Vec<Output> {
        let session = self.session;
        let records = (first..=last).map(|sequence| (sequence, record(sequence))).collect();
        self.tell(Input::Fetched { session, records })
    }

    pub fn delivered(&mut self, item: Item) -> Vec<Output> {
        let session = self.session;
        self.tell(Input::Delivered { session, item, delivery: Delivery::Done })
    }

    pub fn refused(&mut self, sequence: Sequence) -> Vec<Output> {
        let delivery = Delivery::Refused { error: "too large".into() };
        let session = self.session;
        self.tell(Input::Delivered { session, item: Item::Record(sequence), delivery })
    }

    pub fn failed(&mut self, kind: FailureKind) -> Vec<Output> {
        let session = self.session;
        self.tell(Input::Failed { session, failure: failure(kind) })
    }

    pub fn disturbed(&mut self) -> Vec<Output> {
        let session = self.session;
        self.tell(Input::Disturbed { session, error: "_TRANSPORT".into() })
    }

    pub fn committed(&mut self) -> Vec<Output> {
        let session = self.session;
        self.tell(Input::Committed(session))
    }

    /// From the first record to the delivery of the last and of the cursor; the commit is asked for.
    pub fn publish(&mut self, first: Sequence, last: Sequence) {
        self.fetched(first, last);
        (first..=last).for_each(|sequence| assert_eq!(self.delivered(Item::Record(sequence)), []));
        assert_eq!(self.delivered(Item::Cursor), [Output::Commit(self.session)]);
    }
}

pub fn fetch(session: Session, after: Sequence, upto: Sequence) -> Output {
    let Limits { transaction_records: records, transaction_bytes: bytes, .. } = Limits::default();
    Output::Fetch { session, after, upto, records, bytes }
}

pub fn read(session: Session, from: i64, upto: i64) -> Output {
    Output::ReadCursor { session, from, upto, isolation: Isolation::Committed }
}

/// What follows a failure: the producer goes, and is not asked to abort.
pub fn given_up(outputs: &[Output], session: Session) -> bool {
    matches!(outputs, [Output::Close(closed), Output::Notice(Notice::Doubt { .. }), ..] if *closed == session)
}
