//! What may have been meant by a word that nobody knows.

/// The word of `known` that is closest to `found`, where one is close enough.
pub(super) fn closest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are no slips of the pen, and comparing them costs their product.
    if found.chars().count() > 64 {
        return None;
    }
    let allowed = match found.chars().count() {
        0..=2 => 1,
        3..=7 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .filter(|word| word.len() <= 64)
        .map(|word| (distance(&found.to_lowercase(), &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= allowed && *distance < word.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many letters must be added, left out, changed, or swapped with their neighbour to make one
/// word of the other (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    let mut last = None;
    for (row, letter) in one.chars().enumerate() {
        let mut line = vec![row + 1];
        for (column, wanted) in other.iter().enumerate() {
            let changed = above[column] + usize::from(letter != *wanted);
            let mut least = changed.min(above[column + 1] + 1).min(line[column] + 1);
            if column > 0 && last == Some(*wanted) && letter == other[column - 1] {
                least = least.min(before[column - 1] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
        last = Some(letter);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &str, expected: Option<&str>) {
        assert_eq!(closest(found, ["hosts", "paths", "name", "id", "authentication"]), expected);
    }

    #[test]
    fn slips_of_the_pen_are_understood_and_other_words_are_not() {
        check("hostss", Some("hosts"));
        check("host", Some("hosts"));
        check("htosts", Some("hosts"));
        check("ptahs", Some("paths"));
        check("Hosts", Some("hosts"));
        check("authentification", Some("authentication"));
        check("networks", None);
        check("xy", None);
        check("", None);
        check(&"h".repeat(1000), None);
    }
}
