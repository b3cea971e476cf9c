//! Whether the node that was dialled is the one that it should be.
//!
//! As rustls verifies a server, and then by the node's name in the certificate. Opens no connection.
//!
//! Invariant: a connection through one verifier always leads to the same node, also when it is opened again.

use super::names::node_of;
use super::tls::provider;
use crate::dynamo::names::NodeId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, RootCertStore,
    SignatureScheme,
};
use std::sync::{Arc, OnceLock};

/// Believes one node, and only it.
#[derive(Debug)]
pub struct PeerVerifier {
    authorities: Arc<WebPkiServerVerifier>,
    /// Whom the first certificate named, or who was expected.
    node: OnceLock<NodeId>,
}

/// Somebody else than expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its certificate is that of node {found}, not of {expected}")]
pub struct OtherNode {
    pub found: NodeId,
    pub expected: NodeId,
}

impl PeerVerifier {
    /// Of a node that is known by name, or of whoever is there.
    pub fn of(
        expected: Option<&NodeId>,
        authorities: Arc<RootCertStore>,
    ) -> Result<Self, rustls::server::VerifierBuilderError> {
        let builder = WebPkiServerVerifier::builder_with_provider(authorities, provider());
        let node = OnceLock::new();
        if let Some(expected) = expected {
            node.get_or_init(|| expected.clone());
        }
        Ok(Self {
            authorities: builder.build()?,
            node,
        })
    }

    /// The node that a certificate has named; none before the first handshake.
    pub fn node(&self) -> Option<&NodeId> {
        self.node.get()
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.authorities
                .verify_server_cert(certificate, intermediates, host, ocsp, now)?;
        let found = node_of(certificate).map_err(refused)?;
        let expected = self.node.get_or_init(|| found.clone());
        match found == *expected {
            true => Ok(verified),
            false => Err(refused(OtherNode {
                found,
                expected: expected.clone(),
            })),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Nodes speak TLS 1.3 only.
        Err(PeerMisbehaved::SelectedUnofferedCipherSuite.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

fn refused(why: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}
