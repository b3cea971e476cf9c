//! `rejoin cluster repair`.

use super::connection::Connection;
use super::output::print_json;
use crate::wire::proto::v1 as proto;
use serde_json::json;
use std::time::Duration;

/// How often a node is asked whether its round has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Tells how the comparisons fare; with `now`, begins one and waits for its end.
pub async fn run(now: bool, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let before = ask(false, connection).await?;
    let mut status = if now {
        ask(true, connection).await?
    } else {
        before
    };
    while now && status.is_in_progress {
        tokio::time::sleep(POLL_INTERVAL).await;
        status = ask(false, connection).await?;
    }
    print(&status, json);
    let failed = status
        .exchanges_failed
        .saturating_sub(before.exchanges_failed);
    if now && failed > 0 {
        anyhow::bail!(
            "{failed} comparisons failed, with nodes that are down or busy; repair again when they are back"
        );
    }
    Ok(())
}

async fn ask(now: bool, connection: &Connection) -> anyhow::Result<proto::AntiEntropyResponse> {
    let asked = connection.request(proto::AntiEntropyRequest { now });
    Ok(connection.cluster().anti_entropy(asked).await?.into_inner())
}

fn print(status: &proto::AntiEntropyResponse, json: bool) {
    if json {
        print_json(&json!({
            "rounds_finished": status.rounds_finished,
            "finished_at_ms": status.finished_at_ms,
            "keys_repaired": status.keys_repaired,
            "exchanges": status.exchanges,
            "exchanges_failed": status.exchanges_failed,
            "is_in_progress": status.is_in_progress,
        }));
        return;
    }
    let state = match status.is_in_progress {
        true => "in progress",
        false => "idle",
    };
    println!("{state}  {} rounds finished", status.rounds_finished);
    println!("{} keys repaired", status.keys_repaired);
    println!(
        "{} comparisons, {} of them failed",
        status.exchanges, status.exchanges_failed
    );
}
