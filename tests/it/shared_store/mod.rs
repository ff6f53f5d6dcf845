//! Several instances over a real Redis: what holds in health and in every fault.

mod failover;
mod faults;
mod health;
mod history;
mod places;
mod start;
