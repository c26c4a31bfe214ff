//! Where an address stands among all others: the one order in which ledgers list them.

use std::cmp::Ordering;

use millpond_protocol::Address;

use crate::key_group;

/// An address in ledger order: by key group, then namespace, name and id, of which the shorter comes first and equally
/// long ones are in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    group: u16,
    address: Address,
}

impl Place {
    /// Where this address stands.
    pub fn new(address: Address) -> Place {
        Place { group: key_group(&address.id), address }
    }

    /// The address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn texts(&self) -> [(usize, &str); 3] {
        let function = &self.address.function;
        [function.namespace(), function.name(), &self.address.id].map(|text| (text.len(), text))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        (self.group, self.texts()).cmp(&(other.group, other.texts()))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
