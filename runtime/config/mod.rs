//! Module files to a checked model.
