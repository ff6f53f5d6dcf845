//! Lists that narrow or demand: an empty one could be meant as "none" or as "all".

use super::fault::Fault;
use super::place::At;

/// Every item as `read` has it; what cannot be read is told, each at its own place.
///
/// `all`: what holds where the list is left out.
pub(super) fn read_all<T>(
    list: Option<&At<Vec<At<String>>>>,
    (setting, all): (&str, &str),
    mut read: impl FnMut(&str) -> Result<T, String>,
    faults: &mut Vec<Fault>,
) -> Vec<T> {
    let Some(list) = list else { return Vec::new() };
    check_filled(list, (setting, all), faults);
    let mut items = Vec::new();
    for item in &list.value {
        match read(item) {
            Ok(item) => items.push(item),
            Err(message) => faults.push(Fault::new(item.place, message)),
        }
    }
    items
}

/// The same for names, which know better what is wrong with them.
pub(super) fn find_all<T>(
    list: Option<&At<Vec<At<String>>>>,
    (setting, all): (&str, &str),
    faults: &mut Vec<Fault>,
    mut find: impl FnMut(&At<String>, &mut Vec<Fault>) -> Option<T>,
) -> Vec<T> {
    let Some(list) = list else { return Vec::new() };
    check_filled(list, (setting, all), faults);
    list.iter().filter_map(|item| find(item, faults)).collect()
}

fn check_filled(list: &At<Vec<At<String>>>, (setting, all): (&str, &str), faults: &mut Vec<Fault>) {
    if list.is_empty() {
        let message = format!("`{setting}` is empty; leave it out for {all}, or name some");
        faults.push(Fault::new(list.place, message));
    }
}
