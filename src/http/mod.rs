//! The HTTP listeners.

pub mod status;
