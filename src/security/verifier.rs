//! Whether the node that was dialled is the one that it should be.
//!
//! As rustls verifies a server, and then by the node's name in the certificate. Opens no connection.
//!
//! Invariant: a connection through one verifier always leads to the same node, also when it is opened again.

use super::names::node_of;
use super::trust::Trust;
use crate::dynamo::names::NodeId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, SignatureScheme,
};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Believes one node, and only it.
#[derive(Debug)]
pub struct PeerVerifier {
    authorities: Arc<WebPkiServerVerifier>,
    /// Whom the first certificate named, or who was expected.
    node: OnceLock<NodeId>,
    /// The first one that was believed, and its chain.
    chain: OnceLock<Vec<CertificateDer<'static>>>,
}

/// Why the certificate is not the right one. rustls shows it by its `Debug`.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PeerVerifier {
    /// Of a node that is known by name, or of whoever is there.
    pub fn of(
        expected: Option<&NodeId>,
        trust: &Trust,
    ) -> Result<Self, rustls::server::VerifierBuilderError> {
        let node = OnceLock::new();
        if let Some(expected) = expected {
            node.get_or_init(|| expected.clone());
        }
        Ok(Self {
            authorities: trust.of_servers()?,
            node,
            chain: OnceLock::new(),
        })
    }

    /// The node that a certificate has named; none before the first handshake.
    pub fn node(&self) -> Option<&NodeId> {
        self.node.get()
    }

    /// The certificate that was believed, and its chain; nothing before the first handshake.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        self.chain.get().map_or(&[], Vec::as_slice)
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
        let found = node_of(certificate).map_err(|why| refused(why.to_string()))?;
        let expected = self.node.get_or_init(|| found.clone());
        match found == *expected {
            true => {
                let all = std::iter::once(certificate).chain(intermediates);
                let owned = all.map(|one| one.clone().into_owned());
                self.chain.get_or_init(|| owned.collect());
                Ok(verified)
            }
            false => Err(refused(format!(
                "its certificate is that of node {found}, not of {expected}"
            ))),
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

fn refused(why: String) -> Error {
    let why = Arc::new(Refused(why));
    Error::InvalidCertificate(CertificateError::Other(OtherError(why)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::authority::{Authority, Issued, Realm, found};
    use crate::security::cryptography::provider;
    use crate::security::names::PEER_HOST;
    use crate::security::revocation::Shown;
    use crate::security::trust::TrustFiles;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::{ClientConfig, ServerConfig};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn authority(realm: Realm) -> (Authority, Trust) {
        let issued = found(realm, 10).expect("made");
        let loaded = Authority::load(realm, issued.certificate.as_bytes(), &issued.key);
        let loaded = loaded.expect("it fits");
        let trust = trusting(&issued.certificate, None);
        (loaded, trust)
    }

    fn trusting(authority: &str, list: Option<&str>) -> Trust {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).expect("written");
            file
        };
        let files = TrustFiles {
            authorities: put("ca.crt", authority),
            revoked: list.map(|list| put("ca.crl", list)),
        };
        Trust::read(&files).expect("they fit")
    }

    /// What comes of dialling who shows this certificate.
    async fn dialled(shown: &Issued, verifier: &Arc<PeerVerifier>) -> Result<(), String> {
        let certificate = CertificateDer::from_pem_slice(shown.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).expect("a key");
        let server = ServerConfig::builder_with_provider(provider());
        let server = server.with_safe_default_protocol_versions().expect("any");
        let server = server.with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.expect("one")], key);
        let client = ClientConfig::builder_with_provider(provider());
        let client = client.with_safe_default_protocol_versions().expect("any");
        let client = client
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let client = client.with_no_client_auth();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let acceptor = TlsAcceptor::from(Arc::new(server.expect("it fits")));
        let accepting = tokio::spawn(async move { acceptor.accept(far).await.is_ok() });
        let connector = TlsConnector::from(Arc::new(client));
        let host = ServerName::try_from(PEER_HOST).expect("a name");
        let outcome = connector.connect(host, near).await;
        drop(accepting);
        outcome.map(drop).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_node_that_answers_is_the_one_that_was_dialled_or_there_is_no_connection() {
        let (peers, trust) = authority(Realm::Peers);
        let (n1, n2) = (node("n1"), node("n2"));
        let first = peers.for_peer(&n1, 10).expect("issued");
        let second = peers.for_peer(&n2, 10).expect("issued");
        let expecting = |node| Arc::new(PeerVerifier::of(node, &trust).expect("one"));
        let known = expecting(Some(&n1));
        assert_eq!(dialled(&first, &known).await, Ok(()));
        let refused = dialled(&second, &known).await.expect_err("somebody else");
        assert!(refused.contains("that of node n2, not of n1"), "{refused}");
        // Of a seed the name is not known, until it has been seen.
        let seed = expecting(None);
        assert_eq!(seed.node(), None);
        assert_eq!(dialled(&second, &seed).await, Ok(()));
        assert_eq!(seed.node(), Some(&n2));
        assert!(dialled(&first, &seed).await.is_err());
    }

    #[tokio::test]
    async fn who_has_no_certificate_of_a_nodes_authority_is_not_talked_to() {
        let (peers, trust) = authority(Realm::Peers);
        let (clients, _) = authority(Realm::Clients);
        let (strange, _) = authority(Realm::Peers);
        let n1 = node("n1");
        let hosts = [PEER_HOST.to_owned()];
        let cases = [
            strange.for_peer(&n1, 10),
            clients.for_server(&n1, &hosts, 10),
            peers.for_server(&n1, &hosts, 10), // Signed, but it names no node.
            peers.for_client("n1", 10),
        ];
        for (case, shown) in cases.into_iter().enumerate() {
            let verifier = PeerVerifier::of(None, &trust).expect("one");
            let verifier = Arc::new(verifier);
            let outcome = dialled(&shown.expect("issued"), &verifier).await;
            assert!(outcome.is_err(), "{case}");
            assert_eq!(verifier.node(), None, "{case}");
        }
    }

    #[tokio::test]
    async fn a_node_whose_certificate_was_revoked_is_not_talked_to_and_its_next_one_is() {
        let made = found(Realm::Peers, 10).expect("made");
        let peers = Authority::load(Realm::Peers, made.certificate.as_bytes(), &made.key);
        let peers = peers.expect("it fits");
        let n1 = node("n1");
        let stolen = peers.for_peer(&n1, 10).expect("issued");
        let next = peers.for_peer(&n1, 10).expect("issued");
        let der = CertificateDer::from_pem_slice(stolen.certificate.as_bytes());
        let revoked = Shown::of(&der.expect("one")).expect("readable");
        let list = peers.revoke(None, &[revoked.serial()]).expect("signed");
        let trust = trusting(&made.certificate, Some(&list));
        let verifier = Arc::new(PeerVerifier::of(Some(&n1), &trust).expect("one"));
        let refused = dialled(&stolen, &verifier).await.expect_err("revoked");
        assert!(refused.contains("Revoked"), "{refused}");
        assert!(verifier.chain().is_empty());
        assert_eq!(dialled(&next, &verifier).await, Ok(()));
        assert_eq!(verifier.chain().len(), 1);
    }
}
