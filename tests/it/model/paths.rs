//! Spellings of a path, and what may be read from each.

use super::random::Random;
use super::words::{Path, Set};

/// A spelling of a path, mostly its own, and how it can be read.
pub fn written(random: &mut Random, path: &str) -> (String, Path) {
    let one = |path: &str| Path::Read(Set::from([path.to_owned()]));
    match random.below(100) {
        0..4 => {
            let odd = random.pick(&["#", "%zz", "%0", "%00", "%0A", "é", "%7F", "%"]);
            (format!("{path}{odd}"), Path::Malformed)
        }
        4 => (random.pick(&["*", "http://api.test/x", "", "orders"]).to_owned(), Path::Malformed),
        5..8 => (format!("{path}{}", random.pick(&["%25", "%3f", "%3F", "%23", "%252e"])), Path::Anyhow),
        8..28 => {
            let mut written = doubtful(random, path);
            if random.chance(40) {
                written = doubtful(random, &written);
            }
            let readings = Path::Read(readings(&written));
            (written, readings)
        }
        28..33 if !path.ends_with('/') => (format!("{path}/"), one(&format!("{path}/"))),
        // Whether an escape of a letter is one more reading of a doubtful path is left open.
        33..50 => (escaped(random, path), one(path)),
        _ => (path.to_owned(), one(path)),
    }
}

/// A spelling in which there is more to be decoded, cut, folded or resolved.
pub fn doubtful(random: &mut Random, path: &str) -> String {
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    let (before, after) = path.split_at(slashes[random.below(slashes.len())]);
    let name = random.pick(&["d", "admin", "orders"]);
    let put = match random.below(12) {
        0 => "/",
        1 => "/.",
        2 => "/{}/..",
        3 => "/{}/..;v=1",
        4 => "/{}/%2e%2E",
        5 => "/{}/%2e.",
        6 => "/%2E",
        7 => "/{}%2f..",
        8 if !before.is_empty() => ";v=1",
        9 if !before.is_empty() => "%3Bv=1",
        _ if !before.is_empty() => {
            let slash = random.pick(&["%2f", "%2F", "\\", "%5c"]);
            return format!("{before}{slash}{}", &after[1..]);
        }
        _ => "/;v=1",
    };
    format!("{before}{}{after}", put.replace("{}", name))
}

/// All that upstreams may take a path for that decode, fold, cut and resolve some of it, each for the
/// next.
fn readings(written: &str) -> Set {
    let (mut all, mut open) = (Set::new(), vec![written.to_owned()]);
    while let Some(path) = open.pop() {
        if !all.insert(path.clone()) {
            continue;
        }
        let segments: Vec<&str> = path[1..].split('/').collect();
        let cut: Vec<&str> = segments.iter().filter_map(|segment| segment.split(';').next()).collect();
        let mut resolved = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            match *segment {
                "." => {}
                ".." => drop(resolved.pop()),
                name => resolved.push(name),
            }
            if at + 1 == segments.len() && segment.starts_with('.') && segment.trim_matches('.').is_empty() {
                resolved.push("");
            }
        }
        let mut merged = path.clone();
        while merged.contains("//") {
            merged = merged.replace("//", "/");
        }
        let undotted = path.replace("%2e", ".").replace("%2E", ".");
        let decoded =
            undotted.replace("%2f", "/").replace("%2F", "/").replace("%5c", "\\").replace("%3B", ";");
        open.extend([format!("/{}", cut.join("/")), format!("/{}", resolved.join("/"))]);
        open.extend([merged, undotted, decoded, path.replace('\\', "/")]);
    }
    all
}

/// The same path with some letters as escapes.
pub fn escaped(random: &mut Random, path: &str) -> String {
    let mut escape = 0;
    let spell = |letter: char| {
        escape = if letter == '%' { 3 } else { usize::saturating_sub(escape, 1) };
        let plain = letter.is_ascii_lowercase() && escape == 0;
        if plain && random.chance(30) { format!("%{:02x}", u32::from(letter)) } else { letter.to_string() }
    };
    path.chars().map(spell).collect()
}
