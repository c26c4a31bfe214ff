//! Metrics in Prometheus' text format. Pure.
//!
//! The format is a few lines of text, so it is written here and not by a library with a registry of its own: the counters
//! live in the engine. Function metrics have upstream's names, spelled as Prometheus spells names, with the function type
//! in the labels `namespace` and `name`; everything else starts with `millpond_`, or is what every Prometheus client says of
//! its process. A message may name any function type below a wildcard, so only the first ones have series of their own
//! ([`Limits::measured_types`](millpond_engine::Limits)); the others are added up under the label `others`.

use std::fmt::{Display, Write};

use millpond_engine::{FunctionMetrics, LaneName, Metrics};
use millpond_protocol::TypeName;

use super::process::Process;
use super::rates::{FunctionRates, Rates};
use crate::handle::Room;
use crate::invoker::{CallMetrics, LATENCY_BOUNDS_US, LatencyMetrics};
use crate::ledger::LedgerMeasures;
use crate::measures::{Distribution, Measures};

/// The content type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric of a function type: its name, its kind, what it means, and where it is kept.
type FunctionMetric = (&'static str, Kind, &'static str, fn(&FunctionMetrics) -> u64);

const FUNCTION_METRICS: [FunctionMetric; 20] = [
    (
        "statefun_function_in_total",
        Kind::Counter,
        "Invocations that arrived, and answers to requests but the first one.",
        |m| m.input,
    ),
    ("statefun_function_out_local_total", Kind::Counter, "Messages sent to functions of this node.", |m| m.out_local),
    ("statefun_function_out_remote_total", Kind::Counter, "Messages sent to other nodes; there are none.", |_| 0),
    ("statefun_function_out_egress_total", Kind::Counter, "Records sent to egresses.", |m| m.out_egress),
    (
        "statefun_function_num_blocked_address",
        Kind::Gauge,
        "Addresses at `maxNumBatchRequests`, whose producers wait.",
        |m| m.blocked,
    ),
    (
        "statefun_function_inflight_async_ops",
        Kind::Gauge,
        "Calls in flight, without the first ones since the start.",
        |m| m.in_flight_async,
    ),
    ("statefun_function_num_backlog", Kind::Gauge, "Invocations that wait, without those being called.", |m| {
        m.backlog.saturating_sub(m.running)
    }),
    ("statefun_function_remote_invocation_failures_total", Kind::Counter, "Failed attempts to call.", |m| m.failures),
    ("millpond_function_invocations_total", Kind::Counter, "Invocations that have run, for good.", |m| m.finished),
    ("millpond_function_calls_in_flight", Kind::Gauge, "Calls in flight.", |m| m.in_flight),
    ("millpond_function_window", Kind::Gauge, "Calls that may be in flight now.", |m| m.window),
    ("millpond_function_in_trouble", Kind::Gauge, "1 while nothing but failures comes from it.", |m| {
        m.in_trouble.into()
    }),
    ("millpond_function_pending", Kind::Gauge, "Invocations that have not run, those being called too.", |m| m.backlog),
    ("millpond_function_pending_bytes", Kind::Gauge, "Their bytes, in memory and in the ledger.", |m| m.backlog_bytes),
    ("millpond_function_parked_addresses", Kind::Gauge, "Addresses parked after failures.", |m| m.parked),
    ("millpond_function_dropped_total", Kind::Counter, "Messages given up and dropped.", |m| m.dropped),
    ("millpond_function_dead_letters_total", Kind::Counter, "Messages given up and kept.", |m| m.dead_letters),
    ("millpond_function_in_line", Kind::Gauge, "Addresses in memory that stand in line for a call.", |m| m.in_line),
    ("millpond_function_retrying", Kind::Gauge, "Those that failed and stand in line behind the others.", |m| {
        m.retrying
    }),
    ("millpond_function_running", Kind::Gauge, "Invocations in the calls in flight.", |m| m.running),
];

/// A rate of a function type, as upstream has it.
type FunctionRate = (&'static str, &'static str, fn(&FunctionRates) -> f64);

const FUNCTION_RATES: [FunctionRate; 5] = [
    ("statefun_function_in_rate", "Growth of `in` per second, over the last 60 s.", |r| r.input),
    ("statefun_function_out_local_rate", "Growth of `outLocal` per second, over the last 60 s.", |r| r.out_local),
    ("statefun_function_out_remote_rate", "Growth of `outRemote` per second, over the last 60 s.", |_| 0.0),
    ("statefun_function_out_egress_rate", "Growth of `outEgress` per second, over the last 60 s.", |r| r.out_egress),
    (
        "statefun_function_remote_invocation_failures_rate",
        "Growth of `remoteInvocationFailures` per second, over the last 60 s.",
        |r| r.failures,
    ),
];

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub struct Scrape<'a> {
    /// What the engine counted.
    pub metrics: Metrics,
    /// Events are taken in.
    pub ready: bool,
    /// The names behind the lane numbers.
    pub lanes: &'a [LaneName],
    /// What the invoker counted.
    pub calls: Vec<CallMetrics>,
    /// Rates of what the engine counted.
    pub rates: Option<&'a Rates>,
    /// What the drivers measured.
    pub measures: Option<&'a Measures>,
    /// What the ledger takes.
    pub ledger: Option<LedgerMeasures>,
    /// What the process takes.
    pub process: Option<Process>,
}

/// Writes everything.
pub fn text(scrape: Scrape<'_>) -> String {
    let Scrape { metrics, ready, lanes, calls, rates, measures, ledger, process } = scrape;
    let mut out = Text(String::with_capacity(16 << 10));
    out.family("millpond_build_info", Kind::Gauge, "The version that runs.");
    out.sample("millpond_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.gauge("millpond_ready", "1 while events are taken in.", u8::from(ready));
    out.engine(&metrics);
    out.lanes(&metrics, lanes);
    out.functions(&metrics);
    if let Some(rates) = rates {
        out.rates(&metrics, rates);
    }
    out.calls(&calls_of(&metrics, calls));
    if let Some(measures) = measures {
        out.measures(measures);
    }
    if let Some(ledger) = ledger {
        out.ledger(&ledger);
    }
    if let Some(process) = process {
        out.process(&process);
    }
    out.0
}

/// Whose series it is: one function type's, or that of all that have none of their own.
#[derive(Debug, Clone, Copy)]
enum Whose<'a> {
    Function(&'a TypeName),
    Others,
}

impl<'a> Whose<'a> {
    /// Its labels, with more behind them. A function type can have any name, so the others have another label.
    fn labels(self, more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
        let mut labels = match self {
            Whose::Function(function) => vec![("namespace", function.namespace()), ("name", function.name())],
            Whose::Others => vec![("others", "true")],
        };
        labels.extend(more);
        labels
    }
}

/// The calls of function types that have series of their own, and those of all others together.
fn calls_of(metrics: &Metrics, calls: Vec<CallMetrics>) -> Vec<(Option<TypeName>, CallMetrics)> {
    let mut shown = Vec::new();
    let mut others: Option<CallMetrics> = None;
    for call in calls {
        // Without function types of the engine there is nothing to go by.
        match metrics.functions.is_empty() || metrics.functions.contains_key(&call.function) {
            true => shown.push((Some(call.function.clone()), call)),
            false => match &mut others {
                Some(others) => add(others, &call),
                None => others = Some(call),
            },
        }
    }
    shown.extend(others.map(|others| (None, others)));
    shown
}

fn add(sum: &mut CallMetrics, call: &CallMetrics) {
    sum.attempts += call.attempts;
    for (code, failures) in &call.failures {
        match sum.failures.binary_search_by_key(code, |(code, _)| code) {
            Ok(at) => sum.failures[at].1 += failures,
            Err(at) => sum.failures.insert(at, (code, *failures)),
        }
    }
    let LatencyMetrics { buckets, sum_us } = &call.latency;
    sum.latency.buckets.iter_mut().zip(buckets).for_each(|(sum, bucket)| *sum += bucket);
    sum.latency.sum_us += sum_us;
    sum.connections_open += call.connections_open;
    sum.connections_idle += call.connections_idle;
}

/// Writes what is known of the disk that the ledger is on.
pub fn disk(room: &Room) -> String {
    let mut out = Text(String::new());
    out.gauge("millpond_disk_bytes", "Size of the disk that the ledger is on.", room.bytes);
    let short = "1 while no event is taken in, because the disk is nearly full.";
    out.gauge("millpond_disk_intake_stopped", short, u8::from(room.short.is_some()));
    let held = "1 while no function is called, because the disk is nearly full.";
    out.gauge("millpond_disk_calls_stopped", held, u8::from(room.calls_held));
    out.0
}

/// The text as it grows.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], value);
    }

    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{label}=\"{}\"", Escaped(value)));
        }
        self.write(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    fn engine(&mut self, metrics: &Metrics) {
        self.gauge("millpond_intake_paused", "1 while ingresses are paused at a limit.", u8::from(metrics.paused));
        self.counter("millpond_events_ingested_total", "Events taken in.", metrics.ingested);
        self.counter("millpond_events_repeated_total", "Events sent again under their key.", metrics.repeated);
        let forgotten = "Idempotency keys forgotten before their time.";
        self.counter("millpond_idempotency_keys_forgotten_total", forgotten, metrics.keys_forgotten);
        self.gauge("millpond_function_types", "Function types that are known.", metrics.function_types);
        self.gauge("millpond_addresses", "Addresses in memory.", metrics.addresses);
        self.gauge("millpond_addresses_parked", "Addresses parked after failures.", metrics.parked);
        self.gauge("millpond_pending_bytes", "Bytes of invocations in memory.", metrics.pending_bytes);
        self.gauge("millpond_waiting_bytes", "Bytes of waiting addresses in memory.", metrics.waiting_bytes);
        self.gauge("millpond_cache_bytes", "Bytes of idle addresses in memory.", metrics.cache_bytes);
        self.gauge(
            "millpond_delayed_messages",
            "Delayed messages in memory, not those in the ledger.",
            metrics.delayed,
        );
        self.gauge("millpond_calls_in_flight", "Calls in flight.", metrics.calls_in_flight);
        let of_types = metrics.functions.values().chain([&metrics.other_functions]);
        let in_flight: u64 = of_types.map(|function| function.in_flight_async).sum();
        self.gauge("statefun_inflight_async_ops", "The same without the first ones since the start.", in_flight);
        self.counter("statefun_feedback_produced_total", "Messages sent to other nodes; there are none.", 0);
        self.gauge("statefun_feedback_produced_rate", "Messages sent to other nodes, per second.", 0);
        self.counter("millpond_checkpoints_total", "Checkpoints sealed.", metrics.checkpoints);
        self.counter("millpond_checkpoint_writes_total", "Changes in these checkpoints.", metrics.checkpoint_writes);
    }

    fn lanes(&mut self, metrics: &Metrics, lanes: &[LaneName]) {
        for (name, kind, help, values) in [
            (
                "millpond_egress_records",
                Kind::Gauge,
                "Records that wait to be taken, freed or published.",
                &metrics.lane_records,
            ),
            (
                "millpond_egress_records_total",
                Kind::Counter,
                "Records since the application began.",
                &metrics.lane_totals,
            ),
        ] {
            self.family(name, kind, help);
            for (lane, records) in lanes.iter().zip(values) {
                self.sample(name, &[("egress", &lane.egress.to_string()), ("topic", &lane.part)], records);
            }
        }
    }

    fn functions(&mut self, metrics: &Metrics) {
        for (name, kind, help, read) in FUNCTION_METRICS {
            self.family(name, kind, help);
            for (function, metrics) in &metrics.functions {
                self.sample(name, &Whose::Function(function).labels(&[]), read(metrics));
            }
            if metrics.function_types > metrics.functions.len() {
                self.sample(name, &Whose::Others.labels(&[]), read(&metrics.other_functions));
            }
        }
    }

    fn rates(&mut self, metrics: &Metrics, rates: &Rates) {
        for (name, help, read) in FUNCTION_RATES {
            self.family(name, Kind::Gauge, help);
            for function in metrics.functions.keys() {
                self.sample(name, &Whose::Function(function).labels(&[]), read(&rates.of(function)));
            }
            if metrics.function_types > metrics.functions.len() {
                self.sample(name, &Whose::Others.labels(&[]), read(&rates.of_others()));
            }
        }
    }

    /// Attempts of function types that were called lately: how long they took, how they failed, over how many connections.
    fn calls(&mut self, calls: &[(Option<TypeName>, CallMetrics)]) {
        if calls.is_empty() {
            return;
        }
        let name = "statefun_function_remote_invocation_latency_seconds";
        self.family(name, Kind::Histogram, "Duration of each attempt to call, failed ones included.");
        for (function, call) in calls {
            let whose = function.as_ref().map_or(Whose::Others, Whose::Function);
            let latency = Distribution {
                bounds: &LATENCY_BOUNDS_US,
                buckets: call.latency.buckets.to_vec(),
                sum: call.latency.sum_us,
            };
            self.histogram(name, &whose.labels(&[]), &latency, seconds);
        }

        let name = "millpond_call_failures_total";
        self.family(name, Kind::Counter, "Attempts to call that brought no usable answer, by error code.");
        for (function, call) in calls {
            let whose = function.as_ref().map_or(Whose::Others, Whose::Function);
            for (code, failures) in &call.failures {
                self.sample(name, &whose.labels(&[("code", code)]), failures);
            }
        }

        let name = "millpond_call_connections";
        self.family(name, Kind::Gauge, "Open connections to functions.");
        for (function, call) in calls {
            let whose = function.as_ref().map_or(Whose::Others, Whose::Function);
            let busy = call.connections_open.saturating_sub(call.connections_idle);
            for (state, connections) in [("busy", busy), ("idle", call.connections_idle)] {
                self.sample(name, &whose.labels(&[("state", state)]), connections);
            }
        }
    }

    fn measures(&mut self, measures: &Measures) {
        for (name, help, histogram, unit) in [
            (
                "millpond_checkpoint_duration_seconds",
                "How long it took to make a checkpoint durable.",
                &measures.commits_us,
                seconds as fn(u64) -> String,
            ),
            ("millpond_checkpoint_bytes", "Bytes of a checkpoint.", &measures.checkpoint_bytes, |bytes| {
                bytes.to_string()
            }),
            (
                "millpond_ledger_load_duration_seconds",
                "How long reads of the ledger took.",
                &measures.loads_us,
                seconds,
            ),
        ] {
            self.family(name, Kind::Histogram, help);
            self.histogram(name, &[], &histogram.read(), unit);
        }
        let listeners = measures.listeners();
        let name = "millpond_http_requests_total";
        self.family(name, Kind::Counter, "Requests answered, by listener and status.");
        for (listener, _, answered) in &listeners {
            for (status, count) in answered {
                self.sample(name, &[("listener", listener), ("status", &status.to_string())], count);
            }
        }
        let name = "millpond_http_requests_under_way";
        self.family(name, Kind::Gauge, "Requests that are not answered yet.");
        for (listener, under_way, _) in &listeners {
            self.sample(name, &[("listener", listener)], under_way);
        }
    }

    fn ledger(&mut self, ledger: &LedgerMeasures) {
        self.gauge("millpond_ledger_disk_bytes", "Bytes of the ledger's files.", ledger.disk_bytes);
        if let Some(free) = ledger.disk_free_bytes {
            self.gauge("millpond_ledger_disk_free_bytes", "Bytes that are free on its disk.", free);
        }
        self.gauge("millpond_ledger_memory_bytes", "Memory that its storage engine takes.", ledger.memory_bytes);
        self.gauge("millpond_ledger_keys", "About so many records are in it.", ledger.keys);
        let help = "Bytes that its storage engine has to bring into order.";
        self.gauge("millpond_ledger_compaction_pending_bytes", help, ledger.compaction_pending_bytes);
        let help = "1 while its storage engine takes no writes, because it is behind.";
        self.gauge("millpond_ledger_writes_stopped", help, u8::from(ledger.writes_stopped));
    }

    fn process(&mut self, process: &Process) {
        self.counter("process_cpu_seconds_total", "Time that all threads ran.", process.cpu_s);
        self.gauge("process_resident_memory_bytes", "Memory in use.", process.resident_bytes);
        self.gauge("process_virtual_memory_bytes", "Addresses in use.", process.virtual_bytes);
        self.gauge("process_start_time_seconds", "When it started, since 1970.", process.started_s);
        self.gauge("process_threads", "Threads.", process.threads);
        self.gauge("process_open_fds", "Files and sockets that are open.", process.open_files);
        if let Some(most) = process.open_files_max {
            self.gauge("process_max_fds", "Files and sockets that may be open.", most);
        }
    }

    /// The samples of one histogram.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: &[(&'static str, &str)],
        distribution: &Distribution,
        unit: fn(u64) -> String,
    ) {
        let mut below = 0;
        let bucket = format!("{name}_bucket");
        for (bound, count) in distribution.bounds.iter().zip(&distribution.buckets) {
            below += count;
            self.sample(&bucket, &[labels, &[("le", &unit(*bound))]].concat(), below);
        }
        let count: u64 = distribution.buckets.iter().sum();
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), count);
        self.sample(&format!("{name}_sum"), labels, unit(distribution.sum));
        self.sample(&format!("{name}_count"), labels, count);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string takes everything");
    }
}

/// Microseconds as seconds, exactly: `0.00025`, `120`.
pub(super) fn seconds(us: u64) -> String {
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

    use super::{Scrape, text};
    use crate::invoker::{CallMetrics, LATENCY_BOUNDS_US, LatencyMetrics};

    /// Each family has its head once, directly before its samples, and label values are escaped.
    #[test]
    fn the_text() {
        let mut metrics =
            Metrics { paused: true, ingested: 7, lane_records: vec![3], lane_totals: vec![9], ..Metrics::default() };
        let input = |input| FunctionMetrics { input, dropped: 1, dead_letters: 2, ..FunctionMetrics::default() };
        metrics.functions.insert(TypeName::new("com.example", "greeter"), input(5));
        metrics.functions.insert(TypeName::new("odd\"\\", "a\nb"), input(6));
        let lanes = [LaneName { egress: TypeName::new("io.statefun.playground", "egress"), part: "ü\"".to_owned() }];
        let text = text(Scrape { metrics, ready: true, lanes: &lanes, ..Scrape::default() });
        for line in [
            "millpond_ready 1",
            "millpond_intake_paused 1",
            "# TYPE millpond_events_ingested_total counter",
            "millpond_events_ingested_total 7",
            r#"millpond_egress_records{egress="io.statefun.playground/egress",topic="ü\""} 3"#,
            r#"millpond_egress_records_total{egress="io.statefun.playground/egress",topic="ü\""} 9"#,
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

    /// Series do not grow with the names that messages bring: the others are one series, which no function type can have.
    #[test]
    fn others() {
        let own = TypeName::new("a", "own");
        let other_functions = FunctionMetrics { input: 40, backlog: 5, running: 2, ..FunctionMetrics::default() };
        let functions = [(own.clone(), FunctionMetrics::default())].into();
        let metrics = Metrics { functions, other_functions, function_types: 7, ..Metrics::default() };
        let call = |function: TypeName, code: &'static str, failures| CallMetrics {
            function,
            attempts: 1,
            failures: vec![(code, failures)],
            latency: LatencyMetrics { buckets: [1; LATENCY_BOUNDS_US.len() + 1], sum_us: 10 },
            connections_open: 2,
            connections_idle: 1,
        };
        let strange = |name: &str| TypeName::new("a", name);
        let calls = vec![
            call(strange("x"), "MP4005", 2),
            call(strange("y"), "MP4001", 3),
            call(own, "MP4001", 1),
            call(strange("z"), "MP4001", 4),
        ];
        let text = text(Scrape { metrics, calls, ..Scrape::default() });
        for line in [
            r#"statefun_function_in_total{others="true"} 40"#,
            r#"statefun_function_num_backlog{others="true"} 3"#,
            r#"millpond_call_failures_total{others="true",code="MP4001"} 7"#,
            r#"millpond_call_failures_total{others="true",code="MP4005"} 2"#,
            r#"millpond_call_failures_total{namespace="a",name="own",code="MP4001"} 1"#,
            r#"millpond_call_connections{others="true",state="busy"} 3"#,
            r#"statefun_function_remote_invocation_latency_seconds_count{others="true"} 54"#,
            r#"statefun_function_remote_invocation_latency_seconds_sum{others="true"} 0.00003"#,
            "millpond_function_types 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains(r#"name="x""#), "{text}");
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
        let text = text(Scrape { calls: vec![call], ..Scrape::default() });
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
