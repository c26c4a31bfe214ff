//! What goes over the wire, held against upstream: recorded bytes, the specification's examples, and the generated types
//! on whatever a generator can think of.

mod golden;
mod hostile;
mod properties;
mod vectors;
