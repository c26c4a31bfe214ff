//! What a reader asks for in the query of its request.
//!
//! Upstream ignores queries, so parameters that mean nothing here are passed over. One that looks like a misspelt one of
//! ours is refused: a reader that meant to read must not take.

use std::collections::BTreeMap;
use std::time::Duration;

use super::http::EgressLimits;
use crate::errors::near_miss;

/// The query of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// `after`: read behind this sequence number, without taking.
    pub after: Option<u64>,
    /// `limit`: so many records at most.
    pub limit: Option<usize>,
    /// `wait_ms`: wait so long for the first record.
    pub wait: Option<Duration>,
    /// `upto`: free up to and including this sequence number.
    pub upto: Option<u64>,
}

const PARAMETERS: [&str; 4] = ["after", "limit", "upto", "wait_ms"];

impl Query {
    /// Reads a query; the error says what is wrong with it.
    pub fn parse(query: &str, limits: &EgressLimits) -> Result<Query, String> {
        let mut numbers = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if let Some(known) = PARAMETERS.iter().find(|known| **known == name) {
                let number = value.parse::<u64>().map_err(|_| {
                    let value: String = value.chars().take(32).collect();
                    format!("`{known}` is `{value}`, not a whole number of 0 or more")
                })?;
                if numbers.insert(*known, number).is_some() {
                    return Err(format!("`{known}` is given twice"));
                }
            } else if let Some(known) = near_miss(&name, PARAMETERS) {
                return Err(format!("there is no parameter `{name}`; did you mean `{known}`?"));
            }
        }
        let mut number = |name| numbers.remove(name);
        let limit = number("limit").map(|limit| within("limit", limit, 1, limits.page_records as u64)).transpose()?;
        let wait_ms = u64::try_from(limits.wait.as_millis()).unwrap_or(u64::MAX);
        let wait = number("wait_ms").map(|wait| within("wait_ms", wait, 0, wait_ms)).transpose()?;
        Ok(Query {
            after: number("after"),
            limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            wait: wait.map(Duration::from_millis),
            upto: number("upto"),
        })
    }
}

fn within(name: &str, number: u64, least: u64, most: u64) -> Result<u64, String> {
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(format!("`{name}` is {number}; it may be {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Query;
    use crate::egress::EgressLimits;

    /// Numbers within their limits are read, all else that looks like ours is refused, the rest is passed over.
    #[test]
    fn queries() {
        let after = |after| Query { after: Some(after), ..Query::default() };
        for (query, expected) in [
            ("", Ok(Query::default())),
            ("after=0", Ok(after(0))),
            ("after=%31%30", Ok(after(10))),
            ("after=18446744073709551615", Ok(after(u64::MAX))),
            ("_=1700000000&cache", Ok(Query::default())),
            ("after=1&limit=10000", Ok(Query { limit: Some(10_000), ..after(1) })),
            ("after=1&wait_ms=60000", Ok(Query { wait: Some(Duration::from_secs(60)), ..after(1) })),
            ("upto=7", Ok(Query { upto: Some(7), ..Query::default() })),
            ("after=", Err("`after` is ``, not a whole number of 0 or more")),
            ("after=-1", Err("`after` is `-1`, not a whole number of 0 or more")),
            ("after=18446744073709551616", Err("`after` is `18446744073709551616`, not a whole number of 0 or more")),
            ("after=1&after=2", Err("`after` is given twice")),
            ("after=1&limit=0", Err("`limit` is 0; it may be 1 to 10000")),
            ("after=1&limit=10001", Err("`limit` is 10001; it may be 1 to 10000")),
            ("after=1&wait_ms=60001", Err("`wait_ms` is 60001; it may be 0 to 60000")),
            ("aftr=1", Err("there is no parameter `aftr`; did you mean `after`?")),
            ("After=1", Err("there is no parameter `After`; did you mean `after`?")),
            ("up-to=1", Err("there is no parameter `up-to`; did you mean `upto`?")),
        ] {
            let found = Query::parse(query, &EgressLimits::default());
            assert_eq!(found, expected.map_err(str::to_owned), "{query}");
        }
    }
}
