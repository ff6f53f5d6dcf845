//! Which deployment a path leads to, on one host.

use std::collections::HashMap;

use memchr::memchr_iter;
use smallvec::SmallVec;

/// The paths of one host (of all below a suffix, of any), each of one deployment.
///
/// A path costs a look-up for each of its segments, however many deployments there are.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By prefix, without a final `/`.
    /// Most prefixes have room beside it.
    by_prefix: HashMap<SmallVec<[u8; 24]>, Place>,
    /// Of the prefix that has most: what follows in a path, which a caller may make long, is not
    /// looked at.
    segments: usize,
}

/// Whose a prefix is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Where in the catalog the deployment is.
    pub(super) deployment: Option<usize>,
    /// Whether it is that of a deployment that cannot be used: then it is that of no wider one.
    pub(super) is_shut: bool,
}

impl Places {
    /// Gives a prefix to a deployment, or says whose it is already.
    pub(super) fn take(&mut self, prefix: &str, deployment: usize) -> Result<(), usize> {
        match *self.at(prefix).deployment.get_or_insert(deployment) {
            taken if taken == deployment => Ok(()),
            other => Err(other),
        }
    }

    /// Shuts a prefix to all but the deployment that has it.
    pub(super) fn shut(&mut self, prefix: &str) {
        self.at(prefix).is_shut = true;
    }

    fn at(&mut self, prefix: &str) -> &mut Place {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix).as_bytes();
        self.segments = self.segments.max(memchr_iter(b'/', prefix).count());
        self.by_prefix.entry(prefix.into()).or_default()
    }

    /// The places whose prefixes cover `path` by whole segments, the longest prefix first.
    pub(super) fn covering(&self, path: &[u8]) -> impl Iterator<Item = Place> {
        // A prefix ends before a `/`, or where the path does.
        let ends = memchr_iter(b'/', path).chain([path.len()]);
        let ends: SmallVec<[usize; 16]> = ends.take(self.segments + 1).collect();
        ends.into_iter().rev().filter_map(|end| self.by_prefix.get(&path[..end]).copied())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::deployment::longest_cover;

    proptest! {
        #[test]
        fn the_longest_prefix_is_found_as_by_trying_them_all(
            prefixes in prop::collection::hash_set("(/[ab]{1,2}){0,3}", 0..6), path in "(/[ab]{1,2}){0,4}/?",
        ) {
            let prefixes: Vec<String> = prefixes.into_iter().collect();
            let mut places = Places::default();
            for (index, prefix) in prefixes.iter().enumerate() {
                prop_assert_eq!(places.take(prefix, index), Ok(()));
            }
            let length = |index: &usize| longest_cover(&prefixes[*index..=*index], path.as_bytes());
            let mut expected: Vec<usize> = (0..prefixes.len()).filter(|index| length(index).is_some()).collect();
            expected.sort_by_key(|index| std::cmp::Reverse(length(index)));
            let found = places.covering(path.as_bytes()).filter_map(|place| place.deployment);
            prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_prefix_has_one_deployment() {
        let mut places = Places::default();
        assert_eq!(places.take("/a/", 1), Ok(()));
        assert_eq!(places.take("/a", 1), Ok(()));
        assert_eq!(places.take("/a", 2), Err(1));
        assert_eq!(places.take("/", 2), Ok(()));
    }

    #[test]
    fn a_shut_prefix_is_told_before_a_wider_one_and_takes_nothing_from_whose_it_is() {
        let mut places = Places::default();
        places.take("", 1).unwrap_or_default();
        places.shut("/a/b/");
        let found = |places: &Places, path: &str| places.covering(path.as_bytes()).next();
        assert_eq!(found(&places, "/a/b/c"), Some(Place { deployment: None, is_shut: true }));
        assert_eq!(found(&places, "/a/bc"), Some(Place { deployment: Some(1), is_shut: false }));
        assert_eq!(places.take("/a/b", 2), Ok(()));
        assert_eq!(found(&places, "/a/b"), Some(Place { deployment: Some(2), is_shut: true }));
    }

    /// Whatever a caller sends, by what is done and not by the clock.
    #[test]
    fn no_more_of_a_path_is_looked_at_than_prefixes_have_segments() {
        let mut places = Places::default();
        (0..10_000).for_each(|n| places.take(&format!("/orders{n}/items"), n).unwrap_or_default());
        let long = format!("/orders77/items{}", "/a".repeat(100_000));
        assert_eq!(places.segments, 2);
        let found = places.covering(long.as_bytes()).map(|place| place.deployment);
        assert_eq!(found.collect::<Vec<_>>(), [Some(77)]);
    }
}
