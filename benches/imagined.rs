//! A store of the house's keys and consumers, each of which exists while it is looked at.

use bytes::Bytes;
use doorward::domain::time::Timestamp;
use doorward::store::{
    Batch, Beat, Changes, Count, Counted, Epoch, Head, Instance, Name, Record, Store, StoreError, Table, Uses,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::house::{self, Size};

pub(crate) struct Imagined {
    size: Size,
    head: Head,
    /// What is given out instead of the records.
    pub(crate) pack: Option<Vec<Bytes>>,
}

impl Imagined {
    pub(crate) fn new(size: Size) -> Self {
        Self { size, head: Head::start(Uuid::nil(), 1), pack: None }
    }
}

#[tonic::async_trait]
impl Store for Imagined {
    async fn snapshot(
        &self,
        _: &[Table],
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<Head, StoreError> {
        for number in 0..self.size.consumers() {
            let consumer = house::consumer(number);
            let (name, payload) = (Name::of(&consumer.id), consumer.encode());
            each(Ok(Record { table: Table::Consumer, name, revision: 1, payload }));
        }
        for number in 0..self.size.keys {
            let key = house::key(number, self.size);
            let (name, payload) = (Name::of(&key.id), key.encode());
            each(Ok(Record { table: Table::Key, name, revision: 1, payload }));
        }
        Ok(self.head)
    }

    async fn changes(&self, _: Head, _: usize) -> Result<Changes, StoreError> {
        Ok(Changes::Next(Vec::new()))
    }

    async fn heartbeat(&self, _: Beat) -> Result<Head, StoreError> {
        Ok(self.head)
    }

    async fn write(&self, _: Batch) -> Result<Epoch, StoreError> {
        Err(imagined())
    }

    async fn read(&self, _: Table, _: &Name) -> Result<Option<Record>, StoreError> {
        Err(imagined())
    }

    async fn read_many(&self, _: Table, _: Vec<Name>) -> Result<Vec<Record>, StoreError> {
        Err(imagined())
    }

    async fn scan(&self, _: Table, _: &[u8], _: Option<&Name>, _: usize) -> Result<Vec<Record>, StoreError> {
        Err(imagined())
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        Err(imagined())
    }

    async fn begin_term(&self, _: Head, _: Batch) -> Result<Epoch, StoreError> {
        Err(imagined())
    }

    async fn packed(&self) -> Result<Option<(Head, Vec<Bytes>)>, StoreError> {
        Ok(self.pack.clone().map(|pack| (self.head, pack)))
    }

    async fn note_uses(&self, _: &[Uses]) -> Result<(), StoreError> {
        Err(imagined())
    }

    async fn uses(&self, _: Table, _: &[Uuid]) -> Result<Vec<Uses>, StoreError> {
        Err(imagined())
    }

    async fn count(&self, _: &[Count], _: Timestamp) -> Result<Vec<Counted>, StoreError> {
        Err(imagined())
    }

    fn pushed(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

fn imagined() -> StoreError {
    StoreError::Unavailable("it is only imagined".into())
}
