//! What many deployments demand alike, kept once for all of them.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::domain::authentication::Authentication;
use crate::domain::deployment::{Deployment, Groups};
use crate::domain::network::Networks;

/// Each once.
#[derive(Default)]
pub(super) struct Alike {
    authentication: HashSet<Arc<Authentication>>,
    networks: HashSet<Arc<Networks>>,
    groups: HashSet<Arc<Groups>>,
}

impl Alike {
    pub(super) fn share(mut self, deployments: &mut [Deployment]) {
        for deployment in deployments {
            let policy = &mut deployment.policy;
            share(&mut self.authentication, &mut policy.authentication);
            share(&mut self.networks, &mut policy.networks);
            share(&mut self.groups, &mut policy.groups);
        }
    }
}

fn share<T: Eq + Hash>(known: &mut HashSet<Arc<T>>, value: &mut Arc<T>) {
    match known.get(value) {
        Some(same) => *value = Arc::clone(same),
        None => {
            known.insert(Arc::clone(value));
        }
    }
}
