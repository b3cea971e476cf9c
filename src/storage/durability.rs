//! Makes sled sync, and proves on the running system that it does.
//!
//! On Linux sled believes `sync_file_range`, which neither writes metadata nor empties the disk's cache;
//! power loss then loses acknowledged writes (law 8). It syncs the file properly when the kernel answers
//! ENOSYS to that call, so a seccomp filter makes the kernel answer so, for this process and its
//! children. Elsewhere sled syncs properly by itself. See `docs/decisions/0003-durable-sled.md`.
//!
//! Does not sync anything itself: that happens inside sled's log write.
//!
//! Invariant: `verify` says `Ok` only after watching sled take the safe path in this very process.

use crate::storage::sled_engine::probe;
use std::path::Path;

/// Why nothing on this system can be promised to be durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDurable {
    /// The filter is not there: the process did not call `install`, or could not.
    #[error(
        "sled still trusts sync_file_range, so a power failure could lose acknowledged writes; call \
         storage::durability::install before the first thread starts, run on Linux x86_64, aarch64 or \
         riscv64 with seccomp allowed, or use buffered buckets only"
    )]
    Unfiltered,
    /// The kernel or a container runtime did not take the filter.
    #[error(
        "the seccomp filter that makes sled sync was not accepted: {0}; allow seccomp for this process \
         (container profile, kernel option CONFIG_SECCOMP_FILTER), or use buffered buckets only"
    )]
    Refused(String),
    /// The probe met something else than the two answers it knows.
    #[error(
        "cannot tell whether sled syncs here: {0}; make /dev/null and a writable data folder available \
         to this process, or use buffered buckets only"
    )]
    Unknown(String),
}

/// Makes `sync_file_range` answer ENOSYS in every thread of this process and in its children.
///
/// Call it first thing in `main`. Calling it again changes nothing. Sets `no_new_privs`: programs
/// started from here gain no rights by setuid.
pub fn install() -> Result<(), NotDurable> {
    filter::install()
}

/// Proves that sled syncs its log in this process; leaves nothing behind in `folder`.
///
/// sled gets a database file that leads to `/dev/null` and is asked to flush. The system call itself
/// answers: with the filter sled goes on to fsync, which such a file answers with EINVAL; without it
/// `sync_file_range` answers ESPIPE.
pub fn verify(folder: &Path) -> Result<(), NotDurable> {
    if cfg!(not(target_os = "linux")) {
        return Ok(());
    }
    let folder = tempfile::Builder::new()
        .prefix("probe-")
        .tempdir_in(folder)
        .map_err(|error| NotDurable::Unknown(error.to_string()))?;
    match probe::flush_to_nowhere(folder.path()) {
        Ok(probe::Answer::Synced) => Ok(()),
        Ok(probe::Answer::RangeOnly) => Err(NotDurable::Unfiltered),
        Err(why) => Err(NotDurable::Unknown(why)),
    }
}

#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
mod filter {
    use super::NotDurable;
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    use std::sync::OnceLock;

    #[cfg(target_arch = "x86_64")]
    const SYNC_FILE_RANGE: i64 = 277;
    #[cfg(not(target_arch = "x86_64"))]
    const SYNC_FILE_RANGE: i64 = 84;
    const ENOSYS: u32 = 38;

    pub fn install() -> Result<(), NotDurable> {
        static DONE: OnceLock<Result<(), NotDurable>> = OnceLock::new();
        DONE.get_or_init(|| {
            let program = program().map_err(|error| NotDurable::Refused(error.to_string()))?;
            seccompiler::apply_filter_all_threads(&program)
                .map_err(|error| NotDurable::Refused(error.to_string()))
        })
        .clone()
    }

    /// Everything is allowed but the one call; an empty rule list matches whatever its arguments are.
    fn program() -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(
            [(SYNC_FILE_RANGE, Vec::new())].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(ENOSYS),
            std::env::consts::ARCH.try_into()?,
        )?
        .try_into()
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
)))]
mod filter {
    use super::NotDurable;

    /// Elsewhere than on Linux sled needs no filter; on a Linux without one `verify` refuses.
    pub fn install() -> Result<(), NotDurable> {
        Ok(())
    }
}
