//! Conditional puts: a quorum get, a comparison, and the put only if it came out well.
//!
//! Not in the paper, and not a compare-and-swap: nothing is locked between the get and the put, so two puts at
//! the same time can both pass. They then stand as siblings, as any two puts that did not know of each other.
//!
//! Invariant: a condition that was not checked, for whatever reason, stores nothing.

use super::status;
use crate::dynamo::causality::context::Context;
use crate::dynamo::causality::dot::Dot;
use crate::dynamo::causality::version::Version;
use crate::dynamo::coordinator::request::{GetReply, GetRequest, PutRequest};
use crate::node::server::Node;
use crate::wire::key_value::Condition;
use std::time::Instant;
use tonic::Status;

/// Dots that an error names; a key can have many more siblings.
const DOTS_SHOWN_MAX: usize = 8;

/// Checks the condition of a put. Returns the context to put with, and the milliseconds that are left.
pub async fn check(
    node: &Node,
    request: &PutRequest,
    condition: Condition,
    timeout_ms: u64,
) -> Result<(Context, u64), Status> {
    let begun = Instant::now();
    let get = GetRequest {
        key: request.key.clone(),
        r: None,
        pr: None,
    };
    let found = node.get(get, timeout_ms).await;
    let found = found.map_err(status::of_condition)?;
    let context = judge(
        condition,
        &request.context,
        *found,
        node.clock.now().wall_ms,
    )?;
    let taken_ms = begun.elapsed().as_millis() as u64;
    Ok((context, timeout_ms.saturating_sub(taken_ms).max(1)))
}

#[allow(clippy::result_large_err)] // Its caller returns it as it is.
fn judge(
    condition: Condition,
    seen: &Context,
    found: GetReply,
    wall_ms: u64,
) -> Result<Context, Status> {
    let is_live = |version: &Version| version.is_live(wall_ms);
    let live = found
        .siblings
        .iter()
        .filter(|(_, version)| is_live(version));
    let live = live.count();
    let in_the_way = |(dot, version): &&(Dot, Version)| match condition {
        Condition::IfAbsent => is_live(version),
        Condition::IfContext => seen.count_of(dot.actor) < dot.counter,
    };
    let blocking: Vec<&(Dot, Version)> = found.siblings.iter().filter(in_the_way).collect();
    if !blocking.is_empty() {
        return Err(refusal(condition, live, &blocking));
    }
    let mut context = seen.clone();
    if condition == Condition::IfAbsent {
        // Nothing that a reader is shown: deletes, and what has expired.
        context.join(&found.context);
    }
    Ok(context)
}

fn refusal(condition: Condition, live: usize, blocking: &[&(Dot, Version)]) -> Status {
    let shown = blocking.iter().take(DOTS_SHOWN_MAX);
    let dots: Vec<String> = shown.map(|(dot, _)| dot.to_string()).collect();
    let deletes = blocking
        .iter()
        .filter(|(_, version)| version.is_tombstone());
    let stood = format!(
        "{} versions were in the way, {} of them deletes (dots {}); {live} live values stand under the key",
        blocking.len(),
        deletes.count(),
        dots.join(", "),
    );
    let error = match condition {
        Condition::IfAbsent => format!(
            "nothing was stored: the key was to be absent, but {stood}; get the key to see them"
        ),
        Condition::IfContext => format!(
            "nothing was stored: the context was to cover all that stands there, but {stood}; get the key and put with its context"
        ),
    };
    status::condition_failed(
        error,
        [("live", live.to_string()), ("dots", dots.join(","))],
    )
}
