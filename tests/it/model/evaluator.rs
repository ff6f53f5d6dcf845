//! A second reading of `interface.md` 3 and 4, slow and plain: words, sets and linear scans.

use super::words::*;

/// `alice {permissions}`, `anonymous guest`, `nobody` or a code; and whether the request passes.
pub fn evaluate(policy: &Policy, request: &Request) -> (String, bool) {
    let case = Case { policy, request };
    let (found, paths) = case.which();
    let verdict = paths.and_then(|paths| case.judge(found.ok_or("internal")?, paths));
    // An `unknown_service` is in no mode at all.
    let passes = verdict.is_ok() || verdict != Err("malformed_request") && found.is_some_and(|it| it.shadow);
    (verdict.unwrap_or_else(str::to_owned), passes)
}

impl<'a> Case<'a> {
    fn which(&self) -> (Option<&'a Deployment>, Result<&'a Set, Code>) {
        let read = |resolve: bool| match &self.request.path {
            Path::Malformed => Err("malformed_request"),
            Path::Read(paths) if paths.len() == 1 || resolve => Ok(paths),
            _ => Err("ambiguous_path"),
        };
        if self.request.service.is_some() {
            let all: Vec<_> = self.policy.deployments.iter().filter(|it| self.names(it)).collect();
            let [only] = all[..] else { return (None, Err("unknown_service")) };
            return (Some(only), read(only.resolve));
        }
        let Ok(paths) = read(true) else { return (None, read(false)) };
        let mut places: Vec<_> = paths.iter().map(|path| self.placed(path)).collect();
        places.dedup_by_key(|place| place.map(std::ptr::from_ref));
        match places[..] {
            [Some(it)] => (Some(it), read(it.resolve)),
            _ => (None, read(false).and(Err("unknown_service"))),
        }
    }

    fn names(&self, it: &Deployment) -> bool {
        self.request.infrastructure.as_ref().is_none_or(|wanted| *wanted == it.infrastructure)
            && self.request.service.as_ref().is_none_or(|wanted| *wanted == it.service)
    }

    fn placed(&self, path: &str) -> Option<&'a Deployment> {
        let host = self.request.host.as_ref()?;
        let fits = |pattern: &String| match pattern.strip_prefix('*') {
            Some(end) => host.ends_with(end).then_some(end.len()),
            None => (pattern == host).then_some(usize::MAX),
        };
        let class = |it: &Deployment| it.hosts.iter().map(fits).max().unwrap_or(Some(0));
        let best = Some(self.policy.deployments.iter().filter_map(class).max()?);
        let fitting =
            |it: &&Deployment| class(it) == best && self.names(it) && cover(&it.paths, path).is_some();
        self.policy.deployments.iter().filter(fitting).max_by_key(|it| cover(&it.paths, path))
    }

    fn judge(&self, it: &Deployment, paths: &Set) -> Result<String, Code> {
        unless(!it.enabled, "deployment_disabled")?;
        unless(self.bars(&it.networks), "network_denied")?;
        let callers = self.callers(it)?;
        for (consumer, key) in &callers {
            unless(self.bars(&consumer.networks), "network_denied")?;
            unless(key.is_some_and(|key| self.bars(&key.networks)), "network_denied")?;
            unless(key.is_some_and(|it| it.opens.is_some()) && !opens(*key, it), "service_denied")?;
        }
        let caller = callers.last().copied();
        it.allow_groups.as_ref().map_or(Ok(()), |list| grouped(caller, list, true))?;
        it.deny_groups.as_ref().map_or(Ok(()), |list| grouped(caller, list, false))?;
        let follows = if self.request.method == "HEAD" { "GET" } else { &self.request.method };
        let named = |methods: &Set| methods.contains(follows) || methods.contains(&self.request.method);
        let about = || it.rules.iter().filter(|rule| rule.methods.is_empty() || named(&rule.methods));
        let longest = |path| about().filter_map(|rule| cover(&rule.paths, path)).max();
        let covers = |rule: &Rule, path| cover(&rule.paths, path).is_some_and(|it| Some(it) == longest(path));
        for rule in about().filter(|rule| paths.iter().any(|path| covers(rule, path))) {
            self.obeyed(rule, caller)?;
        }
        Ok(match caller {
            None => "nobody".into(),
            Some((consumer, None)) => format!("anonymous {}", consumer.name),
            Some(caller) => format!("{} {:?}", caller.0.name, rights(caller)),
        })
    }

    fn bars(&self, networks: &Networks) -> bool {
        let mut client = self.request.source;
        for hop in self.request.hops.iter().rev() {
            if client.is_some_and(|it| within(&self.policy.proxies, it)) { client = *hop } else { break }
        }
        let known = client.filter(|it| *it != UNIX);
        let denied = known.map_or(!networks.deny.is_empty(), |it| within(&networks.deny, it));
        denied || networks.allow.as_ref().is_some_and(|all| !known.is_some_and(|it| within(all, it)))
    }

    fn callers(&self, it: &Deployment) -> Result<Vec<Caller<'a>>, Code> {
        let asked = it.methods.iter().filter(|method| method.preflight || self.request.method != "OPTIONS");
        let tried: Vec<_> = asked.map(|method| self.proven(it, method)).collect();
        let presented = || tried.iter().find(|it| **it != Err("missing_credential")).or(tried.first());
        let callers: Result<Vec<_>, _> = match tried.iter().find(|tried| tried.is_ok()) {
            _ if it.all => tried.iter().copied().collect(),
            proven => proven.or_else(presented).copied().into_iter().collect(),
        };
        let (Err(code), Some(name)) = (&callers, &it.anonymous) else { return callers };
        let guest = self.policy.consumers.iter().find(|it| it.name == *name).ok_or("internal")?;
        if guest.enabled { Ok(vec![(guest, None)]) } else { Err(code) }
    }

    fn proven(&self, it: &Deployment, method: &Method) -> Result<Caller<'a>, Code> {
        let mut hidden = None;
        for (place, name) in &method.places {
            let here = |it: &&Presented| it.place == *place && it.name == *name && hidden != Some(name);
            match self.request.presented.iter().find(here).map(|it| &it.value) {
                Some(Value::Bare) => hidden = Some(name),
                Some(Value::Text(text)) if !text.is_empty() => {
                    let known = self.known(text).filter(|(_, key)| !method.is_static || opens(*key, it));
                    return known.ok_or("invalid_credential");
                }
                Some(Value::Text(_)) if !method.is_static => return Err("missing_credential"),
                Some(Value::Twice(..) | Value::Joined(..)) => return Err("duplicate_credential"),
                _ => {}
            }
        }
        Err("missing_credential")
    }

    fn known(&self, text: &str) -> Option<Caller<'a>> {
        let key = self.policy.keys.iter().find(|key| key.text == text && key.enabled)?;
        let owner = self.policy.consumers.iter().find(|it| it.name == key.owner && it.enabled)?;
        (key.from..key.until).contains(&self.request.now).then_some((owner, Some(key)))
    }

    fn obeyed(&self, rule: &Rule, caller: Option<Caller<'_>>) -> Result<(), Code> {
        Some(&rule.groups).filter(|it| !it.is_empty()).map_or(Ok(()), |list| grouped(caller, list, true))?;
        let asks = !rule.permissions.is_empty() || !rule.roles.is_empty();
        let Some(caller) = caller else { return unless(asks, "missing_credential") };
        let has_role = rule.roles.iter().any(|(role, project)| self.has(caller.0, role, project));
        let permitted = rule.permissions.is_subset(&rights(caller));
        unless(!permitted || !has_role && !rule.roles.is_empty(), "permission_denied")
    }

    fn has(&self, consumer: &Consumer, role: &str, project: &str) -> bool {
        let implied = |(more, less): &(String, String)| less == role && self.has(consumer, more, project);
        consumer.roles.iter().any(|(it, at)| it == role && (project.is_empty() || at == project))
            || self.policy.implies.iter().any(implied)
    }
}

/// By whole segments: the length of the longest prefix.
fn cover(prefixes: &Set, path: &str) -> Option<usize> {
    let fits = |prefix: &&String| *prefix == "/" || format!("{path}/").starts_with(&format!("{prefix}/"));
    if prefixes.is_empty() { Some(1) } else { prefixes.iter().filter(fits).map(String::len).max() }
}

fn within(list: &[Network], address: u128) -> bool {
    list.iter().any(|(from, to)| (from..=to).contains(&&address))
}

fn unless(shut: bool, code: Code) -> Result<(), Code> {
    if shut { Err(code) } else { Ok(()) }
}

pub fn opens(key: Option<&Key>, it: &Deployment) -> bool {
    let deployment = format!("{}/{}", it.service, it.infrastructure);
    key.and_then(|key| key.opens.as_ref())
        .is_some_and(|all| all.contains(&it.service) || all.contains(&deployment))
}

fn rights((consumer, key): Caller<'_>) -> Set {
    key.and_then(|key| key.permissions.as_ref()).unwrap_or(&consumer.permissions) & &consumer.permissions
}

fn grouped(caller: Option<Caller<'_>>, list: &Set, wanted: bool) -> Result<(), Code> {
    let (consumer, key) = caller.ok_or("missing_credential")?;
    unless(key.is_none() && consumer.groups.is_empty(), "missing_credential")?;
    unless(consumer.groups.is_disjoint(list) == wanted, "group_denied")
}
