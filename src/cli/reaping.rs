//! `rejoin cluster reap`.

use super::connection::Connection;
use super::output::print_json;
use crate::wire::proto::v1 as proto;
use serde_json::json;
use std::time::Duration;

/// How often a node is asked whether its walk has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Tells how the removal of tombstones fares; with `now`, begins a walk and waits for its end. What it has found goes later.
pub async fn run(now: bool, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let mut status = ask(now, connection).await?;
    while now && status.is_walking {
        tokio::time::sleep(POLL_INTERVAL).await;
        status = ask(false, connection).await?;
    }
    print(&status, json);
    Ok(())
}

async fn ask(now: bool, connection: &Connection) -> anyhow::Result<proto::ReapResponse> {
    let asked = connection.request(proto::ReapRequest { now });
    Ok(connection.cluster().reap(asked).await?.into_inner())
}

fn print(status: &proto::ReapResponse, json: bool) {
    if json {
        print_json(&json!({
            "walks_finished": status.walks_finished,
            "is_walking": status.is_walking,
            "pending": status.pending,
            "granted": status.granted,
            "refused": status.refused,
            "tombstones_reaped": status.tombstones_reaped,
            "actors_retired": status.actors_retired,
        }));
        return;
    }
    let state = match status.is_walking {
        true => "looking for tombstones",
        false => "idle",
    };
    println!("{state}  {} walks finished", status.walks_finished);
    println!(
        "{} keys pending, {} granted by every node, {} refused",
        status.pending, status.granted, status.refused
    );
    println!(
        "{} tombstones removed here, {} actors retired",
        status.tombstones_reaped, status.actors_retired
    );
}
