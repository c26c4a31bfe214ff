//! Made-up accounts and what happens to them, from a seed.
//!
//! Out: messages for accounts in the order in which they arrive, with labels that only the judge of the demo sees. It is
//! written from how people and thieves behave and shares no constant with the rules: most accounts pay for groceries and
//! trains; some travel, get a new phone, buy a sofa or shop for an hour; some are robbed, in one of four ways.

use millpond_fraud::{BlockAccount, ConfirmFraud, Transaction, UnblockAccount};
use millpond_sdk::Value;

use crate::random::Random;

/// A message for an account.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The account.
    pub account: String,
    /// When it arrives, in event time; only the order counts.
    at: i64,
    /// Typename and JSON.
    pub typename: &'static str,
    pub value: String,
    /// For a transaction, its id.
    pub transaction: Option<String>,
    /// For a transaction of a thief, the number of the episode.
    pub episode: Option<usize>,
}

const SECOND: f64 = 1e3;
const MINUTE: f64 = 60.0 * SECOND;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;

/// 2026-01-01, UTC.
const START: f64 = 1_767_225_600_000.0;
const DAYS: f64 = 45.0;
/// Thieves come when an account has a past.
const HONEST_DAYS: f64 = 8.0;

struct City(&'static str, f64, f64);

static HOMES: [(City, &str); 8] = [
    (City("Turin", 45.07, 7.69), "EUR"),
    (City("Lyon", 45.76, 4.84), "EUR"),
    (City("Ghent", 51.05, 3.72), "EUR"),
    (City("Leipzig", 51.34, 12.37), "EUR"),
    (City("Porto", 41.15, -8.61), "EUR"),
    (City("Leeds", 53.80, -1.55), "GBP"),
    (City("Basel", 47.56, 7.59), "CHF"),
    (City("Boston", 42.36, -71.06), "USD"),
];

static FAR: [City; 6] = [
    City("Manila", 14.60, 120.98),
    City("Lagos", 6.52, 3.38),
    City("Bogota", 4.71, -74.07),
    City("Perth", -31.95, 115.86),
    City("Seoul", 37.57, 126.98),
    City("Tbilisi", 41.72, 44.79),
];

/// How one account pays.
struct Person {
    name: String,
    home: &'static City,
    currency: &'static str,
    typical: f64,
    a_day: f64,
    noon: f64,
    device: String,
}

impl Arrival {
    /// When it arrives, in event time.
    pub fn at(&self) -> i64 {
        self.at
    }
}

/// Everything that happens to one population.
struct Traffic {
    random: Random,
    arrivals: Vec<Arrival>,
    episodes: usize,
    transactions: u64,
}

/// Makes a population from a seed: its messages in the order of arrival, and how many episodes of fraud are in them.
pub fn population(seed: u64, accounts: usize) -> (Vec<Arrival>, usize) {
    let mut traffic = Traffic { random: Random(seed), arrivals: Vec::new(), episodes: 0, transactions: 0 };
    for number in 0..accounts {
        let name = format!("S{seed}-{number:03}");
        traffic.live(name);
    }
    traffic.arrivals.sort_by_key(Arrival::at);
    (traffic.arrivals, traffic.episodes)
}

impl Traffic {
    fn live(&mut self, name: String) {
        let (home, currency) = self.random.pick(&HOMES);
        let mut person = Person {
            home,
            currency,
            typical: self.random.between(9.0, 48.0),
            a_day: self.random.between(1.6, 3.6),
            noon: self.random.between(11.0, 16.0),
            device: format!("{name}-phone"),
            name,
        };
        let trip = self.random.chance(0.08).then(|| self.random.between(5.0, DAYS - 8.0));
        let new_phone = self.random.chance(0.12).then(|| self.random.between(3.0, DAYS));
        let sofa = self.random.chance(0.15).then(|| self.random.between(12.0, DAYS));
        let spree = self.random.chance(0.15).then(|| self.random.between(2.0, DAYS));
        let robbed = self.random.chance(0.4).then(|| self.random.between(HONEST_DAYS, DAYS - 2.0));

        for day in 0..DAYS as i64 {
            let day = day as f64;
            if new_phone.is_some_and(|moment| day > moment) && !person.device.ends_with('2') {
                person.device.push('2');
                if self.random.chance(0.4) {
                    // The first thing it buys is a case and more.
                    let amount = person.typical * self.random.between(2.0, 24.0);
                    self.pay(&person, moment_of(day, 15.0), amount, person.home, None);
                }
            }
            let mut payments = (person.a_day + self.random.normal()).round().max(0.0) as i64;
            let mut city = person.home;
            if let Some(leaves) = trip {
                if (leaves..leaves + 5.0).contains(&day) {
                    city = &FAR[(leaves * 7.0) as usize % FAR.len()];
                }
                // A day in planes on either side.
                if (leaves - 1.0..leaves).contains(&day) || (leaves + 5.0..leaves + 6.0).contains(&day) {
                    payments = 0;
                }
            }
            for _ in 0..payments {
                let night = self.random.chance(0.006);
                let hour =
                    if night { self.random.between(0.0, 24.0) } else { person.noon + 2.3 * self.random.normal() };
                let amount = person.typical * (0.65 * self.random.normal()).exp().min(7.0);
                self.pay(&person, moment_of(day, hour), amount, city, None);
            }
            if sofa.is_some_and(|moment| moment as i64 == day as i64) {
                let amount = person.typical * self.random.between(9.0, 35.0);
                self.pay(&person, moment_of(day, person.noon), amount, city, None);
            }
            if spree.is_some_and(|moment| moment as i64 == day as i64) {
                let mut moment = moment_of(day, person.noon + 1.0);
                for _ in 0..self.random.whole(4, 9) {
                    let amount = person.typical * self.random.between(0.3, 1.6);
                    self.pay(&person, moment, amount, city, None);
                    moment += self.random.between(12.0, 150.0) * SECOND;
                }
            }
            if robbed.is_some_and(|moment| moment as i64 == day as i64) {
                self.rob(&person, day);
            }
        }
    }

    fn rob(&mut self, person: &Person, day: f64) {
        let episode = Some(self.episodes);
        self.episodes += 1;
        let stolen = Person {
            name: person.name.clone(),
            device: format!("{}-x{}", person.name, self.random.whole(100, 999)),
            home: person.home,
            currency: person.currency,
            ..*person
        };
        let hour = self.random.between(0.0, 24.0);
        let mut moment = moment_of(day, hour);
        match self.random.whole(0, 3) {
            // Which of these cards works? Small sums, quickly.
            0 => {
                for _ in 0..self.random.whole(9, 16) {
                    let amount = self.random.between(0.5, 9.0);
                    self.pay(&stolen, moment, amount, person.home, episode);
                    moment += self.random.between(2.0, 24.0) * SECOND;
                }
            }
            // All that it gives, before anybody looks.
            1 => {
                let thief = if self.random.chance(0.6) { &stolen } else { person };
                for _ in 0..self.random.whole(4, 7) {
                    let amount = self.random.between(1500.0, 4900.0);
                    self.pay(thief, moment, amount, person.home, episode);
                    moment += self.random.between(12.0, 55.0) * SECOND;
                }
            }
            // A copy of the card, far away, while its owner has lunch.
            2 => {
                let lunch = moment_of(day, person.noon);
                self.pay(person, lunch, person.typical, person.home, None);
                let place = self.random.pick(&FAR);
                moment = lunch + self.random.between(9.0, 70.0) * MINUTE;
                for _ in 0..self.random.whole(2, 4) {
                    let amount = person.typical * self.random.between(3.0, 30.0);
                    self.pay(&stolen, moment, amount, place, episode);
                    moment += self.random.between(1.0, 5.0) * MINUTE;
                }
            }
            // The account is taken over, at night.
            _ => {
                moment = moment_of(day, person.noon + 12.0 + self.random.between(-2.0, 2.0));
                for _ in 0..self.random.whole(1, 4) {
                    let amount = self.random.between(130.0, 1900.0);
                    self.pay(&stolen, moment, amount, person.home, episode);
                    moment += self.random.between(3.0, 25.0) * MINUTE;
                }
            }
        }
        if self.random.chance(0.6) {
            let found_out = moment + self.random.between(0.5, 6.0) * HOUR;
            let alert_id = format!("episode-{}", self.episodes);
            let account_id = person.name.clone();
            self.say(&person.name, found_out, &ConfirmFraud { account_id, alert_id, fraud: true });
            if self.random.chance(0.5) {
                self.say(&person.name, found_out, &BlockAccount { account_id: person.name.clone() });
                let again = found_out + self.random.between(0.4, 2.0) * DAY;
                self.say(&person.name, again, &UnblockAccount { account_id: person.name.clone() });
            }
        }
    }

    fn pay(&mut self, person: &Person, moment: f64, amount: f64, city: &City, episode: Option<usize>) {
        self.transactions += 1;
        let transaction = Transaction {
            transaction_id: format!("T{}", self.transactions),
            account_id: person.name.clone(),
            amount: (amount * 100.0).round().max(1.0) / 100.0,
            currency: person.currency.to_owned(),
            timestamp: moment as i64,
            location: city.0.to_owned(),
            device_id: person.device.clone(),
            lat: city.1 + self.random.between(-0.05, 0.05),
            lon: city.2 + self.random.between(-0.05, 0.05),
        };
        let value = serde_json::to_string(&transaction).expect("text and numbers");
        let delay = if self.random.chance(0.02) {
            self.random.between(1.0, 25.0) * MINUTE
        } else {
            self.random.between(0.05, 1.5) * SECOND
        };
        let mut arrival = Arrival {
            account: person.name.clone(),
            at: (moment + delay) as i64,
            typename: Transaction::TYPENAME,
            value,
            transaction: Some(transaction.transaction_id),
            episode,
        };
        self.arrivals.push(arrival.clone());
        if self.random.chance(0.01) {
            arrival.at += (self.random.between(0.5, 90.0) * SECOND) as i64;
            self.arrivals.push(arrival);
        }
    }

    fn say<T: Value + serde::Serialize>(&mut self, account: &str, moment: f64, message: &T) {
        self.arrivals.push(Arrival {
            account: account.to_owned(),
            at: moment as i64,
            typename: T::TYPENAME,
            value: serde_json::to_string(message).expect("text"),
            transaction: None,
            episode: None,
        });
    }
}

/// A moment of a day; hours beyond it belong to its neighbours.
fn moment_of(day: f64, hour: f64) -> f64 {
    START + day * DAY + hour * HOUR
}
