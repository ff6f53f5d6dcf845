//! The HTTP listeners.

pub mod admin;
mod body;
mod everywhere;
pub mod explain;
mod problem;
pub mod status;
