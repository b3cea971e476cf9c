//! The command line: one binary for servers, operators and anyone with a key.
//!
//! Parses, calls, prints. Flags win over the environment, the environment over files.
//!
//! Invariant: exit status 0 means that what was asked has happened; errors go to standard error, with the fix.

pub mod arguments;
pub mod author_arguments;
mod authority_files;
pub mod backup;
pub mod backup_arguments;
pub mod bucket;
pub mod bucket_arguments;
pub mod certificate_arguments;
pub mod certificates;
pub mod cluster;
pub mod cluster_arguments;
pub mod conflicts;
pub mod connection;
pub mod demo;
pub mod dev;
pub mod dev_arguments;
pub mod explain;
mod inspection;
pub mod key_value;
pub mod keys;
pub mod links;
pub mod local;
mod members;
pub mod output;
pub mod plugin;
pub mod plugin_arguments;
pub mod proxy;
pub mod reaping;
pub mod repair;
mod revocation;
mod scrub;
pub mod serve;
pub mod serve_arguments;
mod starting_over;
pub mod token_arguments;
pub mod tokens;
pub mod watch;

use crate::storage::durability;
use crate::wasm::compiler::child;
use arguments::{Arguments, Command};
use clap::Parser as _;
use std::process::ExitCode;

/// What `main` does.
pub fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(child::SUBCOMMAND) {
        return child::main(words);
    }
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rejoin: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if let Command::Serve(serve) = &arguments.command {
        // Before there are threads: the filter is inherited, not imposed.
        if let Err(error) = durability::install() {
            tracing::warn!(%error, "durable writes will be refused");
        }
        serve.follow_parent()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(dispatch(arguments))
}

async fn dispatch(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { command, server } = arguments;
    match command {
        Command::Serve(serve) => serve::run(serve, server.json).await,
        Command::Dev(dev) => dev::run(dev, server.json).await,
        Command::Get(get) => key_value::get(get, &server).await,
        Command::Put(put) => key_value::put(put, &server).await,
        Command::Delete(delete) => key_value::delete(delete, &server).await,
        Command::Watch(watch) => watch::run(watch, &server).await,
        Command::Keys(keys) => keys::run(keys, &server).await,
        Command::Bucket(bucket) => bucket::run(bucket, &server).await,
        Command::Plugin(plugin) => plugin::run(plugin, &server).await,
        Command::Explain { bucket, key } => explain::run(bucket, key, &server).await,
        Command::Backup(backup) => backup::run(backup, &server).await,
        Command::Cluster(cluster) => cluster::run(cluster, &server).await,
        Command::Cert(asked) => certificates::run(asked, server.json),
        Command::Token(token) => tokens::run(token, server.json),
    }
}

/// Of a refusal, how the node's log names the request: whoever is refused can ask its operator about it.
fn named(status: &tonic::Status) -> String {
    let is_refusal = matches!(
        status.code(),
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied
    );
    let id = status.metadata().get("x-request-id");
    match id.and_then(|id| id.to_str().ok()) {
        Some(id) if is_refusal => format!(", request {id}"),
        _ => String::new(),
    }
}

/// The error and its causes in one line; of a gRPC status only what its author wrote.
fn explain(error: &anyhow::Error) -> String {
    let causes = error
        .chain()
        .map(|cause| match cause.downcast_ref::<tonic::Status>() {
            Some(status) => format!(
                "{} ({:?}{})",
                status.message(),
                status.code(),
                named(status)
            ),
            None => cause.to_string(),
        });
    let mut lines: Vec<String> = causes.collect();
    // Many errors end with their cause already.
    lines.dedup_by(|cause, error| error.ends_with(cause.as_str()));
    lines.join(": ")
}
