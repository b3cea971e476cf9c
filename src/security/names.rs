//! What a certificate calls its holder: one URI among the subject's alternative names.
//!
//! `rejoin://node/NAME` and `rejoin://client/NAME`. A URI takes every name of a node as it is, where a DNS name takes
//! neither empty labels nor labels of 64 bytes. Checks no signature.
//!
//! Invariant: two names never share a URI, and a certificate with two such URIs names nobody.

use crate::dynamo::names::NodeId;
use crate::limits::transport::CLIENT_NAME_BYTES_MAX;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The DNS name in every peer's certificate: who dials a seed does not know its name yet.
pub const PEER_HOST: &str = "node.rejoin";

const NODE_URI: &str = "rejoin://node/";
const CLIENT_URI: &str = "rejoin://client/";

/// Why a certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "the certificate has no name that begins with {prefix}; make one with `rejoin cert {command}`"
    )]
    Missing {
        prefix: &'static str,
        command: &'static str,
    },
    #[error("the certificate has several names that begin with {prefix}; give it one")]
    Several { prefix: &'static str },
    #[error("the certificate names {name:?}: {why}")]
    Bad { name: String, why: String },
}

/// What the certificate of a node's peer connections calls it.
pub fn node_uri(node: &NodeId) -> String {
    format!("{NODE_URI}{node}")
}

/// What the certificate of a client calls it.
pub fn client_uri(client: &str) -> String {
    format!("{CLIENT_URI}{client}")
}

/// The node that a certificate names.
pub fn node_of(certificate: &CertificateDer<'_>) -> Result<NodeId, NamingError> {
    let name = named(certificate, NODE_URI, "node")?;
    NodeId::new(&name).map_err(|error| NamingError::Bad {
        why: error.to_string(),
        name,
    })
}

/// The client that a certificate names.
pub fn client_of(certificate: &CertificateDer<'_>) -> Result<String, NamingError> {
    let name = named(certificate, CLIENT_URI, "client")?;
    match check_client(&name) {
        Ok(()) => Ok(name),
        Err(why) => Err(NamingError::Bad { name, why }),
    }
}

/// Whether a client may be called so, or why not.
pub fn check_client(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    match name.chars().find(|c| !is_allowed(*c)) {
        _ if name.is_empty() || name.len() > CLIENT_NAME_BYTES_MAX => Err(format!(
            "the client name has {} bytes; give it 1 to {CLIENT_NAME_BYTES_MAX}",
            name.len()
        )),
        Some(found) => Err(format!(
            "the client name has {found:?}; use lower-case letters, digits, `-`, `_` and `.`"
        )),
        None => Ok(()),
    }
}

fn named(
    certificate: &CertificateDer<'_>,
    prefix: &'static str,
    command: &'static str,
) -> Result<String, NamingError> {
    let parsed = EndEntityCert::try_from(certificate);
    let parsed = parsed.map_err(|error| NamingError::Unreadable(error.to_string()))?;
    let mut names = parsed
        .valid_uri_names()
        .filter_map(|uri| uri.strip_prefix(prefix));
    match (names.next(), names.next()) {
        (None, _) => Err(NamingError::Missing { prefix, command }),
        (Some(name), None) => Ok(name.to_owned()),
        (Some(_), Some(_)) => Err(NamingError::Several { prefix }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn with(uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        let san = |uri: &&str| SanType::URI((*uri).try_into().expect("ASCII"));
        params.subject_alt_names = uris.iter().map(san).collect();
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").der().clone()
    }

    #[test]
    fn every_name_that_a_node_may_have_comes_back_from_its_certificate() {
        let long = "x".repeat(64);
        for name in ["n1", "a.b", "a..b", ".", "-", "_x_", "n1.node", &long] {
            let node = NodeId::new(name).expect("a good name");
            assert_eq!(node_of(&with(&[&node_uri(&node)])), Ok(node), "{name}");
            assert_eq!(client_of(&with(&[&client_uri(name)])), Ok(name.to_owned()));
        }
    }

    #[test]
    fn a_certificate_of_a_client_names_no_node_and_one_with_two_names_nobody() {
        let both = with(&["rejoin://client/anna", "rejoin://node/n1"]);
        assert_eq!(node_of(&both).map(|node| node.to_string()), Ok("n1".into()));
        let client = with(&["rejoin://client/anna"]);
        assert!(matches!(node_of(&client), Err(NamingError::Missing { .. })));
        let two = with(&["rejoin://node/n1", "rejoin://node/n2"]);
        assert!(matches!(node_of(&two), Err(NamingError::Several { .. })));
        for name in ["rejoin://node/N1", "rejoin://node/", "rejoin://node/a/b"] {
            assert!(
                matches!(node_of(&with(&[name])), Err(NamingError::Bad { .. })),
                "{name}"
            );
        }
        assert!(node_of(&CertificateDer::from(vec![1, 2, 3])).is_err());
    }
}
