//! Tests of all ledgers, and of what only the local one has.

mod conformance;
mod measure;
mod words;
