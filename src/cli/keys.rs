//! `rejoin keys`.
//!
//! Invariant: a key is printed when its page has come, so a listing that fails half-way has shown the rest.

use super::arguments::{Keys, Server};
use super::connection::Connection;
use super::output::{print_json, readable};
use crate::limits::PAGE_KEYS_MAX;
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use serde_json::{Value, json};

pub async fn run(keys: Keys, server: &Server) -> anyhow::Result<()> {
    let connection = Connection::open(server).await?;
    let mut left = keys.limit.unwrap_or(u64::MAX);
    let mut page_token = Bytes::new();
    while left > 0 {
        let asked = proto::ListKeysRequest {
            bucket: keys.bucket.clone(),
            prefix: keys.prefix.clone().into(),
            page_size: Some(left.min(PAGE_KEYS_MAX as u64) as u32),
            page_token,
        };
        let asked = connection.request(asked);
        let page = connection.kv().list_keys(asked).await?.into_inner();
        left = left.saturating_sub(page.keys.len() as u64);
        for key in &page.keys {
            match server.json {
                true => print_json(&as_json(key)),
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

/// A key: `key` if it is text, else `key_hex`.
fn as_json(key: &[u8]) -> Value {
    match std::str::from_utf8(key) {
        Ok(text) => json!({ "key": text }),
        Err(_) => json!({ "key_hex": hex::encode(key) }),
    }
}
