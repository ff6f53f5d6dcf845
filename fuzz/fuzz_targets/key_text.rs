//! The text of keys, ours and those made elsewhere.

#![no_main]

use doorward::domain::secret::{
    ENTROPY_BYTES, Handle, Kind, Reading, Secret, check_foreign, could_be_key, read,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    holds(text);
    // The prefix is not left to chance.
    holds(&[b"dw_key_", text].concat());
    if let Ok(entropy) = <&[u8; ENTROPY_BYTES]>::try_from(text.get(..ENTROPY_BYTES).unwrap_or_default()) {
        made_holds(entropy, text.last().copied().unwrap_or_default());
    }
});

fn holds(text: &[u8]) {
    match read(text) {
        Reading::Ours { kind, handle } => {
            let handle: Handle = handle.parse().expect("the handle of a whole secret is one");
            assert!(text.starts_with(kind.public_name(handle).as_bytes()));
            assert!(could_be_key(text));
            // One character of the checksum is another one, so no other text has this checksum.
            let mut wrong = text.to_vec();
            if let Some(last) = wrong.last_mut() {
                *last = if *last == b'0' { b'1' } else { b'0' };
            }
            assert_eq!(read(&wrong), Reading::Broken);
        }
        Reading::Broken => assert!(text.starts_with(b"dw_")),
        Reading::Foreign => assert!(!text.starts_with(b"dw_")),
    }
    let Ok(text) = str::from_utf8(text) else {
        assert!(!could_be_key(text));
        return;
    };
    if check_foreign(text, false).is_ok() {
        assert!(check_foreign(text, true).is_ok());
    }
    let presentable = could_be_key(text.as_bytes()) && read(text.as_bytes()) == Reading::Foreign;
    assert_eq!(check_foreign(text, true).is_ok(), presentable);
}

fn made_holds(entropy: &[u8; ENTROPY_BYTES], choice: u8) {
    let kind = Kind::ALL[usize::from(choice) % Kind::ALL.len()];
    if let Some((secret, handle)) = Secret::generate(kind, entropy) {
        assert_eq!(read(secret.expose().as_bytes()), Reading::Ours { kind, handle: handle.as_str() });
    }
}
