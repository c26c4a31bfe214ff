//! "Did you mean": the known words nearest to an unknown one.
//!
//! In: what was written and what would have been understood. Out: the nearest words, or none when nothing is near: a
//! wrong suggestion costs more than none.

/// The nearest of the candidates, if one is near.
pub fn near_miss<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    near_misses(written, candidates).into_iter().next()
}

/// The near ones, nearest first, three at most.
pub fn near_misses<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<&'c str> {
    // Distances cost the product of both lengths; nothing that is worth a suggestion is this long.
    const LENGTH_MAX: usize = 256;
    if written.is_empty() || written.len() > LENGTH_MAX {
        return Vec::new();
    }
    let lower = written.to_lowercase();
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LENGTH_MAX)
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            let longer = written.chars().count().max(candidate.chars().count());
            (distance <= (longer / 3).clamp(1, 6)).then_some((distance, candidate))
        })
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|(_, candidate)| candidate).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::{near_miss, near_misses};

    /// Slips of the finger and of case are found; other words are not.
    #[test]
    fn near_and_far() {
        let fields = ["functions", "urlPathTemplate", "maxNumBatchRequests", "transport"];
        for (written, expected) in [
            ("transports", Some("transport")),
            ("function", Some("functions")),
            ("urlpathtemplate", Some("urlPathTemplate")),
            ("maxBatchRequests", Some("maxNumBatchRequests")),
            ("retries", None),
            ("", None),
        ] {
            assert_eq!(near_miss(written, fields), expected, "{written}");
        }
        assert_eq!(near_misses("b", ["a", "c", "bb", "xyz"]), ["a", "bb", "c"]);
    }
}
