//! Siblings as people write them in files: JSON, text where it is text, base64 where it is not.
//!
//! Used by evidence and by fixtures. A field that is not known is refused: it is a typing error.
//!
//! Invariant: what was written reads back as the same version.

use super::base64;
use crate::dynamo::causality::version::Version;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes: `"text"`, or `{"base64": ".."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Written {
    Text(String),
    Binary(Base64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base64 {
    pub base64: String,
}

/// One sibling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenSibling {
    pub value: Written,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub written_at_ms: u64,
}

impl Written {
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Binary(Base64 {
                base64: base64::encode(bytes),
            }),
        }
    }

    pub fn bytes(&self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Binary(Base64 { base64: text }) => match base64::decode(text) {
                Some(bytes) => Ok(bytes.into()),
                None => Err(format!("{text:?} is not base64")),
            },
        }
    }
}

impl WrittenSibling {
    /// Of a value; a delete has no form here.
    pub fn of(version: &Version) -> Self {
        Self {
            value: Written::of(version.bytes().map_or(&[], |bytes| bytes)),
            content_type: version.content_type.clone(),
            metadata: version.metadata.clone(),
            written_at_ms: version.written_at_ms,
        }
    }

    pub fn version(&self) -> Result<Version, String> {
        Ok(Version {
            content_type: self.content_type.clone(),
            metadata: self.metadata.clone(),
            ..Version::value(self.value.bytes()?, self.written_at_ms)
        })
    }
}
