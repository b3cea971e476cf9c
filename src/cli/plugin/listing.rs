//! The cluster's plugins: found by name or digest, and told in lines and in JSON.
//!
//! Invariant: a name that fits several plugins is an error, never a guess.

use crate::cli::connection::Connection;
use crate::cli::output::{print_json, short};
use crate::wire::proto::v1 as proto;
use serde_json::{Value, json};

/// Prints them all.
pub async fn list(connection: &Connection, json: bool) -> anyhow::Result<()> {
    let plugins = listed(connection).await?;
    for status in &plugins {
        let plugin = status.plugin.clone().unwrap_or_default();
        if json {
            let mut object = as_json(&plugin);
            object["is_ready"] = json!(status.is_ready);
            object["buckets"] = json!(status.buckets);
            print_json(&object);
        } else {
            let ready = if status.is_ready {
                "ready"
            } else {
                "not ready here"
            };
            println!(
                "{}  {ready}  buckets: {}",
                as_line(&plugin),
                status.buckets.join(", ")
            );
        }
    }
    if plugins.is_empty() && !json {
        println!("no plugins; upload one with `rejoin plugin push FILE`");
    }
    Ok(())
}

/// All of them.
pub async fn listed(connection: &Connection) -> anyhow::Result<Vec<proto::PluginStatus>> {
    let asked = connection.request(proto::ListPluginsRequest {});
    Ok(connection.plugins().list(asked).await?.into_inner().plugins)
}

/// The digest of the one plugin of this name, or whose digest starts so.
pub async fn find(wanted: &str, connection: &Connection) -> anyhow::Result<String> {
    let plugins = listed(connection)
        .await?
        .into_iter()
        .filter_map(|status| status.plugin);
    let fits = |plugin: &proto::Plugin| {
        let version = format!("{}@{}", plugin.name, plugin.version);
        plugin.name == wanted
            || version == wanted
            || (wanted.len() >= 6 && plugin.digest.starts_with(wanted))
    };
    let found: Vec<proto::Plugin> = plugins.filter(fits).collect();
    match found.as_slice() {
        [plugin] => Ok(plugin.digest.clone()),
        [] => anyhow::bail!(
            "there is no plugin {wanted:?}; see `rejoin plugin list`, or upload it with `rejoin plugin push FILE`"
        ),
        several => {
            let digests: Vec<&str> = several.iter().map(|p| short(&p.digest)).collect();
            anyhow::bail!(
                "{wanted:?} fits several plugins; name one by its digest: {}",
                digests.join(", ")
            )
        }
    }
}

fn roles(plugin: &proto::Plugin) -> Vec<&'static str> {
    let roles = [
        (plugin.is_resolver, "resolver"),
        (plugin.is_validator, "validator"),
    ];
    roles
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, name)| name)
        .collect()
}

/// A plugin as one record.
pub fn as_json(plugin: &proto::Plugin) -> Value {
    json!({
        "digest": plugin.digest,
        "name": plugin.name,
        "version": plugin.version,
        "size_bytes": plugin.size_bytes,
        "roles": roles(plugin),
        "laws_claimed": plugin.laws,
        "grade": plugin.law_check.as_ref().map(|check| check.grade),
        "finding": plugin.law_check.as_ref().map(|check| &check.finding),
    })
}

/// A plugin in one line.
pub fn as_line(plugin: &proto::Plugin) -> String {
    let grade = match &plugin.law_check {
        Some(check) => format!("  grade {}", check.grade),
        None => String::new(),
    };
    format!(
        "{}  {} {}  {}  {} bytes{grade}",
        short(&plugin.digest),
        plugin.name,
        plugin.version,
        roles(plugin).join("+"),
        plugin.size_bytes
    )
}
