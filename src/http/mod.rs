//! The HTTP listeners.

pub mod admin;
pub mod explain;
mod problem;
pub mod status;
