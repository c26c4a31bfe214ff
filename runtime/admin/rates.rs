//! Rates as upstream's meters give them: a sample every 5 s, and the growth of a counter over the last 60 s.
//!
//! In: what the engine counted, at each sample. Out: gauges. It owns the last samples. A counter that began less than 60 s ago
//! has grown from zero, as upstream (`MeterView`) reads it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use millpond_engine::{FunctionMetrics, Metrics};
use millpond_protocol::TypeName;

/// Time between two samples.
pub const EVERY: Duration = Duration::from_secs(5);

/// Samples that a minute is looked back at.
const SAMPLES: usize = 12;

/// Length of the time that is averaged over.
const SECONDS: f64 = 60.0;

/// What upstream keeps rates of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FunctionRates {
    /// `inRate`.
    pub input: f64,
    /// `outLocalRate`.
    pub out_local: f64,
    /// `outEgressRate`.
    pub out_egress: f64,
    /// `remoteInvocationFailuresRate`.
    pub failures: f64,
}

/// The counters behind them.
type Counters = [u64; 4];

/// The samples of the last minute.
#[derive(Debug, Default)]
pub struct Rates {
    functions: BTreeMap<TypeName, VecDeque<Counters>>,
    others: VecDeque<Counters>,
}

impl Rates {
    /// Takes the next sample.
    pub fn sample(&mut self, metrics: &Metrics) {
        for (function, metrics) in &metrics.functions {
            match self.functions.get_mut(function) {
                Some(samples) => push(samples, metrics),
                None => push(self.functions.entry(function.clone()).or_default(), metrics),
            }
        }
        push(&mut self.others, &metrics.other_functions);
    }

    /// The rates of a function type, per second.
    pub fn of(&self, function: &TypeName) -> FunctionRates {
        self.functions.get(function).map(rates).unwrap_or_default()
    }

    /// The rates of all that have none of their own.
    pub fn of_others(&self) -> FunctionRates {
        rates(&self.others)
    }
}

fn push(samples: &mut VecDeque<Counters>, metrics: &FunctionMetrics) {
    if samples.len() > SAMPLES {
        samples.pop_front();
    }
    samples.push_back([metrics.input, metrics.out_local, metrics.out_egress, metrics.failures]);
}

fn rates(samples: &VecDeque<Counters>) -> FunctionRates {
    let Some(last) = samples.back() else { return FunctionRates::default() };
    let minute_ago = if samples.len() > SAMPLES { samples[0] } else { Counters::default() };
    let [input, out_local, out_egress, failures] =
        std::array::from_fn(|at| last[at].saturating_sub(minute_ago[at]) as f64 / SECONDS);
    FunctionRates { input, out_local, out_egress, failures }
}

#[cfg(test)]
mod tests {
    use millpond_engine::{FunctionMetrics, Metrics};
    use millpond_protocol::TypeName;

    use super::{FunctionRates, Rates};

    /// What came in the last twelve samples, over 60 s; a fresh counter grew from zero.
    #[test]
    fn a_minute() {
        let function = TypeName::new("a", "b");
        let mut rates = Rates::default();
        assert_eq!(rates.of(&function), FunctionRates::default());
        let mut sample = |input, failures| {
            let metrics = FunctionMetrics { input, failures, ..FunctionMetrics::default() };
            let functions = [(function.clone(), metrics)].into();
            rates.sample(&Metrics { functions, other_functions: metrics, ..Metrics::default() });
            assert_eq!(rates.of(&function), rates.of_others());
            (rates.of(&function).input, rates.of(&function).failures)
        };
        assert_eq!(sample(30, 6), (0.5, 0.1));
        for _ in 0..11 {
            assert_eq!(sample(60, 6), (1.0, 0.1));
        }
        assert_eq!(sample(60, 6), (0.5, 0.0), "what came before the first sample is over a minute ago");
        assert_eq!(sample(60, 12), (0.0, 0.1));
    }
}
