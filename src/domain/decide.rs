//! The decision: the order of the doors is the order of the lines.

use std::sync::Arc;

use super::authentication::{ApiKey, Authentication, Combine, Method};
use super::catalog::Catalog;
use super::consumer::{Consumer, ConsumerId};
use super::credential::Presented;
use super::denial::{Denial, Unproven};
use super::deployment::{Deployment, Policy};
use super::key::{KeyFacts, KeyId};
use super::path::{self, Target};
use super::permission::PermissionId;
use super::principal::Principal;
use super::request::Request;
use super::secret::{self, Kind, Reading};
use super::time::Timestamp;
use super::verdict::{Fault, Grant, Verdict};
use super::verifier::{Peppers, Verifier};

/// Whom a decision asks what it needs to know: memory, never a store that would have to be waited for.
pub trait Directory {
    /// The key with this verifier.
    ///
    /// # Errors
    ///
    /// A [`Fault`] where absence cannot be told from not knowing.
    fn key(&self, verifier: &Verifier) -> Result<Option<KeyFacts>, Fault>;

    /// The consumer with this id, under the same condition.
    fn consumer(&self, id: ConsumerId) -> Result<Option<Arc<Consumer>>, Fault>;
}

/// All that a decision depends on besides the request.
#[derive(Clone, Copy)]
pub struct World<'w> {
    pub catalog: &'w Catalog,
    pub peppers: &'w Peppers,
    pub directory: &'w dyn Directory,
    pub now: Timestamp,
}

/// A verdict, and what was learned on the way to it.
#[derive(Debug)]
pub struct Decided<'w, 'r> {
    pub verdict: Result<Verdict<'w>, Fault>,
    pub trail: Trail<'w, 'r>,
}

/// What was learned on the way, whatever the verdict: for the log and for metadata.
#[derive(Debug, Default)]
pub struct Trail<'w, 'r> {
    pub target: Option<Target<'r>>,
    pub deployment: Option<&'w Deployment>,
    /// The method that presented the credential that decided.
    pub method: Option<&'static str>,
    /// The key that was presented, where it is known.
    pub key: Option<KeyId>,
    /// Whose it is.
    pub consumer: Option<Arc<Consumer>>,
}

/// Why there is no grant.
enum Refusal {
    Denied(Denial),
    Faulted(Fault),
}

/// Decides one request.
pub fn decide<'w, 'r>(world: World<'w>, request: &Request<'r>) -> Decided<'w, 'r> {
    let mut trail = Trail::default();
    let verdict = match grant(world, request, &mut trail) {
        Ok(grant) => Ok(Verdict::Allow(grant)),
        Err(Refusal::Denied(denial)) => Ok(Verdict::Deny(denial)),
        Err(Refusal::Faulted(fault)) => Err(fault),
    };
    Decided { verdict, trail }
}

fn grant<'w, 'r>(
    world: World<'w>,
    request: &Request<'r>,
    trail: &mut Trail<'w, 'r>,
) -> Result<Grant<'w>, Refusal> {
    let target = trail.target.insert(path::parse(request.target)?);
    let query = target.query;
    let deployment = world.catalog.find(request.route, request.host, &target.path)?;
    trail.deployment = Some(deployment);
    let proofs = authenticate(world, &deployment.policy, request, query, trail)?;
    for key in proofs.iter().filter_map(|proof| proof.key.as_ref()) {
        authorize(key, deployment)?;
    }
    let principal = proofs.into_iter().next_back().map_or(Principal::Nobody, Proof::into_principal);
    Ok(Grant { deployment, principal })
}

/// Who is calling, and by which key.
struct Proof {
    consumer: Arc<Consumer>,
    /// `None`: nothing was proven, and the consumer stands in for whoever it is.
    key: Option<KeyFacts>,
}

impl Proof {
    fn into_principal(self) -> Principal {
        let Self { consumer, key } = self;
        match key {
            None => Principal::Anonymous(consumer),
            Some(key) => Principal::Proven {
                permissions: shared_permissions(&consumer, &key),
                credential: key.id.to_string(),
                consumer,
            },
        }
    }
}

/// What the consumer may do and the key was given: rights never grow by way of a credential.
fn shared_permissions(consumer: &Consumer, key: &KeyFacts) -> Vec<PermissionId> {
    let given = |permission: &&PermissionId| {
        key.permissions.as_ref().is_none_or(|permissions| permissions.contains(permission))
    };
    consumer.permissions.iter().filter(given).copied().collect()
}

/// Every proof that was asked for, the one that names the caller last; none where nobody was asked.
fn authenticate<'w, 'r>(
    world: World<'w>,
    policy: &'w Policy,
    request: &Request<'r>,
    query: Option<&'r [u8]>,
    trail: &mut Trail<'w, 'r>,
) -> Result<Vec<Proof>, Refusal> {
    let Authentication::Required { combine, methods, anonymous } = &policy.authentication else {
        return Ok(Vec::new());
    };
    let applies = |method: &&Method| match method {
        Method::ApiKey(api_key) => api_key.preflight || request.method != b"OPTIONS",
    };
    let mut attempts = methods.iter().filter(applies).map(|method| match method {
        Method::ApiKey(api_key) => prove(world, api_key, request, query, trail),
    });
    let proofs = match combine {
        Combine::Any => first_that_proves(&mut attempts),
        Combine::All => attempts.collect(),
    };
    match (proofs, anonymous) {
        (Err(Refusal::Denied(denial)), Some(anonymous)) if is_failure_to_prove(&denial) => {
            fall_back(world, *anonymous, denial).map(|proof| vec![proof])
        }
        // None at all: no method applies to this preflight.
        (proofs, _) => proofs,
    }
}

/// The first proof. Where none proves, the first credential presented names the denial; where a
/// method could not be decided, that is a fault, for it might have proven.
fn first_that_proves(
    attempts: &mut dyn Iterator<Item = Result<Proof, Refusal>>,
) -> Result<Vec<Proof>, Refusal> {
    let mut shut: Option<Refusal> = None;
    for attempt in attempts {
        match (attempt, &shut) {
            (Ok(proof), _) => return Ok(vec![proof]),
            (Err(refusal), None | Some(Refusal::Denied(Denial::MissingCredential))) => shut = Some(refusal),
            (Err(Refusal::Faulted(fault)), Some(_)) => shut = Some(Refusal::Faulted(fault)),
            (Err(Refusal::Denied(_)), Some(_)) => {}
        }
    }
    shut.map_or(Ok(Vec::new()), Err)
}

fn is_failure_to_prove(denial: &Denial) -> bool {
    matches!(
        denial,
        Denial::MissingCredential | Denial::DuplicateCredential | Denial::InvalidCredential { .. }
    )
}

fn fall_back(world: World<'_>, anonymous: ConsumerId, denial: Denial) -> Result<Proof, Refusal> {
    match world.directory.consumer(anonymous)? {
        Some(consumer) if consumer.enabled => Ok(Proof { consumer, key: None }),
        // Switched off: as if the deployment took no anonymous callers.
        Some(_) => Err(denial.into()),
        None => Err(Denial::Internal { why: "the anonymous consumer does not exist" }.into()),
    }
}

fn prove<'w, 'r>(
    world: World<'w>,
    api_key: &ApiKey,
    request: &Request<'r>,
    query: Option<&'r [u8]>,
    trail: &mut Trail<'w, 'r>,
) -> Result<Proof, Refusal> {
    let text = match api_key.present(request, query) {
        Presented::Nothing => return Err(Denial::MissingCredential.into()),
        Presented::Duplicate => return Err(Denial::DuplicateCredential.into()),
        Presented::Disguised => {
            let why = "a credential's name is spelled with percent escapes in the query";
            return Err(Denial::MalformedRequest { why }.into());
        }
        Presented::Key(text) => text,
    };
    trail.method = Some("api_key");
    screen(&text)?;
    let key = look_up(world, &text)?.ok_or(invalid(Unproven::Unknown))?;
    trail.key = Some(key.id);
    let consumer = world.directory.consumer(key.consumer)?.ok_or(invalid(Unproven::ConsumerUnknown))?;
    trail.consumer = Some(Arc::clone(&consumer));
    hold(&key, &consumer, world.now)?;
    Ok(Proof { consumer, key: Some(key) })
}

/// Refuses what can be refused before anything is hashed or looked up.
fn screen(text: &[u8]) -> Result<(), Denial> {
    let may_be_known = match secret::read(text) {
        Reading::Ours { kind, .. } => kind == Kind::Key,
        Reading::Broken => false,
        Reading::Foreign => secret::could_be_key(text),
    };
    if may_be_known { Ok(()) } else { Err(invalid(Unproven::Malformed)) }
}

fn look_up(world: World<'_>, text: &[u8]) -> Result<Option<KeyFacts>, Fault> {
    for verifier in world.peppers.verifiers(text) {
        if let Some(key) = world.directory.key(&verifier)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Whether the key and its consumer hold at this moment.
fn hold(key: &KeyFacts, consumer: &Consumer, now: Timestamp) -> Result<(), Denial> {
    let shut = if !key.enabled {
        Unproven::Disabled
    } else if key.not_before.is_some_and(|from| now < from) {
        Unproven::NotYetValid
    } else if key.expires_at.is_some_and(|until| until <= now) {
        Unproven::Expired
    } else if !consumer.enabled {
        Unproven::ConsumerDisabled
    } else {
        return Ok(());
    };
    Err(invalid(shut))
}

fn authorize(key: &KeyFacts, deployment: &Deployment) -> Result<(), Denial> {
    let opens = key.opens.as_ref().is_none_or(|opens| opens.iter().any(|open| open.includes(deployment)));
    if opens { Ok(()) } else { Err(Denial::ServiceDenied) }
}

fn invalid(why: Unproven) -> Denial {
    Denial::InvalidCredential { why }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Faulted(fault)
    }
}

#[cfg(test)]
mod tests;
