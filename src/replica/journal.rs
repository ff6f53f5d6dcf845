//! What a follower applied last, so that a store which lost changes can be given them back.

use std::collections::VecDeque;

use super::RUN;
use crate::store::{Change, Changed, Changes, Epoch, Head, Mark, Store, StoreError};

/// The newest changes of one history, each with the mark up to it. May have gaps, where a snapshot
/// took the place of changes.
#[derive(Default)]
pub(super) struct Journal {
    points: VecDeque<Point>,
    /// Of the points' records.
    bytes: usize,
}

/// A place in the history, and what changed there.
pub(super) struct Point {
    pub(super) number: u64,
    pub(super) mark: Mark,
    /// None where a snapshot was read.
    pub(super) records: Vec<Changed>,
}

/// What a store still knows of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fork {
    /// Everything up to this number, and nothing after it.
    After(u64),
    /// That cannot be told: its log is too short or damaged, or the journal is too short.
    Unknown,
}

/// Changes and bytes, whichever are more: what a failover loses is a second of writes, and what a
/// restored backup loses is told, not mended.
const CHANGES: usize = 10_000;
const BYTES: usize = 8 << 20;

impl Journal {
    /// Notes that the replica has come to `head` by way of a snapshot.
    pub(super) fn reach(&mut self, head: Head) {
        self.push(Point { number: head.epoch.number, mark: head.mark, records: Vec::new() });
    }

    pub(super) fn extend(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.push(Point { number: change.number, mark: change.mark, records: change.records });
        }
    }

    fn push(&mut self, point: Point) {
        if self.points.back().is_some_and(|last| last.number >= point.number) {
            return;
        }
        self.bytes += point.bytes();
        self.points.push_back(point);
        while self.points.len() > CHANGES || (self.bytes > BYTES && self.points.len() > 1) {
            self.bytes -= self.points.pop_front().map_or(0, |point| point.bytes());
        }
    }

    pub(super) fn mark_at(&self, number: u64) -> Option<Mark> {
        let index = self.points.binary_search_by_key(&number, |point| point.number).ok()?;
        Some(self.points[index].mark)
    }

    /// The points that come after the fork, oldest first.
    pub(super) fn after(&self, fork: Fork) -> impl Iterator<Item = &Point> {
        let first = match fork {
            Fork::After(number) => self.points.partition_point(|point| point.number <= number),
            Fork::Unknown => 0,
        };
        self.points.range(first..)
    }

    /// Up to where the store, which is no other than `of`'s, has the history of this journal.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(super) async fn fork(&self, store: &dyn Store, of: Epoch) -> Result<Fork, StoreError> {
        // Everything before `known` was found in the log or is too old for it, nothing from
        // `parted` on.
        let (mut known, mut parted) = (0, self.points.len());
        let mut fork = Fork::Unknown;
        while known < parted {
            let middle = known.midpoint(parted);
            let Point { number, mark, .. } = self.points[middle];
            let head = Head { epoch: Epoch { number, ..of }, mark };
            match store.changes(head, 1).await {
                Ok(Changes::Next(_)) => {
                    fork = Fork::After(number);
                    known = middle + 1;
                }
                Ok(Changes::Gone) => known = middle + 1,
                Ok(Changes::Parted) => parted = middle,
                Err(StoreError::DamagedLog(_)) => return Ok(Fork::Unknown),
                Err(error) => return Err(error),
            }
        }
        Ok(fork)
    }

    /// The journal of the history that `to` is the newest head of, as far as the store has it: what
    /// both have in common, and from there what the log tells.
    ///
    /// # Errors
    ///
    /// The store's; [`StoreError::Moved`] where it went back once more.
    pub(super) async fn follow(&self, store: &dyn Store, to: Head) -> Result<Self, StoreError> {
        let mut journal = Self::default();
        if let Fork::After(number) = self.fork(store, to.epoch).await? {
            for point in self.points.iter().take_while(|point| point.number <= number) {
                journal.push(Point { records: point.records.clone(), ..*point });
            }
        }
        while let Some(last) = journal.points.back().filter(|last| last.number < to.epoch.number) {
            let from = Head { epoch: Epoch { number: last.number, ..to.epoch }, mark: last.mark };
            match store.changes(from, RUN).await {
                Ok(Changes::Next(changes)) if changes.is_empty() => return Err(StoreError::Moved),
                Ok(Changes::Next(changes)) => {
                    journal.extend(changes.into_iter().filter(|change| change.number <= to.epoch.number));
                }
                Ok(Changes::Gone) | Err(StoreError::DamagedLog(_)) => break,
                Ok(Changes::Parted) => return Err(StoreError::Moved),
                Err(error) => return Err(error),
            }
        }
        journal.reach(to);
        Ok(journal)
    }
}

impl Point {
    fn bytes(&self) -> usize {
        let of = |changed: &Changed| changed.name.0.len() + changed.payload.as_ref().map_or(0, Vec::len);
        self.records.iter().map(|changed| size_of::<Changed>() + of(changed)).sum()
    }
}
