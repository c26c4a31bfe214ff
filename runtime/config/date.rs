//! The date format of start positions: `yyyy-MM-dd HH:mm:ss.SSS Z`.
//!
//! Upstream takes exactly three digits of fraction and a zone as `+HHMM`, which its own documentation gets wrong. We take
//! that, and also `Z`, `+HH:MM`, and one to nine digits of fraction or none.

/// Milliseconds since 1970-01-01T00:00Z, if the text is a date.
pub fn parse(text: &str) -> Option<i64> {
    let mut parts = text.split(' ');
    let (day, time, zone) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, fraction_ms(fraction)?),
        None => (time, 0),
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let in_range = (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    in_range.then_some((seconds - zone_seconds(zone)?) * 1_000 + fraction)
}

/// Exactly three numbers of exactly these widths.
fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[i64; 3]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let mut numbers = [0; 3];
    for (at, width) in widths.into_iter().enumerate() {
        numbers[at] = digits(parts.get(at)?, width)?;
    }
    (parts.len() == 3).then_some(numbers)
}

fn digits(text: &str, width: usize) -> Option<i64> {
    let fits = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn fraction_ms(fraction: &str) -> Option<i64> {
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<3}")[..3].parse().ok()
}

/// `Z`, `+HHMM` or `+HH:MM`, as seconds east.
fn zone_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, zone.strip_prefix('+')?),
    };
    let compact = match rest.split_once(':') {
        Some((hours, minutes)) if hours.len() == 2 && minutes.len() == 2 => {
            format!("{hours}{minutes}")
        }
        Some(_) => return None,
        None => rest.to_owned(),
    };
    let number = digits(&compact, 4)?;
    let (hours, minutes) = (number / 100, number % 100);
    // Java's zones end at 18 hours.
    (minutes < 60 && hours * 60 + minutes <= 18 * 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, of the Gregorian calendar in both directions.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leaps_before = |year: i64| {
        let year = year - 1;
        year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)
    };
    let days_before_year = (year - 1970) * 365 + leaps_before(year) - leaps_before(1970);
    let days_before_month: i64 = (1..month).map(|month| days_of_month(year, month)).sum();
    days_before_year + days_before_month + day - 1
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// The table of dates: upstream's form, our additions, and what stays refused.
    #[test]
    fn grammar() {
        for (text, expected) in [
            ("2020-02-01 04:15:00.000 +0000", Some(1_580_530_500_000)),
            ("2020-02-01 04:15:00.123 +0100", Some(1_580_526_900_123)),
            ("2020-02-01 04:15:00.000 -0530", Some(1_580_550_300_000)),
            ("1970-01-01 00:00:00.000 +0000", Some(0)),
            ("1969-12-31 23:59:59.999 +0000", Some(-1)),
            ("2000-02-29 00:00:00.000 +0000", Some(951_782_400_000)),
            ("9999-12-31 23:59:59.999 +0000", Some(253_402_300_799_999)),
            ("2020-02-01 04:15:00.00 Z", Some(1_580_530_500_000)),
            ("2020-02-01 04:15:00 Z", Some(1_580_530_500_000)),
            ("2020-02-01 04:15:00.5 +00:00", Some(1_580_530_500_500)),
            ("2020-02-01 04:15:00.123456789 Z", Some(1_580_530_500_123)),
            ("2020-02-30 04:15:00.000 +0000", None),
            ("2019-02-29 04:15:00.000 +0000", None),
            ("1900-02-29 04:15:00.000 +0000", None),
            ("2020-13-01 04:15:00.000 +0000", None),
            ("2020-00-01 04:15:00.000 +0000", None),
            ("2020-02-01 24:00:00.000 +0000", None),
            ("2020-02-01 04:60:00.000 +0000", None),
            ("2020-02-01T04:15:00.000 +0000", None),
            ("2020-2-1 04:15:00.000 +0000", None),
            ("2020-02-01 04:15:00.000", None),
            ("2020-02-01 04:15:00.000 UTC", None),
            ("2020-02-01 04:15:00.000 +00", None),
            ("2020-02-01 04:15:00.000 +1900", None),
            ("2020-02-01 04:15:00.000 +0:000", None),
            ("2020-02-01 04:15:00. Z", None),
            ("2020-02-01 04:15:00.1234567890 Z", None),
            ("2020-02-01  04:15:00.000 +0000", None),
            ("-020-02-01 04:15:00.000 +0000", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
