//! What is left of a disagreement when everything that does not matter is taken out.

use super::words::{Consumer, Deployment, Key, Networks, Policy, Request};

/// Takes out one thing after the other for as long as `fails` holds.
pub fn minimal(
    mut policy: Policy,
    mut request: Request,
    fails: impl Fn(&Policy, &Request) -> bool,
) -> (Policy, Request) {
    while let Some(smaller) = smaller(&policy, &request)
        .into_iter()
        .find(|it| (&it.0, &it.1) != (&policy, &request) && fails(&it.0, &it.1))
    {
        (policy, request) = smaller;
    }
    (policy, request)
}

fn smaller(policy: &Policy, request: &Request) -> Vec<(Policy, Request)> {
    let mut all = Vec::new();
    {
        let mut policies = |change: &dyn Fn(&mut Policy)| {
            let mut policy = policy.clone();
            change(&mut policy);
            all.push((policy, request.clone()));
        };
        for at in 0..policy.deployments.len() {
            policies(&|it| drop(it.deployments.remove(at)));
            deployments(&policy.deployments[at], |change| policies(&|it| change(&mut it.deployments[at])));
        }
        for at in 0..policy.consumers.len() {
            policies(&|it| drop(it.consumers.remove(at)));
            policies(&|it| it.consumers[at].networks = Networks::default());
            policies(&|it| {
                it.consumers[at] = Consumer { roles: Default::default(), ..it.consumers[at].clone() }
            });
            policies(&|it| it.consumers[at].groups.clear());
        }
        for at in 0..policy.keys.len() {
            policies(&|it| drop(it.keys.remove(at)));
            policies(&|it| it.keys[at].networks = Networks::default());
            policies(&|it| it.keys[at] = Key { opens: None, permissions: None, ..it.keys[at].clone() });
        }
        policies(&|it| it.proxies.clear());
        policies(&|it| it.implies.clear());
    }
    let mut requests = |change: &dyn Fn(&mut Request)| {
        let mut request = request.clone();
        change(&mut request);
        all.push((policy.clone(), request));
    };
    requests(&|it| it.service = None);
    requests(&|it| it.infrastructure = None);
    requests(&|it| it.method = "GET".into());
    requests(&|it| it.source = None);
    for at in 0..request.hops.len() {
        requests(&|it| _ = it.hops.remove(at));
    }
    for at in 0..request.presented.len() {
        requests(&|it| drop(it.presented.remove(at)));
    }
    all
}

fn deployments(it: &Deployment, mut changed: impl FnMut(&dyn Fn(&mut Deployment))) {
    for at in 0..it.rules.len() {
        changed(&|it| drop(it.rules.remove(at)));
        changed(&|it| it.rules[at].paths.clear());
        changed(&|it| it.rules[at].methods.clear());
        changed(&|it| it.rules[at].permissions.clear());
        changed(&|it| it.rules[at].roles.clear());
        changed(&|it| it.rules[at].groups.clear());
    }
    for at in 0..it.methods.len() {
        changed(&|it| drop(it.methods.remove(at)));
        for place in 0..it.methods[at].places.len() {
            changed(&|it| drop(it.methods[at].places.remove(place)));
        }
    }
    changed(&|it| it.hosts.clear());
    changed(&|it| it.paths.clear());
    changed(&|it| it.networks = Networks::default());
    changed(&|it| (it.allow_groups, it.deny_groups) = (None, None));
    changed(&|it| it.anonymous = None);
    changed(&|it| it.shadow = false);
    changed(&|it| it.resolve = false);
    changed(&|it| it.all = false);
}
