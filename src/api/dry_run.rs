//! The part of `rejoin.v1.Buckets` that says what a validator would refuse of what is stored, before it is bound.
//!
//! Reads like any client, and asks the plugin away from the guest threads and their breakers, one key after the other.
//!
//! Invariant: it stores nothing, and one node makes one dry run at a time.

use super::{keys, status};
use crate::dynamo::bucket::Binding;
use crate::dynamo::causality::version::Version;
use crate::dynamo::coordinator::request::GetRequest;
use crate::dynamo::names::Key;
use crate::dynamo::reconcile::answer::{Answer, Judgement, shown};
use crate::dynamo::reconcile::question::{Ask, Question};
use crate::limits::DRY_RUN_SHOWN_MAX;
use crate::node::server::Node;
use crate::wire::bucket::decode_validator;
use crate::wire::keys::decode_page;
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Status;

/// What is said of one key.
enum Word {
    Good,
    Bad(proto::DryRunFinding),
}

/// Judges one page of keys. It ends early when most of the time is over; the token says where it goes on.
pub async fn page(
    node: &Arc<Node>,
    asked: proto::DryRunRequest,
    timeout_ms: u64,
) -> Result<proto::DryRunResponse, Status> {
    let Ok(_turn) = node.guests.dry_run.try_lock() else {
        let error = "this node makes a dry run already; retry after a pause, or at another node";
        return Err(status::too_many("DRY_RUN", error));
    };
    let until = Instant::now() + Duration::from_millis(timeout_ms);
    let validator = decode_validator(&asked.validator.unwrap_or_default());
    let binding = validator.map_err(status::of_properties)?;
    let staged = node.plugins.stage(binding.digest).await;
    staged.map_err(|error| status::missing("NO_SUCH_PLUGIN", format!("{error:#}")))?;
    let partitions = node.snapshot().placement.partitions();
    let listed = proto::ListKeysRequest {
        bucket: asked.bucket,
        prefix: Bytes::new(),
        page_size: asked.page_size,
        page_token: asked.page_token,
    };
    let listed = decode_page(listed, partitions).map_err(status::of_page)?;
    let page = keys::page(node, &listed, timeout_ms / 4).await?;
    let mut response = proto::DryRunResponse {
        next_page_token: page.next_page_token,
        ..proto::DryRunResponse::default()
    };
    for key in page.keys {
        let key = Key::new(listed.bucket.clone(), key);
        let key = key.map_err(|error| status::invalid("BAD_NAME", error))?;
        let Some(left) = until.checked_duration_since(Instant::now()) else {
            let error =
                "the deadline passed before all keys of the page were judged; ask for fewer";
            return Err(Status::deadline_exceeded(error));
        };
        let word = judge(node, &binding, key, left).await?;
        response.keys_judged += 1;
        if let Word::Bad(finding) = word {
            match finding.code.is_empty() {
                true => response.keys_unjudged += 1,
                false => response.keys_refused += 1,
            }
            if response.findings.len() < DRY_RUN_SHOWN_MAX {
                response.findings.push(finding);
            }
        }
    }
    Ok(response)
}

async fn judge(
    node: &Arc<Node>,
    binding: &Binding,
    key: Key,
    left: Duration,
) -> Result<Word, Status> {
    let request = GetRequest {
        key: key.clone(),
        r: None,
        pr: None,
    };
    let found = node.get(request, left.as_millis().max(1) as u64).await;
    let found = found.map_err(status::of_get)?;
    let versions = found.siblings.into_iter().map(|(_, version)| version);
    for version in versions.filter(|version| !version.is_tombstone()) {
        if let Some((code, message)) = refusal(node, binding, &key, version).await {
            let key = key.bytes().clone();
            return Ok(Word::Bad(proto::DryRunFinding { key, code, message }));
        }
    }
    Ok(Word::Good)
}

/// The code and message of what is wrong with a value; without a code the validator gave no usable word.
async fn refusal(
    node: &Arc<Node>,
    binding: &Binding,
    key: &Key,
    version: Version,
) -> Option<(String, String)> {
    let library = Arc::clone(node.plugins.library());
    let question = Question {
        key: key.clone(),
        binding: binding.clone(),
        ask: Ask::Validate(version),
    };
    let asked = tokio::task::spawn_blocking(move || library.answer(&question).answer).await;
    match asked {
        Ok(Answer::Judged { judgement, .. }) => match judgement {
            Judgement::Accepted => None,
            Judgement::Refused { code, message } => Some((named(&code), shown(&message))),
        },
        Ok(Answer::Failed(failure)) => Some((String::new(), failure.to_string())),
        Ok(Answer::Resolved { .. }) => Some((String::new(), "it resolved instead".to_owned())),
        Err(error) => Some((String::new(), error.to_string())),
    }
}

/// A refusal without a code is one all the same.
fn named(code: &str) -> String {
    match code {
        "" => "(no code)".to_owned(),
        code => shown(code),
    }
}
