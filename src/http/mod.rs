//! The HTTP listeners.

pub mod admin;
mod problem;
pub mod status;
