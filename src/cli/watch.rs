//! `rejoin watch`.

use super::arguments::{Server, Watch};
use super::output::readable;
use crate::client::cluster::{Client, Options};
use crate::client::watch::Event;
use serde_json::json;
use std::io::Write as _;

/// Prints what changes until it is ended, or nobody reads it any more.
pub async fn run(asked: Watch, server: &Server) -> anyhow::Result<()> {
    let options = Options {
        tls: server.trust.load()?,
        token: server.credential.load()?,
        ..Options::default()
    };
    let client = Client::with_options([&server.server], options).await?;
    let mut watch = client.watch(&asked.bucket).await?;
    eprintln!("watching {}", asked.bucket);
    let mut output = std::io::stdout();
    for _ in 0..asked.limit.unwrap_or(u64::MAX) {
        let event = watch.next().await?;
        let line = match server.json {
            true => json_of(&event).to_string(),
            false => line_of(&event),
        };
        // Each line at once: whoever reads them waits for them.
        if writeln!(output, "{line}")
            .and_then(|()| output.flush())
            .is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

fn line_of(event: &Event) -> String {
    match event {
        Event::Resync { told_by } => {
            format!("(changes at {told_by} were missed: list the keys)")
        }
        Event::Changed {
            key,
            dots,
            standing,
            is_live,
            ..
        } => {
            let state = match (is_live, standing) {
                (false, _) => "deleted".to_owned(),
                (true, 1) => "stored".to_owned(),
                (true, standing) => format!("{standing} versions"),
            };
            format!("{}  {state}  {}", readable(key), dots.join(" "))
        }
    }
}

fn json_of(event: &Event) -> serde_json::Value {
    match event {
        Event::Resync { told_by } => json!({"event": "resync", "told_by": told_by}),
        Event::Changed {
            key,
            dots,
            standing,
            is_live,
            told_by,
        } => json!({
            "event": "changed",
            "key": readable(key),
            "key_hex": hex::encode(key),
            "is_live": is_live,
            "standing": standing,
            "dots": dots,
            "told_by": told_by,
        }),
    }
}
