//! What the caller may do: addresses of its own, services, groups, rules.

use smallvec::SmallVec;

use super::issued::Issued;
use super::prove::Proof;
use super::{Case, Refusal};
use crate::domain::denial::Denial;
use crate::domain::deployment::{Deployment, Groups, Rule};
use crate::domain::network::Networks;
use crate::domain::role::RoleDemand;
use crate::domain::step::{Outcome, Step, Witness};
use crate::domain::token::Scope;

impl<'w, W: Witness> Case<'_, 'w, '_, W> {
    pub(super) fn authorize(&mut self, deployment: &Deployment, proofs: &[Proof]) -> Result<(), Refusal> {
        for proof in proofs {
            self.admit_credential(proof)?;
            self.open_service(deployment, proof)?;
        }
        // The last one's identity stands.
        let proof = proofs.last();
        self.admit_groups(&deployment.policy.groups, proof)?;
        self.obey_rules(&deployment.policy.rules, proof)
    }

    /// The networks of the consumer and of the key itself.
    fn admit_credential(&mut self, proof: &Proof) -> Result<(), Denial> {
        self.admit_from("consumer", &proof.consumer.given.networks)?;
        let of_key = proof.key.as_ref().and_then(|key| key.networks.as_deref());
        of_key.map_or(Ok(()), |networks| self.admit_from("key", networks))
    }

    pub(super) fn admit_from(&mut self, of: &'static str, networks: &Networks) -> Result<(), Denial> {
        let admitted = networks.admits(self.trail.client.and_then(|client| client.address));
        if networks.in_force() {
            self.witness.saw(|| Step::Networks {
                of,
                outcome: admitted.map_or_else(|why| Outcome::Shut(why.name()), |()| Outcome::Open),
            });
        }
        admitted.map_err(|why| Denial::NetworkDenied { why: why.name() })
    }

    fn open_service(&mut self, deployment: &Deployment, proof: &Proof) -> Result<(), Denial> {
        let Some(key) = &proof.key else { return Ok(()) };
        let Some(opens) = &key.opens else { return Ok(()) };
        let open = opens.iter().any(|open| open.includes(deployment));
        let id = key.id;
        self.witness.saw(|| Step::Service {
            key: id,
            outcome: if open { Outcome::Open } else { Outcome::Shut("service_denied") },
        });
        if open { Ok(()) } else { Err(Denial::ServiceDenied) }
    }

    /// The deployment's own list of groups.
    fn admit_groups(&mut self, groups: &Groups, proof: Option<&Proof>) -> Result<(), Denial> {
        let (list, of, wanted) = match groups {
            Groups::Any => return Ok(()),
            Groups::Allow(of) => ("allow", of, true),
            Groups::Deny(of) => ("deny", of, false),
        };
        let admitted = named_for_groups(proof)
            .and_then(|proof| if is_in_one(proof, of) == wanted { Ok(()) } else { Err(Denial::GroupDenied) });
        self.witness.saw(|| Step::Groups {
            list,
            of: of.clone(),
            caller: proof.map_or_else(Vec::new, |proof| proof.consumer.given.groups.clone()),
            outcome: outcome(&admitted),
        });
        admitted
    }

    /// Of the rules about this method those with the longest prefix that covers the path, all of
    /// them; where the path has several readings, those of each. In the order in which they are
    /// written, each once, so that the same rule names the denial however the path is spelled.
    fn obey_rules(&mut self, rules: &[Rule], proof: Option<&Proof>) -> Result<(), Refusal> {
        if rules.is_empty() {
            return Ok(());
        }
        let Some(readings) = &self.trail.readings else {
            return Err(Denial::Internal { why: "rules without a path" }.into());
        };
        let method = self.request.method;
        // For each reading: measured twice, which is cheaper than remembering what each rule covers.
        let longest: SmallVec<[Option<usize>; 1]> = readings
            .each()
            .map(|path| rules.iter().filter_map(|rule| rule.covers(method, path)).max())
            .collect();
        let applies = |rule: &Rule| {
            let mut readings = readings.each().zip(&longest);
            readings.any(|(path, longest)| longest.is_some() && rule.covers(method, path) == *longest)
        };
        for (index, rule) in rules.iter().enumerate().filter(|(_, rule)| applies(rule)) {
            let obeyed = self.obey(rule, proof);
            self.witness.saw(|| Step::Rule {
                index,
                methods: rule.methods.clone(),
                paths: rule.paths.clone(),
                outcome: outcome(&obeyed),
            });
            obeyed?;
        }
        if longest.iter().all(Option::is_none) {
            self.witness.saw(|| Step::NoRule);
        }
        Ok(())
    }

    /// By what the consumer has, or where the token is of a project, by what it has of that.
    fn acts_as(&self, proof: &Proof, demand: &RoleDemand) -> bool {
        let roles = self.world.catalog.roles();
        let token = match &proof.issued {
            Some(Issued::Token(token)) => Some(token),
            Some(Issued::Session(_)) | None => None,
        };
        match token.map(|token| (token, &token.scope)) {
            Some((token, Scope::Subject { project, .. })) => {
                demand.project.is_none_or(|wanted| wanted == *project)
                    && token.acts_as(&demand.role, &proof.consumer, roles)
            }
            Some((_, Scope::Dynamic { .. })) | None => roles.satisfy(&proof.consumer.given.roles, demand),
        }
    }

    fn obey(&self, rule: &Rule, proof: Option<&Proof>) -> Result<(), Denial> {
        if !rule.groups.is_empty() && !is_in_one(named_for_groups(proof)?, &rule.groups) {
            return Err(Denial::GroupDenied);
        }
        if rule.permissions.is_empty() && rule.roles.is_empty() {
            return Ok(());
        }
        let proof = proof.ok_or(Denial::MissingCredential)?;
        let permitted = rule.permissions.iter().all(|permission| proof.has(permission))
            && (rule.roles.is_empty() || rule.roles.iter().any(|demand| self.acts_as(proof, demand)));
        if permitted { Ok(()) } else { Err(Denial::PermissionDenied) }
    }
}

/// Somebody whose groups can be asked about. Nobody is nobody in particular, and so is an anonymous consumer
/// without groups: both are told to prove themselves, as Kong has it.
fn named_for_groups(proof: Option<&Proof>) -> Result<&Proof, Denial> {
    proof
        .filter(|proof| proof.is_proven() || !proof.consumer.given.groups.is_empty())
        .ok_or(Denial::MissingCredential)
}

fn is_in_one(proof: &Proof, of: &[String]) -> bool {
    proof.consumer.given.groups.iter().any(|group| of.contains(group))
}

fn outcome(result: &Result<(), Denial>) -> Outcome {
    match result {
        Ok(()) => Outcome::Open,
        Err(denial) => Outcome::Shut(denial.notice().code),
    }
}
