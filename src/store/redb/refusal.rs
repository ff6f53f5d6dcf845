//! What happens when the disk refuses: reading goes on, and writing begins again when it can.
//!
//! redb answers nothing any more after one error of its file. So the database that wrote is given
//! up, everybody reads from a shadow of the file, and the next write opens the file anew, verified
//! wholly like at a start. Only after a failed fsync nothing is written until a restart: the kernel
//! has then forgotten what it could not write, and whatever is read may be on no disk.

use std::sync::Arc;

use ::redb::Database;

use super::error::Fault;
use super::verify;
use super::writer::{Pause, Writer};
use crate::store::changes::History;

impl Writer {
    /// The database to write with.
    pub(super) fn ready(&mut self) -> Result<Arc<Database>, Fault> {
        if self.writes_to.is_none() {
            if self.file.unsynced() {
                return Err(Fault::Io(std::io::Error::other("an fsync has failed")));
            }
            self.reopen()?;
        }
        Ok(self.shared.database())
    }

    /// Opens the file anew, and goes on from what it has: what was refused may be there all the
    /// same, whole and under its operation's id.
    fn reopen(&mut self) -> Result<(), Fault> {
        let verified = verify::examine(self.file.held(), &self.ring, |_, verified| Ok(verified))?;
        let fenced = self.file.anew();
        // Before anything is written: a failure half way must find it and shut it.
        self.writes_to = Some(fenced.clone());
        // Who still reads from the shadow sees the pages that it knows until the second commit.
        self.shared.replace(|| verify::open(fenced, &verified))?;
        self.readable = true;
        self.history = History::new(verified.meta.epoch, verified.meta.log_after, verified.operations);
        self.counts = verified.meta.counts;
        Ok(())
    }

    /// Gives the database that wrote up, and has everybody read from a shadow. Says why nothing was
    /// written.
    pub(super) fn refused(&mut self, fault: &Fault) -> String {
        if let Some(writes_to) = self.writes_to.take() {
            writes_to.shut();
            self.readable = false;
        }
        if !self.readable {
            self.take_shelter();
        }
        self.pause.lengthen();
        let why = if self.file.unsynced() {
            format!("the disk did not confirm a write ({fault}); nothing is written until a restart")
        } else {
            format!("the disk refuses to write ({fault}); writes are taken again when it does not")
        };
        if self.shared.writable.send_replace(false) {
            tracing::error!(reason = %why, "the store takes no writes; checks and reads go on");
        }
        why
    }

    fn take_shelter(&mut self) {
        let mut number = None;
        let sheltered = self.shared.replace(|| {
            let (database, meta) = verify::shadow(self.file.held(), &self.ring)?;
            number = Some(meta.epoch.number);
            Ok::<_, Fault>(database)
        });
        match sheltered {
            Ok(()) => self.readable = true,
            Err(fault) => {
                tracing::error!(error = %fault, "the store cannot be read; checks go on with what is in memory");
            }
        }
        // Named by the file's head, a commit has been durable since its first phase, even where the
        // disk failed at its second and nobody was told.
        if let Some(number) = number.filter(|number| *number > *self.shared.pushed.borrow()) {
            self.shared.push(number);
        }
    }

    pub(super) fn resumed(&mut self) {
        self.pause = Pause::default();
        if !self.shared.writable.send_replace(true) {
            tracing::info!("the store takes writes again");
        }
    }
}
