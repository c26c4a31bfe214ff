//! Metrics of Kafka egresses. Pure.

use std::sync::Arc;

use super::metrics::{Kind, Text, seconds};
use crate::egress::kafka::{KafkaStanding, KafkaView, State};
use crate::measures::Distribution;

/// A metric of an egress: its name, its kind, what it means, and where it is kept.
type Metric = (&'static str, Kind, &'static str, fn(&KafkaView) -> String);

const METRICS: [Metric; 8] = [
    ("millpond_kafka_egress_outbox_records", Kind::Gauge, "Records that are durable and not published.", |view| {
        view.waiting.to_string()
    }),
    (
        "millpond_kafka_egress_outbox_age_seconds",
        Kind::Gauge,
        "How long the oldest of them has waited, counted from the start of the process for those that were there then.",
        |view| seconds(u64::try_from(view.age.as_micros()).unwrap_or(u64::MAX)),
    ),
    ("millpond_kafka_egress_held_up", Kind::Gauge, "1 while publishing fails and is tried again.", |view| {
        u8::from(view.state == State::HeldUp).to_string()
    }),
    (
        "millpond_kafka_egress_records_total",
        Kind::Counter,
        "Records published. What a crash kept from being counted is not counted.",
        |view| view.records.to_string(),
    ),
    ("millpond_kafka_egress_bytes_total", Kind::Counter, "Bytes of their keys, values and headers.", |view| {
        view.bytes.to_string()
    }),
    (
        "millpond_kafka_egress_producer_restarts_total",
        Kind::Counter,
        "Producers that were given up for new ones, after failures and in doubt.",
        |view| view.restarts.to_string(),
    ),
    (
        "millpond_kafka_egress_refused_total",
        Kind::Counter,
        "Records that the cluster refused for good since the start.",
        |view| view.refused.to_string(),
    ),
    ("millpond_kafka_egress_refused_records", Kind::Gauge, "Refused records that the ledger keeps.", |view| {
        view.kept.to_string()
    }),
];

/// A histogram of an egress: its name, what it means, and where it is kept.
type Times = (&'static str, &'static str, fn(&KafkaView) -> &Distribution);

const TIMES: [Times; 2] = [
    (
        "millpond_kafka_egress_transaction_duration_seconds",
        "Transactions that were committed: from the first record until the cluster said so.",
        |view| &view.transactions_us,
    ),
    (
        "millpond_kafka_egress_publish_duration_seconds",
        "Records: from durable in the ledger until published for good.",
        |view| &view.visible_us,
    ),
];

/// Writes everything.
pub(super) fn text(standings: &[Arc<KafkaStanding>]) -> String {
    let mut out = Text::default();
    let views: Vec<(String, KafkaView)> =
        standings.iter().map(|standing| (standing.id.to_string(), standing.view())).collect();
    if views.is_empty() {
        return out.into_string();
    }
    for (name, kind, help, read) in METRICS {
        out.family(name, kind, help);
        for (egress, view) in &views {
            out.sample(name, &[("egress", egress)], read(view));
        }
    }
    for (name, help, read) in TIMES {
        out.family(name, Kind::Histogram, help);
        for (egress, view) in &views {
            out.histogram(name, &[("egress", egress)], read(view), seconds);
        }
    }
    out.into_string()
}
