//! The text of a configuration.

#![no_main]

use doorward::config::{load_text, show_json, show_yaml};
use doorward::domain::verifier::Peppers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let Ok(text) = String::from_utf8(text.to_vec()) else { return };
    match load_text(text) {
        Err(faults) => assert!(!faults.remarks().is_empty() && !faults.to_string().is_empty()),
        Ok(loaded) => {
            assert!(loaded.config.catalog(&Peppers::new(Vec::new())).is_ok());
            let again = load_text(show_yaml(&loaded)).unwrap_or_else(|faults| panic!("{faults}"));
            assert_eq!(show_json(&again)["settings"], show_json(&loaded)["settings"]);
        }
    }
});
