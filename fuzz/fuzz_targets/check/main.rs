//! The wire that Envoy asks over: a check's bytes, the decision, the answer's bytes.

#![no_main]

mod answer;
mod built;
mod house;
mod prost_agrees;

use std::borrow::Cow;

use answer::Answer;
use doorward::domain::denial::Denial;
use doorward::domain::request::{Body, Header, Request};
use doorward::grpc::render::render;
use doorward::grpc::view;
use house::{House, KEYS};
use libfuzzer_sys::fuzz_target;

// The first byte says whether the others are the message itself or the words to build one of.
fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let message = match choice & built::BUILT {
        0 => Cow::Borrowed(rest),
        _ => Cow::Owned(built::message(*choice, rest)),
    };
    let house = House::get();
    let (mut scratch, mut request) = (Vec::new(), Request::default());
    let read = view::read(&message, &mut scratch, &mut request).map(|()| request);
    prost_agrees::holds(&message, &read);
    let frame = match &read {
        Ok(request) => house.checker.check(request, render),
        Err(view::Malformed(why)) => house.checker.refuse(Denial::MalformedRequest { why }, None, render),
    };
    let Answer::Allowed(allowed) = answer::read(&frame) else { return };
    let request = read.expect("what cannot be read is not allowed");

    for (user, key) in KEYS {
        if allowed.username() == Some(user) {
            assert!(spells(&message, key.as_bytes()), "{user} was named without the key");
        }
    }
    match allowed.service() {
        "open" => assert!(message.windows(4).any(|part| part.eq_ignore_ascii_case(b"open"))),
        "lounge" => assert!(allowed.username().is_some(), "a guest has a name too"),
        // Only there are preflights not asked for a key.
        "preflight" if request.method == b"OPTIONS" => {}
        "orders" | "both" | "pair" | "preflight" => assert_eq!(allowed.username(), Some("alice")),
        other => panic!("the service `{other}` is not in the house"),
    }
    nothing_is_left(house, &request, &allowed);
});

/// What reaches the upstream holds no key any more, but for a body, which cannot be rewritten.
fn nothing_is_left(house: &House, request: &Request<'_>, allowed: &answer::Allowed) {
    let (path, query) = match request.target.iter().position(|byte| *byte == b'?') {
        Some(at) => (&request.target[..at], Some(&request.target[at + 1..])),
        None => (request.target, None),
    };
    let mut target = path.to_vec();
    if let Some(query) = query {
        // Envoy compares names as they are written.
        let stays = |parameter: &&[u8]| {
            let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
            !allowed.removes_parameter(name)
        };
        let left: Vec<&[u8]> = query.split(|byte| *byte == b'&').filter(stays).collect();
        let names: &[&str] = match allowed.service() {
            "orders" | "lounge" => &["apikey", "X-API-Key", "key"],
            "both" => &["two"],
            _ => &[],
        };
        for parameter in &left {
            let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
            assert!(!names.iter().any(|known| is_spelled(name, known)), "a key's parameter was left");
        }
        target.push(b'?');
        target.extend(left.join(&b'&'));
    }
    let stays = |header: &&Header<'_>| !allowed.sets(header.name) && !allowed.removes(header.name);
    let kept = request.headers.iter().filter(stays).copied();
    let set = allowed.set().map(|(name, value)| Header { name, value });
    // Field by field: a request's lifetime cannot be shortened as a whole.
    let after = Request {
        method: request.method,
        target: &target,
        host: request.host,
        headers: kept.chain(set).collect(),
        joined: request.joined,
        filtered: request.filtered,
        hops_hidden: request.hops_hidden,
        body: Body::Absent,
        source: request.source,
        unix: request.unix,
        route: request.route,
        id: request.id,
        grpc: request.grpc,
        traced: None,
    };
    if let Answer::Allowed(again) = answer::read(&house.checker.check(&after, render)) {
        assert!(KEYS.iter().all(|(user, _)| again.username() != Some(user)), "a key was left");
    }
}

/// Whether `key` stands in `text`, any of its letters as `%61` or `\u0061`.
fn spells(text: &[u8], key: &[u8]) -> bool {
    (0..text.len()).any(|start| spelled(&text[start..], key).is_some())
}

fn is_spelled(text: &[u8], name: &str) -> bool {
    spelled(text, name.as_bytes()).is_some_and(<[u8]>::is_empty)
}

/// What follows `word`, which `text` begins with.
fn spelled<'t>(text: &'t [u8], word: &[u8]) -> Option<&'t [u8]> {
    word.iter().try_fold(text, |rest, letter| {
        let is_hex = |digits: &[u8]| {
            let digits = str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok().filter(|found| found == letter)
        };
        match rest {
            [first, rest @ ..] if first == letter => Some(rest),
            [b'%', high, low, rest @ ..] => is_hex(&[*high, *low]).map(|_| rest),
            [b'\\', b'u', b'0', b'0', high, low, rest @ ..] => is_hex(&[*high, *low]).map(|_| rest),
            _ => None,
        }
    })
}
