//! `Retry-After`: how long the other side asks to be left alone.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use millpond_engine::Millis;

/// Longer waits are cut to this: a mistyped header must not stop an address for a year.
pub const RETRY_AFTER_MS_MAX: Millis = 5 * 60 * 1000;

/// The wait in milliseconds; `None` when there is no header, or one that says nothing. A date that has passed is zero.
pub fn parse(headers: &HeaderMap, now: SystemTime) -> Option<Millis> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a long time.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(Millis::try_from(wait.as_millis()).unwrap_or(Millis::MAX).min(RETRY_AFTER_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds and dates are read, long waits are bounded, nonsense is ignored.
    #[test]
    fn both_forms_are_read_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let date = |at: SystemTime| httpdate::fmt_http_date(at);
        for (text, expected) in [
            ("0".to_owned(), Some(0)),
            ("7".to_owned(), Some(7_000)),
            (" 7 ".to_owned(), Some(7_000)),
            ("86400".to_owned(), Some(RETRY_AFTER_MS_MAX)),
            ("99999999999999999999999999".to_owned(), Some(RETRY_AFTER_MS_MAX)),
            (date(now + Duration::from_secs(30)), Some(30_000)),
            (date(now - Duration::from_secs(30)), Some(0)),
            (date(now + Duration::from_secs(1_000_000)), Some(RETRY_AFTER_MS_MAX)),
            ("-1".to_owned(), None),
            ("1.5".to_owned(), None),
            ("soon".to_owned(), None),
            (String::new(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header value"));
            assert_eq!(parse(&headers, now), expected, "{text:?}");
        }
        assert_eq!(parse(&HeaderMap::new(), now), None);
    }
}
