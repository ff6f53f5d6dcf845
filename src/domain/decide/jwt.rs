//! Who is calling by a JWT: its claims, held against what is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::prove::{Proof, invalid};
use super::{Case, Refusal};
use crate::domain::authentication::Jwt;
use crate::domain::catalog::Catalog;
use crate::domain::consumer::{Consumer, Given};
use crate::domain::denial::{Denial, Unproven};
use crate::domain::issuer::{Issuer, Keys, Signer};
use crate::domain::jwt::{self, Claims, EVERY_SERVICE, Refused};
use crate::domain::network::Networks;
use crate::domain::principal::{CredentialName, Told};
use crate::domain::role::RoleGrant;
use crate::domain::step::Witness;

/// What is known of a JWT that was presented.
pub enum Judged {
    Genuine(Arc<Claims>),
    Refused(Refused),
    /// Its signature has not been verified yet: whoever decides has that done, and decides again.
    Unverified,
}

impl<W: Witness> Case<'_, '_, '_, W> {
    pub(super) fn prove_jwt(&mut self, jwt: &Jwt, text: &[u8]) -> Result<Proof, Refusal> {
        let Some(issuer) = self.world.catalog.issuer(&jwt.issuer) else {
            return Err(Denial::Internal { why: "a method without its issuer" }.into());
        };
        // Of consumers each is an issuer of its own, which the token names.
        let signer = match issuer.keys {
            Keys::OfConsumer(_) => Some(self.signer(issuer, text)?),
            Keys::Ours | Keys::Read(_) | Keys::Published(_) => None,
        };
        let issuer = signer.as_ref().map_or(issuer, |signer| &signer.issuer);
        let claims = match self.world.directory.jwt(issuer, text)? {
            Judged::Genuine(claims) => claims,
            Judged::Refused(why) => return Err(refused(why).into()),
            Judged::Unverified => {
                return Err(Denial::Internal { why: "a signature that was not verified" }.into());
            }
        };
        let name: Arc<str> = match issuer.keys {
            Keys::Ours => Arc::clone(claims.id.as_ref().unwrap_or(&claims.subject)),
            Keys::Read(_) | Keys::Published(_) => Arc::clone(&claims.subject),
            Keys::OfConsumer(_) => issuer.rules.issuer.as_str().into(),
        };
        self.trail.credential = Some(CredentialName::Text(Arc::clone(&name)));
        claims.judge(&issuer.rules, self.world.now).map_err(refused)?;
        let consumer = match (&signer, &issuer.keys) {
            (Some(signer), _) => self.of_signer(signer, &claims)?,
            (None, Keys::Ours) => self.of_ours(&claims)?,
            (None, Keys::Read(_) | Keys::Published(_) | Keys::OfConsumer(_)) => {
                self.of_other(jwt, issuer, &claims)?
            }
        };
        self.trail.consumer = Some(Arc::clone(&consumer));
        if !consumer.enabled {
            return Err(invalid(Unproven::ConsumerDisabled).into());
        }
        Ok(Proof::by_text(consumer, name, told(jwt, &claims)))
    }

    /// Whose word a token claims to be: nothing of it is believed yet.
    fn signer(&self, issuer: &Issuer, text: &[u8]) -> Result<Arc<Signer>, Refusal> {
        let named = jwt::signer(text, issuer.rules.longest).map_err(refused)?;
        Ok(self.world.directory.signer(&named)?.ok_or(refused(Refused::UnknownKey))?)
    }

    /// A consumer speaks for itself. Whom it speaks to it need not say; but a token that says so is for
    /// nobody else (RFC 7519 section 4.1.3).
    fn of_signer(&self, signer: &Signer, claims: &Claims) -> Result<Arc<Consumer>, Refusal> {
        let Some(deployment) = self.trail.deployment else {
            return Err(Denial::Internal { why: "a token without a deployment" }.into());
        };
        let mut id = Uuid::encode_buffer();
        let id = &*deployment.service.hyphenated().encode_lower(&mut id);
        let ours = [EVERY_SERVICE, &deployment.service_name, id];
        if !claims.audiences.is_empty() && !claims.is_for_any(&ours) {
            return Err(refused(Refused::Audience).into());
        }
        Ok(self.world.directory.consumer(signer.consumer)?.ok_or(invalid(Unproven::ConsumerUnknown))?)
    }

    /// A token of ours names its consumer, and the service it is for.
    fn of_ours(&self, claims: &Claims) -> Result<Arc<Consumer>, Refusal> {
        let Some(deployment) = self.trail.deployment else {
            return Err(Denial::Internal { why: "a token without a deployment" }.into());
        };
        let mut id = Uuid::encode_buffer();
        let id = &*deployment.service.hyphenated().encode_lower(&mut id);
        if !claims.is_for_any(&[EVERY_SERVICE, id]) {
            return Err(invalid(Unproven::OtherService).into());
        }
        let id = claims.subject.parse().map_err(|_| refused(Refused::Subject))?;
        if let Some(mark) = claims.password() {
            let stands = match mark {
                Some(mark) => self.world.directory.password_stands(id, mark)?,
                None => false,
            };
            if !stands {
                return Err(invalid(Unproven::PasswordChanged).into());
            }
        }
        Ok(self.world.directory.consumer(id)?.ok_or(invalid(Unproven::ConsumerUnknown))?)
    }

    /// Another issuer's names a consumer where it is said by what; else it stands for one that nobody
    /// declared. What its claims give comes on top.
    fn of_other(&self, jwt: &Jwt, issuer: &Issuer, claims: &Claims) -> Result<Arc<Consumer>, Refusal> {
        let consumer = match &jwt.claims.consumer {
            Some((path, by)) => {
                let named = claims.at(path).and_then(Value::as_str);
                let named = named.ok_or(invalid(Unproven::ConsumerUnknown))?;
                let found = self.world.directory.consumer_by(*by, named)?;
                found.ok_or(invalid(Unproven::ConsumerUnknown))?
            }
            None => Arc::new(undeclared(issuer, claims)),
        };
        let given = given_by(jwt, claims, self.world.catalog);
        Ok(if given == Given::default() { consumer } else { Arc::new(on_top(&consumer, given)) })
    }
}

/// Somebody whom only the issuer knows: the same id for the same subject, on every instance.
fn undeclared(issuer: &Issuer, claims: &Claims) -> Consumer {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, issuer.rules.issuer.as_bytes());
    Consumer {
        id: Uuid::new_v5(&namespace, claims.subject.as_bytes()),
        custom_id: Some((&*claims.subject).into()),
        enabled: true,
        ..Consumer::default()
    }
}

/// What claims give a caller.
fn given_by(jwt: &Jwt, claims: &Claims, catalog: &Catalog) -> Given {
    let at = |path: &Option<Vec<String>>| path.as_ref().and_then(|path| claims.at(path));
    // What could not stand in a list of a header is no name of a group.
    let plain = |name: &&str| !name.contains(',') && !name.chars().any(char::is_control);
    let groups = at(&jwt.claims.groups).map(words).unwrap_or_default();
    let permissions = at(&jwt.claims.permissions).map(words).unwrap_or_default();
    let permission = |name: &str| {
        let is = |id: &Uuid| Uuid::try_parse(name).is_ok_and(|wanted| wanted == *id);
        let mut declared = catalog.permissions().iter();
        declared.find(|one| one.name == name || is(&one.id)).map(|one| one.id)
    };
    Given {
        groups: groups.into_iter().filter(plain).map(str::to_owned).collect(),
        permissions: permissions.into_iter().filter_map(permission).collect(),
        roles: at(&jwt.claims.roles).map(|roles| grants(roles, catalog)).unwrap_or_default(),
        networks: Networks::default(),
    }
}

/// The consumer with all that it was given, and this.
fn on_top(consumer: &Consumer, more: Given) -> Consumer {
    let mut given = Given::clone(&consumer.given);
    given.groups.extend(more.groups);
    let mut told = BTreeSet::new();
    given.groups.retain(|group| told.insert(group.clone()));
    given.permissions.extend(more.permissions);
    given.roles.extend(more.roles);
    Consumer { given: Arc::new(given), ..consumer.clone() }
}

/// What the upstream is told of these claims: texts, numbers, `true` and `false`, and lists of them.
fn told(jwt: &Jwt, claims: &Claims) -> Told {
    let header = |(name, path): &(String, Vec<String>)| {
        let values = claims.at(path).map(plain_values).unwrap_or_default();
        (!values.is_empty()).then(|| (name.clone(), values))
    };
    jwt.claims.headers.iter().filter_map(header).collect()
}

fn plain_values(value: &Value) -> Vec<String> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(all) => all.iter().filter_map(plain).collect(),
        one => plain(one).into_iter().collect(),
    }
}

/// A list of texts, or one text with blanks between its words, as OAuth writes `scope`.
fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).filter(|word| !word.is_empty()).collect(),
        _ => Vec::new(),
    }
}

/// An object: for each project, by name or id, what roles there are in it.
fn grants(value: &Value, catalog: &Catalog) -> Vec<RoleGrant> {
    let project = |named: &str| {
        let is = |id: &Uuid| Uuid::try_parse(named).is_ok_and(|wanted| wanted == *id);
        catalog.projects().iter().find(|one| one.name == named || is(&one.id)).map(|one| one.id)
    };
    let of = |(named, roles): (&String, &Value)| {
        let project = project(named)?;
        let grant = move |role: &str| RoleGrant { project, role: role.to_owned() };
        Some(words(roles).into_iter().map(grant).collect::<Vec<_>>())
    };
    value.as_object().into_iter().flatten().filter_map(of).flatten().collect()
}

fn refused(why: Refused) -> Denial {
    invalid(Unproven::Jwt(why))
}
