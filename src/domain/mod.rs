//! What Doorward knows: the nouns and the rules of a decision.
//!
//! Nothing here waits, asks the time, reads a store or names an Envoy type; `tests/it/architecture.rs`
//! holds that. Everything arrives as an argument, so a decision can be repeated from its inputs.

pub mod authentication;
pub mod authorization;
pub mod body;
pub mod catalog;
pub mod client;
pub mod consumer;
pub mod cookie;
pub mod credential;
pub mod decide;
pub mod denial;
pub mod deployment;
pub mod headers;
pub mod issuer;
pub mod jwt;
pub mod key;
pub mod network;
pub mod origin;
pub mod password;
pub mod path;
pub mod permission;
pub mod principal;
pub mod query;
pub mod request;
pub mod rights;
pub mod role;
pub mod secret;
pub mod session;
pub mod step;
pub mod time;
pub mod token;
pub mod traced;
pub mod verdict;
pub mod verifier;
