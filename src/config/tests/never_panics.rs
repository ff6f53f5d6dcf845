//! Whatever the bytes: an answer, soon, and never a panic.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Loads, and says whether there was anything wrong; the faults are shown, for that could panic too.
fn survives(bytes: &[u8]) -> bool {
    match Desk::with(bytes).load(&[], &[]) {
        Ok(loaded) => {
            show_yaml(&loaded);
            for name in loaded.config.deployed() {
                let effective = effective(&loaded, &name).unwrap_or_else(|message| panic!("{message}"));
                effective.to_json();
                effective.to_yaml();
            }
            loaded.config.digest(&peppers());
            loaded.config.catalog(&peppers()).is_ok()
        }
        Err(faults) => faults.to_string().is_empty(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        survives(&bytes);
    }

    #[test]
    fn any_text_of_yamls_letters(text in "[a-z0-9:{}\\[\\],&*#!|>'\"%@`?~. \t\n-]{0,200}") {
        survives(text.as_bytes());
    }

    #[test]
    fn the_sample_with_a_few_bytes_changed(
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..3), 1..6),
    ) {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => _ = bytes.remove(at),
            }
        }
        survives(&bytes);
    }

    #[test]
    fn the_samples_lines_in_another_order(mut lines in Just(SAMPLE.lines().collect::<Vec<_>>()).prop_shuffle()) {
        lines.truncate(30);
        survives(lines.join("\n").as_bytes());
    }

    #[test]
    fn any_text_is_shown_so_that_it_is_read_again(text in any::<String>(), control in 0_u32..0x100) {
        let text = format!("{text}{}", char::from_u32(control).unwrap());
        let escaped: String = text.chars().map(|letter| format!("\\U{:08x}", u32::from(letter))).collect();
        let loaded = load_text(format!("permissions: [{{name: a, description: \"{escaped}\"}}]\n"));
        let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
        prop_assert_eq!(&loaded.config.permissions[0].description, &text);
        let again = load_text(show_yaml(&loaded)).unwrap_or_else(|faults| panic!("{faults}"));
        prop_assert_eq!(&again.config.permissions[0].description, &text);
    }

    #[test]
    fn any_variable_and_any_value(name in "[A-Z_]{0,40}", value in ".{0,40}") {
        let name = format!("DOORWARD_{name}");
        if let Err(faults) = Desk::with("").load(&[(&name, &value)], &[]) {
            prop_assert!(faults.to_string().starts_with(&name), "{faults}");
        }
    }
}

#[test]
fn what_is_shown_of_the_seeds_is_accepted_again() {
    for text in [
        include_str!("../../../fuzz/corpus-seeds/config/anchors"),
        include_str!("../../../fuzz/corpus-seeds/config/deployments"),
        include_str!("../../../fuzz/corpus-seeds/config/policy"),
        include_str!("../../../fuzz/corpus-seeds/config/settings"),
        SAMPLE,
    ] {
        let loaded = load_text(text.to_owned()).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(loaded.config.catalog(&Peppers::new(Vec::new())).is_ok());
        let again = load_text(show_yaml(&loaded)).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(show_json(&again)["settings"], show_json(&loaded)["settings"]);
    }
}

/// A bound is reached quickly and named.
#[track_caller]
fn bounded(yaml: &str, expected: &str) {
    let started = std::time::Instant::now();
    let Err(faults) = Desk::with(yaml).load(&[], &[]) else { panic!("accepted") };
    assert!(faults.to_string().contains(expected), "{faults}");
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn bombs_are_defused() {
    const BOUND: &str = "too large, too deep, or with too many aliases for a configuration";
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs += &format!("a{level}: &a{level} [{below}]\n");
    }
    bounded(&laughs, BOUND);
    bounded(&format!("a: {}{}\n", "[".repeat(40), "]".repeat(40)), "recursion limit exceeded");
    bounded(&"[".repeat(100_000), "recursion limit exceeded");
    bounded(&(0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>(), BOUND);
    bounded(&"- ".repeat(10_000), BOUND);
    bounded(&format!("a: [{}]\n", "x, ".repeat(1_050_000)), BOUND);
    bounded(&format!("a: &a [x]\nb: [{}]\n", "*a, ".repeat(20_000)), BOUND);
    bounded(&format!("a: \"{}\"\n", "x".repeat(16 << 20)), "doorward.yaml: has more than 16 MiB");
}

#[test]
fn a_large_file_of_consumers_is_no_bomb() {
    let mut yaml = "consumers:\n".to_owned();
    for number in 0..10_000 {
        yaml += &format!("  - {{username: consumer-{number}, groups: [gold, silver], enabled: true}}\n");
    }
    assert_eq!(good(&yaml).consumers.len(), 10_000);
}

#[test]
fn a_hundred_thousand_networks_are_no_bomb_and_as_many_wrong_ones_neither() {
    let entries = |last: &str| {
        let entry =
            |number: u32| format!("      - {}.{}.{}.{last}\n", number >> 16, number >> 8 & 255, number & 255);
        (0..100_000_u32).map(|number| entry(number + (10 << 16))).collect::<String>()
    };
    let yaml = |last: &str| {
        format!("services:\n- name: a\n  authentication: none\n  networks:\n    allow:\n{}", entries(last))
    };
    let started = std::time::Instant::now();
    assert_eq!(good(&yaml("7")).catalog(&peppers()).ok().unwrap().deployments().len(), 1);
    let Err(faults) = Desk::with(yaml("07")).load(&[], &[]) else { panic!("accepted") };
    assert_eq!(faults.remarks().len(), 101);
    assert!(faults.to_string().ends_with(": and 99900 more, which are told once these are mended"));
    // Built for tests and beside other tests: it is the growth that counts.
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
}
