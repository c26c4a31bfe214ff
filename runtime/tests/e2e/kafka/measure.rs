//! How long a transaction takes on a real broker, with and without a pause between two of them. Prints the table of
//! ARCHITECTURE.md:
//!
//! `deploy/dev/build test --workspace --test e2e kafka::measure -- --ignored --nocapture`

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::broker::Broker;

/// Counts reports.
#[derive(Default)]
struct Reports(AtomicUsize);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "{result:?}");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and judges nothing"]
async fn transactions() {
    const ROUNDS: usize = 200;
    let broker = Broker::shared().expect("Java and Maven");
    broker.make("measured", 12);
    broker.make("measured-cursor", 1);
    crate::report(
        "| records | pause, ms | one transaction, ms: p50 | p99 | first report, ms: p50 | transactions/s |\n|---|---|---|---|---|---|",
    );
    for records in [1, 100, 1000] {
        for pause in [0, 2, 5, 10, 20] {
            let producer: BaseProducer<Reports> = ClientConfig::new()
                .set("bootstrap.servers", broker.address())
                .set("transactional.id", format!("measured-{records}-{pause}"))
                .set("linger.ms", "0")
                .create_with_context(Reports::default())
                .expect("a client");
            producer.init_transactions(Duration::from_secs(30)).expect("the broker answers");
            let (mut cycles, mut firsts) = (Vec::new(), Vec::new());
            let began = Instant::now();
            for round in 0..ROUNDS {
                let start = Instant::now();
                let before = producer.context().0.load(Ordering::Relaxed);
                producer.begin_transaction().expect("no transaction is open");
                for record in 0..records {
                    let key = format!("{round}-{record}");
                    producer
                        .send(BaseRecord::to("measured").key(&key).payload(&[7; 100][..]))
                        .expect("the queue is empty");
                }
                producer.send(BaseRecord::to("measured-cursor").key("c").payload("41")).expect("the queue is empty");
                let mut first = None;
                while producer.context().0.load(Ordering::Relaxed) < before + records + 1
                    || producer.in_flight_count() > 0
                {
                    producer.poll(Duration::from_micros(200));
                    if first.is_none() && producer.context().0.load(Ordering::Relaxed) > before {
                        first = Some(start.elapsed());
                    }
                }
                producer.commit_transaction(Duration::from_secs(30)).expect("the broker answers");
                cycles.push(start.elapsed());
                firsts.extend(first);
                std::thread::sleep(Duration::from_millis(pause));
            }
            let rate = ROUNDS as f64 / began.elapsed().as_secs_f64();
            let at = |times: &mut Vec<Duration>, hundredth: usize| {
                times.sort();
                times[(times.len() - 1) * hundredth / 100].as_secs_f64() * 1000.0
            };
            crate::report(format_args!(
                "| {records} | {pause} | {:.1} | {:.1} | {:.1} | {rate:.0} |",
                at(&mut cycles, 50),
                at(&mut cycles, 99),
                at(&mut firsts, 50)
            ));
        }
    }
}
