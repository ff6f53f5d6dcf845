//! The parts of the peers that run in this binary too, where they have our allocator.

pub(crate) mod noop;
pub(crate) mod serving;
