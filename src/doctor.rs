//! Whether an Envoy asks as it should: reads its configuration, and says what of it is unsafe, breaks
//! requests or is slow. What Envoy does with each field was measured with 1.40.

mod asking;
mod cluster;
mod edge;
mod field;
mod filter;
mod finding;
mod ills;
mod ours;
mod reading;
mod routes;
mod ways;

pub use finding::{Finding, Harm, Ill};
pub use ills::ILLS;
pub use ours::Ours;
pub use reading::{Envoy, Unreadable};

use field::text;
use finding::Findings;
use ways::Ways;

/// Everything that is wrong with an Envoy in front of a Doorward that is set up as `ours`.
pub fn examine(envoy: &Envoy, ours: &Ours) -> Vec<Finding> {
    let mut findings = Findings::default();
    admin(envoy, &mut findings);
    let managers = envoy.managers();
    let asking: Vec<_> = managers.iter().flat_map(|manager| manager.asking(envoy)).collect();
    if envoy.asks_about_connections() {
        findings.add("the configuration", &ills::CONNECTIONS, "an ext_authz filter for connections");
    } else if asking.is_empty() {
        findings.add("the configuration", &ills::NOT_ASKED, "no ext_authz filter");
    }
    if envoy.more_listeners {
        findings.add("the configuration", &ills::UNSEEN, "lds_config");
    }
    let ways = Ways::new(envoy, &managers);
    managers.iter().for_each(|manager| ways.examine(manager, ours, &mut findings));
    ways.connections(&mut findings);
    for asking in &asking {
        edge::examine(asking, ours, &mut findings);
        routes::examine(asking, ours, (envoy, &ways), &mut findings);
        filter::examine(asking, ours, envoy, &mut findings);
        if let Some(name) = asking.cluster() {
            cluster::examine(envoy, name, (asking, ours), &mut findings);
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
