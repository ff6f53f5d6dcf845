//! Reading what an asker says about its trace: W3C Trace Context. What is not as it should be is taken for
//! absent, and so begins a trace of its own.

use http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Characters of `tracestate` that are carried on: as many as everybody has to carry (W3C Trace Context 3.3.1.5).
const LONGEST_STATE: usize = 512;

/// The asker's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) sampled: bool,
}

impl Parent {
    /// `None` also where there are two: nobody could say which one holds.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let only = lines.next()?;
        lines.next().is_none().then(|| Self::read(only.as_bytes())).flatten()
    }

    /// `00-<trace 32>-<span 16>-<flags 2>`, lower case. Later versions may go on behind another `-`.
    fn read(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let (head, rest) = text.split_at_checked(LENGTH)?;
        let [version] = hex(&head[..2])?;
        let ends = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !ends || [2, 35, 52].iter().any(|dash| head[*dash] != b'-') {
            return None;
        }
        let (trace, span, [flags]) = (hex(&head[3..35])?, hex(&head[36..52])?, hex(&head[53..])?);
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Characters of a `traceparent` of version 00.
const LENGTH: usize = 55;

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (text.len() == 2 * N).then_some(bytes)
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

/// All lines of `tracestate` as one; nothing where that is too long or no plain text.
pub(super) fn state(headers: &HeaderMap) -> String {
    let mut whole = String::new();
    for line in headers.get_all(TRACESTATE) {
        let Ok(line) = line.to_str() else { return String::new() };
        if !whole.is_empty() {
            whole.push(',');
        }
        if whole.len() + line.len() > LONGEST_STATE {
            return String::new();
        }
        whole.push_str(line);
    }
    whole
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(text: &str, sampled: Option<bool>) {
        let found = Parent::of(&headers(&[(TRACEPARENT, text)]));
        assert_eq!(found.map(|parent| parent.sampled), sampled, "{text}");
        if let Some(parent) = found {
            assert_eq!(parent.trace, 0x0af7651916cd43dd8448eb211c80319c_u128.to_be_bytes());
            assert_eq!(parent.span, 0xb7ad6b7169203331_u64.to_be_bytes());
        }
    }

    /// Those of the W3C's own suite (trace-context, `test_traceparent_*`).
    #[test]
    fn a_traceparent_is_read_as_the_w3c_has_it() {
        check(&format!("00-{TRACE}-{SPAN}-01"), Some(true));
        check(&format!("00-{TRACE}-{SPAN}-00"), Some(false));
        // Flags that are not known yet are no fault.
        check(&format!("00-{TRACE}-{SPAN}-ff"), Some(true));
        check(&format!("00-{TRACE}-{SPAN}-fe"), Some(false));
        // Blanks around it are of the transport.
        check(&format!(" 00-{TRACE}-{SPAN}-01\t"), Some(true));
        // Versions to come are read as far as they are known.
        check(&format!("cc-{TRACE}-{SPAN}-01"), Some(true));
        check(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"), Some(true));
        check(&format!("cc-{TRACE}-{SPAN}-01.what-the-future-will-not-be-like"), None);
        check(&format!("ff-{TRACE}-{SPAN}-01"), None);
        check(&format!("00-{TRACE}-{SPAN}-01-what-the-future-will-be-like"), None);
        check(&format!("00-{TRACE}-{SPAN}-01."), None);
        for broken in [
            String::new(),
            "00".into(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("000-{TRACE}-{SPAN}-01"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}_{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}_01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-.{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
        ] {
            check(&broken, None);
        }
    }

    #[test]
    fn of_two_traceparents_none_holds() {
        let one = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(Parent::of(&headers(&[(TRACEPARENT, &one), (TRACEPARENT, &one)])), None);
        assert_eq!(Parent::of(&headers(&[])), None);
    }

    #[test]
    fn a_tracestate_is_carried_on_whole_or_not_at_all() {
        let check = |lines: &[&str], expected: &str| {
            let lines: Vec<_> = lines.iter().map(|line| (TRACESTATE, *line)).collect();
            assert_eq!(state(&headers(&lines)), expected);
        };
        check(&[], "");
        check(&["a=1,b=2"], "a=1,b=2");
        check(&["a=1", "b=2"], "a=1,b=2");
        check(&["a=é"], "");
        check(&[&format!("a={}", "x".repeat(510))], &format!("a={}", "x".repeat(510)));
        check(&[&format!("a={}", "x".repeat(511))], "");
        check(&["a=1", &format!("b={}", "x".repeat(507))], "");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parent_without_ids(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(parent) = Parent::read(&text) {
                prop_assert!(parent.trace != [0; 16] && parent.span != [0; 8]);
            }
        }

        #[test]
        fn what_is_written_is_read(trace in 1_u128.., span in 1_u64.., flags: u8) {
            let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
            let parent = Parent::read(text.as_bytes()).unwrap();
            prop_assert_eq!(parent.trace, trace.to_be_bytes());
            prop_assert_eq!(parent.span, span.to_be_bytes());
            prop_assert_eq!(parent.sampled, flags & 1 == 1);
        }
    }
}
