//! One line of the audit log: who did what, to what, from where, and how it ended.
//!
//! Invariant: a line has no value, no key and no token, and what a caller chose in it is cut and made printable.

use super::super::caller::{Attempt, Caller, Refusal};
use super::super::moment;
use super::super::tokens::without_tokens;
use crate::limits::access::AUDIT_TEXT_BYTES_MAX;
use serde::Serialize;
use std::net::SocketAddr;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    Started,
    Stopped,
    /// A request that changes something for others than its caller, or shows everything.
    Request,
    /// A request that was turned away.
    Refused,
    /// The access file was read and taken.
    Access,
    /// The access file was read and not taken.
    AccessBroken,
    /// A connection to the listener of clients that was turned away.
    ClientRefused,
    /// A connection to the peer listener that was turned away.
    PeerRefused,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Allowed, and not yet begun.
    Begun,
    Ended,
}

/// A line; what is empty is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub at: String,
    pub node: String,
    pub event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub who: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rpc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bucket: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub plugin: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// Refusals since the last line that have none of their own.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlisted: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Line {
    /// A line of now that says only what happened.
    pub fn of(event: Event) -> Self {
        Self {
            at: moment::written(moment::now_ms()),
            node: String::new(), // The log knows it.
            event,
            stage: None,
            request: String::new(),
            who: String::new(),
            by: String::new(),
            remote: String::new(),
            rpc: String::new(),
            bucket: String::new(),
            plugin: String::new(),
            detail: String::new(),
            outcome: String::new(),
            unlisted: 0,
        }
    }

    /// A request that is allowed and about to begin.
    pub fn begun(caller: &Caller, rpc: &str, request: &str) -> Self {
        Self {
            stage: Some(Stage::Begun),
            request: request.to_owned(),
            who: caller.name.to_string(),
            by: caller.proof.name().to_owned(),
            remote: address(caller.remote),
            rpc: rpc.to_owned(),
            ..Self::of(Event::Request)
        }
    }

    /// The same request, when it has ended.
    pub fn ended(&self, outcome: String) -> Self {
        Self {
            at: moment::written(moment::now_ms()),
            stage: Some(Stage::Ended),
            outcome,
            ..self.clone()
        }
    }

    /// A connection that was turned away.
    pub fn turned_away(event: Event, remote: Option<SocketAddr>, why: &str) -> Self {
        Self {
            remote: address(remote),
            detail: shown(why),
            outcome: "REFUSED".to_owned(),
            ..Self::of(event)
        }
    }

    /// A request that was turned away.
    pub fn refused(refusal: &Refusal, attempt: Attempt<'_>) -> Self {
        let Attempt {
            caller,
            remote,
            rpc,
            request,
        } = attempt;
        let missing = refusal.role().map(|role| format!("role {role} is missing"));
        Self {
            request: request.to_owned(),
            who: caller.map_or(String::new(), |caller| caller.name.to_string()),
            by: caller.map_or(String::new(), |caller| caller.proof.name().to_owned()),
            remote: address(remote),
            rpc: shown(rpc),
            bucket: refusal.bucket().map(shown).unwrap_or_default(),
            detail: missing.unwrap_or_default(),
            outcome: refusal.reason().to_owned(),
            ..Self::of(Event::Refused)
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // A struct of texts and numbers always becomes JSON.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

fn address(remote: Option<SocketAddr>) -> String {
    remote.map_or(String::new(), |remote| remote.to_string())
}

/// What a caller chose, as a line may have it: without tokens, printable, and not too long.
pub fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(4 * AUDIT_TEXT_BYTES_MAX);
    let printable = without_tokens(&text[..end]).replace(char::is_control, " ");
    printable[..printable.floor_char_boundary(AUDIT_TEXT_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::super::tokens::Token;
    use super::*;

    #[test]
    fn a_line_is_one_line_without_what_is_empty() {
        let mut line = Line::of(Event::AccessBroken);
        line.detail = shown("two\nlines \"quoted\"");
        let bytes = line.encode();
        let text = String::from_utf8(bytes).expect("text");
        assert_eq!(text.matches('\n').count(), 1);
        assert!(
            text.ends_with(
                "\"event\":\"access-broken\",\"detail\":\"two lines \\\"quoted\\\"\"}\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_a_caller_chose_is_bounded_and_shows_no_token() {
        let token = Token::draw().expect("dice");
        assert_eq!(shown(token.text()), "rejoin-(hidden)");
        assert_eq!(shown(&"é".repeat(1_000_000)).len(), AUDIT_TEXT_BYTES_MAX);
        let cut = format!("{}{}", "x".repeat(AUDIT_TEXT_BYTES_MAX - 20), token.text());
        assert!(!shown(&cut).contains(&token.text()[7..12]));
    }
}
