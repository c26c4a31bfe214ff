//! All function types that were named so far, and which endpoint serves each.
//!
//! A type is entered at its first mention and stays; how many there may be is a limit.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use millpond_protocol::TypeName;

use crate::function::Function;
use crate::{Backlog, EndpointConfig, FunctionPattern, Write};

/// The place of a function type in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FunctionId(u32);

/// All function types seen so far.
pub(crate) struct Functions {
    list: Vec<Function>,
    index: HashMap<TypeName, FunctionId, FixedState>,
    /// Those whose backlog changed since the last seal.
    dirty: Vec<FunctionId>,
    /// Those that the module names: the first ones.
    named: usize,
}

impl Functions {
    pub(crate) fn new(hash: FixedState) -> Functions {
        Functions { list: Vec::new(), index: HashMap::with_hasher(hash), dirty: Vec::new(), named: 0 }
    }

    /// Those that the module names are known from the start, so that they are seen before anything happens to them.
    pub(crate) fn name(&mut self, endpoints: &[EndpointConfig]) {
        for endpoint in endpoints {
            if let FunctionPattern::Exact(function) = &endpoint.functions {
                self.enter(function, endpoints);
            }
        }
        self.named = self.list.len();
    }

    /// Function types that only messages named: their number has a limit.
    pub(crate) fn named_by_messages(&self) -> usize {
        self.list.len() - self.named
    }

    /// The function type, entered at its first mention.
    pub(crate) fn enter(&mut self, name: &TypeName, endpoints: &[EndpointConfig]) -> FunctionId {
        if let Some(id) = self.index.get(name) {
            return *id;
        }
        let id = FunctionId(u32::try_from(self.list.len()).expect("function types are fewer than 2^32"));
        let endpoint = find_endpoint(endpoints, name);
        let calls_max = endpoint.map_or(1, |endpoint| endpoints[endpoint].calls_max);
        self.list.push(Function::new(name.clone(), endpoint, calls_max));
        self.index.insert(name.clone(), id);
        id
    }

    /// What a function type has waiting, to be changed.
    pub(crate) fn backlog(&mut self, id: FunctionId) -> &mut Backlog {
        let function = &mut self.list[id.0 as usize];
        if !std::mem::replace(&mut function.backlog_dirty, true) {
            self.dirty.push(id);
        }
        &mut function.backlog
    }

    /// What changed in the backlogs since the last seal.
    pub(crate) fn seal(&mut self, writes: &mut Vec<Write>) {
        for id in std::mem::take(&mut self.dirty) {
            let function = &mut self[id];
            function.backlog_dirty = false;
            if function.backlog != function.backlog_sealed {
                function.backlog_sealed = function.backlog;
                writes.push(Write::Backlog { function: function.name.clone(), backlog: function.backlog });
            }
        }
    }

    /// Takes up the backlog that the ledger has.
    pub(crate) fn restore(&mut self, name: &TypeName, backlog: Backlog, endpoints: &[EndpointConfig]) {
        let id = self.enter(name, endpoints);
        let function = &mut self[id];
        function.backlog = backlog;
        function.backlog_sealed = backlog;
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn find(&self, name: &TypeName) -> Option<FunctionId> {
        self.index.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (FunctionId, &Function)> {
        (0..).map(FunctionId).zip(&self.list)
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
