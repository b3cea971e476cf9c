//! Bearer tokens: how they are drawn, and how one is recognised without being kept.
//!
//! A token is 256 random bits, so nobody can search for the one behind a hash, and SHA-256 is enough. A slow hash
//! is for passwords, which people choose and others guess; here it would only cost time with each request.
//!
//! Invariant: the text of a token is in no `Debug` output, and hashes are compared in constant time.

use crate::limits::access::TOKEN_RANDOM_BYTES;
use rand::TryRng as _;
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Every token begins with it, so that one that was left somewhere is found by a search.
pub const MARK: &str = "rejoin-";

/// The text of a token. Whoever has it is its caller.
pub struct Token(Zeroizing<String>);

impl Token {
    /// Draws from the random generator of the operating system.
    pub fn draw() -> Result<Self, rand::rngs::SysError> {
        let mut bytes = Zeroizing::new([0; TOKEN_RANDOM_BYTES]);
        rand::rngs::SysRng.try_fill_bytes(&mut *bytes)?;
        let text = format!("{MARK}{}", &*Zeroizing::new(hex::encode(bytes.as_slice())));
        Ok(Self(Zeroizing::new(text)))
    }

    /// For showing it to its owner, once.
    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// What an access file has of a token: its SHA-256.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// From 64 hexadecimal digits.
    pub fn parse(digits: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).ok()?;
        Some(Self(hash))
    }

    /// Where to look for it. It says nothing of the token: nobody can make one whose hash begins as they like and
    /// learn the rest.
    pub(super) fn shelf(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(hidden)")
    }
}

/// The text with every token in it made unreadable: what others wrote may hold one by mistake.
pub fn without_tokens(text: &str) -> String {
    let mut parts = text.split(MARK);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        clean.push_str(MARK);
        if rest.len() < part.len() {
            clean.push_str("(hidden)");
        }
        clean.push_str(rest);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_by_its_hash_and_shown_by_no_debug_output() {
        let (one, other) = (Token::draw().expect("dice"), Token::draw().expect("dice"));
        assert_eq!(one.text().len(), MARK.len() + 64);
        assert_ne!(one.text(), other.text());
        let written = one.hash().to_string();
        assert!(TokenHash::parse(&written) == Some(TokenHash::of(one.text().as_bytes())));
        assert!(TokenHash::parse(&written) != Some(other.hash()));
        assert!(!format!("{one:?} {:?}", one.hash()).contains(&one.text()[MARK.len()..]));
        assert!(TokenHash::parse("12").is_none());
    }

    #[test]
    fn a_token_in_a_text_is_hidden() {
        let token = Token::draw().expect("dice");
        let text = format!(
            "unknown field `{}`, é rejoin-- {}",
            token.text(),
            token.text()
        );
        let clean = without_tokens(&text);
        assert!(!clean.contains(&token.text()[MARK.len()..]));
        assert_eq!(
            clean,
            "unknown field `rejoin-(hidden)`, é rejoin-- rejoin-(hidden)"
        );
    }
}
