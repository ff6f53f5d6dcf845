//! Who comes first where a processor is wanted by more than one thread: checks.

/// Threads that are not there for checks, by how far they stand behind them: as `nice` has it (sched(7)),
/// where each step costs a fifth of one's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Follows the store and renews the lease, so it still gets a quarter of what it is contended for
    /// however busy checks are.
    Store = 5,
    /// Gets a tenth. What it does not come to is dropped and counted.
    Log = 10,
    /// Gets less than a tenth. Who waits for it too long is told to come back. Not SCHED_IDLE, which would
    /// stand behind every other process of the machine too: nobody could log in while Envoy is busy, and
    /// a check could wait for a lock that such a thread holds.
    Passwords = 11,
    /// Gets a seventieth: passwords while more arrive than can be hashed, so that most are turned away anyway.
    /// Linux lets a thread that has begun go on for up to a tick (4 ms with most kernels) now and then, though
    /// another waits that comes before it (EEVDF's protected slice), the less often the less it has a right to.
    /// To rest between two hashes makes that worse: whoever has slept has a right to begin.
    Storm = 19,
}

impl Behind {
    /// Of this thread alone, as Linux has it (setpriority(2)), and for its whole life. Where it is not
    /// allowed, only time is lost.
    pub fn checks(self) {
        let _ = rustix::process::setpriority_process(None, self as i32);
    }
}
