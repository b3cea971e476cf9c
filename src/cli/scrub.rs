//! `rejoin cluster scrub`.

use super::connection::Connection;
use super::output::print_json;
use crate::wire::proto::v1 as proto;
use serde_json::json;
use std::time::Duration;

/// How often a node is asked how far its walk is.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How many of those questions lie between two lines of progress.
const POLLS_PER_LINE: u32 = 25;

/// Tells how the scrubs fare; with `now`, begins one, shows how far it is, and waits for its end.
pub async fn run(now: bool, connection: &Connection, json: bool) -> anyhow::Result<()> {
    let mut status = ask(now, connection).await?;
    let mut polls = 0;
    while now && status.is_walking {
        tokio::time::sleep(POLL_INTERVAL).await;
        status = ask(false, connection).await?;
        polls += 1;
        if polls % POLLS_PER_LINE == 0 && !json {
            eprintln!(
                "{} items read, {} of them corrupt",
                status.items, status.corrupt
            );
        }
    }
    print(&status, json);
    if now && !status.failed.is_empty() {
        anyhow::bail!("the scrub ended early: {}", status.failed);
    }
    Ok(())
}

async fn ask(now: bool, connection: &Connection) -> anyhow::Result<proto::ScrubResponse> {
    let asked = connection.request(proto::ScrubRequest { now });
    Ok(connection.cluster().scrub(asked).await?.into_inner())
}

fn print(status: &proto::ScrubResponse, json: bool) {
    if json {
        print_json(&json!({
            "walks_finished": status.walks_finished,
            "is_walking": status.is_walking,
            "items": status.items,
            "corrupt": status.corrupt,
            "failed": status.failed,
        }));
        return;
    }
    let state = match status.is_walking {
        true => "reading all items",
        false => "idle",
    };
    println!("{state}  {} scrubs finished", status.walks_finished);
    println!(
        "{} items read, {} of them corrupt",
        status.items, status.corrupt
    );
    if status.corrupt > 0 {
        println!("corrupt records count as missing; the other replicas were asked for them");
    }
}
