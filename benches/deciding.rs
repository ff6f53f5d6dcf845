//! Who decides: Doorward with the house's keys, and a constant.

use std::sync::Arc;

use arc_swap::ArcSwap;
use doorward::check::{Checker, Decision, Metadata, Outcome as Decided};
use doorward::clock::Clock;
use doorward::domain::denial::Denial;
use doorward::domain::headers::Mutations;
use doorward::domain::request::Request;
use doorward::domain::traced::Traced;
use doorward::grpc::Decide;
use doorward::issuers::{Issuers, Pool};
use doorward::replica::Replica;
use doorward::telemetry::Telemetry;

use crate::house::{self, Services, Size};
use crate::imagined::Imagined;
use crate::rig::Outcome;

pub(crate) fn checker(size: Size, clock: &Clock, telemetry: Telemetry) -> Outcome<Checker> {
    let telemetry = Arc::new(telemetry);
    let catalog = Arc::new(ArcSwap::from_pointee(house::catalog(size.services)?));
    let checker = Checker::new(
        Arc::clone(&catalog),
        house::peppers(),
        Arc::new(replica(size, clock)?),
        clock.clone(),
        Arc::clone(&telemetry),
    );
    Ok(match size.services {
        Services::Tokens => {
            let issuers = Issuers::new(clock.clone(), Arc::clone(&telemetry), None, REMEMBERED);
            issuers.follow(catalog.load().issuers());
            let pool = Pool::start(1, 1024, telemetry).map_err(|error| error.to_string())?;
            checker.with_issuers(Arc::new(issuers), pool)
        }
        Services::Whole | Services::Spread(_) => checker,
    })
}

/// Bytes of verified JWTs that are remembered, as `limits.jwt_memory` has them.
const REMEMBERED: usize = 16 << 20;

pub(crate) fn replica(size: Size, clock: &Clock) -> Outcome<Replica> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    runtime.block_on(Replica::load(&Imagined::new(size), clock)).map_err(|error| error.to_string())
}

/// Lets everybody in, and tells the upstream nothing.
pub(crate) struct Constant;

impl Decide for Constant {
    fn check<T>(&self, _: &Request<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        render(&decision(Decided::Allow(Mutations::default())))
    }

    fn refuse<T>(&self, denial: Denial, _: Option<&Traced>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        render(&decision(Decided::Deny(denial.notice(), Default::default())))
    }
}

fn decision(outcome: Decided<'_>) -> Decision<'_> {
    Decision { outcome, metadata: Metadata::default(), request_id: "", grpc: false }
}
