//! Who comes first where a processor is wanted by more than one thread: checks.

use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// Threads that are not there for checks, by how they stand behind them (sched(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Follows the store and renews the lease, so it still gets a quarter of what it is contended for
    /// however busy checks are.
    Store,
    /// Gets a tenth. What it does not come to is dropped and counted.
    Log,
    /// Gets what nobody wants. However nice a thread is, it is left alone for some milliseconds once it
    /// runs, and meanwhile checks wait; one that is idle is interrupted at once.
    Passwords,
}

impl Behind {
    /// Of this thread alone, as Linux has it, and for its whole life. Where it is not allowed, only time
    /// is lost.
    pub fn checks(self) {
        match self {
            Self::Store => nice(5),
            Self::Log => nice(10),
            Self::Passwords => idle(),
        }
    }
}

/// Each step costs a fifth of one's share.
fn nice(steps: i32) {
    let _ = rustix::process::setpriority_process(None, steps);
}

fn idle() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    let _ = set_thread_priority_and_policy(thread_native_id(), thread_priority::ThreadPriority::Min, policy);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_for_passwords_is_idle_and_no_other_is() {
        let policy = |behind: Behind| {
            let thread = std::thread::spawn(move || {
                behind.checks();
                thread_priority::unix::thread_schedule_policy().expect("a policy")
            });
            thread.join().expect("a policy")
        };
        let normal = ThreadSchedulePolicy::Normal;
        assert_eq!(policy(Behind::Passwords), normal(NormalThreadSchedulePolicy::Idle));
        assert_eq!(policy(Behind::Store), normal(NormalThreadSchedulePolicy::Other));
    }
}
