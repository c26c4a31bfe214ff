//! Reading from a local ledger: one consistent view, bounded iterators, nothing that waits for a commit.
//!
//! Every iterator has a lower and an upper bound, so that it never walks over what was deleted beside what it looks for, and
//! queues are entered at their head, which their lane or address knows, never at their first key.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millpond_engine::{
    Backlog, DelayedMessage, Expiration, FailureRecord, IdempotencyEntry, Invocation, KEY_GROUPS, LaneName, Lanes,
    Lives, Load, Loaded, LoadedAddress, Meta, Millis, NEW_LANE, Partition, Restored, Sequence, StateSpec, StateValue,
};
use millpond_protocol::{Address, TypeName};
use prost::Message;
use rocksdb::{ColumnFamily, DB, DBRawIterator, ReadOptions, Snapshot};

use super::options::{QUEUES, VALUES};
use crate::ledger::keys::{self, Key, KeyBuffer, end_of};
use crate::ledger::records::{
    AccessedRecord, BacklogRecord, ChainRecord, DelayedRecord, FailureOfAddress, IdempotencyRecord, LaneRecord,
    MetaRecord, PendingRecord, PositionRecord, RefusedRecord, SpecRecord, StateRecord, TokenRecord, corrupt, decode,
    outbox_ranges,
};
use crate::ledger::{LedgerError, RefusedByEgress, local::storage};

/// A cancellation token, and due time and sequence number of the message behind it.
type NamedMessage = (Arc<str>, (Millis, Sequence));

/// Everything as it was after one checkpoint.
pub struct View<'a> {
    snapshot: Snapshot<'a>,
    values: &'a ColumnFamily,
    queues: &'a ColumnFamily,
}

/// The families of an open database.
pub fn families(db: &DB) -> (&ColumnFamily, &ColumnFamily) {
    let family = |name| db.cf_handle(name).expect("both families were named when it was opened");
    (family(VALUES), family(QUEUES))
}

impl<'a> View<'a> {
    /// Everything as it is now.
    pub fn of(db: &'a DB) -> View<'a> {
        let (values, queues) = families(db);
        View { snapshot: db.snapshot(), values, queues }
    }

    /// The last checkpoint's number and checksums.
    pub fn chain(&self) -> Result<Option<ChainRecord>, LedgerError> {
        self.record(keys::CHAIN)
    }

    /// What an engine starts from.
    pub fn restore(&self) -> Result<Restored, LedgerError> {
        let meta: Option<MetaRecord> = self.record(keys::META)?;
        let mut lanes = Lanes::new();
        let mut rows = self.range(self.queues, keys::LANES, &end_of(keys::LANES));
        rows.seek(keys::LANES);
        while let Some((key, value)) = rows.item() {
            let Some(Key::Lane(name)) = Key::parse(key) else { return Err(corrupt(key, "it is no lane")) };
            let lane: LaneRecord = decode(key, value)?;
            lanes.insert(name, (lane.first, lane.next));
            rows.next();
        }
        rows.status().map_err(storage("reading lanes"))?;
        let (backlogs, positions) = (self.backlogs()?, self.positions()?);
        Ok(Restored { meta: meta.map(Meta::from).unwrap_or_default(), lanes, backlogs, positions })
    }

    fn positions(&self) -> Result<BTreeMap<Partition, u64>, LedgerError> {
        let mut positions = BTreeMap::new();
        let mut rows = self.range(self.queues, keys::POSITIONS, &end_of(keys::POSITIONS));
        rows.seek(keys::POSITIONS);
        while let Some((key, value)) = rows.item() {
            let Some(Key::Position(partition)) = Key::parse(key) else {
                return Err(corrupt(key, "it is no position"));
            };
            positions.insert(partition, decode::<PositionRecord>(key, value)?.next);
            rows.next();
        }
        rows.status().map_err(storage("reading positions"))?;
        Ok(positions)
    }

    /// Records of a lane that its egress refused, above a number.
    pub fn refused(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<RefusedByEgress>, LedgerError> {
        let (mut found, mut left) = (Vec::new(), bytes);
        let Some(start) = after.checked_add(1) else { return Ok(found) };
        let mut buffer = KeyBuffer::default();
        let prefix = buffer.refused_of(lane).to_vec();
        let mut rows = self.range(self.queues, &prefix, &end_of(&prefix));
        rows.seek(buffer.refused(lane, start));
        while let Some((key, value)) = rows.item() {
            if found.len() >= limit || (!found.is_empty() && value.len() > left) {
                break;
            }
            left = left.saturating_sub(value.len());
            let sequence = number_behind(key, &prefix)?;
            let RefusedRecord { record, error } = decode(key, value)?;
            found.push(RefusedByEgress { sequence, record, error });
            rows.next();
        }
        rows.status().map_err(storage("reading refused records"))?;
        Ok(found)
    }

    /// How many there are.
    pub fn refused_count(&self, lane: &LaneName) -> Result<u64, LedgerError> {
        let mut buffer = KeyBuffer::default();
        let prefix = buffer.refused_of(lane);
        let mut rows = self.range(self.queues, prefix, &end_of(prefix));
        let mut count = 0;
        rows.seek(prefix);
        while rows.valid() {
            count += 1;
            rows.next();
        }
        rows.status().map_err(storage("counting refused records"))?;
        Ok(count)
    }

    fn backlogs(&self) -> Result<BTreeMap<TypeName, Backlog>, LedgerError> {
        let mut backlogs = BTreeMap::new();
        let mut rows = self.range(self.queues, keys::BACKLOGS, &end_of(keys::BACKLOGS));
        rows.seek(keys::BACKLOGS);
        while let Some((key, value)) = rows.item() {
            let Some(Key::Backlog(function)) = Key::parse(key) else { return Err(corrupt(key, "it is no backlog")) };
            backlogs.insert(function, decode::<BacklogRecord>(key, value)?.into());
            rows.next();
        }
        rows.status().map_err(storage("reading backlogs"))?;
        Ok(backlogs)
    }

    /// What the engine asked for.
    pub fn load(&self, load: &Load) -> Result<Loaded, LedgerError> {
        match load {
            Load::Address { address, bytes } => self.address(address, *bytes),
            Load::Mailbox { address, from, bytes } => {
                let (pending, more) = self.pending(address, *from, *bytes)?;
                Ok(Loaded::Mailbox { address: address.clone(), from: *from, pending, more })
            }
            Load::Expired { after, rows, now, lives } => self.expired(after.as_ref(), *rows, *now, lives),
            Load::Pending { page, after, limit } => self.listed(*page, after.as_ref(), *limit),
            Load::Delayed { after, limit } => self.delayed(*after, *limit),
            Load::Tokens { id, tokens, call } => {
                let found = self.tokens(id, tokens)?;
                Ok(Loaded::Tokens { call: *call, found })
            }
            Load::Idempotency { key, generations } => {
                let found = self.idempotency(key, generations)?;
                Ok(Loaded::Idempotency { key: key.clone(), found })
            }
        }
    }

    fn address(&self, address: &Address, bytes: usize) -> Result<Loaded, LedgerError> {
        let mut key = KeyBuffer::default();
        let states = self.states(key.states(address))?;
        let listed = self.get(key.listed(address))?.is_some();
        let (pending, more) = if listed { self.pending(address, 0, bytes)? } else { (Vec::new(), false) };
        // Only what waits can be parked.
        let failure = if listed { self.failure(key.failure(address))? } else { None };
        let accessed = match states.is_empty() {
            true => None,
            false => self.accessed(key.accessed(address))?,
        };
        Ok(Loaded::Address(LoadedAddress {
            address: address.clone(),
            states,
            pending,
            more,
            failure,
            listed,
            accessed,
        }))
    }

    fn states(&self, prefix: &[u8]) -> Result<Vec<(Arc<str>, StateValue)>, LedgerError> {
        let mut options = ReadOptions::default();
        // Stays within the address, and asks the filter whether there is anything at all.
        options.set_prefix_same_as_start(true);
        let mut rows = self.snapshot.raw_iterator_cf_opt(self.values, options);
        let mut states = Vec::new();
        rows.seek(prefix);
        while let Some((key, value)) = rows.item() {
            let Some(name) = key.strip_prefix(prefix) else { break };
            let name = std::str::from_utf8(name).map_err(|_| corrupt(key, "its name is no text"))?;
            states.push((Arc::from(name), decode::<StateRecord>(key, value)?.into()));
            rows.next();
        }
        rows.status().map_err(storage("reading states"))?;
        Ok(states)
    }

    fn accessed(&self, key: &[u8]) -> Result<Option<Millis>, LedgerError> {
        let record = self.snapshot.get_pinned_cf(self.values, key).map_err(storage("reading a record"))?;
        record.map(|bytes| Ok(decode::<AccessedRecord>(key, &bytes)?.time)).transpose()
    }

    fn failure(&self, key: &[u8]) -> Result<Option<FailureRecord>, LedgerError> {
        let record = self.snapshot.get_pinned_cf(self.values, key).map_err(storage("reading a record"))?;
        let read = |bytes: rocksdb::DBPinnableSlice<'_>| {
            decode::<FailureOfAddress>(key, &bytes)?.try_into().map_err(|why| corrupt(key, why))
        };
        record.map(read).transpose()
    }

    /// Addresses with values that are over, behind `after`, until about so many rows were looked at.
    fn expired(
        &self,
        after: Option<&Address>,
        limit: usize,
        now: Millis,
        lives: &Lives,
    ) -> Result<Loaded, LedgerError> {
        let mut buffer = KeyBuffer::default();
        let after = after.map(|after| (millpond_engine::key_group(&after.id), end_of(buffer.states(after))));
        let mut seen = Seen { over: Vec::new(), alive: false, last: None, rows: 0 };
        for group in after.as_ref().map_or(0, |(group, _)| *group)..KEY_GROUPS {
            let prefix = buffer.states_in(group).to_vec();
            let start = match &after {
                Some((of, after)) if *of == group => after.clone(),
                _ => prefix.clone(),
            };
            let mut options = ReadOptions::default();
            options.set_iterate_lower_bound(&*start);
            options.set_iterate_upper_bound(end_of(&prefix));
            // It goes from address to address.
            options.set_total_order_seek(true);
            let mut rows = self.snapshot.raw_iterator_cf_opt(self.values, options);
            rows.seek(&start);
            while let Some((key, value)) = rows.item() {
                let Some(Key::State { address, name }) = Key::parse(key) else {
                    return Err(corrupt(key, "it is no state value"));
                };
                let new = seen.last.as_ref() != Some(&address);
                if new && seen.rows >= limit && seen.last.is_some() {
                    return Ok(Loaded::Expired { over: seen.over, alive: seen.alive, next: seen.last });
                }
                seen.rows += 1;
                let life = lives.iter().find(|(function, state, _)| *function == address.function && **state == *name);
                if let Some((_, _, life)) = life {
                    let written = decode::<StateRecord>(key, value)?.written;
                    let accessed = match life {
                        Expiration::AfterInvoke(_) => self.accessed(buffer.accessed(&address))?,
                        _ => None,
                    };
                    seen.look(&address, life.is_over(written, accessed, now));
                }
                seen.last = Some(address);
                rows.next();
            }
            rows.status().map_err(storage("looking for values that are over"))?;
        }
        Ok(Loaded::Expired { over: seen.over, alive: seen.alive, next: None })
    }

    /// Delayed messages in the order of their time: each key group has them in that order, so the groups are merged.
    fn delayed(&self, after: (Millis, Sequence), limit: usize) -> Result<Loaded, LedgerError> {
        let mut groups = BTreeMap::new();
        for group in 0..KEY_GROUPS {
            let prefix = KeyBuffer::default().delayed_in(group).to_vec();
            let start = [&prefix[..], &after.0.to_be_bytes(), &after.1.to_be_bytes(), &[0]].concat();
            let mut rows = self.range(self.queues, &start, &end_of(&prefix));
            rows.seek(&start);
            if let Some(due) = due(&rows)? {
                groups.insert(due, rows);
            }
        }
        let mut messages = Vec::new();
        while messages.len() < limit
            && let Some(((due_at, sequence), mut rows)) = groups.pop_first()
        {
            let Some((key, value)) = rows.item() else { continue };
            let message = decode::<DelayedRecord>(key, value)?.try_into().map_err(|why| corrupt(key, why))?;
            messages.push((due_at, sequence, message));
            rows.next();
            if let Some(due) = due(&rows)? {
                groups.insert(due, rows);
            }
        }
        Ok(Loaded::Delayed { after, messages, more: !groups.is_empty() })
    }

    /// Delayed messages of one key group, behind a place.
    pub fn delayed_of(
        &self,
        group: u16,
        after: (Millis, Sequence),
        limit: usize,
    ) -> Result<Vec<(Millis, Sequence, DelayedMessage)>, LedgerError> {
        let prefix = KeyBuffer::default().delayed_in(group).to_vec();
        let start = [&prefix[..], &after.0.to_be_bytes(), &after.1.to_be_bytes(), &[0]].concat();
        let mut rows = self.range(self.queues, &start, &end_of(&prefix));
        rows.seek(&start);
        let mut messages = Vec::new();
        while messages.len() < limit
            && let Some((due_at, sequence)) = due(&rows)?
            && let Some((key, value)) = rows.item()
        {
            let message = decode::<DelayedRecord>(key, value)?.try_into().map_err(|why| corrupt(key, why))?;
            messages.push((due_at, sequence, message));
            rows.next();
        }
        Ok(messages)
    }

    fn tokens(&self, id: &str, tokens: &[Arc<str>]) -> Result<Vec<NamedMessage>, LedgerError> {
        let mut buffer = KeyBuffer::default();
        let mut found = Vec::new();
        for token in tokens {
            if let Some(record) = self.record::<TokenRecord>(buffer.token(id, token))? {
                found.push((token.clone(), (record.due, record.sequence)));
            }
        }
        Ok(found)
    }

    /// Invocations of an address from a number on, and whether there are more than `bytes` allow; one always fits.
    fn pending(&self, address: &Address, from: Sequence, bytes: usize) -> Result<Page, LedgerError> {
        let mut buffer = KeyBuffer::default();
        let prefix = buffer.pendings(address).to_vec();
        let start = buffer.pending(address, from);
        let mut rows = self.range(self.queues, start, &end_of(&prefix));
        rows.seek(start);
        let mut page = Vec::new();
        let mut left = bytes;
        while let Some((key, value)) = rows.item() {
            let invocation = Invocation::from(decode::<PendingRecord>(key, value)?);
            if invocation.bytes() > left && !page.is_empty() {
                return Ok((page, true));
            }
            left = left.saturating_sub(invocation.bytes());
            page.push((number_behind(key, &prefix)?, invocation));
            rows.next();
        }
        rows.status().map_err(storage("reading pending invocations"))?;
        Ok((page, false))
    }

    fn listed(&self, page: u64, after: Option<&Address>, limit: usize) -> Result<Loaded, LedgerError> {
        let mut buffer = KeyBuffer::default();
        let after = after.map(|after| (millpond_engine::key_group(&after.id), buffer.listed(after).to_vec()));
        let mut addresses = Vec::new();
        for group in after.as_ref().map_or(0, |(group, _)| *group)..KEY_GROUPS {
            let prefix = buffer.listed_in(group);
            let start = match &after {
                // The smallest key behind it.
                Some((of, after)) if *of == group => [after.as_slice(), &[0]].concat(),
                _ => prefix.to_vec(),
            };
            let mut rows = self.range(self.queues, &start, &end_of(prefix));
            rows.seek(&start);
            while let Some(key) = rows.key() {
                if addresses.len() == limit {
                    return Ok(Loaded::Pending { page, addresses, more: true });
                }
                let Some(Key::Listed(address)) = Key::parse(key) else {
                    return Err(corrupt(key, "it is no list entry"));
                };
                addresses.push(address);
                rows.next();
            }
            rows.status().map_err(storage("listing addresses"))?;
        }
        Ok(Loaded::Pending { page, addresses, more: false })
    }

    fn idempotency(&self, text: &str, generations: &[u64]) -> Result<Option<IdempotencyEntry>, LedgerError> {
        let mut buffer = KeyBuffer::default();
        for generation in generations {
            let key = buffer.idempotency(*generation, text);
            if let Some(record) = self.record::<IdempotencyRecord>(key)? {
                return IdempotencyEntry::try_from(record).map(Some).map_err(|why| corrupt(key, why));
            }
        }
        Ok(None)
    }

    /// Lowest sequence number still kept and the next one to be given out.
    pub fn lane(&self, lane: &LaneName) -> Result<(u64, u64), LedgerError> {
        let mut key = KeyBuffer::default();
        let record: Option<LaneRecord> = self.record(key.lane(lane))?;
        Ok(record.map_or(NEW_LANE, |lane| (lane.first, lane.next)))
    }

    /// Records of a lane with sequence numbers above `after`.
    pub fn outbox(
        &self,
        lane: &LaneName,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, LedgerError> {
        let (first, next) = self.lane(lane)?;
        let start = first.max(after.saturating_add(1));
        let mut given = Given { records: Vec::new(), limit, bytes };
        if start >= next || limit == 0 {
            return Ok(given.records);
        }
        let mut buffer = KeyBuffer::default();
        let prefix = buffer.outbox_of(lane).to_vec();
        let mut rows = self.range(self.queues, &prefix, &end_of(&prefix));
        rows.seek_for_prev(buffer.outbox(lane, start));
        while let Some((key, value)) = rows.item() {
            let first = number_behind(key, &prefix)?;
            if !given.take(key, value, first, start)? {
                break;
            }
            rows.next();
        }
        rows.status().map_err(storage("reading the outbox"))?;
        Ok(given.records)
    }

    /// Where the record begins that holds this sequence number, and all that begin behind it up to and including `upto`.
    pub fn outbox_firsts(&self, lane: &LaneName, from: u64, upto: u64) -> Result<Vec<u64>, LedgerError> {
        let mut buffer = KeyBuffer::default();
        let prefix = buffer.outbox_of(lane).to_vec();
        let end = buffer.outbox(lane, upto.saturating_add(1)).to_vec();
        let mut rows = self.range(self.queues, &prefix, &end);
        let mut firsts = Vec::new();
        rows.seek_for_prev(buffer.outbox(lane, from));
        while let Some(key) = rows.key() {
            firsts.push(number_behind(key, &prefix)?);
            rows.next();
        }
        rows.status().map_err(storage("looking for freed records"))?;
        Ok(firsts)
    }

    /// All state specs, by function type and name.
    pub fn specs(&self) -> Result<Vec<(TypeName, StateSpec)>, LedgerError> {
        let mut specs = Vec::new();
        let mut rows = self.range(self.queues, keys::SPECS, &end_of(keys::SPECS));
        rows.seek(keys::SPECS);
        while let Some((key, value)) = rows.item() {
            let Some(Key::Spec { function, state }) = Key::parse(key) else {
                return Err(corrupt(key, "it is no spec"));
            };
            let spec = decode::<SpecRecord>(key, value)?.into_spec(state.into());
            specs.push((function, spec.map_err(|why| corrupt(key, why))?));
            rows.next();
        }
        rows.status().map_err(storage("reading state specs"))?;
        specs.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
        Ok(specs)
    }

    fn get(&self, key: &[u8]) -> Result<Option<rocksdb::DBPinnableSlice<'_>>, LedgerError> {
        self.snapshot.get_pinned_cf(self.queues, key).map_err(storage("reading a record"))
    }

    pub fn record<R: Message + Default>(&self, key: &[u8]) -> Result<Option<R>, LedgerError> {
        self.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// An iterator that sees keys from `from` on, below `to`.
    fn range(&self, family: &ColumnFamily, from: &[u8], to: &[u8]) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        self.snapshot.raw_iterator_cf_opt(family, options)
    }
}

/// Invocations with their numbers, and whether there are more.
type Page = (Vec<(Sequence, Invocation)>, bool);

/// What a walk over values has seen.
struct Seen {
    over: Vec<Address>,
    alive: bool,
    last: Option<Address>,
    rows: usize,
}

impl Seen {
    /// A value of an address that expires.
    fn look(&mut self, address: &Address, over: bool) {
        if !over {
            self.alive = true;
        } else if self.over.last() != Some(address) {
            self.over.push(address.clone());
        }
    }
}

/// Records that are being collected for a reader.
struct Given {
    records: Vec<(u64, Bytes)>,
    limit: usize,
    bytes: usize,
}

impl Given {
    /// Takes what may be given of one stored record, numbers from `start` on; false when no more may be.
    fn take(&mut self, key: &[u8], value: &[u8], first: u64, start: u64) -> Result<bool, LedgerError> {
        let ranges = outbox_ranges(key, value)?;
        let freed = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
        let ranges = ranges.get(freed..).unwrap_or_default();
        let mut count = 0;
        for range in ranges.iter().take(self.limit - self.records.len()) {
            if range.len() > self.bytes && !(self.records.is_empty() && count == 0) {
                break;
            }
            self.bytes = self.bytes.saturating_sub(range.len());
            count += 1;
        }
        let taken = &ranges[..count];
        if let (Some(from), Some(to)) = (taken.first(), taken.last()) {
            // One copy for all of them.
            let copy = Bytes::copy_from_slice(&value[from.start..to.end]);
            let slices = taken.iter().map(|range| copy.slice(range.start - from.start..range.end - from.start));
            self.records.extend((first.max(start)..).zip(slices));
        }
        Ok(count == ranges.len() && self.records.len() < self.limit)
    }
}

/// Due time and sequence number of the delayed message that an iterator stands at; `None` behind the last one.
fn due(rows: &DBRawIterator<'_>) -> Result<Option<(Millis, Sequence)>, LedgerError> {
    let Some(key) = rows.key() else {
        return rows.status().map(|()| None).map_err(storage("reading delayed messages"));
    };
    match Key::parse(key) {
        Some(Key::Delayed { due, sequence, .. }) => Ok(Some((due, sequence))),
        _ => Err(corrupt(key, "it is no delayed message")),
    }
}

/// The number that stands behind a prefix, at the end of a key.
fn number_behind(key: &[u8], prefix: &[u8]) -> Result<u64, LedgerError> {
    let number = key.strip_prefix(prefix).and_then(|number| number.try_into().ok());
    number.map(u64::from_be_bytes).ok_or_else(|| corrupt(key, "it does not end in a number"))
}
