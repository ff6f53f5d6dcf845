//! Whether an Envoy asks as it should: reads its configuration, and says what of it is unsafe, breaks
//! requests or is slow. What Envoy does with each field was measured with 1.40.

mod cluster;
mod edge;
mod field;
mod filter;
mod finding;
mod ills;
mod ours;
mod reading;
mod routes;

pub use finding::{Finding, Harm, Ill};
pub use ills::ILLS;
pub use ours::Ours;
pub use reading::{Envoy, Unreadable};

use field::text;
use finding::Findings;

/// Everything that is wrong with an Envoy in front of a Doorward that is set up as `ours`.
pub fn examine(envoy: &Envoy, ours: &Ours) -> Vec<Finding> {
    let mut findings = Findings::default();
    admin(envoy, &mut findings);
    let asking = envoy.asking();
    if asking.is_empty() {
        findings.add("the configuration", &ills::NOT_ASKED, "no ext_authz filter");
    }
    for asking in &asking {
        edge::examine(asking, ours, &mut findings);
        routes::examine(asking, ours, envoy, &mut findings);
        filter::examine(asking, ours, &mut findings);
        if let Some(name) = asking.cluster() {
            cluster::examine(envoy, name, asking.timeout(), &mut findings);
        }
    }
    findings.all()
}

fn admin(envoy: &Envoy, findings: &mut Findings) {
    let Some(address) = text(&envoy.admin, "address.socket_address.address") else { return };
    let local = address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if !local {
        findings.add("admin", &ills::ADMIN_OPEN, &format!("address: {address}"));
    }
}
