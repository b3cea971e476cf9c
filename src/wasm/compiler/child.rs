//! The hidden subcommand `rejoin compile-guest`: a component on stdin, native code on stdout.
//!
//! Runs with no environment and no folder, takes its limits from the command line and imposes them on
//! itself before it reads a byte. Never runs the guest.
//!
//! Invariant: ends by itself, since CPU time and memory are bounded and stdin ends with the parent.

use super::super::engine::tunables;
use super::confinement::confine;
use crate::limits::PLUGIN_BYTES_MAX;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{Read, Write};
use std::process::ExitCode;

/// The first argument that leads here.
pub const SUBCOMMAND: &str = "compile-guest";
/// The component is at fault.
pub(super) const EXIT_REFUSED: u8 = 3;
/// The component wants more memory than is granted.
pub(super) const EXIT_BUDGET: u8 = 4;
/// Whoever started this process is at fault.
const EXIT_USAGE: u8 = 5;

/// Runs the subcommand with the arguments that follow its name: CPU seconds, bytes of address space.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    match limits(arguments).and_then(bound) {
        Ok(()) => {}
        Err(message) => return complain(EXIT_USAGE, &message),
    }
    match read().and_then(|component| compile(&component)) {
        Ok(artefact) => write(&artefact),
        Err(message) if message.contains("Cannot allocate memory") => {
            complain(EXIT_BUDGET, &message)
        }
        Err(message) => complain(EXIT_REFUSED, &message),
    }
}

struct Limits {
    cpu_s: u64,
    memory_bytes: u64,
}

fn limits(mut arguments: impl Iterator<Item = String>) -> Result<Limits, String> {
    let mut number = |what: &str| {
        let text = arguments.next().unwrap_or_default();
        text.parse::<u64>()
            .map_err(|error| format!("{what} {text:?}: {error}"))
    };
    Ok(Limits {
        cpu_s: number("CPU seconds")?,
        memory_bytes: number("bytes of memory")?,
    })
}

/// From the soft limit of CPU time on, SIGXCPU tells the parent which limit was met.
fn bound(limits: Limits) -> Result<(), String> {
    let set = |resource, soft, hard| {
        let limit = Rlimit {
            current: Some(soft),
            maximum: Some(hard),
        };
        setrlimit(resource, limit).map_err(|error| format!("no limit on {resource:?}: {error}"))
    };
    set(Resource::Core, 0, 0)?;
    set(Resource::Cpu, limits.cpu_s, limits.cpu_s + 1)?;
    set(Resource::As, limits.memory_bytes, limits.memory_bytes)?;
    // Where the kernel has no such filter, the limits above still hold, and plugins are still served.
    let _ = confine();
    Ok(())
}

fn read() -> Result<Vec<u8>, String> {
    // Wrapping a core module adds a little to the largest upload.
    let limit = 2 * PLUGIN_BYTES_MAX as u64;
    let mut component = Vec::new();
    let stdin = std::io::stdin().lock();
    match stdin.take(limit).read_to_end(&mut component) {
        Ok(_) => Ok(component),
        Err(error) => Err(format!("stdin: {error}")),
    }
}

fn compile(component: &[u8]) -> Result<Vec<u8>, String> {
    let engine = wasmtime::Engine::new(&tunables()).map_err(|error| format!("{error:#}"))?;
    let artefact = engine.precompile_component(component);
    artefact.map_err(|error| format!("{error:#}"))
}

fn write(artefact: &[u8]) -> ExitCode {
    match std::io::stdout().lock().write_all(artefact) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(EXIT_USAGE, &format!("stdout: {error}")),
    }
}

fn complain(code: u8, message: &str) -> ExitCode {
    eprintln!("{}", message.replace('\n', "; "));
    ExitCode::from(code)
}
