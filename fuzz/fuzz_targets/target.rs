//! Request targets: the path's canonical form, and keys in the query.

#![no_main]

use doorward::domain::credential::Found;
use doorward::domain::{path, query};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|target: &[u8]| {
    // The query's reader must bear any bytes, whatever the path's thinks of them.
    query_holds(target);
    let Ok(parsed) = path::parse(target) else { return };
    path_holds(&parsed.path);
    if let Some(query) = parsed.query {
        assert!(query.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
        query_holds(query);
    }
});

fn path_holds(canonical: &[u8]) {
    let again = path::parse(canonical).expect("a canonical path is read again");
    assert_eq!((&*again.path, again.query), (canonical, None));

    assert!(canonical.iter().all(|byte| byte.is_ascii_graphic() && !b";\\?#".contains(byte)));
    let segments: Vec<&[u8]> = canonical[1..].split(|byte| *byte == b'/').collect();
    assert!(!segments.iter().any(|segment| matches!(*segment, b"." | b"..")));
    assert!(!segments[..segments.len() - 1].iter().any(|segment| segment.is_empty()));
    for (at, _) in canonical.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let digits = &canonical[at + 1..at + 3];
        assert!(digits == b"20" || (digits[0] >= b'8' && !digits[1].is_ascii_lowercase()), "{digits:?}");
        assert!(!digits[0].is_ascii_lowercase());
    }
}

fn query_holds(query: &[u8]) {
    for name in ["apikey", "key", "k", "x-api-key"] {
        let found = query::find(query, name);
        assert_eq!(query::has(query, name), found != Found::Absent);
        assert!(!query::disguises(query, name) || query.iter().any(|byte| matches!(byte, b'%' | b'+')));
        // Once more, and it is one too many.
        let twice = [query, b"&", query].concat();
        match found {
            Found::Absent => assert_eq!(query::find(&twice, name), Found::Absent),
            _ => assert_eq!(query::find(&twice, name), Found::Many),
        }
    }
}
