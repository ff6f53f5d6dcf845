//! The stored messages, compiled from `proto/` by build.rs. Nothing outside the store sees them.

#![allow(unreachable_pub, reason = "generated")]

include!(concat!(env!("OUT_DIR"), "/doorward.store.v1.rs"));
