//! Which deployment a request is for, and which path the rules are asked about.

use std::borrow::Cow;

use super::{Case, Refusal};
use crate::domain::denial::Denial;
use crate::domain::deployment::{Deployment, Reading};
use crate::domain::path::{self, Target};
use crate::domain::request::Request;
use crate::domain::step::{Step, Witness};

/// How the path may be read: in one way, or in several that must all pass.
#[derive(Clone, Debug)]
pub struct Readings<'r> {
    /// Canonical, or resolved where there is no canonical form.
    pub path: Cow<'r, [u8]>,
    /// As it came, where that is another reading.
    pub written: Option<&'r [u8]>,
    /// Between the two: what is read by those who resolve some of it.
    pub between: Vec<Vec<u8>>,
    pub query: Option<&'r [u8]>,
}

impl<'r> Readings<'r> {
    fn canonical(Target { path, query }: Target<'r>) -> Self {
        Self { path, written: None, between: Vec::new(), query }
    }

    fn resolved(target: &'r [u8]) -> Result<Self, Denial> {
        let path::Readings { written, resolved, between, query } = path::resolve(target)?;
        Ok(Self { path: Cow::Owned(resolved), written: Some(written), between, query })
    }

    /// Each reading of the path.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let between = self.between.iter().map(Vec::as_slice);
        std::iter::once(self.path.as_ref()).chain(self.written).chain(between)
    }
}

impl<'w, 'r, W: Witness> Case<'_, 'w, 'r, W> {
    /// The deployment that the route names, else by host and path.
    pub(super) fn find(&mut self) -> Result<&'w Deployment, Refusal> {
        let catalog = self.world.catalog;
        let target = self.request.target;
        let parsed = path::parse(target);
        let (deployment, found_by) = match self.request.route.service {
            Some(service) => {
                let named = catalog.named(service, self.request.route.infrastructure);
                let deployment = named.inspect_err(|_| self.witness_nowhere())?;
                // Before the path is judged: shadow mode must know where it is.
                self.trail.deployment = Some(deployment);
                self.trail.readings = Some(match parsed {
                    Ok(parsed) => Readings::canonical(parsed),
                    Err(denial) => resolved_for(deployment, target, denial)?,
                });
                (deployment, "context_extensions")
            }
            None => self.place(parsed)?,
        };
        self.trail.deployment = Some(deployment);
        self.witness_path();
        self.witness.saw(|| Step::Deployment {
            name: deployment.name(),
            found_by,
            enabled: deployment.enabled,
            mode: deployment.policy.mode.name(),
        });
        Ok(deployment)
    }

    fn place(
        &mut self,
        parsed: Result<Target<'r>, Denial>,
    ) -> Result<(&'w Deployment, &'static str), Refusal> {
        let (host, on) = (self.request.host, self.request.route.infrastructure);
        let catalog = self.world.catalog;
        match parsed {
            Ok(parsed) => {
                let readings = self.trail.readings.insert(Readings::canonical(parsed));
                let placed = catalog.placed(host, &readings.path, on);
                Ok(placed.inspect_err(|_| {
                    self.witness_path();
                    self.witness_nowhere();
                })?)
            }
            Err(denial @ Denial::AmbiguousPath { .. }) => {
                let readings = Readings::resolved(self.request.target)?;
                let (deployment, found_by) =
                    catalog.placed(host, &readings.path, on).map_err(|_| denial.clone())?;
                let same = readings.each().all(|path| {
                    catalog.placed(host, path, on).is_ok_and(|(other, _)| std::ptr::eq(deployment, other))
                });
                if same {
                    // Before it is refused: shadow mode must know where it is.
                    self.trail.deployment = Some(deployment);
                }
                // Readings of two services: neither's policy may be taken for the other's.
                if deployment.reading == Reading::Strict || !same {
                    return Err(denial.into());
                }
                self.trail.readings = Some(readings);
                Ok((deployment, found_by))
            }
            Err(denial) => Err(denial.into()),
        }
    }

    fn witness_path(&mut self) {
        if let Some(readings) = &self.trail.readings {
            let Readings { path, written, between, .. } = readings;
            self.witness.saw(|| Step::Path {
                canonical: text(path),
                as_written: written.map(text),
                between: between.iter().map(|path| text(path)).collect(),
            });
        }
    }

    fn witness_nowhere(&mut self) {
        let Request { host, route, .. } = self.request;
        self.witness.saw(|| Step::Nowhere {
            service: route.service.map(text),
            infrastructure: route.infrastructure.map(text),
            host: text(host),
        });
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn resolved_for<'r>(
    deployment: &Deployment,
    target: &'r [u8],
    denial: Denial,
) -> Result<Readings<'r>, Denial> {
    match (deployment.reading, denial) {
        (Reading::Resolve, Denial::AmbiguousPath { .. }) => Readings::resolved(target),
        (_, denial) => Err(denial),
    }
}
