//! Every way in which an attempt can fail, with its kind and code.
