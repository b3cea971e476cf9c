//! Names a request, traces it if its client asks, and logs how it ended.
//!
//! `x-request-id` is taken over from the client or drawn; `rejoin-trace: 1` asks for the steps, which come back as
//! `rejoin-trace` metadata, one entry each, with an answer and with an error alike.
//!
//! Invariant: what a client sends as metadata is bounded and printable before it is logged or sent back.

use crate::limits::operations::{REQUEST_ID_BYTES_MAX, TRACE_STEP_BYTES_MAX};
use crate::node::traces::Trace;
use http::HeaderMap;
use std::future::Future;
use std::time::Instant;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Response, Status};
use tracing::Instrument as _;

/// The header that names a request.
const REQUEST_ID: &str = "x-request-id";
const TRACE: &str = "rejoin-trace";

/// Serves a request under its name.
pub async fn traced<T>(
    operation: &'static str,
    metadata: &MetadataMap,
    request: impl Future<Output = Result<T, Status>>,
) -> Result<Response<T>, Status> {
    let id = request_id(metadata);
    let wants_trace = metadata.get(TRACE).is_some_and(|value| value == "1");
    let trace = wants_trace.then(Trace::begin);
    let begun = Instant::now();
    let span = tracing::info_span!("request", id, operation);
    let served = async {
        let outcome = match &trace {
            Some(trace) => trace.clone().scope(request).await,
            None => request.await,
        };
        let ms = begun.elapsed().as_millis() as u64;
        let code = outcome.as_ref().err().map(Status::code);
        tracing::debug!(ms, ?code, "answered");
        outcome
    };
    let outcome = served.instrument(span).await;
    let steps = trace.map(|trace| trace.steps()).unwrap_or_default();
    match outcome {
        Ok(answer) => {
            let mut response = Response::new(answer);
            add(response.metadata_mut(), &id, &steps);
            Ok(response)
        }
        Err(mut status) => {
            add(status.metadata_mut(), &id, &steps);
            Err(status)
        }
    }
}

/// The client's name for its request, if it is one; else a new one.
pub fn request_id(metadata: &MetadataMap) -> String {
    let given = metadata.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    taken_or_drawn(given)
}

/// The same before the request is gRPC's: the header is the name from there on.
pub fn name_request(headers: &mut HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = taken_or_drawn(given);
    if let Ok(value) = id.parse() {
        headers.insert(REQUEST_ID, value);
    }
    id
}

fn taken_or_drawn(given: Option<&str>) -> String {
    let is_good = |id: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(allowed)
    };
    match given.filter(is_good) {
        Some(id) => id.to_owned(),
        None => format!("{:016x}", rand::random::<u64>()),
    }
}

/// Says to the client how its request is named.
pub fn say_name(metadata: &mut MetadataMap, id: &str) {
    if let Ok(id) = id.parse() {
        metadata.insert(REQUEST_ID, id);
    }
}

fn add(metadata: &mut MetadataMap, id: &str, steps: &[String]) {
    say_name(metadata, id);
    for step in steps {
        let printable = step
            .chars()
            .map(|c| if c.is_ascii_graphic() { c } else { ' ' });
        let step: String = printable.take(TRACE_STEP_BYTES_MAX).collect();
        if let Ok(step) = step.parse::<AsciiMetadataValue>() {
            metadata.append(TRACE, step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &'static str) -> String {
        let mut metadata = MetadataMap::new();
        metadata.insert(REQUEST_ID, AsciiMetadataValue::from_static(id));
        request_id(&metadata)
    }

    #[test]
    fn a_good_request_id_is_kept_and_any_other_is_replaced() {
        assert_eq!(named("cart-7.a:b/c_d"), "cart-7.a:b/c_d");
        for bad in ["", "two words", "a\"b", "{}"] {
            assert_eq!(named(bad).len(), 16, "{bad:?}");
        }
        let long = "a".repeat(REQUEST_ID_BYTES_MAX + 1);
        assert_eq!(named(long.leak()).len(), 16);
        assert_ne!(
            request_id(&MetadataMap::new()),
            request_id(&MetadataMap::new())
        );
    }
}
