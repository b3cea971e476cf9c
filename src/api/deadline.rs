//! The deadline of a request, from the header that gRPC clients send.
//!
//! Invariant: a request has between 1 ms and `DEADLINE_MAX_MS`, whatever its client asked for; the stream of a
//! batch may have longer, each of its requests may not.

use super::status::invalid;
use crate::limits::{DEADLINE_DEFAULT_MS, DEADLINE_MAX_MS};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

/// Kept of a client's deadline for the way back.
pub const RETURN_MS: u64 = 20;

/// Refuses a deadline that has passed before the request is read.
#[allow(clippy::result_large_err)] // The signature is tonic's.
pub fn intercept(request: Request<()>) -> Result<Request<()>, Status> {
    timeout_ms(request.metadata())?;
    Ok(request)
}

/// Milliseconds that the node may take.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn timeout_ms(metadata: &MetadataMap) -> Result<u64, Status> {
    let Some(asked_ms) = asked_ms(metadata)? else {
        return Ok(DEADLINE_DEFAULT_MS);
    };
    let asked_ms = asked_ms.min(DEADLINE_MAX_MS);
    Ok(asked_ms.saturating_sub(RETURN_MS.min(asked_ms / 2)).max(1))
}

/// What the client asks for, which for a stream may be any time.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn asked_ms(metadata: &MetadataMap) -> Result<Option<u64>, Status> {
    let Some(header) = metadata.get("grpc-timeout") else {
        return Ok(None);
    };
    let text = header.to_str().unwrap_or_default();
    let Some(asked_us) = parse_us(text) else {
        let error = format!("the deadline {text:?} is not one; gRPC writes it as `5S` or `250m`");
        return Err(invalid("BAD_DEADLINE", error));
    };
    if asked_us == 0 {
        let error = format!("the deadline is 0; give 1 ms to {DEADLINE_MAX_MS} ms, or none");
        return Err(invalid("BAD_DEADLINE", error));
    }
    Ok(Some(asked_us.div_ceil(1000)))
}

/// At most eight digits and a unit, as the gRPC specification says.
fn parse_us(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    let us = match unit {
        "n" => number.div_ceil(1000),
        "u" => number,
        "m" => number * 1000,
        "S" => number * 1_000_000,
        "M" => number * 60_000_000,
        "H" => number * 3_600_000_000,
        _ => return None,
    };
    Some(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(header: &'static str) -> Result<u64, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", header.parse().expect("ascii"));
        timeout_ms(&metadata)
    }

    #[test]
    fn the_units_are_those_of_grpc() {
        assert_eq!(asked("1S").ok(), Some(1_000 - RETURN_MS));
        assert_eq!(asked("200m").ok(), Some(200 - RETURN_MS));
        assert_eq!(asked("1H").ok(), Some(DEADLINE_MAX_MS - RETURN_MS));
        assert_eq!(asked("2000u").ok(), Some(1));
    }

    #[test]
    fn nonsense_is_refused() {
        for header in ["0m", "", "m", "5", "-1S", "123456789S", "5x"] {
            assert!(asked(header).is_err(), "{header}");
        }
    }
}
