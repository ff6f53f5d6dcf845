//! The operator's file: whatever it says, an answer, and soon.

#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward::clock::Clock;
use doorward::config::{self, Faults, Loaded};
use doorward::domain::authentication::Authentication;
use doorward::domain::verifier::{Pepper, Peppers};
use libfuzzer_sys::fuzz_target;

/// What the environment holds under `ALICE_KEY`.
const KEY: &str = "alice-holds-this";

fuzz_target!(|text: &[u8]| {
    let clock = Clock::system();
    let before = clock.processor_time();
    let folder = Folder::new();
    let told = match load(&folder.file, text) {
        Ok(loaded) => {
            holds(&folder, text, &loaded);
            config::show_yaml(&loaded)
        }
        Err(faults) => {
            assert!(!faults.remarks().is_empty());
            faults.to_string()
        }
    };
    assert!(has(text, KEY) || !told.contains(KEY), "a key was told");
    // Of the processor's time, for a busy machine proves nothing.
    let spent = clock.processor_time() - before;
    assert!(spent < Duration::from_secs(1), "{spent:?}");
});

/// A folder for one configuration, since keys may be in files beside it.
struct Folder {
    path: PathBuf,
    file: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("doorward-fuzz-config-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a writable temporary folder");
        let file = path.join("doorward.yaml");
        Self { path, file }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).expect("our own folder");
    }
}

fn load(file: &Path, text: &[u8]) -> Result<Loaded, Faults> {
    fs::write(file, text).expect("our own file");
    config::load(Some(file), [("ALICE_KEY".to_owned(), KEY.to_owned())].into_iter(), &[])
}

fn holds(folder: &Folder, text: &[u8], loaded: &Loaded) {
    let peppers = Peppers::new(vec![Pepper::new(&[7; 32])]);
    let catalog = loaded.config.catalog(&peppers).expect("what was loaded can be used");
    let is_public = |authentication: &Authentication| match authentication {
        Authentication::None => true,
        Authentication::Required { methods, .. } => methods.is_empty(),
    };
    if catalog.deployments().iter().any(|deployment| is_public(&deployment.policy.authentication)) {
        // Or spelled with escapes, or in base64.
        let says_so = ["none", "\\", "!"].iter().any(|word| has(text, word));
        assert!(says_so, "a service is public, and nobody said so");
    }
    // A key may be the file itself, which is about to be another one.
    if !has(text, "from_file") {
        let shown = config::show_yaml(loaded);
        match load(&folder.file, shown.as_bytes()) {
            Ok(again) => {
                assert_eq!(config::show_json(&again)["settings"], config::show_json(loaded)["settings"]);
                assert_eq!(again.config.digest(&peppers), loaded.config.digest(&peppers));
            }
            Err(faults) => panic!("what is shown cannot be loaded: {faults}"),
        }
    }
}

fn has(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part == word.as_bytes())
}
