//! Whose address a request comes from.
