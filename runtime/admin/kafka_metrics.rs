//! Metrics of Kafka ingresses, in Prometheus' text format. Pure.
//!
//! A topic may have any number of partitions, so that only the first ones of an ingress have series of their own, in the order in
//! which they were found; the others are added up under the label `others`.

use std::sync::Arc;

use super::metrics::{Kind, Text};
use crate::ingress::kafka::{IngressHandle, PartitionBoard, Standing};
use crate::router::Defect;

/// Partitions of an ingress that have series of their own.
const PARTITIONS_MAX: usize = 1000;

/// A metric of a partition: its name, its kind, what it means, and where it is kept; no sample where it is not known.
type PartitionMetric = (&'static str, Kind, &'static str, fn(&PartitionBoard) -> Option<u64>);

const PARTITION_METRICS: [PartitionMetric; 3] = [
    ("millpond_kafka_ingress_records_total", Kind::Counter, "Records read, those read again not counted.", |board| {
        Some(board.counted().0)
    }),
    (
        "millpond_kafka_ingress_bytes_total",
        Kind::Counter,
        "Their bytes: keys, values and headers, not as compressed on the wire.",
        |board| Some(board.counted().1),
    ),
    (
        "millpond_kafka_ingress_lag",
        Kind::Gauge,
        "Records between position and end, as of the last look, some seconds ago.",
        PartitionBoard::lag,
    ),
];

/// A number of offsets: there is no sum of them.
const POSITION: (&str, &str) =
    ("millpond_kafka_ingress_position", "Offset of the record that comes next, as the ledger has it.");

const STATES: [&str; 4] = ["running", "held", "failed", "paused"];

/// Writes what these ingresses show. `paused` is whether the node takes nothing in.
pub(super) fn ingresses(handles: &[IngressHandle], paused: bool) -> String {
    let mut out = Text::default();
    if handles.is_empty() {
        return out.into_string();
    }
    let ids: Vec<String> = handles.iter().map(|handle| handle.id.to_string()).collect();
    let all: Vec<(&str, &IngressHandle, Vec<Arc<PartitionBoard>>)> =
        ids.iter().zip(handles).map(|(id, handle)| (id.as_str(), handle, handle.board.partitions())).collect();
    for (name, kind, help, read) in PARTITION_METRICS {
        out.family(name, kind, help);
        for (ingress, _, partitions) in &all {
            let (shown, others) = partitions.split_at(partitions.len().min(PARTITIONS_MAX));
            for board in shown {
                if let Some(value) = read(board) {
                    partition_sample(&mut out, name, ingress, board, value);
                }
            }
            if !others.is_empty() {
                let sum: u64 = others.iter().filter_map(|board| read(board)).sum();
                out.sample(name, &[("ingress", *ingress), ("others", "true")], sum);
            }
        }
    }
    let (name, help) = POSITION;
    out.family(name, Kind::Gauge, help);
    for (ingress, _, partitions) in &all {
        for board in partitions.iter().take(PARTITIONS_MAX) {
            if let Some(position) = board.position() {
                partition_sample(&mut out, name, ingress, board, position);
            }
        }
    }

    let name = "millpond_kafka_ingress_partitions";
    out.family(name, Kind::Gauge, "Partitions, by what happens in them: `failed` ones wait for a person.");
    for (ingress, _, partitions) in &all {
        let state = |board: &Arc<PartitionBoard>| match board.standing() {
            Standing::Failed { .. } => "failed",
            _ if paused => "paused",
            Standing::Held { .. } => "held",
            Standing::Running => "running",
        };
        for word in STATES {
            let count = partitions.iter().filter(|board| state(board) == word).count();
            out.sample(name, &[("ingress", *ingress), ("state", word)], count);
        }
    }

    let name = "millpond_kafka_ingress_invalid_records_total";
    out.family(name, Kind::Counter, "Records without key or value, by what became of them.");
    for (ingress, handle, _) in &all {
        for (topic, counts) in handle.board.topics() {
            for defect in [Defect::NullKey, Defect::NullValue] {
                let labels = [
                    ("ingress", *ingress),
                    ("topic", topic.as_str()),
                    ("defect", defect.as_str()),
                    ("handling", counts.handling),
                ];
                out.sample(name, &labels, counts.invalid(defect));
            }
        }
    }

    let name = "millpond_kafka_ingress_lossy_keys_total";
    out.family(name, Kind::Counter, "Records whose key is not UTF-8; bytes of it are replaced.");
    for (ingress, handle, _) in &all {
        for (topic, counts) in handle.board.topics() {
            out.sample(name, &[("ingress", *ingress), ("topic", topic.as_str())], counts.lossy_keys());
        }
    }

    let name = "millpond_kafka_ingress_away";
    out.family(name, Kind::Gauge, "1 while the cluster does not give what the ingress wants.");
    for (ingress, handle, _) in &all {
        out.sample(name, &[("ingress", *ingress)], u8::from(handle.board.away().is_some()));
    }
    out.into_string()
}

fn partition_sample(out: &mut Text, name: &str, ingress: &str, board: &PartitionBoard, value: u64) {
    let number = board.partition.number.to_string();
    let labels = [("ingress", ingress), ("topic", &*board.partition.topic), ("partition", number.as_str())];
    out.sample(name, &labels, value);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millpond_engine::Partition;
    use millpond_protocol::TypeName;

    use super::{PARTITIONS_MAX, ingresses};
    use crate::ingress::kafka::{Board, IngressHandle, Standing};
    use crate::router::Defect;

    fn partition(number: u32) -> Arc<Partition> {
        Arc::new(Partition { ingress: TypeName::new("a", "in"), topic: "t".into(), number })
    }

    fn handle(board: Board) -> IngressHandle {
        IngressHandle::fake(TypeName::new("a", "in"), Arc::new(board)).0
    }

    /// Each number where it belongs; what is not known has no sample, and a paused partition that failed is one that failed.
    #[test]
    fn numbers() {
        let board = Board::new([("t".to_owned(), "fail")]);
        let [first, second] = [0, 1].map(|number| board.add(&partition(number), (number == 0).then_some(7)));
        first.count(30);
        first.count(12);
        first.set_end(9);
        second.set_standing(Standing::Failed { offset: 3, defect: Defect::NullKey, since: 0 });
        board.invalid("t", Defect::NullKey);
        board.lossy_key("t");
        let handles = [handle(board)];
        let text = ingresses(&handles, false);
        for line in [
            r#"millpond_kafka_ingress_records_total{ingress="a/in",topic="t",partition="0"} 2"#,
            r#"millpond_kafka_ingress_records_total{ingress="a/in",topic="t",partition="1"} 0"#,
            r#"millpond_kafka_ingress_bytes_total{ingress="a/in",topic="t",partition="0"} 42"#,
            r#"millpond_kafka_ingress_lag{ingress="a/in",topic="t",partition="0"} 2"#,
            r#"millpond_kafka_ingress_position{ingress="a/in",topic="t",partition="0"} 7"#,
            r#"millpond_kafka_ingress_partitions{ingress="a/in",state="running"} 1"#,
            r#"millpond_kafka_ingress_partitions{ingress="a/in",state="failed"} 1"#,
            r#"millpond_kafka_ingress_partitions{ingress="a/in",state="paused"} 0"#,
            r#"millpond_kafka_ingress_invalid_records_total{ingress="a/in",topic="t",defect="NULL_KEY",handling="fail"} 1"#,
            r#"millpond_kafka_ingress_invalid_records_total{ingress="a/in",topic="t",defect="NULL_VALUE",handling="fail"} 0"#,
            r#"millpond_kafka_ingress_lossy_keys_total{ingress="a/in",topic="t"} 1"#,
            r#"millpond_kafka_ingress_away{ingress="a/in"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(r#"lag{ingress="a/in",topic="t",partition="1"}"#), "{text}");
        let paused = ingresses(&handles, true);
        for line in [r#"state="paused"} 1"#, r#"state="failed"} 1"#, r#"state="running"} 0"#] {
            assert!(paused.contains(line), "{paused}");
        }
        assert_eq!(ingresses(&[], false), "");
    }

    /// However many partitions there are, the series have an end; nothing is left out of a sum.
    #[test]
    fn series_have_an_end() {
        let board = Board::new([("t".to_owned(), "skip")]);
        for number in 0..PARTITIONS_MAX as u32 + 3 {
            let shown = board.add(&partition(number), Some(1));
            shown.count(10);
            shown.set_end(3);
        }
        let text = ingresses(&[handle(board)], false);
        let series = text.lines().filter(|line| line.starts_with("millpond_kafka_ingress_lag{")).count();
        assert_eq!(series, PARTITIONS_MAX + 1);
        assert!(text.contains(r#"millpond_kafka_ingress_lag{ingress="a/in",others="true"} 6"#), "{text}");
        assert!(text.contains(r#"millpond_kafka_ingress_bytes_total{ingress="a/in",others="true"} 30"#), "{text}");
        assert!(text.contains(r#"millpond_kafka_ingress_partitions{ingress="a/in",state="running"} 1003"#), "{text}");
    }
}
