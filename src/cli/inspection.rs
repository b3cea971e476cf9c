//! `rejoin cluster hints` and `rejoin cluster transfers`.

use super::connection::Connection;
use super::output::print_json;
use crate::wire::proto::v1 as proto;
use serde_json::json;

pub async fn hints(connection: &Connection, json: bool) -> anyhow::Result<()> {
    let asked = connection.request(proto::HintsRequest {});
    let homes = connection.cluster().hints(asked).await?.into_inner().homes;
    if json {
        let homes = homes.iter().map(|of| {
            json!({"home": of.home, "count": of.count, "bytes": of.bytes, "waiting_ms": of.waiting_ms})
        });
        print_json(&json!({"homes": homes.collect::<Vec<_>>()}));
        return Ok(());
    }
    if homes.is_empty() {
        println!("nothing is kept for anybody");
    }
    for of in homes {
        let seconds = of.waiting_ms / 1000;
        println!(
            "for {}: {} keys, {} bytes, waiting for {seconds} s",
            of.home, of.count, of.bytes
        );
    }
    Ok(())
}

pub async fn transfers(connection: &Connection, json: bool) -> anyhow::Result<()> {
    let asked = connection.request(proto::TransfersRequest {});
    let reply = connection.cluster().transfers(asked).await?.into_inner();
    if json {
        let transfers = reply.transfers.iter().map(|transfer| {
            json!({
                "partition": transfer.partition,
                "stage": stage(transfer),
                "keys_moved": transfer.keys_moved,
                "comparisons_done": transfer.comparisons_done,
                "comparisons_left": transfer.comparisons_left,
                "failures": transfer.failures,
                "last_failure": transfer.last_failure,
            })
        });
        print_json(&json!({"transfers": transfers.collect::<Vec<_>>()}));
        return Ok(());
    }
    if reply.transfers.is_empty() {
        println!("nothing is moved");
    }
    for transfer in &reply.transfers {
        println!(
            "partition {}  {}  {} keys moved  {} comparisons left",
            transfer.partition,
            stage(transfer),
            transfer.keys_moved,
            transfer.comparisons_left
        );
        if transfer.failures > 0 {
            println!(
                "  failed {} times, lastly: {}",
                transfer.failures, transfer.last_failure
            );
        }
    }
    Ok(())
}

fn stage(transfer: &proto::Transfer) -> &'static str {
    match transfer.stage() {
        proto::TransferStage::Unspecified => "unknown",
        proto::TransferStage::Copying => "copying",
        proto::TransferStage::Copied => "copied",
        proto::TransferStage::Releasing => "releasing",
        proto::TransferStage::Released => "released",
    }
}
