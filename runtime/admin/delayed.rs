//! The delayed messages that wait for one address. Blocks on the ledger.
//!
//! The ledger keeps delayed messages by the key group of who sent them, in the order of their time, not by who gets them. So
//! this looks at one after the other, those of the address's own id first, which most are, and stops after so many.

use millpond_engine::{DelayedMessage, KEY_GROUPS, Millis, Sequence, key_group};
use millpond_protocol::Address;

use crate::ledger::{Ledger, LedgerError};

/// Messages that are looked at: some 0.2 s.
const LOOKED_AT_MAX: usize = 200_000;
/// Messages that are looked at in one go.
const PAGE: usize = 1024;
/// Messages that are shown.
const SHOWN_MAX: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Delayed {
    /// Those that are due first, in order.
    pub(super) messages: Vec<(Millis, Sequence, DelayedMessage)>,
    /// All that were found.
    pub(super) count: u64,
    /// Whether all were looked at.
    pub(super) complete: bool,
}

/// Finds the delayed messages that wait for an address.
pub(super) fn delayed_to(ledger: &dyn Ledger, target: &Address) -> Result<Delayed, LedgerError> {
    delayed_within(ledger, target, LOOKED_AT_MAX)
}

fn delayed_within(ledger: &dyn Ledger, target: &Address, most: usize) -> Result<Delayed, LedgerError> {
    let own = key_group(&target.id);
    let others = (0..KEY_GROUPS).filter(|group| *group != own);
    let mut found = Delayed { complete: true, ..Delayed::default() };
    let mut left = most;
    for group in std::iter::once(own).chain(others) {
        let mut after = (0, 0);
        loop {
            let page = ledger.delayed(group, after, PAGE.min(left))?;
            let Some((due, sequence, _)) = page.last() else { break };
            after = (*due, *sequence);
            let last = page.len() < PAGE.min(left);
            left -= page.len();
            let of_target = page.into_iter().filter(|(_, _, message)| message.target == *target);
            for message in of_target {
                found.count += 1;
                found.messages.push(message);
            }
            // Those of a group come in order; those of several are put in order.
            found.messages.sort_by_key(|(due, sequence, _)| (*due, *sequence));
            found.messages.truncate(SHOWN_MAX);
            if last {
                break;
            }
            if left == 0 {
                found.complete = false;
                return Ok(found);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use millpond_engine::{Checkpoint, DelayedMessage, Meta, Write};
    use millpond_protocol::{Address, TypeName};

    use super::{SHOWN_MAX, delayed_within};
    use crate::ledger::{Ledger, LocalLedger};

    /// Messages for an address are found in the order of their time whoever sent them; the search has an end, and says so.
    #[test]
    fn of_one_address() {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = LocalLedger::open(folder.path()).expect("a ledger");
        let address = |id: &str| Address::new(TypeName::new("a", "b"), id);
        let message = |sender: &str, target: &str| DelayedMessage {
            sender: address(sender),
            target: address(target),
            argument: "x".into(),
            token: None,
        };
        let mut writes = Vec::new();
        let mut delay = |due, message| {
            let sequence = writes.len() as u64 + 1;
            writes.push(Write::Delayed { due, sequence, message });
        };
        for number in 0..2_000 {
            delay(10_000 + number, message("Ada", "Ada"));
            delay(5_000 + number, message(&format!("other {number}"), "nobody"));
        }
        delay(7, message("Grace", "Ada"));
        let meta = Meta { checkpoint: 1, ..Meta::default() };
        ledger.commit(&Checkpoint { meta, writes }, &[]).expect("a checkpoint");

        let found = delayed_within(&ledger, &address("Ada"), usize::MAX).expect("no error");
        assert_eq!((found.count, found.messages.len(), found.complete), (2_001, SHOWN_MAX, true));
        assert_eq!((found.messages[0].0, &*found.messages[0].2.sender.id, found.messages[1].0), (7, "Grace", 10_000));
        let found = delayed_within(&ledger, &address("Grace"), usize::MAX).expect("no error");
        assert_eq!((found.count, found.complete), (0, true));
        let found = delayed_within(&ledger, &address("Ada"), 1_500).expect("no error");
        assert!(!found.complete && found.count > 1_000 && found.messages[0].0 == 10_000, "{}", found.count);
    }
}
