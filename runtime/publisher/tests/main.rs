//! The publisher's promises, one test each, against a scripted driver. The simulator holds them together; here each stands
//! alone, so that a broken one has a name.

mod bench;

mod doubt;
mod hostile;
mod lineage;
mod opening;
mod refusal;
mod stop;
mod transaction;
