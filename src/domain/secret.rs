//! The text of our own secrets: `dw_<kind>_<handle 12>_<secret 32><crc 6>`.
//!
//! Base62 but for the separators, so that a double click selects all of it, no shell needs quotes,
//! and neither of the two characters that Envoy puts in by itself occurs: the comma, by which it
//! joins header lines, and the `!`, by which it replaces bytes that are not UTF-8.

use std::fmt;
use std::str::FromStr;

use zeroize::ZeroizeOnDrop;

/// A secret's text, ours or brought along. Wiped when dropped; nothing shows it by accident.
#[derive(ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Makes a secret of 190 random bits, and the handle it is known by.
    ///
    /// `None` when `entropy` holds too few usable bytes: for random bytes the chance is below
    /// 2⁻⁵⁰, and asking for new ones is the cure.
    pub fn generate(kind: Kind, entropy: &[u8; ENTROPY_BYTES]) -> Option<(Self, Handle)> {
        // 248 is the greatest multiple of 62 in a byte: what lies above would favour some digits.
        let mut digits =
            entropy.iter().filter(|byte| **byte < 248).map(|byte| BASE62[usize::from(byte % 62)]);
        let mut handle = [0; HANDLE_LEN];
        for digit in &mut handle {
            *digit = digits.next()?;
        }
        let handle = Handle(handle);

        // With its final capacity from the start: a text that moves leaves a copy behind.
        let mut text =
            String::with_capacity(PREFIX.len() + MAX_KIND_LEN + 2 + HANDLE_LEN + SECRET_LEN + CRC_LEN);
        text.push_str(PREFIX);
        text.push_str(kind.name());
        text.push('_');
        text.push_str(handle.as_str());
        text.push('_');
        for _ in 0..SECRET_LEN {
            text.push(char::from(digits.next()?));
        }
        text.extend(checksum(text.as_bytes()).map(char::from));
        Some((Self(text), handle))
    }

    /// The text itself: to be hashed, or to be shown the one time.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Takes over a text that was brought along; its copies elsewhere are the caller's to wipe.
impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// What a secret is good for. It stands in the text, so that a leaked one tells whom to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A consumer's API key.
    Key,
    /// Opens the admin API.
    Admin,
    /// The secret of an access key.
    App,
    /// A signed-in browser.
    Session,
    /// A grant token, good once.
    Once,
    /// An opaque access token: dynamic or subject.
    Token,
}

impl Kind {
    pub const ALL: [Self; 6] = [Self::Key, Self::Admin, Self::App, Self::Session, Self::Once, Self::Token];

    /// As it stands in the text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Admin => "admin",
            Self::App => "app",
            Self::Session => "session",
            Self::Once => "once",
            Self::Token => "token",
        }
    }

    /// What a secret is called where its text must not stand: `dw_key_<handle>`.
    pub fn public_name(self, handle: Handle) -> String {
        format!("{PREFIX}{}_{handle}", self.name())
    }
}

/// The public part of a secret's text: names it without proving it, safe to log and to list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle([u8; HANDLE_LEN]);

impl Handle {
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("a handle is made of base62 digits")
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

impl FromStr for Handle {
    type Err = MalformedHandle;

    fn from_str(text: &str) -> Result<Self, MalformedHandle> {
        let digits: [u8; HANDLE_LEN] = text.as_bytes().try_into().map_err(|_| MalformedHandle)?;
        if digits.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(digits)) } else { Err(MalformedHandle) }
    }
}

/// The text is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 12 letters and digits, as they stand after `dw_key_` in a key")]
pub struct MalformedHandle;

/// What a text says of itself, before anyone is asked whether it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    /// Whole, and made by a Doorward. Proves nothing: anyone can compute the checksum.
    Ours { kind: Kind, handle: &'a str },
    /// Begins as ours do, and is not: cut short, mistyped or made up.
    Broken,
    /// Somebody else's.
    Foreign,
}

/// Reads a presented text. Refusing the broken ones here costs no hash and no look-up.
pub fn read(text: &[u8]) -> Reading<'_> {
    match text.strip_prefix(PREFIX.as_bytes()) {
        Some(rest) => read_ours(text, rest).unwrap_or(Reading::Broken),
        None => Reading::Foreign,
    }
}

fn read_ours<'a>(text: &'a [u8], rest: &'a [u8]) -> Option<Reading<'a>> {
    let rest_of = |kind: Kind| rest.strip_prefix(kind.name().as_bytes())?.strip_prefix(b"_");
    let (kind, rest) = Kind::ALL.into_iter().find_map(|kind| Some((kind, rest_of(kind)?)))?;
    let (handle, tail) = rest.split_at_checked(HANDLE_LEN)?;
    let tail = tail.strip_prefix(b"_")?;
    // Every digit is looked at, which is quicker than to stop at the first that is none.
    let is_base62 = |field: &[u8]| field.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric());
    if tail.len() != SECRET_LEN + CRC_LEN || !is_base62(handle) || !is_base62(tail) {
        return None;
    }
    let (body, crc) = text.split_at(text.len() - CRC_LEN);
    (crc == checksum(body)).then_some(Reading::Ours { kind, handle: str::from_utf8(handle).ok()? })
}

/// Whether a presented text could be anybody's key at all: a cheap question before the hash.
pub fn could_be_key(text: &[u8]) -> bool {
    (1..=MAX_FOREIGN_LEN).contains(&text.len()) && text.iter().all(|&byte| forbidden(byte).is_none())
}

/// Whether a key that was made elsewhere can be taken over as it is.
///
/// `allow_weak` (`keys.insecure_allow_weak`, `--insecure-allow-weak`) lets short ones pass and
/// nothing else: what is refused for its bytes could not be presented through Envoy.
///
/// # Errors
///
/// Tell what was found and what to do, never the text.
pub fn check_foreign(text: &str, allow_weak: bool) -> Result<(), ForeignKeyError> {
    let len = text.len();
    if text.starts_with(PREFIX) {
        return Err(ForeignKeyError::OurPrefix);
    }
    let found = text.bytes().zip(1..).find_map(|(byte, at)| Some((forbidden(byte)?, at)));
    if let Some((what, at)) = found {
        return Err(ForeignKeyError::Forbidden { what, at });
    }
    match len {
        0 => Err(ForeignKeyError::Empty),
        1..MIN_FOREIGN_LEN if !allow_weak => Err(ForeignKeyError::TooShort { len }),
        1..=MAX_FOREIGN_LEN => Ok(()),
        _ => Err(ForeignKeyError::TooLong { len }),
    }
}

/// Why a key from elsewhere is not taken over. Holds nothing of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignKeyError {
    #[error("the key is empty; give its text, or leave it out and have one made")]
    Empty,
    #[error(
        "the key holds {what} at byte {at}, where only visible ASCII without `,` and `!` gets through every proxy; have a new key made and give it to its user"
    )]
    Forbidden { what: &'static str, at: usize },
    #[error("the key begins with `{PREFIX}`, which is kept for keys made by Doorward; have a new one made")]
    OurPrefix,
    #[error("the key is {len} bytes long, expected at most {MAX_FOREIGN_LEN}; have a new one made")]
    TooLong { len: usize },
    #[error(
        "the key is {len} bytes long, expected at least {MIN_FOREIGN_LEN}; have a new one made, or accept it as it is with `--insecure-allow-weak` (`keys.insecure_allow_weak`)"
    )]
    TooShort { len: usize },
}

/// What a byte is that no key may hold.
fn forbidden(byte: u8) -> Option<&'static str> {
    match byte {
        b',' => Some("a comma"),
        b'!' => Some("a `!`"),
        b' ' | b'\t' => Some("a blank"),
        0x80.. => Some("a character that is not ASCII"),
        _ if byte.is_ascii_control() => Some("a control character"),
        _ => None,
    }
}

/// CRC-32 (IEEE) in base62, the most significant digit first.
fn checksum(text: &[u8]) -> [u8; CRC_LEN] {
    let mut rest = crc32fast::hash(text);
    let mut digits = [b'0'; CRC_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// For secret scanners. The checksum then tells a find from a coincidence: CRC-32 (IEEE) over all
/// but the last six characters, in base62 with the digits `0-9A-Za-z`, padded with `0`.
pub const SCANNER_PATTERN: &str = "dw_(key|admin|app|session|once|token)_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}";

/// How many random bytes [`Secret::generate`] is given: 44 digits, and twenty to throw away.
pub const ENTROPY_BYTES: usize = 64;

/// Never change it: every key in use begins with it.
const PREFIX: &str = "dw_";
/// Never change it, nor the order: checksums are made of it.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 71 bits: among a billion handles the chance of two equal ones is 1 in 6,000.
const HANDLE_LEN: usize = 12;
/// 190 bits: beyond guessing, so that a fast hash is enough at rest.
const SECRET_LEN: usize = 32;
/// 62⁶ > 2³².
const CRC_LEN: usize = 6;
/// `session`.
const MAX_KIND_LEN: usize = 7;
/// Bytes of a key from elsewhere, unless weak ones are accepted.
pub const MIN_FOREIGN_LEN: usize = 16;
/// Bytes of the longest key from elsewhere; longer ones are not even hashed.
const MAX_FOREIGN_LEN: usize = 512;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// Entropy as a test may know it: a fixed walk through all bytes.
    fn walk(first: u8) -> [u8; ENTROPY_BYTES] {
        let mut byte = first;
        [0; ENTROPY_BYTES].map(|_: u8| {
            byte = byte.wrapping_mul(5).wrapping_add(1);
            byte
        })
    }

    #[test]
    fn the_text_of_a_secret_never_changes() {
        let (secret, handle) = Secret::generate(Kind::Key, &[0; ENTROPY_BYTES]).unwrap();
        assert_eq!(secret.expose(), "dw_key_000000000000_0000000000000000000000000000000012MlFb");
        assert_eq!(handle.to_string(), "000000000000");
        assert_eq!(Kind::Key.public_name(handle), "dw_key_000000000000");
        assert_eq!(checksum(b""), *b"000000");
        // The check value of CRC-32 (IEEE), 0xcbf43926; both computed apart from this code.
        assert_eq!(checksum(b"123456789"), *b"3jZRME");
    }

    #[test]
    fn a_kind_is_read_back_and_a_handle_is_part_of_the_text() {
        for kind in Kind::ALL {
            let (secret, handle) = Secret::generate(kind, &walk(7)).unwrap();
            assert_eq!(read(secret.expose().as_bytes()), Reading::Ours { kind, handle: handle.as_str() });
            assert_eq!(handle.as_str().parse(), Ok(handle));
            assert!(secret.expose().starts_with(&kind.public_name(handle)));
            assert!(could_be_key(secret.expose().as_bytes()));
            assert!(kind.name().len() <= MAX_KIND_LEN);
        }
    }

    #[test]
    fn entropy_that_runs_out_makes_no_secret() {
        let mut entropy = [255; ENTROPY_BYTES];
        assert!(Secret::generate(Kind::Key, &entropy).is_none());
        entropy[..43].fill(0);
        assert!(Secret::generate(Kind::Key, &entropy).is_none());
        entropy[ENTROPY_BYTES - 1] = 0;
        assert!(Secret::generate(Kind::Key, &entropy).is_some());
    }

    #[test]
    fn every_digit_is_equally_likely() {
        let mut counts = [0; 62];
        for byte in 0..=255 {
            if let Some((_, handle)) = Secret::generate(Kind::Key, &[byte; ENTROPY_BYTES]) {
                let digit = handle.as_str().as_bytes()[0];
                counts[BASE62.iter().position(|known| *known == digit).unwrap()] += 1;
            }
        }
        assert_eq!(counts, [4; 62]);
    }

    #[test]
    fn what_begins_like_ours_and_is_not_is_broken() {
        let (secret, _) = Secret::generate(Kind::Key, &walk(3)).unwrap();
        let whole = secret.expose();
        let broken = [
            "dw_".to_owned(),
            "dw_key_000000000000".to_owned(),
            whole[..whole.len() - 1].to_owned(),
            format!("{whole}0"),
            format!("{whole}_"),
            whole.replace("dw_key_", "dw_kez_"),
            whole.replace("dw_key_", "dw_admin_"),
            whole.replace("dw_key_", "dw_KEY_"),
            whole.replace("dw_key_", "dw__"),
            format!("dw_key_{}", &whole[8..]),
            format!("{}-{}", &whole[..30], &whole[31..]),
            format!("{}é{}", &whole[..30], &whole[32..]),
        ];
        for text in broken {
            assert_eq!(read(text.as_bytes()), Reading::Broken, "{text}");
        }
        for text in ["", "dw", "dw-key", "DW_key_", " dw_key_", "sk_live_4242"] {
            assert_eq!(read(text.as_bytes()), Reading::Foreign, "{text}");
        }
    }

    #[track_caller]
    fn check(text: &str, allow_weak: bool, expected: &str) {
        let answer =
            check_foreign(text, allow_weak).map_or_else(|error| error.to_string(), |()| "taken".to_owned());
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!(
            could_be_key(text.as_bytes()),
            expected == "taken" || expected.contains("at least 16") || expected.contains("`dw_`")
        );
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_foreign_key_is_taken_over_if_it_can_be_presented() {
        let long = "k".repeat(512);
        //    text                  weak   answer
        check("0123456789abcdef",   false, "taken");
        check("~{\"$%&/()=?}+*#<|", false, "taken");
        check(&long,                false, "taken");
        check("k",                  true,  "taken");
        check("0123456789abcde",    false, "the key is 15 bytes long, expected at least 16");
        check("",                   true,  "the key is empty");
        check(&format!("{long}k"),  true,  "the key is 513 bytes long, expected at most 512");
        check("dw_0123456789abcdef", true, "the key begins with `dw_`");
        check("01234567,89abcdef",  true,  "the key holds a comma at byte 9");
        check("!0123456789abcdef",  true,  "the key holds a `!` at byte 1,");
        check("0123456789abcdef ",  true,  "the key holds a blank at byte 17");
        check("01\t3456789abcdef",  true,  "the key holds a blank at byte 3");
        check("01\n3456789abcdef",  true,  "the key holds a control character at byte 3");
        check("01\x7f3456789abcdef", true, "the key holds a control character at byte 3");
        check("schlüssel-0123456",  true,  "the key holds a character that is not ASCII at byte 5");
    }

    #[test]
    fn the_scanner_knows_every_kind_and_length() {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        let expected = format!(
            "{PREFIX}({})_[0-9A-Za-z]{{{HANDLE_LEN}}}_[0-9A-Za-z]{{{}}}",
            kinds.join("|"),
            SECRET_LEN + CRC_LEN
        );
        assert_eq!(SCANNER_PATTERN, expected);
    }

    proptest! {
        #[test]
        fn every_secret_is_read_back(entropy in any::<[u8; ENTROPY_BYTES]>(), kind in prop::sample::select(&Kind::ALL[..])) {
            let (secret, handle) = Secret::generate(kind, &entropy).unwrap();
            prop_assert_eq!(read(secret.expose().as_bytes()), Reading::Ours { kind, handle: handle.as_str() });
        }

        #[test]
        fn what_the_scanner_finds_is_ours_if_the_checksum_holds(find in SCANNER_PATTERN) {
            let body = &find[..find.len() - CRC_LEN];
            let mended = format!("{body}{}", str::from_utf8(&checksum(body.as_bytes())).unwrap());
            let is_ours = matches!(read(mended.as_bytes()), Reading::Ours { .. });
            prop_assert!(is_ours);
            prop_assert_eq!(read(find.as_bytes()) != Reading::Broken, find == mended);
        }

        #[test]
        fn one_wrong_character_breaks_it(
            entropy in any::<[u8; ENTROPY_BYTES]>(), at in any::<prop::sample::Index>(), wrong in "[0-9A-Za-z_]"
        ) {
            let (secret, _) = Secret::generate(Kind::Token, &entropy).unwrap();
            let at = at.index(secret.expose().len());
            let mut text = secret.expose().to_owned();
            text.replace_range(at..=at, &wrong);
            let is_same = text == secret.expose();
            prop_assert_eq!(matches!(read(text.as_bytes()), Reading::Ours { .. }), is_same);
        }

        #[test]
        fn no_bytes_are_too_odd(text in any::<Vec<u8>>(), tail in any::<Vec<u8>>()) {
            let _ = (read(&text), could_be_key(&text), read(&[b"dw_", &tail[..]].concat()));
        }

        #[test]
        fn what_is_taken_over_can_be_presented(text in any::<String>(), allow_weak in any::<bool>()) {
            if check_foreign(&text, allow_weak).is_ok() {
                prop_assert!(could_be_key(text.as_bytes()));
                prop_assert_eq!(read(text.as_bytes()), Reading::Foreign);
            }
        }

        #[test]
        fn an_error_shows_nothing_of_the_key(text in "[xyz]{6}[,! é\n]?[xyz]{0,8}") {
            if let Err(error) = check_foreign(&text, false) {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains(&text[..6]));
            }
        }
    }
}
