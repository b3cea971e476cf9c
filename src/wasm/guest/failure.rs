//! Says of a call that went wrong who is at fault, in the core's words.
//!
//! Invariant: what depends on this machine (its clock, its memory, its pool) never becomes a failure that
//! counts as deterministic (law 7).

use super::host::Host;
use super::{Budget, Phase};
use crate::dynamo::names::Digest;
use crate::dynamo::reconcile::answer::{GuestFailure, shown};
use crate::limits::{GUEST_HANDLES_MAX, GUEST_INIT_FUEL};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

/// How Wasmtime says that a guest handed over more than `Store::set_hostcall_fuel`; a test holds it to it.
const TOO_MUCH_DATA: &str = "fuel allocated for hostcalls has been exhausted";
/// How Wasmtime says that a guest made more than `GUEST_HANDLES_MAX`; a test holds it to it.
const TOO_MANY_HANDLES: &str = "store handle limit exceeded";
/// Functions of the guest that are named in the message of a trap.
const FRAMES_SHOWN: usize = 4;

/// Translates the error of one call.
pub(super) fn failure(
    digest: Digest,
    error: &wasmtime::Error,
    host: &Host,
    phase: Phase,
    budget: &Budget,
) -> GuestFailure {
    if let Some(message) = &host.host_trouble {
        let message = message.clone();
        return GuestFailure::Host { digest, message };
    }
    match (error.downcast_ref::<Trap>(), phase) {
        (Some(Trap::OutOfFuel), Phase::Call) => {
            let fuel = budget.fuel;
            GuestFailure::OutOfFuel { digest, fuel }
        }
        (Some(Trap::OutOfFuel), Phase::Start) => GuestFailure::Trap {
            digest,
            message: format!("starting it used all of its {GUEST_INIT_FUEL} units of fuel"),
        },
        (Some(Trap::Interrupt), _) => {
            let limit_ms = budget.wall_ms;
            GuestFailure::OutOfTime { digest, limit_ms }
        }
        (Some(trap), _) => GuestFailure::Trap {
            digest,
            message: shown(&trapped(trap, error, host)),
        },
        (None, phase) => without_trap(digest, error, host, phase, budget),
    }
}

/// What the canonical ABI refused, or what could not be set up.
fn without_trap(
    digest: Digest,
    error: &wasmtime::Error,
    host: &Host,
    phase: Phase,
    budget: &Budget,
) -> GuestFailure {
    let message = error.root_cause().to_string();
    if error.is::<PoolConcurrencyLimitError>() {
        return GuestFailure::Host { digest, message };
    }
    if message.contains(TOO_MANY_HANDLES) {
        let message = format!("it made more than {GUEST_HANDLES_MAX} handles between its parts");
        return GuestFailure::Trap { digest, message };
    }
    let message = match (phase, host.refused) {
        (Phase::Start, Some(what)) => {
            return GuestFailure::Trap {
                digest,
                message: format!("it needs more {what} to start than it is allowed"),
            };
        }
        (Phase::Start, None) => return GuestFailure::Host { digest, message },
        (Phase::Call, _) if message.contains(TOO_MUCH_DATA) => {
            format!(
                "it is larger than {} bytes, the limit here",
                budget.output_bytes
            )
        }
        (Phase::Call, _) => shown(&message),
    };
    GuestFailure::BadAnswer { digest, message }
}

/// The trap, the guest's last words, and where it was: all that its author has to go by.
fn trapped(trap: &Trap, error: &wasmtime::Error, host: &Host) -> String {
    let mut message = trap.to_string();
    if let Some(words) = &host.last_error {
        message += &format!("; it said: {words}");
    }
    if let Some(what) = host.refused {
        message += &format!("; it had been refused more {what}");
    }
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map(WasmBacktrace::frames);
    let names = frames
        .unwrap_or_default()
        .iter()
        .filter_map(|frame| frame.func_name());
    let names: Vec<&str> = names.take(FRAMES_SHOWN).collect();
    if !names.is_empty() {
        message += &format!("; in {}", names.join(" < "));
    }
    message
}
