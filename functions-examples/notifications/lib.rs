//! Notifications over platforms that fail: each ends exactly once, delivered or dead.
//!
//! `notifications/notification` (one instance for each notification) hands it to its platform, a topic, and waits for
//! feedback. A refusal, and silence, lead to another attempt, later each time; behind the fifth retry it is dead.
//! `notifications/platform` (one for each platform) counts.

mod notification;
mod platform;

pub use notification::{DEAD, DELIVERED, Ended, Feedback, Notify, PLATFORMS, RETRIES, Sending, Times};
pub use platform::{COUNTS, Counts};

use millpond_sdk::{Functions, with};

/// The functions.
pub fn functions(times: Times) -> Functions {
    Functions::new()
        .bind("notifications/notification", notification::STATE, with(times, notification::notification))
        .bind("notifications/platform", COUNTS, platform::platform)
}
