//! `rejoin plugin unmerge`.

use crate::cli::connection::Connection;
use crate::cli::output::print_json;
use crate::cli::plugin_arguments::Unmerge;
use crate::wire::proto::v1 as proto;
use anyhow::Context as _;
use serde_json::json;
use std::time::Duration;

/// It works through a whole bucket.
const UNMERGE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// A number with fewer digits than a digest's prefix has is an epoch.
const EPOCH_DIGITS_MAX: usize = crate::limits::versions::DIGEST_PREFIX_MIN - 1;

pub async fn run(unmerge: Unmerge, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let (from_epoch, plugin) = match unmerge.from {
        None => (None, String::new()),
        Some(from) => match from.parse() {
            Ok(epoch) if from.len() <= EPOCH_DIGITS_MAX => (Some(epoch), String::new()),
            _ => (None, from),
        },
    };
    let token = hex::decode(unmerge.token.unwrap_or_default()).context("the token")?;
    let mut asked = connection.request(proto::UnmergeRequest {
        bucket: unmerge.bucket.clone(),
        from_epoch,
        plugin,
        dry_run: unmerge.dry_run,
        token: token.into(),
    });
    asked.set_timeout(UNMERGE_TIMEOUT);
    let mut steps = connection.plugins().unmerge(asked).await?.into_inner();
    let mut sum = proto::UnmergeProgress::default();
    loop {
        match steps.message().await {
            Ok(Some(step)) => add(&mut sum, step),
            Ok(None) => break,
            Err(error) => {
                print(&sum, unmerge.dry_run, json);
                let token = hex::encode(&sum.token);
                return Err(error).with_context(|| {
                    format!("it broke off; go on with `--token {token}`, or begin again")
                });
            }
        }
    }
    print(&sum, unmerge.dry_run, json);
    anyhow::ensure!(
        sum.failed == 0,
        "{} keys were left as they were",
        sum.failed
    );
    Ok(())
}

fn add(sum: &mut proto::UnmergeProgress, step: proto::UnmergeProgress) {
    sum.rewritten += step.rewritten;
    sum.rewritten_in_part += step.rewritten_in_part;
    sum.unchanged += step.unchanged;
    sum.not_retained += step.not_retained;
    sum.failed += step.failed;
    for reason in step.reasons {
        eprintln!("{reason}");
    }
    sum.token = step.token;
    sum.partitions_done = step.partitions_done;
    sum.partitions_total = step.partitions_total;
}

fn print(sum: &proto::UnmergeProgress, is_dry_run: bool, json: bool) {
    if json {
        return print_json(&json!({
            "rewritten": sum.rewritten,
            "rewritten_in_part": sum.rewritten_in_part,
            "unchanged": sum.unchanged,
            "not_retained": sum.not_retained,
            "failed": sum.failed,
            "dry_run": is_dry_run,
            "partitions_done": sum.partitions_done,
            "partitions_total": sum.partitions_total,
            "token_hex": hex::encode(&sum.token),
        }));
    }
    let done = if is_dry_run {
        "to rewrite"
    } else {
        "rewritten"
    };
    println!(
        "{} {done} ({} only in part), {} unchanged, {} whose inputs are no longer retained, {} failed",
        sum.rewritten, sum.rewritten_in_part, sum.unchanged, sum.not_retained, sum.failed
    );
}
