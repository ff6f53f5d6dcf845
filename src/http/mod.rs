//! The HTTP listeners.

pub mod admin;
pub mod auth;
mod body;
pub mod decisions;
mod everywhere;
pub mod explain;
pub mod forward;
mod peer;
mod problem;
pub mod status;

pub use peer::Peer;
