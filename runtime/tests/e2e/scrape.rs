//! What `/metrics` says.

use std::collections::BTreeSet;

use reqwest::{Client, StatusCode};

use crate::runtime::Runtime;
use crate::wait::eventually;

/// Everything that a scrape says, line by line.
pub struct Scrape(pub String);

impl Scrape {
    pub async fn of(client: &Client, runtime: &Runtime) -> Scrape {
        let answer = client.get(format!("http://{}/metrics", runtime.field("admin"))).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        Scrape(answer.text().await.expect("a body"))
    }

    /// The value of a series, which has to be there.
    pub fn value(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("no {series} in\n{}", self.0))
    }

    /// The value of a series, if it is there.
    pub fn find(&self, series: &str) -> Option<f64> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().expect("a number"))
    }

    /// What a metric adds up to over all its series.
    pub fn sum(&self, metric: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(metric)).then(|| value.parse::<f64>().expect("a number"))
        });
        values.sum()
    }

    /// The names of all metrics; a histogram is one.
    pub fn metrics(&self) -> BTreeSet<&str> {
        self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
    }
}

/// Waits until a series has a value.
pub async fn becomes(client: &Client, runtime: &Runtime, series: &str, expected: f64) {
    eventually(&format!("{series} to be {expected}"), async || {
        let found = Scrape::of(client, runtime).await.find(series);
        (found == Some(expected)).then_some(())
    })
    .await;
}
