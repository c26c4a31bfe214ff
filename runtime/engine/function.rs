//! One function type: its endpoint, the states it declared, and the gate before its first answer.
//!
//! Specs are learned anew at every start: the first request to a function type carries no state, so the SDK answers with
//! all it declares, and a changed type or expiration is noticed. Until that answer, all other addresses of the type wait at
//! the gate; other types go on. Upstream stops the whole task instead (`RequestReplyFunction`, first request).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use millpond_protocol::TypeName;

use crate::cell::Slot;
use crate::{EndpointConfig, FunctionPattern, Rejection, StateSpec};

/// The place of a function type in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FunctionId(u32);

/// A function type.
pub(crate) struct Function {
    pub(crate) name: TypeName,
    pub(crate) endpoint: Option<usize>,
    /// The states it declared since this start, by name.
    pub(crate) specs: BTreeMap<Arc<str>, StateSpec>,
    pub(crate) gate: Gate,
    /// Addresses that wait at the gate.
    pub(crate) waiting: VecDeque<Slot>,
    pub(crate) metrics: FunctionMetrics,
}

/// Whether requests to a function type may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// No request went out yet, or the first one failed: the next one goes alone.
    Closed,
    /// The first request is out, for this address.
    Learning(Slot),
    /// The function type answered.
    Open,
}

/// Counters and gauges of one function type, with upstream's names and meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunctionMetrics {
    /// `in`: invocations delivered to it.
    pub input: u64,
    /// `outLocal`: messages it sent to functions.
    pub out_local: u64,
    /// `outEgress`: records it sent to egresses.
    pub out_egress: u64,
    /// `inflightAsyncOps`: calls in flight.
    pub in_flight: u64,
    /// `numBacklog`: invocations in memory that have not run.
    pub backlog: u64,
    /// `remoteInvocationFailures`: failed attempts.
    pub failures: u64,
    /// Addresses parked.
    pub parked: u64,
    /// Invocations given up and dropped, by policy or by a person.
    pub dropped: u64,
    /// Invocations given up and kept as dead letters.
    pub dead_letters: u64,
}

impl Function {
    /// Takes in what the function declared.
    ///
    /// # Errors
    /// A [`Rejection`] when a state that is known, or declared further up in the list, comes with another type: answers of
    /// two versions of the function are in play. Nothing of the list is taken in then.
    pub(crate) fn register(&mut self, specs: &[StateSpec]) -> Result<Vec<StateSpec>, Rejection> {
        let mut new: BTreeMap<Arc<str>, StateSpec> = BTreeMap::new();
        for spec in specs {
            let known = self.specs.get(&spec.name).or_else(|| new.get(&spec.name));
            if let Some(known) = known.filter(|known| known.typename != spec.typename) {
                return Err(Rejection::new(
                    "MP3002",
                    format!(
                        "state `{}` is declared as `{}`, but was declared as `{}` before",
                        spec.name, spec.typename, known.typename
                    ),
                ));
            }
            if known.is_none() {
                new.insert(spec.name.clone(), spec.clone());
            }
        }
        self.specs.extend(new.clone());
        Ok(new.into_values().collect())
    }
}

/// All function types seen so far.
pub(crate) struct Functions {
    list: Vec<Function>,
    index: HashMap<TypeName, FunctionId, FixedState>,
}

impl Functions {
    pub(crate) fn new(hash: FixedState) -> Functions {
        Functions { list: Vec::new(), index: HashMap::with_hasher(hash) }
    }

    /// The function type, entered at its first mention.
    pub(crate) fn enter(&mut self, name: &TypeName, endpoints: &[EndpointConfig]) -> FunctionId {
        if let Some(id) = self.index.get(name) {
            return *id;
        }
        let id = FunctionId(u32::try_from(self.list.len()).expect("function types are fewer than 2^32"));
        self.list.push(Function {
            name: name.clone(),
            endpoint: find_endpoint(endpoints, name),
            specs: BTreeMap::new(),
            gate: Gate::Closed,
            waiting: VecDeque::new(),
            metrics: FunctionMetrics::default(),
        });
        self.index.insert(name.clone(), id);
        id
    }

    pub(crate) fn metrics(&self) -> BTreeMap<TypeName, FunctionMetrics> {
        self.list.iter().map(|function| (function.name.clone(), function.metrics)).collect()
    }
}

impl std::ops::Index<FunctionId> for Functions {
    type Output = Function;

    fn index(&self, id: FunctionId) -> &Function {
        &self.list[id.0 as usize]
    }
}

impl std::ops::IndexMut<FunctionId> for Functions {
    fn index_mut(&mut self, id: FunctionId) -> &mut Function {
        &mut self.list[id.0 as usize]
    }
}

/// The endpoint that serves a function type: an exact pattern before its namespace's; no hierarchy.
pub(crate) fn find_endpoint(endpoints: &[EndpointConfig], function: &TypeName) -> Option<usize> {
    let exact =
        |endpoint: &EndpointConfig| matches!(&endpoint.functions, FunctionPattern::Exact(name) if name == function);
    let namespace = |endpoint: &EndpointConfig| matches!(&endpoint.functions, FunctionPattern::Namespace(namespace) if namespace == function.namespace());
    endpoints.iter().position(exact).or_else(|| endpoints.iter().position(namespace))
}
