//! The tables of an access file as they are written, and what is wrong with one.
//!
//! Knows one table at a time; `book` holds them against each other.
//!
//! Invariant: an error says what has to be written instead, and repeats no token.

use super::moment;
use super::roles::{Buckets, Grant, Role};
use super::tokens::TokenHash;
use crate::limits::access::CALLER_BYTES_MAX;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// All of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default)]
    pub callers: BTreeMap<String, Spanned<CallerTable>>,
}

/// One caller.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerTable {
    #[serde(default)]
    pub admin: bool,
    #[serde(default)]
    pub tokens: Vec<Spanned<TokenTable>>,
    #[serde(default)]
    pub grants: Vec<Spanned<GrantTable>>,
}

/// One of its tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTable {
    sha256: String,
    expires: Option<toml::value::Datetime>,
}

/// Roles in some buckets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantTable {
    bucket: String,
    may: Vec<String>,
}

impl TokenTable {
    /// The hash, and when it is no longer taken.
    pub fn check(self) -> Result<(TokenHash, Option<u64>), String> {
        let hash = TokenHash::parse(&self.sha256).ok_or(
            "`sha256` has to be the 64 hexadecimal digits that `rejoin token new` shows, not the token itself",
        )?;
        let expires_ms = match self.expires {
            None => None,
            Some(expires) => Some(moment::parse(&expires.to_string()).ok_or(
                "`expires` has to be a date and a time with its zone, like 2027-01-31T00:00:00Z",
            )?),
        };
        Ok((hash, expires_ms))
    }
}

impl GrantTable {
    pub fn check(self) -> Result<Grant, String> {
        let buckets = Buckets::parse(&self.bucket).map_err(|error| {
            format!("`bucket` has to be a name, or the beginning of names and `*`: {error}")
        })?;
        if self.may.is_empty() {
            return Err("`may` is empty; list some of `read`, `write` and `plugin`".to_owned());
        }
        let roles = self.may.iter().map(|role| role_of(role));
        Ok(Grant {
            buckets,
            roles: roles.collect::<Result<_, _>>()?,
        })
    }
}

fn role_of(name: &str) -> Result<Role, String> {
    Role::parse(name).ok_or_else(|| match name {
        "admin" => {
            "`admin` is of the whole cluster: write `admin = true` beside `grants`".to_owned()
        }
        _ => format!("there is no role {name:?}; list some of `read`, `write` and `plugin`"),
    })
}

/// Letters, digits and what stands in the names of hosts, people and services.
pub fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.@:/+".contains(c);
    match name.len() {
        1..=CALLER_BYTES_MAX if name.chars().all(allowed) => Ok(()),
        _ => Err(format!(
            "a caller's name has 1 to {CALLER_BYTES_MAX} letters, digits, and of `-_.@:/+`"
        )),
    }
}
