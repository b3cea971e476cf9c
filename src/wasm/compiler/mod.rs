//! Compiles components in a process of its own, so that a bomb takes that process and nothing else.
//!
//! The child bounds its own CPU time and address space; the parent bounds its wall clock and output,
//! runs one at a time and gives it no environment. Does not inspect what it is given.
//!
//! Invariant: what a compilation costs the node is bounded, whatever the component is.

pub mod child;
mod confinement;

use super::upload_error::UploadError;
use crate::limits::{ARTEFACT_BYTES_MAX, COMPILE_CPU_S, COMPILE_MEMORY_BYTES, COMPILE_WALL_MS};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// What one compilation may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileBudget {
    pub cpu_s: u64,
    pub memory_bytes: u64,
    pub wall_ms: u64,
}

impl Default for CompileBudget {
    fn default() -> Self {
        Self {
            cpu_s: COMPILE_CPU_S,
            memory_bytes: COMPILE_MEMORY_BYTES,
            wall_ms: COMPILE_WALL_MS,
        }
    }
}

impl CompileBudget {
    /// A budget for uploads of so many bytes: JavaScript's 12 MB and Python's 18 MB were measured to
    /// take 15 s of CPU.
    pub fn raised(plugin_bytes: usize) -> Self {
        let plain = Self::default();
        let factor = plugin_bytes.div_ceil(4 << 20).max(1) as u64;
        Self {
            cpu_s: plain.cpu_s * factor,
            memory_bytes: plain.memory_bytes * factor.min(4),
            wall_ms: plain.wall_ms * factor,
        }
    }
}

/// Starts one child after the other.
pub struct Compiler {
    executable: PathBuf,
    budget: CompileBudget,
    turn: Semaphore,
}

/// Of what a child says about a failure, this much is read.
const COMPLAINT_BYTES_MAX: u64 = 4 * 1024;

impl Compiler {
    /// `executable` is a `rejoin` binary, as a rule this one.
    pub fn new(executable: PathBuf, budget: CompileBudget) -> Self {
        Self {
            executable,
            budget,
            turn: Semaphore::new(1),
        }
    }

    /// Turns a component into native code for `engine::tunables` on this machine.
    pub async fn compile(&self, component: &[u8]) -> Result<Vec<u8>, UploadError> {
        // The semaphore is never closed; if it were, compiling without a turn would still be right.
        let _turn = self.turn.acquire().await.ok();
        let wall = Duration::from_millis(self.budget.wall_ms);
        let mut child = self.start()?;
        match tokio::time::timeout(wall, converse(&mut child, component)).await {
            Ok(Ok(said)) => self.judge(said),
            Ok(Err(error)) => Err(broken(format!("its compiler process was lost: {error}"))),
            Err(_) => {
                // Dropping the child would kill it too, but not wait until it is gone.
                let _ = child.kill().await;
                let budget = format!("{} ms of time", self.budget.wall_ms);
                Err(UploadError::CompileBudget { budget })
            }
        }
    }

    fn start(&self) -> Result<Child, UploadError> {
        let mut command = Command::new(&self.executable);
        command
            .arg(child::SUBCOMMAND)
            .arg(self.budget.cpu_s.to_string())
            .arg(self.budget.memory_bytes.to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let executable = self.executable.display();
        command
            .spawn()
            .map_err(|error| broken(format!("{executable} cannot be started: {error}")))
    }

    fn judge(&self, said: Said) -> Result<Vec<u8>, UploadError> {
        if said.status.success() {
            return match said.artefact.len() > ARTEFACT_BYTES_MAX {
                false => Ok(said.artefact),
                true => Err(UploadError::CompileBudget {
                    budget: format!("{ARTEFACT_BYTES_MAX} bytes of native code"),
                }),
            };
        }
        let message = said
            .complaint
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("")
            .to_owned();
        match (said.status.signal(), said.status.code()) {
            (Some(signal), _) => self.killed(signal, &said.complaint),
            (None, Some(code)) if code == i32::from(child::EXIT_REFUSED) => {
                Err(UploadError::CompileRefused { message })
            }
            (None, Some(code)) if code == i32::from(child::EXIT_BUDGET) => Err(self.memory()),
            (None, code) => Err(broken(format!(
                "{} ended with {code:?} and said: {message}",
                self.executable.display()
            ))),
        }
    }

    /// A child that a signal ended has met a limit: it has no other business with signals.
    fn killed(&self, signal: i32, complaint: &str) -> Result<Vec<u8>, UploadError> {
        const SIGABRT: i32 = 6;
        const SIGXCPU: i32 = 24;
        match signal {
            SIGXCPU => Err(UploadError::CompileBudget {
                budget: format!("{} s of CPU time", self.budget.cpu_s),
            }),
            SIGABRT if complaint.contains("overflowed its stack") => {
                let budget = "the compiler's stack".to_owned();
                Err(UploadError::CompileBudget { budget })
            }
            SIGABRT => Err(self.memory()),
            _ => Err(broken(format!(
                "its compiler process was ended by signal {signal}"
            ))),
        }
    }

    fn memory(&self) -> UploadError {
        UploadError::CompileBudget {
            budget: format!("{} MiB of memory", self.budget.memory_bytes >> 20),
        }
    }
}

/// Everything that a child left behind.
struct Said {
    status: ExitStatus,
    artefact: Vec<u8>,
    complaint: String,
}

async fn converse(child: &mut Child, component: &[u8]) -> std::io::Result<Said> {
    let stdin = child.stdin.take();
    let give = async {
        if let Some(mut stdin) = stdin {
            // A child that died early does not read; its status says why.
            let _ = stdin.write_all(component).await;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let artefact = read(stdout, ARTEFACT_BYTES_MAX as u64 + 1);
    let complaint = read(stderr, COMPLAINT_BYTES_MAX);
    let ((), artefact, complaint) = tokio::join!(give, artefact, complaint);
    Ok(Said {
        status: child.wait().await?,
        artefact: artefact?,
        complaint: String::from_utf8_lossy(&complaint?).into_owned(),
    })
}

/// Reads up to a limit and closes the pipe, so that a child that says more ends.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

fn broken(message: String) -> UploadError {
    UploadError::CompilerBroken { message }
}
