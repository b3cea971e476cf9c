//! `rejoin plugin`: what authors do on their own machine, and what they ask of a cluster.
//!
//! Each has a file; here they are told apart.
//!
//! Invariant: `new` and `build` need no server.

mod build;
mod manifest;
mod new;
mod recipe;
mod template;
mod tool;

mod running;
mod upload;

mod activation;
mod shadow;
mod unmerge;

mod fixtures;
mod inspect;
pub mod listing;
mod offline;
mod replay;
mod test;

use super::arguments::{Plugin, Server};
use super::connection::Connection;
use super::output::print_json;
use super::plugin_arguments::Versions;
use crate::wire::proto::v1 as proto;
pub use listing::find;
use listing::{as_json, as_line};
use serde_json::json;
pub use upload::push;

pub async fn run(command: Plugin, server: &Server) -> anyhow::Result<()> {
    match command {
        Plugin::New(new) => new::run(&new, server.json),
        Plugin::Build(build) => build::run(&build, server.json).await,
        Plugin::Push { file } => {
            let connection = Connection::open(server).await?;
            let reply = upload::push_and_tell(offline::read(&file)?, &connection).await?;
            print_pushed(&reply, server.json);
            Ok(())
        }
        Plugin::List => listing::list(&Connection::open(server).await?, server.json).await,
        Plugin::Test(test) => test::run(*test, server.json).await,
        Plugin::Replay {
            evidence,
            plugin,
            validator,
        } => replay::run(&evidence, plugin, validator, server.json).await,
        Plugin::Inspect { plugin } => inspect::run(&plugin, server).await,
        Plugin::Stats { bucket } => {
            let connection = Connection::open(server).await?;
            running::stats(bucket, &connection, server.json).await
        }
        Plugin::Logs { plugin, lines } => {
            let connection = Connection::open(server).await?;
            let plugin = find(&plugin, &connection).await?;
            running::logs(plugin, lines, &connection, server.json).await
        }
        Plugin::Versions(command) => {
            let connection = Connection::open(server).await?;
            versions(command, &connection, server.json).await
        }
    }
}

async fn versions(command: Versions, connection: &Connection, json: bool) -> anyhow::Result<()> {
    match command {
        Versions::Activate(activate) => activation::activate(*activate, connection, json).await,
        Versions::Rollback { bucket, to } => {
            activation::rollback(bucket, to, connection, json).await
        }
        Versions::History { bucket } => activation::history(bucket, connection, json).await,
        Versions::Pause { bucket } => activation::pause(bucket, true, connection, json).await,
        Versions::Resume { bucket } => activation::pause(bucket, false, connection, json).await,
        Versions::Unmerge(unmerge) => unmerge::run(unmerge, connection, json).await,
        Versions::Shadow(shadow) => shadow::shadow(*shadow, connection, json).await,
        Versions::ShadowReport { bucket, replay } => {
            shadow::report(bucket, replay, connection, json).await
        }
    }
}

fn print_pushed(reply: &proto::PushResponse, json: bool) {
    let plugin = reply.plugin.clone().unwrap_or_default();
    if json {
        let mut object = as_json(&plugin);
        object["nodes_ready"] = json!(reply.nodes_ready);
        object["nodes_total"] = json!(reply.nodes_total);
        let evidence = reply.evidence.iter();
        object["evidence"] = evidence.map(|file| json!(file.json)).collect();
        return print_json(&object);
    }
    println!("{}", as_line(&plugin));
    println!(
        "ready on {} of {} nodes",
        reply.nodes_ready, reply.nodes_total
    );
    if let Some(check) = &plugin.law_check
        && !check.finding.is_empty()
    {
        println!("law check: {}", check.finding);
    }
    let role = if plugin.is_resolver {
        "resolver"
    } else {
        "validator"
    };
    eprintln!("next: rejoin bucket create NAME --{role} {}", plugin.name);
}
