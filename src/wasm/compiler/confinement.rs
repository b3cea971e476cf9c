//! Takes from the compiling process what it has no use for: files, sockets and other programs.
//!
//! A second fence: the compiler is not expected to be talked into using them, but it reads what a
//! stranger wrote. Bounds on CPU time and memory are the first, and are in `child`.
//!
//! Invariant: pipes that are already open keep working; everything refused here answers EPERM.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::collections::BTreeMap;

/// open, openat, openat2, socket, connect, execve, execveat, fork, vfork, clone, clone3, ptrace,
/// rename, renameat2, unlink, unlinkat.
#[cfg(target_arch = "x86_64")]
const REFUSED: &[i64] = &[
    2, 257, 437, 41, 42, 59, 322, 57, 58, 56, 435, 101, 82, 316, 87, 263,
];
/// openat, openat2, socket, connect, execve, execveat, clone, clone3, ptrace, renameat2, unlinkat.
#[cfg(target_arch = "aarch64")]
const REFUSED: &[i64] = &[56, 437, 198, 203, 221, 281, 220, 435, 117, 276, 35];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const REFUSED: &[i64] = &[];

const EPERM: u32 = 1;

/// Confines this process for good. On a kernel that cannot, says why.
pub(super) fn confine() -> Result<(), String> {
    let rules: BTreeMap<_, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    if rules.is_empty() {
        return Err("no list of system calls for this processor".to_owned());
    }
    let target = std::env::consts::ARCH.try_into();
    let target = target.map_err(|error| format!("{error}"))?;
    let (allow, refuse) = (SeccompAction::Allow, SeccompAction::Errno(EPERM));
    let filter = SeccompFilter::new(rules, allow, refuse, target);
    let program = filter.and_then(BpfProgram::try_from);
    let program = program.map_err(|error| format!("{error}"))?;
    seccompiler::apply_filter(&program).map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::ErrorKind;
    use std::net::TcpStream;

    /// The filter holds for the calling thread, so the test's own thread keeps its rights.
    #[test]
    fn a_confined_thread_opens_neither_files_nor_sockets() {
        let confined = std::thread::spawn(|| {
            let confined = confine().is_ok();
            let file = File::open("/").map_err(|error| error.kind());
            let socket = TcpStream::connect("127.0.0.1:9").map_err(|error| error.kind());
            (confined, file.err(), socket.err())
        });
        let (confined, file, socket) = confined.join().unwrap();
        assert_eq!(confined, file == Some(ErrorKind::PermissionDenied));
        assert_eq!(confined, socket == Some(ErrorKind::PermissionDenied));
    }
}
