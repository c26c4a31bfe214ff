//! `notifications/notification`: one notification, from the wish to its end.
//!
//! In: the wish, feedback of the platform, and its own delayed messages. Out: an attempt on the platform's topic, at the end
//! one record on `delivered` or `dead-letters`. State: where it stands. An attempt has a number, so that feedback and time
//! limits of an older one cannot be taken for those of the current one.

use std::time::Duration;

use millpond_sdk::{Context, Json, Message, PLAYGROUND_EGRESS, PlaygroundRecord, Result, Value, ValueSpec};
use serde::{Deserialize, Serialize};

use crate::platform::Counted;

/// The platforms; each is a topic.
pub const PLATFORMS: [&str; 3] = ["mail", "push", "sms"];
/// Topic of the notifications that arrived.
pub const DELIVERED: &str = "delivered";
/// Topic of those that never did.
pub const DEAD: &str = "dead-letters";
/// Attempts behind the first.
pub const RETRIES: u32 = 5;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// A platform that says nothing for so long has refused.
    pub answer: Duration,
    /// Before the first retry; twice as long before each further one.
    pub retry: Duration,
}

/// Somebody is to be told something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notify {
    /// One of [`PLATFORMS`].
    pub platform: String,
    /// Whom, in the platform's own words.
    pub to: String,
    /// What.
    pub text: String,
}

/// What a platform is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sending {
    /// The notification.
    pub notification_id: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whom, in the platform's own words.
    pub to: String,
    /// What.
    pub text: String,
}

/// What a platform says of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The attempt it is about.
    pub attempt: u32,
    /// Whether it arrived.
    pub delivered: bool,
}

/// How a notification ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// The notification.
    pub notification_id: String,
    /// Where it was to go.
    pub platform: String,
    /// How many attempts there were.
    pub attempts: u32,
}

/// The platform has said nothing about this attempt in time.
#[derive(Debug, Serialize, Deserialize)]
struct Silence {
    attempt: u32,
}

/// It is time for this attempt.
#[derive(Debug, Serialize, Deserialize)]
struct Retry {
    attempt: u32,
}

pub(crate) const STATE: ValueSpec<State> = ValueSpec::new("notification");

/// Where a notification stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    notify: Notify,
    /// The number of the last attempt, or of the one that is waited for.
    attempt: u32,
    status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// The platform has it.
    Sent,
    /// A retry is to come.
    Waiting,
    Delivered,
    Dead,
}

macro_rules! json {
    ($($message:ident = $typename:literal)*) => {
        $(impl Value for $message {
            const TYPENAME: &str = $typename;
            type Format = Json;
        })*
    };
}

json! {
    Notify = "notifications.types/Notify"
    Feedback = "notifications.types/Feedback"
    Silence = "notifications.types/Silence"
    Retry = "notifications.types/Retry"
    State = "notifications.types/State"
}

/// The one delayed message that a notification has at a time.
const TOKEN: &str = "next";

pub(crate) async fn notification(times: &Times, context: &mut Context, message: Message) -> Result {
    let Some(mut state) = context.get(STATE)? else {
        // Feedback for a notification that nobody wished for means nothing.
        if message.is::<Notify>() {
            let mut state = State { notify: message.value()?, attempt: 1, status: Status::Sent };
            state.attempt(times, context)?;
            context.set(STATE, &state)?;
        }
        return Ok(());
    };
    match message.typename() {
        Feedback::TYPENAME => state.feedback(times, context, &message.value()?)?,
        Silence::TYPENAME => {
            let silence: Silence = message.value()?;
            if state.status == Status::Sent && silence.attempt == state.attempt {
                state.refused(times, context)?;
            }
        }
        Retry::TYPENAME => {
            let retry: Retry = message.value()?;
            if state.status == Status::Waiting && retry.attempt == state.attempt {
                state.attempt(times, context)?;
            }
        }
        // The wish, once more.
        _ => return Ok(()),
    }
    Ok(context.set(STATE, &state)?)
}

impl State {
    fn attempt(&mut self, times: &Times, context: &mut Context) -> Result {
        self.status = Status::Sent;
        let sending = Sending {
            notification_id: context.id().to_string(),
            attempt: self.attempt,
            to: self.notify.to.clone(),
            text: self.notify.text.clone(),
        };
        context.send_egress(PLAYGROUND_EGRESS, PlaygroundRecord::json(&self.notify.platform, &sending)?)?;
        context.send(("notifications/platform", &self.notify.platform), &Counted::Attempted)?;
        let silence = Silence { attempt: self.attempt };
        Ok(context.send_after_with_token(times.answer, TOKEN, context.address(), &silence)?)
    }

    fn feedback(&mut self, times: &Times, context: &mut Context, feedback: &Feedback) -> Result {
        let ended = matches!(self.status, Status::Delivered | Status::Dead);
        if feedback.delivered && !ended {
            // Whichever attempt it was: the person has it.
            context.cancel(TOKEN)?;
            return self.end(context, Status::Delivered);
        }
        if !feedback.delivered && self.status == Status::Sent && feedback.attempt == self.attempt {
            context.cancel(TOKEN)?;
            return self.refused(times, context);
        }
        Ok(())
    }

    fn refused(&mut self, times: &Times, context: &mut Context) -> Result {
        if self.attempt > RETRIES {
            return self.end(context, Status::Dead);
        }
        let delay = times.retry * 2u32.pow(self.attempt - 1);
        self.attempt += 1;
        self.status = Status::Waiting;
        let retry = Retry { attempt: self.attempt };
        Ok(context.send_after_with_token(delay, TOKEN, context.address(), &retry)?)
    }

    fn end(&mut self, context: &mut Context, status: Status) -> Result {
        self.status = status;
        let (topic, counted) = match status {
            Status::Delivered => (DELIVERED, Counted::Delivered),
            _ => (DEAD, Counted::Dead),
        };
        let ended = Ended {
            notification_id: context.id().to_string(),
            platform: self.notify.platform.clone(),
            attempts: self.attempt,
        };
        context.send_egress(PLAYGROUND_EGRESS, PlaygroundRecord::json(topic, &ended)?)?;
        Ok(context.send(("notifications/platform", &self.notify.platform), &counted)?)
    }
}
