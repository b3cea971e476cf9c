//! The token by which a client is known, and its way into every request.
//!
//! Draws no tokens and keeps none beyond the client.
//!
//! Invariant: its text is in no `Debug` output, no error and no table of header compression.

use crate::limits::access::CREDENTIAL_BYTES_MAX;
use bytes::Bytes;
use std::fmt;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use zeroize::Zeroizing;

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(AsciiMetadataValue);

/// A text that no token can be; it is not repeated here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no token: it has to be one line of printable characters, as `rejoin token new` shows it"
)]
pub struct TokenError;

impl Token {
    /// From its text; white space around it is passed over.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let header = Zeroizing::new(format!("Bearer {text}").into_bytes());
        let is_good = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || !is_good || header.len() > CREDENTIAL_BYTES_MAX {
            return Err(TokenError);
        }
        // The header is these bytes, not a copy of them, so that they go with the last of its clones.
        let mut header =
            AsciiMetadataValue::try_from(Bytes::from_owner(header)).map_err(|_| TokenError)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// A connection on which every request shows the token, if there is one.
pub type Known = InterceptedService<Channel, Bearer>;

/// Puts the token into requests.
#[derive(Debug, Clone, Default)]
pub struct Bearer(Option<Token>);

impl Bearer {
    pub fn of(token: Option<Token>) -> Self {
        Self(token)
    }

    pub fn on(&self, channel: &Channel) -> Known {
        InterceptedService::new(channel.clone(), self.clone())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(Token(header)) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", header.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_into_the_request_and_into_no_debug_output() {
        let token = Token::new(" rejoin-12ab\n").expect("a token");
        let shown = format!("{token:?} {:?}", Bearer::of(Some(token.clone())));
        assert!(!shown.contains("12ab"), "{shown}");
        let request = Bearer::of(Some(token)).call(Request::new(()));
        let request = request.expect("passed");
        assert!(!format!("{request:?}").contains("12ab"));
        let header = request.metadata().get("authorization").expect("a header");
        assert_eq!(header.to_str().ok(), Some("Bearer rejoin-12ab"));
        for bad in ["", " ", "two words", "é", &"x".repeat(CREDENTIAL_BYTES_MAX)] {
            assert_eq!(Token::new(bad).err(), Some(TokenError));
        }
    }
}
