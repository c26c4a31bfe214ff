//! The features of a transaction, and the rules that it hits. Pure; `RULES.md` is the specification.

use crate::messages::{Features, Transaction};
use crate::profile::{DAY, HOUR, MINUTE, Profile, hour_of_day};

const LARGE_CENTS: i64 = 200_000;
const NEW_DEVICE_CENTS: i64 = 50_000;
const FAR_M: i64 = 500_000;
const AVERAGE_COUNT_MIN: i64 = 10;
const AVERAGE_TIMES: i64 = 3;
const HOURS_COUNT_MIN: i64 = 20;
const EARTH_M: f64 = 6_371_000.0;

/// A transaction as the rules see it.
pub(crate) struct Judgement {
    pub(crate) features: Features,
    /// The rules that it hits, and their words.
    pub(crate) hits: Vec<(&'static str, String)>,
}

/// `round` of the rules: the whole number below `x + 0.5`.
pub(crate) fn round(x: f64) -> i64 {
    (x + 0.5).floor() as i64
}

/// Euro cents; `None` for a currency or an amount that no transaction has.
pub(crate) fn euro_cents(amount: f64, currency: &str) -> Option<i64> {
    let rate = match currency {
        "EUR" => 10_000,
        "USD" => 9_200,
        "GBP" => 11_700,
        "CHF" => 10_500,
        _ => return None,
    };
    (amount > 0.0 && amount <= 10_000_000.0).then(|| (round(amount * 100.0) * rate + 5_000) / 10_000)
}

/// Judges a transaction by what was recorded before it.
pub(crate) fn judge(profile: &Profile, transaction: &Transaction, cents: i64) -> Judgement {
    let time = transaction.timestamp;
    let within = |span: i64| profile.recent.iter().filter(move |r| r.1 > time - span && r.1 <= time);
    let large_in_5m = count(within(5 * MINUTE).filter(|r| r.2 > LARGE_CENTS)) + i64::from(cents > LARGE_CENTS);
    let count_in_2m = count(within(2 * MINUTE)) + 1;
    // `max_by_key` gives the last of equal ones, and `recent` is in the order of arrival.
    let before = profile.recent.iter().filter(|r| r.1 >= time - HOUR && r.1 <= time).max_by_key(|r| r.1);
    let distance_m = before.map_or(0, |r| distance_m((r.3, r.4), (transaction.lat, transaction.lon)));

    let month = profile.days.range(time / DAY - 29..=time / DAY);
    let (n, sum) = month.fold((0, 0), |(n, sum), (_, (count, cents))| (n + count, sum + cents));
    let average_ratio = if n >= AVERAGE_COUNT_MIN { (cents * 100 * n + sum / 2) / sum } else { 0 };

    let hour = hour_of_day(time);
    let total: i64 = profile.hours.iter().sum();
    let near: i64 = [23, 0, 1].iter().map(|step| profile.hours[(hour + step) % 24]).sum();
    let new_device = profile.newest.is_some() && !profile.devices.contains_key(&transaction.device_id);

    let mut hits = Vec::new();
    let mut rule = |name, hit: bool, words: String| {
        if hit {
            hits.push((name, words));
        }
    };
    let words = format!("{large_in_5m} payments over 2,000 EUR in 5 minutes");
    rule("burst", cents > LARGE_CENTS && large_in_5m >= 3, words);
    rule("velocity", count_in_2m > 5, format!("{count_in_2m} payments in 2 minutes"));
    let words = format!("{} km from the payment before, within an hour", distance_m / 1000);
    rule("impossible-travel", distance_m > FAR_M, words);
    let tenths = average_ratio / 10;
    let words = format!("{}.{} times the 30-day average", tenths / 10, tenths % 10);
    rule("amount-spike", n >= AVERAGE_COUNT_MIN && cents * n > AVERAGE_TIMES * sum, words);
    let words = format!("{}.{:02} EUR from a new device", cents / 100, cents % 100);
    rule("new-device", new_device && cents > NEW_DEVICE_CENTS, words);
    let words = format!("an unusual hour ({hour:02}:00 UTC)");
    rule("unusual-hour", total >= HOURS_COUNT_MIN && near * 50 < total, words);

    let features = Features {
        amount_cents: cents,
        large_in_5m,
        count_in_2m,
        distance_m,
        average_ratio,
        new_device: i64::from(new_device),
        hour_share: if total >= HOURS_COUNT_MIN { near * 10_000 / total } else { 10_000 },
        risk: profile.risk,
    };
    Judgement { features, hits }
}

fn count<T>(items: impl Iterator<Item = T>) -> i64 {
    i64::try_from(items.count()).expect("a profile is in memory")
}

/// Along a great circle.
fn distance_m((lat_1, lon_1): (f64, f64), (lat_2, lon_2): (f64, f64)) -> i64 {
    let (lat_1, lon_1, lat_2, lon_2) = (lat_1.to_radians(), lon_1.to_radians(), lat_2.to_radians(), lon_2.to_radians());
    let half = |difference: f64| (difference / 2.0).sin().powi(2);
    let h = half(lat_2 - lat_1) + lat_1.cos() * lat_2.cos() * half(lon_2 - lon_1);
    round(EARTH_M * 2.0 * h.min(1.0).sqrt().asin())
}
