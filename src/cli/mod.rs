//! Being written.

pub mod health;
pub mod version;
