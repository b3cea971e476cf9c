//! `rejoin bucket conflicts` and `rejoin bucket validate`.
//!
//! Invariant: neither changes anything; what a page has shown is printed although the next one fails.

use super::bucket_arguments::{Conflicts, Validate};
use super::connection::Connection;
use super::output::{print_json, readable};
use super::plugin::find;
use crate::limits::{CONFLICTS_PAGE_MAX, DRY_RUN_SHOWN_MAX};
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use bytes::Bytes;
use serde_json::json;

/// Keys that are judged in one request, within its deadline.
const DRY_RUN_PAGE: u64 = 100;

pub async fn conflicts(
    conflicts: Conflicts,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let mut left = conflicts.limit.unwrap_or(u64::MAX);
    let mut page_token = Bytes::new();
    while left > 0 {
        let asked = connection.request(proto::ListConflictsRequest {
            bucket: conflicts.bucket.clone(),
            page_size: Some(left.min(CONFLICTS_PAGE_MAX as u64) as u32),
            page_token,
        });
        let page = connection
            .buckets()
            .list_conflicts(asked)
            .await?
            .into_inner();
        left = left.saturating_sub(page.keys.len() as u64);
        for key in &page.keys {
            match json {
                true => print_json(&json!({ "key": readable(key) })),
                false => println!("{}", readable(key)),
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

pub async fn validate(
    validate: Validate,
    connection: &Connection,
    json: bool,
) -> anyhow::Result<()> {
    let params = match &validate.params {
        Some(file) => std::fs::read(file).with_context(|| format!("reading {}", file.display()))?,
        None => Vec::new(),
    };
    let validator = proto::Binding {
        plugin: find(&validate.plugin, connection).await?,
        params: params.into(),
        fuel: validate.fuel.unwrap_or(0),
    };
    let mut sum = proto::DryRunResponse::default();
    let mut left = validate.sample;
    while left > 0 {
        let asked = connection.request(proto::DryRunRequest {
            bucket: validate.bucket.clone(),
            validator: Some(validator.clone()),
            page_size: Some(left.min(DRY_RUN_PAGE) as u32),
            page_token: sum.next_page_token.clone(),
        });
        let page = connection.buckets().dry_run(asked).await?.into_inner();
        left = left.saturating_sub(page.keys_judged);
        sum.keys_judged += page.keys_judged;
        sum.keys_refused += page.keys_refused;
        sum.keys_unjudged += page.keys_unjudged;
        sum.findings.extend(page.findings);
        sum.findings.truncate(DRY_RUN_SHOWN_MAX);
        sum.next_page_token = page.next_page_token;
        if sum.next_page_token.is_empty() {
            break;
        }
    }
    print(&sum, json);
    Ok(())
}

fn print(sum: &proto::DryRunResponse, json: bool) {
    let (refused, judged) = (sum.keys_refused, sum.keys_judged);
    if json {
        let findings = sum.findings.iter().map(|finding| {
            json!({"key": readable(&finding.key), "code": finding.code, "message": finding.message})
        });
        return print_json(&json!({
            "keys_judged": judged,
            "keys_refused": refused,
            "keys_unjudged": sum.keys_unjudged,
            "findings": findings.collect::<Vec<_>>(),
        }));
    }
    println!("{refused} of {judged} existing keys would fail");
    if sum.keys_unjudged > 0 {
        let unjudged = sum.keys_unjudged;
        println!("{unjudged} more could not be judged");
    }
    for finding in &sum.findings {
        let key = readable(&finding.key);
        println!("{key}  {} {}", finding.code, finding.message);
    }
}
