//! What is accepted and yet should be thought about twice.

use std::collections::HashSet;

use super::Config;
use super::authentication::{Authentication, Method};
use super::cookie::Cookie;
use super::deployments::{Part, Planned};
use super::fault::Fault;
use super::place::{At, Place};
use super::rules::Rule;
use super::token::TokenKind;
use crate::domain;
use crate::domain::deployment::{Deployment, Groups, Mode, longest_cover};

/// Services that `deployments` forgets.
pub(super) fn undeployed(config: &Config, planned: &[Planned<'_>], warnings: &mut Vec<Fault>) {
    let deployed: HashSet<usize> = planned.iter().map(|planned| planned.at).collect();
    for (at, service) in config.services.iter().enumerate() {
        if !deployed.contains(&at) {
            let message = format!(
                "service `{}` is not deployed: `deployments` lists others, and not this one",
                service.name.value
            );
            warnings.push(Fault::new(service.name.place, message));
        }
    }
}

/// That tokens of a project are taken, and most doors to them are not there.
pub(super) fn unaddressed(config: &Config, planned: &[Planned<'_>], warnings: &mut Vec<Fault>) {
    let is_wanted =
        |method: &Method| matches!(method, Method::Token(token) if token.kinds.contains(&TokenKind::Subject));
    let wanted = planned.iter().find_map(|planned| takes(authentication(planned).1, is_wanted));
    if let Some(method) = wanted.filter(|_| config.public_url.is_none() && !config.projects.is_empty()) {
        let message = "without `public_url` there is nothing at `/identity/v3` and `/auth/access-keys`, which answer \
                       404: operators make the access keys, and `/oauth2/token` is where they buy tokens";
        warnings.push(Fault::new(method.place, message));
    }
}

/// What is open, or shut for all, in a deployment.
pub(super) fn deployed(planned: &Planned<'_>, deployment: &Deployment, warnings: &mut Vec<Fault>) {
    let (who, authentication) = authentication(planned);
    let policy = &deployment.policy;
    let mut warn = |place: Place, message: String| warnings.push(Fault::new(place, message));
    if *policy.authentication == domain::authentication::Authentication::None {
        warn(authentication.place, format!("{who} is public: `authentication` is `none`"));
        let name = planned.name();
        if *policy.groups != Groups::Any {
            let message = format!(
                "`{name}` asks nobody for proof, and has `groups`: it denies everybody with `missing_credential`"
            );
            warn(authentication.place, message);
        } else if !policy.rules.is_empty() {
            let message = format!(
                "`{name}` asks nobody for proof, and has `rules`: what they cover is denied to everybody \
                 with `missing_credential`"
            );
            warn(authentication.place, message);
        }
    }
    if !policy.networks.in_force()
        && let Some(method) = takes(authentication, |method| matches!(method, Method::StaticToken(_)))
    {
        let message = format!(
            "`{}` takes a `static_token` from any address: whoever comes upon the token can use it; \
             name the callers' `networks`",
            planned.name()
        );
        warn(method.place, message);
    }
    if policy.mode == Mode::Shadow {
        let passes = match deployment.enabled {
            true => "what it would deny is logged, and passes",
            // By the letter: shadow carries no denial out, and this is one.
            false => "although it is switched off, every request passes, and is logged as denied",
        };
        warn(mode_place(planned), format!("`{}` is in shadow: {passes}", planned.name()));
    }
    for (rule, written) in policy.rules.iter().zip(rules(planned)) {
        let within = |path: &String| {
            longest_cover(&deployment.paths, path.as_bytes()).is_some()
                || deployment
                    .paths
                    .iter()
                    .any(|own| longest_cover(std::slice::from_ref(path), own.as_bytes()).is_some())
        };
        if !rule.paths.is_empty() && !rule.paths.iter().any(within) {
            let message = format!(
                "the `paths` of this rule are outside of those of `{}`: it holds only where a route names \
                 the deployment",
                planned.name()
            );
            warn(written.place, message);
        }
    }
}

/// Sessions that no browser can have at a service that takes them, or not the one of another service.
pub(super) fn sessions(
    cookie: &Cookie,
    planned: &[Planned<'_>],
    deployments: &[Deployment],
    warnings: &mut Vec<Fault>,
) {
    let in_cookie = |method: &Method| matches!(method, Method::Cookie(_));
    let mut first: Option<(&str, String)> = None;
    for (planned, deployment) in planned.iter().zip(deployments) {
        let Some(method) = takes(authentication(planned).1, in_cookie) else { continue };
        let name = deployment.name();
        for host in &deployment.hosts {
            match (&cookie.domain, &first) {
                (Some(domain), _) if is_within(host, domain) => {}
                (Some(domain), _) => {
                    let message = format!(
                        "nobody can log in at `{name}` on `{host}`: no browser takes or sends a cookie there \
                         whose `cookie.domain` is `{}`",
                        domain.value
                    );
                    warnings.push(Fault::new(method.place, message));
                }
                (None, None) => first = Some((host, name.clone())),
                (None, Some((known, other))) if *known != host && *other != name => {
                    let message = format!(
                        "`{other}` takes sessions on `{known}` and `{name}` on `{host}`: without \
                         `cookie.domain` each host has its own, so callers log in at each"
                    );
                    warnings.push(Fault::new(method.place, message));
                    return;
                }
                (None, Some(_)) => {}
            }
        }
    }
}

fn is_within(host: &str, domain: &str) -> bool {
    let host = host.strip_prefix("*.").unwrap_or(host);
    host == domain || host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
}

/// The authentication in force, and whose it is.
fn authentication<'c>(planned: &Planned<'c>) -> (String, &'c At<Authentication>) {
    match planned.r#override().and_then(|parts| parts.authentication.as_ref()) {
        Some(authentication) => (format!("deployment `{}`", planned.name()), authentication),
        None => (format!("service `{}`", planned.service.name.value), &planned.service.authentication),
    }
}

fn takes(authentication: &At<Authentication>, is: impl Fn(&Method) -> bool) -> Option<&At<Method>> {
    let Authentication::Required(required) = &authentication.value else { return None };
    let methods = required.any.iter().chain(&required.all).flat_map(|methods| &methods.value);
    methods.into_iter().find(|method| is(&method.value))
}

fn mode_place(planned: &Planned<'_>) -> Place {
    let overridden = planned.r#override().and_then(|parts| parts.mode.as_ref());
    overridden.map_or(planned.service.mode.place, |mode| mode.place)
}

fn rules<'c>(planned: &Planned<'c>) -> &'c [At<Rule>] {
    match planned.r#override().and_then(|parts| parts.rules.as_ref()) {
        Some(At { value: Part::Is(rules), .. }) => rules,
        Some(At { value: Part::Removed, .. }) => &[],
        None => &planned.service.rules,
    }
}
