//! Variants measured in turns, so that whatever else the machine does befalls all of them alike.

use crate::rig::Outcome;
use std::fmt::Write as _;
use std::time::Duration;

/// Measures each variant once a round, in turned order every second round; for each variant, what was
/// measured.
pub(crate) fn interleaved<V, M>(
    rounds: usize,
    variants: &[V],
    mut measure: impl FnMut(&V) -> Outcome<M>,
) -> Outcome<Vec<Vec<M>>> {
    let mut measured: Vec<Vec<M>> = variants.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..variants.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            measured[at].push(measure(&variants[at])?);
        }
    }
    Ok(measured)
}

/// The middle one, or the mean of the two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length => (values[(length - 1) / 2] + values[length / 2]) / 2.0,
    }
}

/// Of sorted times, the one that so large a part of them does not exceed.
pub(crate) fn share(sorted: &[Duration], part: f64) -> Duration {
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

/// Rows under headings, as Markdown has them: to be read as it is, too.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        for (cell, width) in cells.zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
    };
    line(&mut headings.iter().copied());
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// A figure that is aimed at.
pub(crate) struct Aim {
    pub(crate) what: String,
    pub(crate) most: f64,
    pub(crate) found: f64,
}

impl Aim {
    fn row(&self) -> Vec<String> {
        let word = if self.found <= self.most { "met" } else { "missed" };
        vec![self.what.clone(), format!("≤ {:.2}", self.most), format!("{:.2}", self.found), word.into()]
    }
}

/// Each aim beside what was found.
pub(crate) fn aims(aims: &[Aim]) -> String {
    table(&["aim", "bound", "found", ""], &aims.iter().map(Aim::row).collect::<Vec<_>>())
}
