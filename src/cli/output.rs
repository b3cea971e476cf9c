//! How answers are printed: for people, or as JSON.

use crate::wire::proto::v1 as proto;
use serde_json::{Value, json};

/// Bytes as text where they are text, else in hexadecimal.
pub fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("0x{}", hex::encode(bytes)),
    }
}

/// A value: `value` if it is text, else `value_hex`.
pub fn value(value: &proto::Value) -> Value {
    let mut object = json!({
        "content_type": value.content_type,
        "metadata": value.metadata,
        "written_at_ms": value.written_at_ms,
    });
    if let Some(at) = value.expires_at_ms {
        object["expires_at_ms"] = json!(at);
    }
    match std::str::from_utf8(&value.value) {
        Ok(text) => object["value"] = json!(text),
        Err(_) => object["value_hex"] = json!(hex::encode(&value.value)),
    }
    object
}

/// A stored version.
pub fn sibling(sibling: &proto::Sibling) -> Value {
    json!({
        "dot": sibling.dot,
        "tombstone": sibling.tombstone,
        "merged_by": sibling.merged_by,
        "value": sibling.value.as_ref().map(value),
    })
}

/// A stored version in one line.
pub fn sibling_line(sibling: &proto::Sibling) -> String {
    let text = match (&sibling.value, sibling.tombstone) {
        (_, true) => "(deleted)".to_owned(),
        (Some(value), false) => readable(&value.value),
        (None, false) => String::new(),
    };
    match sibling.merged_by.as_str() {
        "" => format!("{}  {text}", sibling.dot),
        digest => format!("{}  {text}  (merged by {})", sibling.dot, short(digest)),
    }
}

/// How an answer came about.
pub fn resolved(resolved: Option<&proto::Resolved>) -> Value {
    let resolved = resolved.cloned().unwrap_or_default();
    let resolution = match resolved.resolution() {
        proto::Resolution::Unspecified => "unspecified",
        proto::Resolution::Single => "single",
        proto::Resolution::Merged => "merged",
        proto::Resolution::Siblings => "siblings",
    };
    json!({
        "resolution": resolution,
        "plugin": resolved.plugin,
        "fuel": resolved.fuel,
        "reason": resolved.reason,
    })
}

/// How an answer came about, in one line; none if there was nothing to decide.
pub fn resolved_line(resolved: Option<&proto::Resolved>) -> Option<String> {
    let resolved = resolved?;
    match resolved.resolution() {
        proto::Resolution::Merged if resolved.plugin.is_empty() => {
            Some("the latest of several versions".to_owned())
        }
        proto::Resolution::Merged => Some(format!(
            "merged by the plugin {} with {} units of fuel",
            short(&resolved.plugin),
            resolved.fuel
        )),
        proto::Resolution::Siblings => Some(format!("siblings: {}", resolved.reason)),
        proto::Resolution::Single | proto::Resolution::Unspecified => None,
    }
}

/// Enough of a digest to tell plugins apart.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Prints JSON on one line, so that lines are records.
pub fn print_json(value: &Value) {
    println!("{value}");
}
