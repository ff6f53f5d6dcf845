//! The operator's file: whatever it says, an answer, and soon.

#![no_main]

use std::time::Duration;

use doorward::clock::Clock;
use doorward::config::{Loaded, load, load_text, show_json, show_yaml};
use doorward::domain::authentication::Authentication;
use doorward::domain::verifier::{Pepper, Peppers};
use libfuzzer_sys::fuzz_target;

/// What the environment holds under `ALICE_KEY`.
const KEY: &str = "alice-holds-this";

fuzz_target!(|text: &[u8]| {
    let Ok(text) = str::from_utf8(text) else { return };
    let clock = Clock::system();
    let before = clock.processor_time();
    match load_text(text.to_owned()) {
        Ok(loaded) => holds(text, &loaded),
        Err(faults) => assert!(!faults.remarks().is_empty() && !faults.to_string().is_empty()),
    }
    if text.contains("from_env") {
        no_key_is_told(text);
    }
    // Of the processor's time, for a busy machine proves nothing.
    let spent = clock.processor_time() - before;
    assert!(spent < Duration::from_secs(1), "{spent:?}");
});

fn holds(text: &str, loaded: &Loaded) {
    let peppers = Peppers::new(vec![Pepper::new(&[7; 32])]);
    let catalog = loaded.config.catalog(&peppers).expect("what was loaded can be used");
    let is_public = |authentication: &Authentication| match authentication {
        Authentication::None => true,
        Authentication::Required { methods, .. } => methods.is_empty(),
    };
    if catalog.deployments().iter().any(|deployment| is_public(&deployment.policy.authentication)) {
        // Or spelled with escapes, or in base64.
        let says_so = ["none", "\\", "!"].iter().any(|word| text.contains(word));
        assert!(says_so, "a service is public, and nobody said so");
    }
    let again = load_text(show_yaml(loaded))
        .unwrap_or_else(|faults| panic!("what is shown cannot be loaded: {faults}"));
    assert_eq!(show_json(&again)["settings"], show_json(loaded)["settings"]);
    assert_eq!(again.config.digest(&peppers), loaded.config.digest(&peppers));
}

/// Once more as a file, which alone has keys: they are read, and never shown.
fn no_key_is_told(text: &str) {
    let folder = std::env::temp_dir().join(format!("doorward-fuzz-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a writable temporary folder");
    let file = folder.join("doorward.yaml");
    std::fs::write(&file, text).expect("our own file");
    let loaded = load(Some(&file), [("ALICE_KEY".to_owned(), KEY.to_owned())].into_iter(), &[]);
    std::fs::remove_dir_all(&folder).expect("our own folder");
    let told = match loaded {
        Ok(loaded) => {
            let remarks = loaded.warnings.iter().map(ToString::to_string);
            show_yaml(&loaded) + &remarks.collect::<String>()
        }
        Err(faults) => faults.to_string(),
    };
    assert!(text.contains(KEY) || !told.contains(KEY), "a key was told");
}
