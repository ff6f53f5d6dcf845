//! Doorward: an external authoriser for Envoy that also issues and manages the credentials it
//! checks. ARCHITECTURE.md draws the map; this is its index.
//!
//! * [`domain`] — the nouns and the rules of a decision; pure.
//! * [`config`] — what the operator wrote.
//! * [`store`] — where records live; [`replica`] — what this instance knows of them.
//! * [`issuers`] — other issuers' keys, and what was verified with them.
//! * [`passwords`] — which are taken, and whether one that is presented is right.
//! * [`check`] — the shell of one decision; [`explain`] — the same for a request that is only described,
//!   every step told.
//! * [`cases`] — described requests beside a policy, and what is expected of them.
//! * [`doctor`] — what is wrong with an Envoy that asks.
//! * [`issue`] — making and ending consumers and credentials.
//! * [`grpc`], [`http`] — the wires; [`server`] — starts and drains them.
//! * [`reload`], [`telemetry`], [`clock`] — a new catalog, what is counted, what time it is.
//! * [`compile`] — one catalog of what the file declares and what is stored.
//! * [`priority`] — which threads come behind those that check.
//! * [`trust`] — whom we believe where we connect.
//! * [`cli`] — one file a command.

#![forbid(unsafe_code)]

pub mod cases;
pub mod check;
pub mod cli;
pub mod clock;
pub mod compile;
pub mod config;
pub mod doctor;
pub mod domain;
pub mod explain;
pub mod grpc;
pub mod http;
pub mod issue;
pub mod issuers;
pub mod passwords;
pub mod priority;
pub mod reload;
pub mod replica;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod trust;
