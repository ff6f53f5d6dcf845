//! The files of `envoy/` and `examples/demo/`, run on other ports than they name.

use super::Outcome;

/// Sets the values that a line marks as changeable: `port_value: 8000  # set:listener` has its last
/// word before the mark replaced by the value given for `listener`.
///
/// # Errors
///
/// A mark for which no value was given, or a value for which there is no mark: the sample has
/// changed, and whoever runs it has to follow.
pub fn fill(sample: &str, values: &[(&str, String)]) -> Outcome<String> {
    let mut used = vec![false; values.len()];
    let mut text = String::new();
    for line in sample.lines() {
        text.push_str(&filled(line, values, &mut used)?);
        text.push('\n');
    }
    match used.iter().position(|used| !used) {
        Some(index) => Err(format!("no line of the sample is marked `# set:{}`", values[index].0)),
        None => Ok(text),
    }
}

fn filled(line: &str, values: &[(&str, String)], used: &mut [bool]) -> Outcome<String> {
    if line.trim_start().starts_with('#') {
        return Ok(line.to_owned());
    }
    let Some((before, mark)) = line.split_once("# set:") else { return Ok(line.to_owned()) };
    let name = mark.split_whitespace().next().unwrap_or_default();
    let index = values.iter().position(|(known, _)| *known == name);
    let index =
        index.ok_or_else(|| format!("the sample marks `{name}`, for which no value is given: {line}"))?;
    used[index] = true;
    let (kept, _) = before
        .trim_end()
        .rsplit_once(' ')
        .ok_or_else(|| format!("no value stands before the mark `{name}`: {line}"))?;
    Ok(format!("{kept} {}", values[index].1))
}
