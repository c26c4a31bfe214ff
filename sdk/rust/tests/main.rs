//! The SDK against what is recorded from the official Python SDK, and over real sockets.

mod golden;
mod semantics;
mod served;
