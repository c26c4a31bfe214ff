//! placeholder
/// placeholder
pub struct Engine;
