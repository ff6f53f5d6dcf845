//! Random policies, and requests that come near what they ask for.

use super::paths;
use super::words::{
    Consumer, Deployment, Key, Method, Network, Networks, Policy, Presented, Request, Rule, Set, UNIX, Value,
};

/// Splitmix64: small, quick, and the same on every machine.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// In so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// Each with the same chance.
    fn some(&mut self, of: &[&str], percent: usize) -> Set {
        of.iter().filter(|_| self.chance(percent)).map(|it| (*it).to_owned()).collect()
    }
}

pub const NOW: i64 = 1_000_000;
const SERVICES: [&str; 3] = ["orders", "users", "files"];
const INFRASTRUCTURES: [&str; 3] = ["", "production", "staging"];
const HOSTS: [&str; 5] = ["api.test", "b.eu.test", "*.test", "*.eu.test", "*.org"];
const PATHS: [&str; 6] = ["/", "/orders", "/orders/admin", "/orders/admin/x", "/x", "/users"];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "DELETE"];
const GROUPS: [&str; 3] = ["gold", "silver", "Gold"];
const ROLES: [&str; 3] = ["admin", "member", "reader"];
/// `ghost` is nobody.
const NAMES: [&str; 5] = ["alice", "bob", "carol", "guest", "ghost"];

const fn v4(a: u128, b: u128, c: u128, d: u128) -> u128 {
    0xffff_0000_0000 | a << 24 | b << 16 | c << 8 | d
}

const DB8: u128 = 0x2001_0db8 << 96;
const NETWORKS: [Network; 6] = [
    (v4(198, 51, 100, 0), v4(198, 51, 100, 255)),
    (v4(198, 51, 100, 7), v4(198, 51, 100, 7)),
    (v4(192, 0, 2, 1), v4(192, 0, 2, 6)),
    (v4(10, 0, 0, 0), v4(10, 255, 255, 255)),
    (v4(0, 0, 0, 0), v4(127, 255, 255, 255)),
    (DB8, DB8 | u128::MAX >> 32),
];
const PROXIES: [Network; 2] = [(v4(10, 0, 0, 0), v4(10, 255, 255, 255)), (UNIX, UNIX)];
const ADDRESSES: [u128; 7] = [
    v4(198, 51, 100, 7),
    v4(198, 51, 100, 8),
    v4(192, 0, 2, 6),
    v4(192, 0, 2, 7),
    v4(10, 1, 2, 3),
    v4(127, 0, 0, 1),
    DB8 | 5,
];

pub fn policy(random: &mut Random) -> Policy {
    let mut policy = Policy {
        proxies: PROXIES.iter().filter(|_| random.chance(60)).copied().collect(),
        implies: [("admin", "member"), ("member", "reader")].map(|(a, b)| (a.into(), b.into())).to_vec(),
        consumers: NAMES[..4].iter().map(|name| consumer(random, name)).collect(),
        keys: (0..6).map(|number| key(random, number)).collect(),
        deployments: Vec::new(),
    };
    for _ in 0..=random.below(4) {
        let next = deployment(random);
        let taken =
            |it: &Deployment| (&it.service, &it.infrastructure) == (&next.service, &next.infrastructure);
        if !policy.deployments.iter().any(taken) {
            policy.deployments.push(next);
        }
    }
    policy
}

fn consumer(random: &mut Random, name: &str) -> Consumer {
    let grants =
        ROLES.iter().filter(|_| random.chance(25)).map(|role| (*role).to_owned()).collect::<Vec<_>>();
    Consumer {
        name: name.into(),
        enabled: random.chance(92),
        groups: random.some(&GROUPS, 40),
        permissions: random.some(&super::product::PERMISSIONS, 70),
        roles: grants.into_iter().map(|role| (role, random.pick(&["alpha", "beta"]).into())).collect(),
        networks: networks(random, 8),
    }
}

pub fn key(random: &mut Random, number: usize) -> Key {
    let opens = random.chance(50).then(|| {
        let service = random.pick(&SERVICES);
        let deployment = random.pick(&["orders/production", "orders/staging", "users/production"]);
        Set::from([service.to_owned(), deployment.to_owned()])
    });
    Key {
        text: format!("key-{number}-{}", "x".repeat(16 + number)),
        owner: if random.chance(4) { "ghost".into() } else { random.pick(&NAMES[..3]).into() },
        enabled: random.chance(95),
        from: if random.chance(80) { i64::MIN } else { NOW + i64::try_from(random.below(3)).unwrap() - 1 },
        until: if random.chance(80) { i64::MAX } else { NOW + i64::try_from(random.below(3)).unwrap() - 1 },
        opens,
        permissions: random.chance(40).then(|| random.some(&super::product::PERMISSIONS, 60)),
        networks: networks(random, 8),
    }
}

fn networks(random: &mut Random, percent: usize) -> Networks {
    let mut list = |percent| NETWORKS.iter().filter(|_| random.chance(percent)).copied().collect();
    let (allow, deny) = (list(70), list(25));
    Networks {
        allow: random.chance(percent).then_some(allow),
        deny: if random.chance(percent) { deny } else { Vec::new() },
    }
}

fn deployment(random: &mut Random) -> Deployment {
    let methods = if random.chance(10) { 0 } else { [1, 1, 1, 2, 3][random.below(5)] };
    let list = |random: &mut Random| Some(random.some(&GROUPS, 50)).filter(|list| !list.is_empty());
    let (allow, deny) = (list(random), list(random));
    let grouped = random.below(100);
    Deployment {
        service: random.pick(&SERVICES).into(),
        infrastructure: random.pick(&INFRASTRUCTURES).into(),
        hosts: if random.chance(30) { Set::new() } else { random.some(&HOSTS, 40) },
        paths: if random.chance(40) { Set::new() } else { random.some(&PATHS, 40) },
        enabled: random.chance(94),
        resolve: random.chance(45),
        shadow: random.chance(15),
        methods: (0..methods).map(|_| method(random)).collect(),
        all: random.chance(30),
        anonymous: match random.below(100) {
            0..65 => None,
            65..93 => Some("guest".into()),
            _ => Some("ghost".into()),
        },
        networks: networks(random, 12),
        allow_groups: allow.filter(|_| grouped < 18),
        deny_groups: deny.filter(|_| grouped > 88),
        rules: (0..random.below(4)).map(|_| rule(random)).collect(),
    }
}

fn method(random: &mut Random) -> Method {
    if random.chance(25) {
        let both = [("bearer", "authorization".to_owned()), ("header", "x-auth-token".to_owned())];
        return Method { is_static: true, places: both.to_vec(), preflight: true };
    }
    let mut places = Vec::new();
    for name in ["apikey", "x-api-key", "second"] {
        if random.chance(55) {
            let order: &[&'static str] = match random.below(4) {
                0 => &["query", "header", "cookie"],
                1 => &["query"],
                _ => &["header", "query"],
            };
            places.extend(order.iter().map(|place| (*place, name.to_owned())));
        }
    }
    if places.is_empty() || random.chance(30) {
        places.push(("bearer", "authorization".to_owned()));
    }
    Method { is_static: false, places, preflight: random.chance(70) }
}

fn rule(random: &mut Random) -> Rule {
    let asks = random.below(8);
    Rule {
        methods: if random.chance(50) { Set::new() } else { random.some(&METHODS, 40) },
        paths: if random.chance(20) { Set::new() } else { random.some(&PATHS, 30) },
        permissions: if asks < 4 { random.some(&super::product::PERMISSIONS, 40) } else { Set::new() },
        groups: if asks == 4 { random.some(&GROUPS, 50) } else { Set::new() },
        roles: if asks < 6 && random.chance(40) {
            [(random.pick(&ROLES).into(), random.pick(&["", "alpha", "beta"]).into())].into()
        } else {
            Default::default()
        },
    }
}

/// Aimed at one of the deployments, mostly with what it asks for.
pub fn request(random: &mut Random, policy: &Policy) -> Request {
    let aim = &policy.deployments[random.below(policy.deployments.len())];
    let mut request = Request {
        method: if random.chance(15) { "OPTIONS".into() } else { random.pick(&METHODS).into() },
        source: match random.below(20) {
            0 => None,
            1..3 => Some(UNIX),
            3..9 => Some(v4(10, 1, 2, 3)),
            _ => Some(ADDRESSES[random.below(ADDRESSES.len())]),
        },
        hops: (0..[0, 0, 1, 2, 3][random.below(5)])
            .map(|_| (!random.chance(8)).then(|| ADDRESSES[random.below(ADDRESSES.len())]))
            .collect(),
        ..Request::default()
    };
    host(random, aim, &mut request);
    let mut base = random.pick(&PATHS).to_owned();
    if let Some(path) = aim.paths.iter().next().filter(|_| random.chance(70)) {
        base = format!("{path}{}", random.pick(&["", "/admin", "/admin/x", "/x", "/y.z"])).replace("//", "/");
    }
    (request.written_path, request.path) = paths::written(random, &base);
    if random.chance(25) {
        request.service = Some(if random.chance(93) { aim.service.clone() } else { "nothing".into() });
        request.infrastructure = random.chance(80).then(|| aim.infrastructure.clone());
    } else if random.chance(6) {
        request.infrastructure = Some(random.pick(&INFRASTRUCTURES[1..]).into());
    }
    request.infrastructure = request.infrastructure.filter(|it| !it.is_empty());
    for method in &aim.methods {
        for _ in 0..=usize::from(random.chance(15)) {
            if random.chance(88) {
                present(random, policy, aim, method, &mut request);
            }
        }
    }
    request
}

fn host(random: &mut Random, aim: &Deployment, request: &mut Request) {
    if random.chance(3) {
        request.written_host =
            random.pick(&["a.test,b.test", "", "user@api.test", "api..test", "api.test:x"]).into();
        return;
    }
    let pattern = aim.hosts.iter().nth(random.below(aim.hosts.len().max(1)));
    let host = match pattern.filter(|_| random.chance(90)) {
        Some(host) => host.replace('*', random.pick(&["a", "b.eu", "api", "b"])),
        None => random.pick(&["api.test", "other.test", "else.example", "test"]).to_owned(),
    };
    request.written_host = match random.below(8) {
        0 => host.to_uppercase(),
        1 => format!("{host}:8443"),
        2 => format!("{host}."),
        3 => format!("{host}.:443"),
        _ => host.clone(),
    };
    request.host = Some(host);
}

fn present(random: &mut Random, policy: &Policy, aim: &Deployment, method: &Method, request: &mut Request) {
    let (place, name) = method.places[random.below(method.places.len())].clone();
    if request.presented.iter().any(|it| it.place == place && it.name == name) {
        return;
    }
    let fits =
        |key: &&Key| super::evaluator::opens(Some(key), aim) || key.opens.is_none() && !method.is_static;
    let fitting: Vec<&Key> = policy.keys.iter().filter(fits).collect();
    let any = |random: &mut Random| {
        let known = policy.keys.iter().collect();
        let of: &Vec<&Key> = if fitting.is_empty() || random.chance(25) { &known } else { &fitting };
        of[random.below(of.len())].text.clone()
    };
    let text = any(random);
    let value = match random.below(100) {
        0..8 => Value::Text("nobodys-key-0000000001".into()),
        8..12 => Value::Text(String::new()),
        12..16 if place == "query" => Value::Bare,
        16..21 => Value::Twice(text, any(random)),
        21..24 if place == "header" || place == "bearer" => Value::Joined(text, any(random)),
        _ => Value::Text(text),
    };
    request.presented.push(Presented { place, name, value });
}
