//! One number for a whole policy, so that instances can tell whether they decide alike.

use sha2::{Digest, Sha256};

use super::policy::Resolved;
use crate::domain::authentication::{ApiKey, Authentication, Combine, Method, StaticToken};
use crate::domain::deployment::Deployment;
use crate::domain::verifier::Verifier;

/// Hashes words with their lengths, so that none runs into the next.
struct Feed(Sha256);

impl Feed {
    fn word(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn number(&mut self, number: impl Into<i64>) -> &mut Self {
        self.word(number.into().to_be_bytes())
    }

    fn option(&mut self, word: Option<impl AsRef<[u8]>>) -> &mut Self {
        match word {
            Some(word) => self.number(1).word(word),
            None => self.number(0),
        }
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.word((items.len() as u64).to_be_bytes());
        for item in items {
            each(self, item);
        }
        self
    }
}

/// The same number for the same policy, whatever the order and the places of its parts in the file.
///
/// Keys count by their verifiers: two instances that were given different texts under one name
/// differ, and yet nothing can be guessed from the number without the pepper.
pub(super) fn digest(resolved: &Resolved, verifiers: &[Option<Verifier>]) -> u64 {
    let mut feed = Feed(Sha256::new());
    let parts = &resolved.parts;
    // `Debug` of the names' struct would do, were it stable; its fields are few.
    let headers = &parts.headers;
    for name in [
        &headers.consumer_id,
        &headers.consumer_custom_id,
        &headers.consumer_username,
        &headers.consumer_groups,
        &headers.credential_identifier,
        &headers.anonymous_consumer,
        &headers.permissions,
        &headers.user_id,
        &headers.user_name,
        &headers.project_id,
        &headers.project_name,
        &headers.roles,
    ] {
        feed.word(name);
    }
    let mut permissions: Vec<_> = parts.permissions.iter().collect();
    permissions.sort_by_key(|permission| permission.id);
    feed.list(&permissions, |feed, permission| {
        feed.word(permission.id).word(&permission.name);
    });
    let mut deployments: Vec<_> = parts.deployments.iter().collect();
    deployments.sort_by_key(|deployment| deployment.service);
    feed.list(&deployments, |feed, deployment| service(feed, deployment));
    let mut consumers: Vec<_> = parts.consumers.values().collect();
    consumers.sort_by_key(|consumer| consumer.id);
    feed.list(&consumers, |feed, consumer| {
        feed.word(consumer.id).option(consumer.username.as_ref()).option(consumer.custom_id.as_ref());
        feed.list(&consumer.groups, |feed, group| _ = feed.word(group));
        feed.list(&sorted(&consumer.permissions), |feed, id| _ = feed.word(id));
        feed.number(consumer.enabled);
    });
    let mut keys: Vec<_> = resolved.keys.iter().zip(verifiers).collect();
    keys.sort_by_key(|(facts, _)| facts.id);
    feed.list(&keys, |feed, (facts, verifier)| {
        feed.word(facts.id).word(facts.consumer).option(verifier.as_ref().map(Verifier::as_bytes));
        feed.option(facts.not_before.map(|moment| moment.unix().to_be_bytes()));
        feed.option(facts.expires_at.map(|moment| moment.unix().to_be_bytes()));
        feed.number(facts.enabled).number(facts.opens.is_some()).number(facts.permissions.is_some());
        let services: Vec<_> =
            facts.opens.iter().flat_map(|opens| opens.iter()).map(|it| it.service).collect();
        feed.list(&sorted(&services), |feed, id| _ = feed.word(id));
        let permissions: Vec<_> = facts.permissions.iter().flat_map(|ids| ids.iter()).copied().collect();
        feed.list(&sorted(&permissions), |feed, id| _ = feed.word(id));
    });
    let hash = feed.0.finalize();
    hash.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn service(feed: &mut Feed, deployment: &Deployment) {
    feed.word(deployment.service).word(&deployment.service_name);
    feed.list(&sorted(&deployment.hosts), |feed, host| _ = feed.word(host));
    feed.list(&sorted(&deployment.paths), |feed, path| _ = feed.word(path));
    match &deployment.policy.authentication {
        Authentication::None => _ = feed.word("none"),
        Authentication::Required { combine, methods, anonymous } => {
            feed.word(match combine {
                Combine::Any => "any",
                Combine::All => "all",
            });
            feed.list(methods, |feed, method| match method {
                Method::ApiKey(method) => api_key(feed, method),
                Method::StaticToken(method) => static_token(feed, method),
            })
            .option(*anonymous);
        }
    }
}

fn api_key(feed: &mut Feed, method: &ApiKey) {
    feed.word("api_key").number(method.hide).number(method.preflight).number(method.bearer);
    feed.option(method.realm.as_ref());
    feed.list(&method.names, |feed, name| {
        feed.word(&name.name).list(&name.places, |feed, place| _ = feed.number(*place as u8));
    });
}

fn static_token(feed: &mut Feed, method: &StaticToken) {
    feed.word("static_token").list(&method.headers, |feed, header| _ = feed.word(header));
}

fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}
