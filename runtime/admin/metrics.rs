//! Metrics in Prometheus' text format. Pure.
//!
//! The format is a few lines of text, so it is written here and not by a library with a registry of its own: the counters
//! live in the engine. Function metrics have upstream's names, spelled as Prometheus spells names, with the function type
//! in the labels `namespace` and `name`; everything else starts with `millpond_`.

use std::fmt::{Display, Write};

use millpond_engine::{FunctionMetrics, LaneName, Metrics};

/// The content type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric of a function type: its name, its kind, what it means, and where it is kept.
type FunctionMetric = (&'static str, Kind, &'static str, fn(&FunctionMetrics) -> u64);

const FUNCTION_METRICS: [FunctionMetric; 7] = [
    ("statefun_function_in_total", Kind::Counter, "Invocations delivered.", |m| m.input),
    ("statefun_function_out_local_total", Kind::Counter, "Messages sent to functions.", |m| m.out_local),
    ("statefun_function_out_egress_total", Kind::Counter, "Records sent to egresses.", |m| m.out_egress),
    ("statefun_function_inflight_async_ops", Kind::Gauge, "Calls in flight.", |m| m.in_flight),
    ("statefun_function_num_backlog", Kind::Gauge, "Invocations in memory that have not run.", |m| m.backlog),
    ("statefun_function_remote_invocation_failures_total", Kind::Counter, "Failed attempts to call.", |m| m.failures),
    ("millpond_function_parked_addresses", Kind::Gauge, "Addresses parked after failures.", |m| m.parked),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Writes everything. `lanes` are the names behind the lane numbers.
pub(super) fn text(metrics: &Metrics, ready: bool, lanes: &[LaneName]) -> String {
    let mut out = Text(String::with_capacity(4096));
    out.family("millpond_build_info", Kind::Gauge, "The version that runs.");
    out.sample("millpond_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.gauge("millpond_ready", "1 while events are taken in.", u8::from(ready));
    out.gauge("millpond_intake_paused", "1 while ingresses are paused at a limit.", u8::from(metrics.paused));
    out.counter("millpond_events_ingested_total", "Events taken in.", metrics.ingested);
    out.counter("millpond_events_repeated_total", "Events sent again under their key.", metrics.repeated);
    let forgotten = "Idempotency keys forgotten before their time.";
    out.counter("millpond_idempotency_keys_forgotten_total", forgotten, metrics.keys_forgotten);
    out.gauge("millpond_addresses", "Addresses in memory.", metrics.addresses);
    out.gauge("millpond_addresses_parked", "Addresses parked after failures.", metrics.parked);
    out.gauge("millpond_pending_bytes", "Bytes of invocations in memory.", metrics.pending_bytes);
    out.gauge("millpond_cache_bytes", "Bytes of idle addresses in memory.", metrics.cache_bytes);
    out.gauge("millpond_calls_in_flight", "Calls in flight.", metrics.calls_in_flight);
    out.counter("millpond_checkpoints_total", "Checkpoints sealed.", metrics.checkpoints);
    out.counter("millpond_checkpoint_writes_total", "Changes in these checkpoints.", metrics.checkpoint_writes);

    let name = "millpond_egress_records";
    out.family(name, Kind::Gauge, "Records that wait to be taken, freed or published.");
    for (lane, records) in lanes.iter().zip(&metrics.lane_records) {
        out.sample(name, &[("egress", &lane.egress.to_string()), ("topic", &lane.part)], records);
    }
    for (name, kind, help, read) in FUNCTION_METRICS {
        out.family(name, kind, help);
        for (function, metrics) in &metrics.functions {
            let labels = [("namespace", function.namespace()), ("name", function.name())];
            out.sample(name, &labels, read(metrics));
        }
    }
    out.0
}

struct Text(String);

impl Text {
    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], value);
    }

    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{label}=\"{}\"", Escaped(value)));
        }
        self.write(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes everything");
    }
}

/// The value of a label.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use millpond_engine::{FunctionMetrics, LaneName, Metrics};
    use millpond_protocol::TypeName;

    use super::text;

    /// Each family has its head once, directly before its samples, and label values are escaped.
    #[test]
    fn the_text() {
        let mut metrics = Metrics { paused: true, ingested: 7, lane_records: vec![3], ..Metrics::default() };
        let input = |input| FunctionMetrics { input, ..FunctionMetrics::default() };
        metrics.functions.insert(TypeName::new("com.example", "greeter"), input(5));
        metrics.functions.insert(TypeName::new("odd\"\\", "a\nb"), input(6));
        let lanes = [LaneName { egress: TypeName::new("io.statefun.playground", "egress"), part: "ü\"".to_owned() }];
        let text = text(&metrics, true, &lanes);
        for line in [
            "millpond_ready 1",
            "millpond_intake_paused 1",
            "# TYPE millpond_events_ingested_total counter",
            "millpond_events_ingested_total 7",
            r#"millpond_egress_records{egress="io.statefun.playground/egress",topic="ü\""} 3"#,
            "# TYPE statefun_function_in_total counter",
            r#"statefun_function_in_total{namespace="com.example",name="greeter"} 5"#,
            r#"statefun_function_in_total{namespace="odd\"\\",name="a\nb"} 6"#,
            r#"statefun_function_num_backlog{namespace="com.example",name="greeter"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let mut family = "";
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# HELP ") {
                family = head.split(' ').next().expect("a name");
                assert_eq!(text.matches(&format!("# HELP {family} ")).count(), 1);
            } else if !line.starts_with('#') {
                assert_eq!(line.split(['{', ' ']).next(), Some(family));
            }
        }
    }
}
