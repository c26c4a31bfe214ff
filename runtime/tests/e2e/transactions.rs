//! Bank transactions to replay: generated from a seed, or read from a CSV file.

use std::io::Read;
use std::path::Path;

/// One transaction; the amount is text as in the file, because the exact sum is the point.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub id: String,
    pub account: String,
    pub credit: bool,
    pub amount: String,
}

impl Transaction {
    /// What it adds to the balance, in cents.
    pub fn cents(&self) -> i64 {
        let cents =
            cents(&self.amount).unwrap_or_else(|| panic!("amount `{}` of transaction {}", self.amount, self.id));
        if self.credit { cents } else { -cents }
    }
}

/// `12`, `12.5` and `12.50` in cents; `None` for anything else.
fn cents(amount: &str) -> Option<i64> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let fraction = match fraction.len() {
        0 => 0,
        1 => fraction.parse::<i64>().ok()? * 10,
        2 => fraction.parse::<i64>().ok()?,
        _ => return None,
    };
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(fraction)
}

/// The same seed gives the same numbers, on every machine (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; the bias of the remainder does not matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Transactions over a few accounts, some busy and most quiet, as in a real bank.
pub fn generate(seed: u64, count: usize, accounts: u64) -> Vec<Transaction> {
    let mut random = Random(seed);
    (0..count)
        .map(|number| {
            let spread = random.below(accounts) + 1;
            let account = random.below(spread);
            let cents = random.below(500_000) + 1;
            Transaction {
                id: format!("generated-{number}"),
                account: format!("account-{account}"),
                credit: random.below(100) < 52,
                amount: format!("{}.{:02}", cents / 100, cents % 100),
            }
        })
        .collect()
}

/// Reads a CSV file, gzipped or not. Columns are found by name: `transaction_id`, `account_id`, `type`, `amount`.
pub fn read_csv(path: &Path) -> Vec<Transaction> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzipped text");
    } else {
        text = String::from_utf8(bytes).expect("text");
    }
    assert!(!text.contains('"'), "{}: quoted fields are not read", path.display());

    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header line").split(',').collect();
    let column = |name: &str| {
        header
            .iter()
            .position(|found| *found == name)
            .unwrap_or_else(|| panic!("{} has no column `{name}`: {header:?}", path.display()))
    };
    let (id, account, kind, amount) =
        (column("transaction_id"), column("account_id"), column("type"), column("amount"));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), header.len(), "fields in the line `{line}`");
            assert!(matches!(fields[kind], "credit" | "debit"), "type in the line `{line}`");
            Transaction {
                id: fields[id].to_owned(),
                account: fields[account].to_owned(),
                credit: fields[kind] == "credit",
                amount: fields[amount].to_owned(),
            }
        })
        .collect()
}

#[test]
fn amounts_are_exact() {
    assert_eq!(cents("700.00"), Some(70_000));
    assert_eq!(cents("0.5"), Some(50));
    assert_eq!(cents("12"), Some(1_200));
    assert_eq!(cents("1.005"), None);
    assert_eq!(cents("x"), None);
}
