//! Follows every system call of a child process, all threads of it, and may make some of them fail.
//!
//! Knows the calling convention of one machine and nothing of disks. Safe wrappers of ptrace only.
//!
//! Invariant: a witness sees a call before the kernel does, and its result before the caller does.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs;
use std::io::{IoSliceMut, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const AT_FDCWD: i32 = -100;
const ENTRY: u8 = 1;
const EXIT: u8 = 2;

/// A system call of one thread.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub thread: Pid,
    pub number: u64,
    pub arguments: [u64; 6],
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Proceed,
    /// The kernel does not see it; the caller sees this error.
    #[allow(dead_code, reason = "only `disk_errors` makes calls fail")]
    FailWith(Errno),
}

/// Who is told of each call.
pub trait Witness {
    fn enters(&mut self, call: &Call) -> Result<Order>;
    fn leaves(&mut self, call: &Call, result: i64) -> Result<()>;
}

/// How a followed process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed,
}

/// Starts a program that waits for a line on its standard input before it does what matters, follows it
/// from then on, and says how it ended.
pub fn follow(command: &mut Command, witness: &mut impl Witness) -> Result<End> {
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    let leader = seize(&child)?;
    let mut input = child.stdin.take().context("its input is a pipe")?;
    input.write_all(b"go\n")?;
    drop(input);
    let end = attend(leader, witness);
    if end.is_err() {
        let _ = child.kill();
    }
    end
}

fn seize(child: &Child) -> Result<Pid> {
    let process = child.id();
    let options =
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        let name = entry?.file_name();
        let thread = Pid::from_raw(name.to_string_lossy().parse()?);
        match ptrace::seize(thread, options) {
            Ok(()) => ptrace::interrupt(thread)?,
            Err(Errno::EPERM) => {} // A thread that one of those before has just made.
            Err(error) => bail!("cannot follow thread {thread}: {error}"),
        }
    }
    Ok(Pid::from_raw(i32::try_from(process)?))
}

/// Serves the stops of all threads. `__WNOTHREAD`: other tests of this program have children too.
fn attend(leader: Pid, witness: &mut impl Witness) -> Result<End> {
    let mut calls = HashMap::new();
    let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
    loop {
        match waitpid(None, Some(flags))? {
            WaitStatus::PtraceSyscall(thread) => {
                match serve(thread, &mut calls, witness) {
                    Ok(()) => resume(thread, None)?,
                    Err(error) => match error.downcast_ref::<Errno>() {
                        Some(Errno::ESRCH) => {} // Killed meanwhile.
                        _ => return Err(error),
                    },
                }
            }
            WaitStatus::PtraceEvent(thread, ..) => resume(thread, None)?,
            WaitStatus::Stopped(thread, signal) => resume(thread, Some(signal))?,
            WaitStatus::Exited(process, code) if process == leader => return Ok(End::Exited(code)),
            WaitStatus::Signaled(process, ..) if process == leader => return Ok(End::Killed),
            _ => {}
        }
    }
}

fn resume(thread: Pid, signal: Option<nix::sys::signal::Signal>) -> Result<()> {
    match ptrace::syscall(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn serve(
    thread: Pid,
    calls: &mut HashMap<Pid, (Call, Order)>,
    witness: &mut impl Witness,
) -> Result<()> {
    let mut registers = ptrace::getregs(thread)?;
    match ptrace::syscall_info(thread)?.op {
        ENTRY => {
            let arguments = [
                registers.rdi,
                registers.rsi,
                registers.rdx,
                registers.r10,
                registers.r8,
                registers.r9,
            ];
            let call = Call {
                thread,
                number: registers.orig_rax,
                arguments,
            };
            let order = witness.enters(&call)?;
            if order != Order::Proceed {
                registers.orig_rax = u64::MAX; // No such call.
                ptrace::setregs(thread, registers)?;
            }
            calls.insert(thread, (call, order));
        }
        EXIT => {
            let Some((call, order)) = calls.remove(&thread) else {
                return Ok(()); // It was in the middle of a call when it was seized.
            };
            if let Order::FailWith(error) = order {
                registers.rax = (-(error as i64)) as u64;
                ptrace::setregs(thread, registers)?;
            }
            witness.leaves(&call, registers.rax as i64)?;
        }
        _ => {}
    }
    Ok(())
}

impl Call {
    /// Bytes of the caller's memory.
    pub fn bytes(&self, address: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length)?];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let remote = RemoteIoVec {
            base: usize::try_from(address)?,
            len: bytes.len(),
        };
        let read = process_vm_readv(self.thread, &mut [IoSliceMut::new(&mut bytes)], &[remote])?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// The path that an argument points to, made absolute by the one that names a folder.
    pub fn path(&self, address: usize, folder: Option<usize>) -> Result<PathBuf> {
        let mut text = Vec::new();
        while !text.contains(&0) {
            let from = self.arguments[address] + text.len() as u64;
            let page = 4096 - from % 4096; // A read must not go beyond what is mapped.
            text.extend(self.bytes(from, page.min(256))?);
        }
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
        let path = PathBuf::from(String::from_utf8(text[..end].to_vec())?);
        if path.is_absolute() {
            return Ok(path);
        }
        let base = match folder.map(|at| self.arguments[at] as i32) {
            None | Some(AT_FDCWD) => fs::read_link(format!("/proc/{}/cwd", self.thread))?,
            Some(descriptor) => self.file(descriptor)?,
        };
        Ok(base.join(path))
    }

    /// The file behind a descriptor; a path that says `(deleted)` if it has no name any more.
    pub fn file(&self, descriptor: i32) -> Result<PathBuf> {
        let link = format!("/proc/{}/fd/{descriptor}", self.thread);
        Ok(fs::read_link(link)?)
    }

    /// Position and flags of a descriptor.
    pub fn position(&self, descriptor: i32) -> Result<(u64, u32)> {
        let text = fs::read_to_string(format!("/proc/{}/fdinfo/{descriptor}", self.thread))?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).map(str::to_owned)
        };
        let position = field("pos:").context("a descriptor has a position")?;
        let flags = field("flags:").context("a descriptor has flags")?;
        Ok((position.parse()?, u32::from_str_radix(&flags, 8)?))
    }

    /// Length of the file behind a descriptor.
    pub fn length(&self, descriptor: i32) -> Result<u64> {
        let link = PathBuf::from(format!("/proc/{}/fd/{descriptor}", self.thread));
        Ok(fs::metadata(Path::new(&link))?.len())
    }
}
