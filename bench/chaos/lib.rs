//! Exactly once over a real Kafka: the built binary, functions in processes of their own, and kills of all of them.
//!
//! A sender writes the numbers 1, 2, 3, ... under each of many keys to topic `numbers`. `chaos/counter` counts them, key by
//! key, and says so on topic `counts`; every fourth one it passes on to `chaos/quarter`, on another server, which says so on
//! topic `quarters`. A reader of committed records must see each key's numbers once and in order, whatever died meanwhile.
//!
//! | file | |
//! |---|---|
//! | `functions.rs` | the two functions, and the process that serves one of them |
//! | `cluster.rs` | the broker's processes: started, killed, paused |
//! | `clients.rs` | what is asked of Kafka from outside: topics, ends of logs, open transactions, lag |
//! | `sender.rs` | the numbers, at a steady rate, each once also when the broker dies |
//! | `judge.rs` | what a reader of committed records saw, held against what must be there |
//! | `stand.rs` | all of these together: one application under load |
//! | `chaos.rs` | the story of `make chaos` |
//! | `outage.rs` | the story of `make outage`: events over HTTP, and a broker that is away |

pub mod chaos;
mod clients;
mod cluster;
mod functions;
mod judge;
pub mod outage;
mod random;
mod report;
mod sender;
pub mod stand;

pub use cluster::has_java;
pub use functions::serve;

/// The topic that is read.
const NUMBERS: &str = "numbers";
/// What `chaos/counter` says.
const COUNTS: &str = "counts";
/// What `chaos/quarter` says.
const QUARTERS: &str = "quarters";
/// What `chaos/burst` says.
const BURSTS: &str = "bursts";
/// The application, and so the topic of its cursor.
const APP: &str = "chaos";
