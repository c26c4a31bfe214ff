//! Metrics in Prometheus' text format. Pure.
//!
//! The format is a few lines of text, so it is written here and not by a library with a registry of its own: the counters
//! live in the engine. Function metrics have upstream's names, spelled as Prometheus spells names, with the function type
//! in the labels `namespace` and `name`; everything else starts with `millpond_`.

use std::fmt::{Display, Write};

use millpond_engine::{FunctionMetrics, LaneName, Metrics};

use crate::handle::Room;
use crate::invoker::{CallMetrics, LATENCY_BOUNDS_US};

/// The content type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric of a function type: its name, its kind, what it means, and where it is kept.
type FunctionMetric = (&'static str, Kind, &'static str, fn(&FunctionMetrics) -> u64);

const FUNCTION_METRICS: [FunctionMetric; 9] = [
    ("statefun_function_in_total", Kind::Counter, "Invocations delivered.", |m| m.input),
    ("statefun_function_out_local_total", Kind::Counter, "Messages sent to functions.", |m| m.out_local),
    ("statefun_function_out_egress_total", Kind::Counter, "Records sent to egresses.", |m| m.out_egress),
    ("statefun_function_inflight_async_ops", Kind::Gauge, "Calls in flight.", |m| m.in_flight),
    ("statefun_function_num_backlog", Kind::Gauge, "Invocations in memory that have not run.", |m| m.backlog),
    ("statefun_function_remote_invocation_failures_total", Kind::Counter, "Failed attempts to call.", |m| m.failures),
    ("millpond_function_parked_addresses", Kind::Gauge, "Addresses parked after failures.", |m| m.parked),
    ("millpond_function_dropped_total", Kind::Counter, "Messages given up and dropped.", |m| m.dropped),
    ("millpond_function_dead_letters_total", Kind::Counter, "Messages given up and kept.", |m| m.dead_letters),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Writes everything. `lanes` are the names behind the lane numbers, `calls` what the invoker counted.
pub fn text(metrics: &Metrics, ready: bool, lanes: &[LaneName], calls: &[CallMetrics]) -> String {
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
    out.calls(calls);
    out.0
}

/// Writes what is known of the disk that the ledger is on.
pub fn disk(room: &Room) -> String {
    let mut out = Text(String::new());
    out.gauge("millpond_disk_bytes", "Size of the disk that the ledger is on.", room.bytes);
    out.gauge("millpond_disk_free_bytes", "Bytes of it that may still be written.", room.free_bytes);
    let short = "1 while no event is taken in, because the disk is nearly full.";
    out.gauge("millpond_disk_intake_stopped", short, u8::from(room.short.is_some()));
    let held = "1 while no function is called, because the disk is nearly full.";
    out.gauge("millpond_disk_calls_stopped", held, u8::from(room.calls_held));
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
            Kind::Histogram => "histogram",
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

    /// Attempts of function types that were called lately: how long they took, how they failed, over how many connections.
    fn calls(&mut self, calls: &[CallMetrics]) {
        if calls.is_empty() {
            return;
        }
        let name = "statefun_function_remote_invocation_latency_seconds";
        self.family(name, Kind::Histogram, "Duration of each attempt to call, failed ones included.");
        let (bucket, sum, count) = (format!("{name}_bucket"), format!("{name}_sum"), format!("{name}_count"));
        for call in calls {
            let [namespace, function] = labels(call);
            let mut below = 0;
            for (bound, attempts) in LATENCY_BOUNDS_US.iter().zip(&call.latency.buckets) {
                below += attempts;
                self.sample(&bucket, &[namespace, function, ("le", &seconds(*bound))], below);
            }
            self.sample(&bucket, &[namespace, function, ("le", "+Inf")], call.latency.count());
            self.sample(&sum, &[namespace, function], seconds(call.latency.sum_us));
            self.sample(&count, &[namespace, function], call.latency.count());
        }

        let name = "millpond_call_failures_total";
        self.family(name, Kind::Counter, "Attempts to call that brought no usable answer, by error code.");
        for call in calls {
            let [namespace, function] = labels(call);
            for (code, failures) in &call.failures {
                self.sample(name, &[namespace, function, ("code", code)], failures);
            }
        }

        let name = "millpond_call_connections";
        self.family(name, Kind::Gauge, "Open connections to functions.");
        for call in calls {
            let [namespace, function] = labels(call);
            let busy = call.connections_open.saturating_sub(call.connections_idle);
            for (state, connections) in [("busy", busy), ("idle", call.connections_idle)] {
                self.sample(name, &[namespace, function, ("state", state)], connections);
            }
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes everything");
    }
}

fn labels(call: &CallMetrics) -> [(&'static str, &str); 2] {
    [("namespace", call.function.namespace()), ("name", call.function.name())]
}

/// Microseconds as seconds, exactly: `0.00025`, `120`.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
    use crate::invoker::{CallMetrics, LATENCY_BOUNDS_US, LatencyMetrics};

    /// Each family has its head once, directly before its samples, and label values are escaped.
    #[test]
    fn the_text() {
        let mut metrics = Metrics { paused: true, ingested: 7, lane_records: vec![3], ..Metrics::default() };
        let input = |input| FunctionMetrics { input, dropped: 1, dead_letters: 2, ..FunctionMetrics::default() };
        metrics.functions.insert(TypeName::new("com.example", "greeter"), input(5));
        metrics.functions.insert(TypeName::new("odd\"\\", "a\nb"), input(6));
        let lanes = [LaneName { egress: TypeName::new("io.statefun.playground", "egress"), part: "ü\"".to_owned() }];
        let text = text(&metrics, true, &lanes, &[]);
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
            r#"millpond_function_dropped_total{namespace="com.example",name="greeter"} 1"#,
            r#"millpond_function_dead_letters_total{namespace="com.example",name="greeter"} 2"#,
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
    /// What the invoker measured has upstream's name too, as a histogram whose buckets contain those below them.
    #[test]
    fn calls() {
        let mut buckets = [0; LATENCY_BOUNDS_US.len() + 1];
        (buckets[0], buckets[3], buckets[LATENCY_BOUNDS_US.len()]) = (4, 2, 1);
        let call = CallMetrics {
            function: TypeName::new("com.example", "greeter"),
            attempts: 8,
            failures: vec![("MP4001", 2), ("MP4005", 1)],
            latency: LatencyMetrics { buckets, sum_us: 130_000_500 },
            connections_open: 3,
            connections_idle: 2,
        };
        let text = text(&Metrics::default(), true, &[], &[call]);
        let name = "statefun_function_remote_invocation_latency_seconds";
        let function = r#"namespace="com.example",name="greeter""#;
        for line in [
            format!("# TYPE {name} histogram"),
            format!(r#"{name}_bucket{{{function},le="0.00025"}} 4"#),
            format!(r#"{name}_bucket{{{function},le="0.001"}} 4"#),
            format!(r#"{name}_bucket{{{function},le="0.0025"}} 6"#),
            format!(r#"{name}_bucket{{{function},le="120"}} 6"#),
            format!(r#"{name}_bucket{{{function},le="+Inf"}} 7"#),
            format!("{name}_sum{{{function}}} 130.0005"),
            format!("{name}_count{{{function}}} 7"),
            format!(r#"millpond_call_failures_total{{{function},code="MP4005"}} 1"#),
            format!(r#"millpond_call_connections{{{function},state="busy"}} 1"#),
            format!(r#"millpond_call_connections{{{function},state="idle"}} 2"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
