//! What may become a password: NIST SP 800-63B, 3.1.1. Long, and not one that everybody guesses first; of
//! what characters it is made is nobody's business, and it does not grow old.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Characters, where it is all that proves who somebody is.
pub const LEAST: usize = 15;

/// Bytes. What is longer is a file that somebody took for one.
pub const LONGEST: usize = 1_024;

/// In lower case, without blanks: what guesses begin with.
static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common.txt").lines().map(str::trim).filter(|it| !it.is_empty()).collect());

/// Why a text may not become the password of this name; `None`: it may. Never repeats it.
pub fn refusal(password: &str, username: &str) -> Option<String> {
    let characters = password.chars().count();
    if password.len() > LONGEST {
        return Some(format!("has {} bytes, expected at most {LONGEST}", password.len()));
    }
    if characters < LEAST {
        return Some(format!(
            "has {characters} characters, expected at least {LEAST}; several words make a good one"
        ));
    }
    is_guessed_first(password, username).then(|| {
        "is among those that are guessed first: common words, the name itself, or the same over and over"
            .to_owned()
    })
}

fn is_guessed_first(password: &str, username: &str) -> bool {
    let plain: String =
        password.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    // What is left of it without its name, ours, and what everybody puts at an end.
    let name: String =
        username.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let mut rest = plain.clone();
    for known in [&name[..], "doorward"] {
        if known.chars().count() >= 3 {
            rest = rest.replace(known, "");
        }
    }
    let core = rest.trim_matches(|it: char| it.is_ascii_digit());
    is_monotonous(&plain) || is_made_of_common(core) || (rest != plain && core.chars().count() < LEAST / 3)
}

/// The same few characters over and over, or a row of the alphabet, the digits or the keyboard.
fn is_monotonous(text: &str) -> bool {
    let different: HashSet<char> = text.chars().collect();
    if different.len() <= 3 {
        return true;
    }
    const ROWS: [&str; 5] = [
        "abcdefghijklmnopqrstuvwxyz",
        "01234567890123456789",
        "qwertyuiopasdfghjklzxcvbnm",
        "qwertzuiop",
        "1q2w3e4r5t6z7u8i9o0p",
    ];
    ROWS.iter().any(|row| {
        let back: String = row.chars().rev().collect();
        let twice = row.repeat(text.len() / row.len() + 2);
        twice.contains(text) || back.repeat(text.len() / row.len() + 2).contains(text)
    })
}

/// A few common words, one behind the other: `passwordpassword`, `letmeinletmein`. Whoever takes five that
/// have nothing to do with each other is not found here.
fn is_made_of_common(core: &str) -> bool {
    let mut rest = core;
    let mut used = HashSet::new();
    while !rest.is_empty() {
        let found = COMMON.iter().filter(|word| rest.starts_with(**word)).max_by_key(|word| word.len());
        let Some(word) = found else { return false };
        used.insert(*word);
        rest = rest[word.len()..].trim_start_matches(|it: char| it.is_ascii_digit());
    }
    (1..=3).contains(&used.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ones_are_taken_and_short_or_common_ones_are_not() {
        for good in [
            "four words of my own choosing",
            "a longish sentence, with a comma",
            "vqzMpjdt7wNRe4c",
            "ünïcödé wörds 14",
            "密码是很长的一句话而且没有人会猜到它",
        ] {
            assert_eq!(refusal(good, "alice"), None, "{good}");
        }
        for (bad, why) in [
            ("", "has 0 characters"),
            ("short", "has 5 characters"),
            ("fourteen chars", "has 14 characters"),
            (&"x".repeat(1_025), "has 1025 bytes"),
            ("aaaaaaaaaaaaaaaaaaaa", "guessed first"),
            ("ababababababababab", "guessed first"),
            ("abcdefghijklmnopqrst", "guessed first"),
            ("12345678901234567890", "guessed first"),
            ("qwertyuiopasdfghjkl", "guessed first"),
            ("passwordpassword", "guessed first"),
            ("correct horse battery staple", "guessed first"),
            ("Password-Password-1", "guessed first"),
            ("letmeinletmeinletmein", "guessed first"),
            ("alicealicealice", "guessed first"),
            ("alice-alice-2026", "guessed first"),
            ("Doorward-alice-123", "guessed first"),
            ("password123456789", "guessed first"),
        ] {
            let said = refusal(bad, "alice").unwrap_or_default();
            assert!(said.contains(why), "{bad}: {said}");
            assert!(bad.len() < 5 || !said.contains(bad), "{said}");
        }
    }
}
