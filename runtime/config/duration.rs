//! The duration grammar of module files, that of Flink's `TimeUtils`.
//!
//! `<digits><optional spaces><unit>`, surrounding spaces dropped, the unit in any case, milliseconds without a unit. No
//! sign, no fraction, no ISO 8601, no combination of units.

use std::fmt;
use std::time::Duration;

/// Units by label, in nanoseconds.
const UNITS: &[(&[&str], u128)] = &[
    (&["ns", "nano", "nanos", "nanosecond", "nanoseconds"], 1),
    (&["µs", "micro", "micros", "microsecond", "microseconds"], 1_000),
    (&["ms", "milli", "millis", "millisecond", "milliseconds"], 1_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    (&["min", "m", "minute", "minutes"], 60 * 1_000_000_000),
    (&["h", "hour", "hours"], 3_600 * 1_000_000_000),
    (&["d", "day", "days"], 86_400 * 1_000_000_000),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidDuration {
    /// There is nothing but spaces.
    Empty,
    /// It does not start with a digit.
    NoNumber,
    /// The number does not fit 63 bits, or the duration does not fit 63 bits of seconds.
    TooLarge,
    /// The unit is not known.
    UnknownUnit,
}

/// Parses a duration.
///
/// # Errors
/// [`InvalidDuration`] says what is missing.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let text = text.trim_matches(|c: char| c <= ' ');
    if text.is_empty() {
        return Err(InvalidDuration::Empty);
    }
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() {
        return Err(InvalidDuration::NoNumber);
    }
    let number: i64 = digits.parse().map_err(|_| InvalidDuration::TooLarge)?;
    let unit = unit.trim_matches(|c: char| c <= ' ').to_lowercase();
    let unit_ns = match unit.as_str() {
        "" => 1_000_000,
        label => {
            let known = UNITS.iter().find(|(labels, _)| labels.contains(&label));
            known.map(|(_, unit_ns)| *unit_ns).ok_or(InvalidDuration::UnknownUnit)?
        }
    };
    // 63 bits times a day in nanoseconds is 110 bits.
    let total_ns = u128::from(number.unsigned_abs()) * unit_ns;
    let seconds = i64::try_from(total_ns / 1_000_000_000).map_err(|_| InvalidDuration::TooLarge)?;
    let nanos = u32::try_from(total_ns % 1_000_000_000).map_err(|_| InvalidDuration::TooLarge)?;
    Ok(Duration::new(seconds.unsigned_abs(), nanos))
}

impl InvalidDuration {
    /// An edit that may have been meant.
    pub(crate) fn hint(self, text: &str) -> Option<String> {
        let upper = text.trim().to_uppercase();
        if upper.starts_with("PT") || upper.starts_with("P1") {
            return Some("ISO 8601 durations are not read here; write `90s` or `1 min`".to_owned());
        }
        match self {
            InvalidDuration::UnknownUnit if text.contains(['.', ',']) => {
                Some("fractions are not read; use a smaller unit: `1500ms` for one and a half seconds".to_owned())
            }
            InvalidDuration::UnknownUnit => Some("one number and one unit: `90s`, `1 min`, `500ms`".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidDuration::Empty => "empty",
            InvalidDuration::NoNumber => "expected digits and a unit, such as `30s`",
            InvalidDuration::TooLarge => "too large",
            InvalidDuration::UnknownUnit => "expected one of the units d, h, min, s, ms, µs, ns behind the number",
        })
    }
}

/// A duration in the largest unit that leaves no remainder: the form in which we print them.
pub fn display(duration: Duration) -> String {
    let total_ns = duration.as_nanos();
    let fitting = UNITS.iter().rev().find(|(_, unit_ns)| total_ns > 0 && total_ns.is_multiple_of(*unit_ns));
    match fitting {
        Some((labels, unit_ns)) => format!("{}{}", total_ns / unit_ns, labels[0]),
        None => "0s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{InvalidDuration, UNITS, display, parse};

    /// The grammar table of the module format.
    #[test]
    fn grammar() {
        let ms = |ms| Ok(Duration::from_millis(ms));
        for (text, expected) in [
            ("500", ms(500)),
            ("0", ms(0)),
            ("0s", ms(0)),
            ("1minute", ms(60_000)),
            ("1 min", ms(60_000)),
            ("10 sec", ms(10_000)),
            ("2m", ms(120_000)),
            ("15min", ms(900_000)),
            ("1day", ms(86_400_000)),
            ("  7 \t S ", ms(7_000)),
            ("3H", ms(3 * 3_600_000)),
            ("5 MilliSeconds", ms(5)),
            ("5µs", Ok(Duration::from_micros(5))),
            ("5ns", Ok(Duration::from_nanos(5))),
            ("007s", ms(7_000)),
            ("9223372036854775807 s", Ok(Duration::from_secs(i64::MAX.unsigned_abs()))),
            ("9223372036854775807 d", Err(InvalidDuration::TooLarge)),
            ("9223372036854775808", Err(InvalidDuration::TooLarge)),
            ("", Err(InvalidDuration::Empty)),
            ("   ", Err(InvalidDuration::Empty)),
            ("s", Err(InvalidDuration::NoNumber)),
            ("-1s", Err(InvalidDuration::NoNumber)),
            ("+1s", Err(InvalidDuration::NoNumber)),
            ("PT1M", Err(InvalidDuration::NoNumber)),
            ("1.5s", Err(InvalidDuration::UnknownUnit)),
            ("1 fortnight", Err(InvalidDuration::UnknownUnit)),
            ("1h30m", Err(InvalidDuration::UnknownUnit)),
            ("1us", Err(InvalidDuration::UnknownUnit)),
            ("1 2s", Err(InvalidDuration::UnknownUnit)),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    /// Every label of the table is read, and what we print is read back as the same duration.
    #[test]
    fn labels_and_display() {
        for (labels, unit_ns) in UNITS {
            for label in *labels {
                let duration = parse(&format!("3{label}")).expect("a label of the table");
                assert_eq!(duration.as_nanos(), 3 * unit_ns, "{label}");
                assert_eq!(parse(&display(duration)), Ok(duration));
            }
        }
        assert_eq!(display(Duration::ZERO), "0s");
        assert_eq!(display(Duration::from_secs(120)), "2min");
    }
}
