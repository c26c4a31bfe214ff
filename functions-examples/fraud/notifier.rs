//! `fraud/notifier`: tells people of an account's alerts, not too often, and until one of them has seen it.
//!
//! In: alerts, acknowledgements, its own delayed messages. Out: notifications. State: what was last notified, and what is
//! open. Alerts are told apart by event time; reminders go by real time.

use std::time::Duration;

use millpond_sdk::{Context, Error, Json, Message, Result, Value, ValueSpec};
use serde::{Deserialize, Serialize};

use crate::messages::{Acknowledge, Alert, Notification, Remind};
use crate::out::{NOTIFICATIONS, Out};
use crate::profile::MINUTE;

/// The one state of `fraud/notifier`.
pub const NOTIFIER_STATE: ValueSpec<NotifierState> = ValueSpec::new("notifier");

const QUIET: i64 = 5 * MINUTE;
const REMINDERS: u32 = 5;
const FIRST_REMINDER: Duration = Duration::from_secs(10);

/// What the notifier of an account remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifierState {
    /// Event time of the last notification.
    pub last_notified: Option<i64>,
    /// Notifications, reminders not counted.
    pub notified: u64,
    /// Alerts that came too close to a notification.
    pub suppressed: u64,
    /// Notifications that somebody has seen.
    pub acknowledged: u64,
    /// The last notification, until somebody has seen it, or all its reminders are sent.
    pub open: Option<Notification>,
}

impl Value for NotifierState {
    const TYPENAME: &str = "fraud.types/NotifierState";
    type Format = Json;
}

pub(crate) async fn notifier(out: &Out, context: &mut Context, message: Message) -> Result {
    let mut state = context.get(NOTIFIER_STATE)?.unwrap_or_default();
    match message.typename() {
        Alert::TYPENAME => alert(out, context, &mut state, message.value()?)?,
        Remind::TYPENAME => remind(out, context, &mut state, &message.value()?)?,
        Acknowledge::TYPENAME => {
            // What cannot be read acknowledges nothing.
            let seen = message.value::<Acknowledge>().ok().map(|seen| seen.notification_id);
            if let Some(open) = state.open.take_if(|open| Some(&open.notification_id) == seen.as_ref()) {
                context.cancel(open.notification_id)?;
                state.acknowledged += 1;
            }
        }
        _ => return Ok(()),
    }
    Ok(context.set(NOTIFIER_STATE, &state)?)
}

fn alert(out: &Out, context: &mut Context, state: &mut NotifierState, alert: Alert) -> Result<(), Error> {
    if state.last_notified.is_some_and(|last| (alert.timestamp - last).abs() < QUIET) {
        state.suppressed += 1;
        return Ok(());
    }
    if let Some(before) = state.open.take() {
        context.cancel(before.notification_id)?;
    }
    state.last_notified = Some(alert.timestamp);
    state.notified += 1;
    let notification = Notification {
        notification_id: alert.alert_id,
        account_id: alert.account_id,
        timestamp: alert.timestamp,
        reminder: 0,
        text: alert.explanation,
    };
    notify(out, context, state, notification)
}

/// The token of a reminder is free when it arrives, so a late one finds its notification open, or somebody was quicker.
fn remind(out: &Out, context: &mut Context, state: &mut NotifierState, remind: &Remind) -> Result<(), Error> {
    let open = state.open.take_if(|open| open.notification_id == remind.notification_id);
    let Some(mut notification) = open else { return Ok(()) };
    notification.reminder += 1;
    notify(out, context, state, notification)
}

fn notify(
    out: &Out,
    context: &mut Context,
    state: &mut NotifierState,
    notification: Notification,
) -> Result<(), Error> {
    out.send(context, NOTIFICATIONS, &notification)?;
    if notification.reminder < REMINDERS {
        let remind = Remind { notification_id: notification.notification_id.clone() };
        let delay = FIRST_REMINDER * 2u32.pow(notification.reminder);
        context.send_after_with_token(delay, &notification.notification_id, context.address(), &remind)?;
        state.open = Some(notification);
    }
    Ok(())
}
