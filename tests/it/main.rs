//! Doorward from outside: the real binary, a real Envoy, an upstream that says what it saw.
//!
//! One binary, because it links once. A file is a boundary; a test's name is a claim.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "tests: a panic is the finding")]

#[path = "../rig/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the demo, which uses other parts of it")]
mod rig;
mod world;

#[path = "../../benches/call.rs"]
#[allow(dead_code, reason = "shared with the bench, which uses other parts of it")]
mod call;
#[path = "../../benches/deciding.rs"]
#[allow(dead_code, reason = "shared with the bench, which uses other parts of it")]
mod deciding;
#[path = "../../benches/house.rs"]
#[allow(dead_code, reason = "shared with the bench, which uses other parts of it")]
mod house;
#[path = "../../benches/imagined.rs"]
mod imagined;

mod access_keys;
mod addresses;
mod admin;
mod agreement;
mod allocations;
mod answers;
mod architecture;
mod as_printed;
mod asked;
mod audit;
mod authority;
mod bad_bodies;
mod bench;
mod bodies;
mod claim_headers;
mod collector;
mod command_line;
mod commands;
mod cookies;
mod cost;
mod demo;
mod deployments;
mod doctor;
mod documents;
mod drain;
mod durability;
mod expiry;
mod explain;
mod fail_open;
mod failures;
mod fleet;
mod forward_auth;
mod groups_and_rules;
mod grpc_callers;
mod guides;
mod headers;
mod health;
mod http2;
mod identity;
mod jwt;
mod keys;
mod kong;
mod kuroco;
mod limits;
mod login;
mod many_networks;
mod memory;
mod metadata;
mod model;
mod monitoring;
mod oauth;
mod objects;
mod openid;
mod packaging;
mod paths;
mod plugins;
mod preconditions;
mod readme;
mod reload;
mod rights;
mod rules;
mod samples;
mod schemathesis;
mod secrets;
mod shadow;
mod shared_store;
mod signing_keys;
mod straight;
mod strangers;
mod supply_chain;
mod tables;
mod tail;
mod tls;
mod traces;
mod undecided;
