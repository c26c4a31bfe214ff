//! The publisher's promises.
