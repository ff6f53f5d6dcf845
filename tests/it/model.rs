//! The decision, held against a second one that shares nothing with it but `interface.md`; and what
//! must hold of it whatever the policy.

use std::collections::BTreeMap;

use self::bench::Bench;
use self::evaluator::evaluate;
use self::minimal::minimal;
use self::random::{NOW, Random};
use self::words::{Path, Policy, Request};

mod bench;
mod evaluator;
mod minimal;
mod paths;
mod product;
pub(crate) mod random;
mod words;

const PAIRS: usize = 100_000;

/// Of each policy.
const REQUESTS: usize = 20;

/// In thousandths of all pairs: what must be seen so often at least.
const SHARES: [(&str, usize); 17] = [
    ("proven", 100),
    ("anonymous", 20),
    ("nobody", 20),
    ("malformed_request", 20),
    ("ambiguous_path", 20),
    ("missing_credential", 20),
    ("duplicate_credential", 10),
    ("invalid_credential", 20),
    ("network_denied", 20),
    ("group_denied", 10),
    ("permission_denied", 10),
    ("service_denied", 5),
    ("unknown_service", 20),
    ("deployment_disabled", 20),
    ("internal", 2),
    ("passed in shadow", 20),
    ("passed with several readings", 5),
];

#[test]
fn the_second_evaluator_is_small_enough_to_be_read_against_the_document() {
    let source = include_str!("model/evaluator.rs");
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    assert!(source.lines().filter(is_code).count() <= 150);
}

#[test]
fn a_second_evaluator_agrees_on_a_hundred_thousand_policies_and_requests() {
    let bench = Bench::new(&[], &[]);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for_each(&bench, PAIRS, |_, policy, request, seed| {
        let (verdict, passes) = evaluate(policy, request);
        if bench.check(request) != (verdict.clone(), passes) {
            fail(&bench, (policy, request, seed), |policy, request| {
                bench.check(request) != evaluate(policy, request)
            });
        }
        let allowed = is_allowed(&verdict);
        let kind = SHARES.iter().find(|(kind, _)| verdict.starts_with(kind)).map(|(kind, _)| *kind);
        *seen.entry(kind.unwrap_or("proven")).or_default() += 1;
        *seen.entry("passed in shadow").or_default() += usize::from(passes && !allowed);
        let several = matches!(&request.path, Path::Read(all) if all.len() > 1);
        *seen.entry("passed with several readings").or_default() += usize::from(allowed && several);
    });
    for (kind, thousandths) in SHARES {
        let share = seen.get(kind).copied().unwrap_or_default();
        assert!(share >= PAIRS * thousandths / 1000, "only {share} of {kind}: {seen:?}");
    }
}

#[test]
fn r5_a_warm_replica_and_a_cold_one_give_the_same_verdicts() {
    let mut random = Random(1);
    let universe = random::policy(&mut random);
    // Half of what is known is in the store, half in each file.
    let store = (&universe.consumers[2..], &universe.keys[..3]);
    let bench = Bench::new(store.0, store.1);
    let mut cases = Vec::new();
    while cases.len() < 4_000 {
        let mut policy = random::policy(&mut random);
        (policy.consumers, policy.keys) = (universe.consumers.clone(), universe.keys.clone());
        if bench.reload(&policy) {
            cases.extend((0..20).map(|_| (policy.clone(), random::request(&mut random, &policy))));
        }
    }
    let cold: Vec<String> = cases.iter().map(|(policy, request)| bench.cold(policy, request)).collect();
    assert!(cold.iter().filter(|decision| decision.contains("verdict: \"allow\"")).count() > 500);
    for round in 0..2 * cases.len() {
        let at = random.below(cases.len());
        let (mut policy, request) = cases[at].clone();
        policy.consumers.truncate(2);
        policy.keys.drain(..3);
        if round % 3 == 0 {
            let other = &cases[random.below(cases.len())];
            bench.reload(&other.0);
            bench.warm(&other.1);
        }
        bench.reload(&policy);
        assert_eq!(bench.warm(&request), cold[at], "{policy:?}\n{request:?}");
    }
}

/// Headers that others trust, and those by which we speak to upstreams.
const HEADERS: [&str; 22] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "true-client-ip",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-consumer-id",
    "x-consumer-username",
    "x-consumer-groups",
    "x_consumer_groups",
    "x-credential-identifier",
    "x-anonymous-consumer",
    "x-permissions",
    "x-roles",
    "x-authenticated-groups",
    "content-type",
    "origin",
    "host",
];

#[test]
fn no_header_but_the_credential_changes_a_verdict() {
    let bench = Bench::new(&[], &[]);
    for_each(&bench, 20_000, |random, policy, request, seed| {
        let value = random.pick(&["alice", "198.51.100.7", "/orders", "GET", "true", "gold", ""]);
        let added = (random.pick(&HEADERS).to_owned(), value.to_owned());
        let with = |request: &Request| Request { aside: vec![added.clone()], ..request.clone() };
        if bench.check(&with(request)) != bench.check(request) {
            println!("with {added:?}");
            fail(&bench, (policy, request, seed), |_, request| {
                bench.check(&with(request)) != bench.check(request)
            });
        }
    });
}

#[test]
fn an_entry_before_the_one_that_decides_changes_no_verdict() {
    let bench = Bench::new(&[], &[]);
    for_each(&bench, 20_000, |random, policy, request, seed| {
        // Where the walk comes to its leftmost entry, that is a trusted proxy's own word.
        let mut walked = std::iter::once(request.source).chain(request.hops.iter().rev().copied());
        let trusted = |it: u128| policy.proxies.iter().any(|(first, last)| (*first..=*last).contains(&it));
        if walked.all(|hop| hop.is_some_and(trusted)) {
            return;
        }
        let claimed = Request { source: None, ..random::request(random, policy) }.hops;
        let with = |request: &Request| {
            let hops = claimed.iter().chain(&request.hops).copied().collect();
            Request { hops, ..request.clone() }
        };
        if bench.check(&with(request)) != bench.check(request) {
            println!("with {claimed:?} before");
            fail(&bench, (policy, request, seed), |_, request| {
                bench.check(&with(request)) != bench.check(request)
            });
        }
    });
}

#[test]
fn no_spelling_of_a_path_is_judged_more_loosely_than_the_path() {
    let bench = Bench::new(&[], &[]);
    let (mut refused, mut passed) = (0, 0);
    for_each(&bench, 40_000, |random, policy, request, seed| {
        let Path::Read(all) = &request.path else { return };
        let [plain] = &all.iter().map(String::as_str).collect::<Vec<_>>()[..] else { return };
        let asked = Request { written_path: (*plain).to_owned(), ..request.clone() };
        // One doubtful spelling, or one of another, or a third; and letters as escapes.
        let mut spelled = (*plain).to_owned();
        for _ in 0..random.below(4) {
            spelled = paths::doubtful(random, &spelled);
        }
        let is_doubtful = spelled != *plain;
        let written_path = if random.chance(50) { paths::escaped(random, &spelled) } else { spelled };
        let looser = |asked: &Request| {
            let spelled = Request { written_path: written_path.clone(), ..asked.clone() };
            let (plain, spelled) = (bench.check(asked).0, bench.check(&spelled).0);
            spelled != plain && (is_allowed(&spelled) || !is_doubtful)
        };
        if looser(&asked) {
            println!("as {written_path}");
            fail(&bench, (policy, &asked, seed), |_, request| looser(request));
        }
        if is_doubtful {
            let spelled = bench.check(&Request { written_path: written_path.clone(), ..asked });
            *(if is_allowed(&spelled.0) { &mut passed } else { &mut refused }) += 1;
        }
    });
    assert!(refused > 2_000 && passed > 200, "{refused} refused, {passed} passed");
}

/// Of a verdict as the evaluator says it: a code has underscores, but for one.
fn is_allowed(verdict: &str) -> bool {
    !verdict.contains('_') && verdict != "internal"
}

/// As many requests of random policies, each policy in force while it is asked about.
fn for_each(bench: &Bench, requests: usize, mut check: impl FnMut(&mut Random, &Policy, &Request, u64)) {
    let mut asked = 0;
    for seed in 0.. {
        let mut random = Random(seed);
        let policy = random::policy(&mut random);
        if !bench.reload(&policy) {
            continue;
        }
        for _ in 0..REQUESTS {
            let request = Request { now: NOW, ..random::request(&mut random, &policy) };
            check(&mut random, &policy, &request, seed);
            asked += 1;
        }
        if asked >= requests {
            return;
        }
    }
}

/// Says what is left of a failure when all that does not matter is taken out.
fn fail(
    bench: &Bench,
    (policy, request, seed): (&Policy, &Request, u64),
    fails: impl Fn(&Policy, &Request) -> bool,
) {
    let (policy, request) = minimal(policy.clone(), request.clone(), |policy, request| {
        bench.reload(policy) && fails(policy, request)
    });
    bench.reload(&policy);
    let (expected, found) = (evaluate(&policy, &request), bench.check(&request));
    panic!(
        "seed {seed}: the evaluator says {expected:?}, the product {found:?} of\n{policy:#?}\n{request:#?}"
    );
}
