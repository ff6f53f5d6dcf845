//! Who is calling: what was presented, held against what is known.

use std::sync::Arc;

use smallvec::SmallVec;

use super::issued::Issued;
use super::{Case, Owned, Refusal, Trail};
use crate::domain::authentication::Method;
use crate::domain::consumer::Consumer;
use crate::domain::credential::Presented;
use crate::domain::denial::{Denial, Unproven};
use crate::domain::key::KeyFacts;
use crate::domain::permission::PermissionId;
use crate::domain::principal::{CredentialName, Principal, Told};
use crate::domain::secret::{self, Kind, Reading};
use crate::domain::step::{Outcome, Step, Witness};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Fault;

/// Who is calling, and by which key.
pub(super) struct Proof {
    pub(super) consumer: Arc<Consumer>,
    /// The key that proved it, where it was one.
    pub(super) key: Option<KeyFacts>,
    /// What names the JWT or the password that proved it, where it was one. None of these: nothing was proven, and
    /// the consumer stands in for whoever it is.
    name: Option<Arc<str>>,
    /// What the JWT's claims are to tell the upstream.
    claims: Told,
    /// What we issued, where it was that.
    pub(super) issued: Option<Issued>,
}

/// Mostly one: only `all` asks for more.
pub(super) type Proofs = SmallVec<[Proof; 1]>;

impl Proof {
    pub(super) fn anonymous(consumer: Arc<Consumer>) -> Self {
        Self { consumer, key: None, name: None, claims: Told::new(), issued: None }
    }

    pub(super) fn by_text(consumer: Arc<Consumer>, name: Arc<str>, claims: Told) -> Self {
        Self { consumer, key: None, name: Some(name), claims, issued: None }
    }

    pub(super) fn by_issued(consumer: Arc<Consumer>, issued: Issued) -> Self {
        Self { consumer, key: None, name: None, claims: Told::new(), issued: Some(issued) }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.key.is_some() || self.name.is_some() || self.issued.is_some()
    }

    /// What the consumer may do and the key was given: rights never grow by way of a credential.
    pub(super) fn has(&self, permission: &PermissionId) -> bool {
        let given = self.key.as_ref().and_then(|key| key.permissions.as_ref());
        self.consumer.given.permissions.contains(permission)
            && given.is_none_or(|permissions| permissions.contains(permission))
    }

    pub(super) fn into_principal(self) -> Principal {
        let Self { consumer, key, name, claims, issued } = self;
        let (credential, given, token) = match (key, name, issued) {
            (Some(key), _, _) => (CredentialName::Id(key.id), key.permissions, None),
            (None, Some(name), _) => (CredentialName::Text(name), None, None),
            (None, None, Some(Issued::Token(token))) => (CredentialName::Id(token.id), None, Some(token)),
            (None, None, Some(Issued::Session(id))) => (CredentialName::Session(id), None, None),
            (None, None, None) => return Principal::Anonymous(consumer),
        };
        Principal::Proven { consumer, credential, given, claims, token }
    }
}

impl<'w, W: Witness> Case<'_, 'w, '_, W> {
    /// Whether a method is asked at all: not every preflight is checked.
    pub(super) fn applies(&self, method: &Method) -> bool {
        match method {
            Method::ApiKey(api_key) => api_key.preflight || self.request.method != b"OPTIONS",
            Method::StaticToken(_) | Method::Token(_) | Method::Jwt(_) => true,
            Method::Basic(_) | Method::Cookie(_) => true,
        }
    }

    /// The first proof. Where none proves, the first credential presented names the denial; where a
    /// method could not be decided, that is a fault, for it might have proven.
    pub(super) fn first_that_proves(&mut self, methods: &[&'w Method]) -> Result<Proofs, Refusal> {
        let mut shut: Option<Refusal> = None;
        for method in methods {
            match (self.prove(method), &shut) {
                (Ok(proof), _) => return Ok(Proofs::from_iter([proof])),
                (Err(refusal), None | Some(Refusal::Denied(Denial::MissingCredential))) => {
                    shut = Some(refusal);
                }
                (Err(Refusal::Faulted(fault)), Some(_)) => shut = Some(Refusal::Faulted(fault)),
                // A proven session that another page used: no anonymous consumer stands in for it.
                (Err(denied @ Refusal::Denied(Denial::OriginDenied { .. })), Some(Refusal::Denied(_))) => {
                    shut = Some(denied);
                }
                (Err(Refusal::Denied(_)), Some(_)) => {}
            }
        }
        shut.map_or(Ok(Proofs::new()), Err)
    }

    pub(super) fn prove(&mut self, method: &'w Method) -> Result<Proof, Refusal> {
        let name = method.name();
        let presented = method.present(self.request, self.trail.query(), self.witness);
        let text = match presented {
            Presented::Nothing => return Err(Denial::MissingCredential.into()),
            Presented::Duplicate => return Err(Denial::DuplicateCredential.into()),
            Presented::Key(text) => text,
        };
        // What an earlier method learned says nothing of this one's credential.
        self.trail.method = Some(name);
        self.trail.credential = None;
        self.trail.consumer = None;
        let proof = match method {
            Method::Jwt(jwt) => self.prove_jwt(jwt, &text),
            Method::Basic(_) => self.prove_basic(&text),
            Method::Token(token) => self.prove_issued(token, &text),
            Method::Cookie(cookie) => self.prove_session(cookie, &text),
            Method::ApiKey(_) | Method::StaticToken(_) => self.prove_key(method, &text),
        };
        let outcome = match &proof {
            Ok(_) => Outcome::Open,
            Err(Refusal::Denied(denial)) => Outcome::Shut(denial.why().unwrap_or(denial.notice().code)),
            Err(Refusal::Faulted(fault)) => Outcome::Shut(fault.why()),
        };
        let Trail { credential, consumer, .. } = &self.trail;
        self.witness.saw(|| Step::Credential {
            method: name,
            key: credential.as_ref().and_then(CredentialName::id),
            consumer: consumer.as_ref().map(|consumer| consumer.id),
            username: consumer.as_ref().and_then(|consumer| consumer.username.as_deref().map(str::to_owned)),
            outcome,
        });
        proof
    }

    fn prove_key(&mut self, method: &Method, text: &[u8]) -> Result<Proof, Refusal> {
        screen(text)?;
        let (key, consumer) = self.look_up_key(text)?.ok_or(invalid(Unproven::Unknown))?;
        self.trail.credential = Some(CredentialName::Id(key.id));
        let consumer = consumer.ok_or(invalid(Unproven::ConsumerUnknown))?;
        self.trail.consumer = Some(Arc::clone(&consumer));
        hold(&key, &consumer, self.world.now)?;
        if matches!(method, Method::StaticToken(_)) && !self.names_this_service(&key) {
            return Err(invalid(Unproven::OtherService).into());
        }
        Ok(Proof { consumer, key: Some(key), name: None, claims: Told::new(), issued: None })
    }

    fn look_up_key(&self, text: &[u8]) -> Result<Option<Owned>, Fault> {
        for verifier in self.world.peppers.verifiers(text) {
            if let Some(owned) = self.world.directory.key_and_consumer(&verifier)? {
                return Ok(Some(owned));
            }
        }
        Ok(None)
    }

    /// A static token is made for its service: a key that opens everything is none.
    fn names_this_service(&self, key: &KeyFacts) -> bool {
        let (Some(opens), Some(deployment)) = (&key.opens, self.trail.deployment) else { return false };
        opens.iter().any(|open| open.includes(deployment))
    }
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

pub(super) fn invalid(why: Unproven) -> Denial {
    Denial::InvalidCredential { why }
}
