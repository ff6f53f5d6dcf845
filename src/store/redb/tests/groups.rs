//! What waits for the thread that writes is served together: changes first, then counters with one commit.

use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::task::{Context, Wake, Waker};

use super::*;
use crate::store::Count;

/// Notes who is answered, at that moment.
struct Bell {
    who: &'static str,
    rung: Arc<Mutex<Vec<&'static str>>>,
    /// From then on the disk refuses to keep anything.
    last_commit: Option<Arc<fence::Faults>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().unwrap().push(self.who);
        if let Some(faults) = &self.last_commit {
            faults.syncs.store(true, Ordering::SeqCst);
        }
    }
}

fn count(name: u8, most: u64) -> Count {
    Count { name: [name; 16], add: 1, lives: Duration::from_secs(900), most }
}

#[test]
fn changes_are_written_before_counters_that_came_before_them_and_these_with_one_commit() {
    let place = Place::new();
    drop(place.open().unwrap());
    let writer = || {
        let ring = Ring::load(&place.secret()).unwrap_or_else(|error| panic!("{error}"));
        RedbStore::writer(&place.store(), &place.secret(), ring, 100)
    };
    let writer = (0..100).find_map(|_| match writer() {
        // As in `patiently`.
        Err(FileError::InUse { .. }) => {
            std::thread::sleep(Duration::from_millis(10));
            None
        }
        writer => Some(writer.unwrap_or_else(|error| panic!("{error}"))),
    });
    let writer = writer.unwrap();
    let faults = writer.file.faults.clone();
    let now = Timestamp::from_unix(1_800_000_000);
    let (asks, asked) = mpsc::channel(QUEUE);
    let (answer, mut first) = oneshot::channel();
    asks.try_send(Ask::Count(vec![count(1, 9)], now, answer)).unwrap();
    let (answer, mut change) = oneshot::channel();
    asks.try_send(Ask::Write(put(Table::Key, 1, b"key"), answer)).unwrap();
    let (answer, mut second) = oneshot::channel();
    asks.try_send(Ask::Count(vec![count(1, 9), count(2, 9)], now, answer)).unwrap();
    // Would come to more than it may.
    let (answer, mut third) = oneshot::channel();
    asks.try_send(Ask::Count(vec![count(1, 2)], now, answer)).unwrap();
    drop(asks);

    let rung = Arc::default();
    let bell = |who, last_commit| Waker::from(Arc::new(Bell { who, rung: Arc::clone(&rung), last_commit }));
    assert!(pin!(&mut first).poll(&mut Context::from_waker(&bell("first", Some(faults)))).is_pending());
    assert!(pin!(&mut second).poll(&mut Context::from_waker(&bell("second", None))).is_pending());
    assert!(pin!(&mut third).poll(&mut Context::from_waker(&bell("third", None))).is_pending());
    assert!(pin!(&mut change).poll(&mut Context::from_waker(&bell("change", None))).is_pending());
    writer.run(asked);

    assert_eq!(*rung.lock().unwrap(), ["change", "first", "second", "third"]);
    assert_eq!(change.try_recv().unwrap().unwrap().number, 1);
    let totals = |counted: &mut oneshot::Receiver<Result<Vec<Counted>, StoreError>>| {
        let counted = counted.try_recv().unwrap().unwrap();
        counted.iter().map(|counted| counted.total).collect::<Vec<_>>()
    };
    assert_eq!([totals(&mut first), totals(&mut third)], [[1], [3]]);
    assert_eq!(totals(&mut second), [2, 1]);
}
