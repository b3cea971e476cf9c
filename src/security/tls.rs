//! From files to what the listeners and the dialling side need: TLS 1.3, one provider, HTTP/2.
//!
//! Opens no connection. A session is never resumed: each handshake looks at the certificate anew, so that an authority
//! that is not trusted any more counts at once for every new connection.
//!
//! Invariant: what comes out of here fits together: the key belongs to the certificate, a peer's certificate names
//! this node and is signed by an authority that this node itself trusts.

use super::cryptography::provider;
use super::files::{self, FileError};
use super::names::{NamingError, node_of};
use super::revocation::Shown;
use super::secret::Secret;
use super::trust::{Trust, TrustError, TrustFiles};
use crate::dynamo::names::NodeId;
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use webpki::{EndEntityCert, KeyUsage};
use zeroize::Zeroize as _;

/// gRPC and nothing else.
const ALPN_HTTP2: &[u8] = b"h2";

/// A certificate with its chain, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why certificates and keys were not used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("the key {} does not fit the certificate {}: {why}", .pair.key.display(), .pair.certificate.display())]
    Misfit { pair: Pair, why: rustls::Error },
    #[error("{}: {why}", .file.display())]
    Naming { file: PathBuf, why: NamingError },
    #[error(
        "{} is the certificate of node {found}, and this is node {me}; make one with `rejoin cert node {me}`", .file.display()
    )]
    OtherNode {
        file: PathBuf,
        found: NodeId,
        me: NodeId,
    },
    #[error("the certificate {} is not good for {}: {why}", .file.display(), .authorities.display())]
    Untrusted {
        file: PathBuf,
        authorities: PathBuf,
        why: webpki::Error,
    },
    #[error("the certificate {} is revoked, so no other node would talk to this one; make another one with `rejoin cert node`", .file.display())]
    Revoked { file: PathBuf },
    #[error("{} cannot be used to verify certificates: {why}", .file.display())]
    Verifier {
        file: PathBuf,
        why: VerifierBuilderError,
    },
}

/// What a node shows to the peers that it dials, and whom it believes.
pub struct Dialling {
    pub certificate_pem: Vec<u8>,
    pub key_pem: Secret,
    pub trust: Arc<Trust>,
}

impl fmt::Debug for Dialling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialling")
    }
}

/// Both sides of the connections between nodes.
#[derive(Debug)]
pub struct PeerKeys {
    pub listening: Arc<ServerConfig>,
    pub dialling: Dialling,
    /// Whether this node's own certificate is one of those that its authority has taken back.
    pub is_revoked: bool,
}

/// The listener of clients.
#[derive(Debug)]
pub struct ClientKeys {
    pub listening: Arc<ServerConfig>,
    /// None: clients show no certificates.
    pub trust: Option<Trust>,
}

/// The listener of clients; with authorities it also takes certificates of theirs.
pub fn for_clients(pair: &Pair, believed: Option<&TrustFiles>) -> Result<ClientKeys, TlsError> {
    let trust = believed.map(Trust::read).transpose()?;
    let verifier = match (&trust, believed) {
        (Some(trust), Some(files)) => {
            let built = trust.of_clients().allow_unauthenticated().build();
            built.map_err(|why| unusable(files, why))?
        }
        _ => WebPkiClientVerifier::no_client_auth(),
    };
    let (certificate, key) = (
        files::read(&pair.certificate)?,
        files::read_secret(&pair.key)?,
    );
    Ok(ClientKeys {
        listening: server(pair, (&certificate, &key), verifier)?,
        trust,
    })
}

/// The connections between nodes, both ends with a certificate of the same authorities.
pub fn for_peers(me: &NodeId, pair: &Pair, believed: &TrustFiles) -> Result<PeerKeys, TlsError> {
    let certificate_pem = files::read(&pair.certificate)?;
    let key_pem = files::read_secret(&pair.key)?;
    let chain = files::certificates(&pair.certificate, &certificate_pem)?;
    check_name(me, &pair.certificate, &chain[0])?;
    let trust = Arc::new(Trust::read(believed)?);
    check_trusted(pair, &chain, &believed.authorities, &trust)?;
    let verifier = trust.of_clients().build();
    let verifier = verifier.map_err(|why| unusable(believed, why))?;
    let is_revoked = Shown::of(&chain[0]).is_some_and(|mine| trust.is_revoked(&mine));
    Ok(PeerKeys {
        listening: server(pair, (&certificate_pem, &key_pem), verifier)?,
        dialling: Dialling {
            certificate_pem,
            key_pem,
            trust,
        },
        is_revoked,
    })
}

fn server(
    pair: &Pair,
    (certificate, key): (&[u8], &[u8]),
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let misfit = |why| TlsError::Misfit {
        pair: pair.clone(),
        why,
    };
    let chain = files::certificates(&pair.certificate, certificate)?;
    let certified = certified(chain, files::key(&pair.key, key)?).map_err(misfit)?;
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(misfit)?;
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// As rustls makes one, but for the bytes of the key, which do not stay behind.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    mut key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    let signing = any_supported_type(&key);
    key.zeroize();
    let certified = CertifiedKey::new(chain, signing?);
    certified.keys_match()?;
    Ok(certified)
}

fn unusable(files: &TrustFiles, why: VerifierBuilderError) -> TlsError {
    TlsError::Verifier {
        file: files.authorities.clone(),
        why,
    }
}

fn check_name(me: &NodeId, file: &Path, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
    let found = node_of(certificate).map_err(|why| TlsError::Naming {
        file: file.to_owned(),
        why,
    })?;
    match found == *me {
        true => Ok(()),
        false => Err(TlsError::OtherNode {
            file: file.to_owned(),
            found,
            me: me.clone(),
        }),
    }
}

/// A node whose certificate no other one would believe says so at once, and not when nobody takes it.
fn check_trusted(
    pair: &Pair,
    chain: &[CertificateDer<'_>],
    authorities: &Path,
    trust: &Trust,
) -> Result<(), TlsError> {
    let untrusted = |why| TlsError::Untrusted {
        file: pair.certificate.clone(),
        authorities: authorities.to_owned(),
        why,
    };
    let algorithms = provider().signature_verification_algorithms;
    let leaf = EndEntityCert::try_from(&chain[0]).map_err(untrusted)?;
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        let verified = leaf.verify_for_usage(
            algorithms.all,
            &trust.roots().roots,
            &chain[1..],
            UnixTime::now(),
            usage,
            None,
            None,
        );
        verified.map_err(untrusted)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::authority::{Authority, Issued, Realm, found};
    use std::os::unix::fs::PermissionsExt as _;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn put(&self, name: &str, issued: &Issued) -> Pair {
            let pair = Pair {
                certificate: self.0.path().join(format!("{name}.crt")),
                key: self.0.path().join(format!("{name}.key")),
            };
            std::fs::write(&pair.certificate, &issued.certificate).expect("written");
            std::fs::write(&pair.key, &issued.key).expect("written");
            let secret = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&pair.key, secret).expect("set");
            pair
        }
    }

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn authority(realm: Realm) -> (Authority, Issued) {
        let issued = found(realm, 10).expect("made");
        let loaded = Authority::load(realm, issued.certificate.as_bytes(), &issued.key);
        (loaded.expect("it fits"), issued)
    }

    #[test]
    fn a_node_takes_only_a_certificate_of_its_own_that_its_authority_has_signed() {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        let (peers, peer_ca) = authority(Realm::Peers);
        let (clients, client_ca) = authority(Realm::Clients);
        let believing = |authorities: Pair| TrustFiles {
            authorities: authorities.certificate,
            revoked: None,
        };
        let trusted = believing(folder.put("peer-ca", &peer_ca));
        let n1 = folder.put("n1", &peers.for_peer(&node("n1"), 10).expect("issued"));
        assert!(for_peers(&node("n1"), &n1, &trusted).is_ok());
        let refused = |me: &str, pair: &Pair, trusted: &TrustFiles| {
            let refused = for_peers(&node(me), pair, trusted).expect_err("refused");
            refused.to_string()
        };
        let text = refused("n2", &n1, &trusted);
        assert!(text.contains("of node n1, and this is node n2"), "{text}");
        let (strange, strange_ca) = authority(Realm::Peers);
        let stranger = strange.for_peer(&node("n1"), 10).expect("issued");
        let text = refused("n1", &folder.put("stranger", &stranger), &trusted);
        assert!(text.contains("is not good for"), "{text}");
        let client = clients.for_client("n1", 10).expect("issued");
        let text = refused("n1", &folder.put("client", &client), &trusted);
        assert!(text.contains("rejoin cert node"), "{text}");
        let mixed = Issued {
            key: stranger.key,
            ..peers.for_peer(&node("n1"), 10).expect("issued")
        };
        let text = refused("n1", &folder.put("mixed", &mixed), &trusted);
        assert!(text.contains("does not fit the certificate"), "{text}");
        let both = Issued {
            certificate: peer_ca.certificate.clone() + &strange_ca.certificate,
            key: String::new().into(),
        };
        let both = believing(folder.put("both", &both));
        assert!(
            for_peers(&node("n1"), &n1, &both).is_ok(),
            "a bundle of two"
        );
        drop(client_ca);
    }

    #[test]
    fn an_authority_signs_only_with_its_own_key() {
        let (_, first) = authority(Realm::Clients);
        let (_, second) = authority(Realm::Clients);
        let mixed = Authority::load(Realm::Clients, first.certificate.as_bytes(), &second.key);
        let issued = mixed.expect("both are readable").for_client("anna", 1);
        assert!(matches!(
            issued.err(),
            Some(crate::security::authority::IssueError::Misfit(_))
        ));
        let other = Authority::load(Realm::Peers, first.certificate.as_bytes(), &first.key);
        assert!(
            other.expect("readable").for_peer(&node("n1"), 1).is_err(),
            "the authority of clients names no nodes"
        );
    }

    #[test]
    fn a_server_has_the_names_by_which_it_is_dialled_and_no_others() {
        let (clients, _) = authority(Realm::Clients);
        let hosts = [
            "db.example".to_owned(),
            "10.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        let issued = clients.for_server(&node("n1"), &hosts, 10).expect("issued");
        let chain = files::certificates(Path::new("n1"), issued.certificate.as_bytes());
        let chain = chain.expect("one");
        let leaf = EndEntityCert::try_from(&chain[0]).expect("readable");
        let is_for = |host: &str| {
            let name = rustls::pki_types::ServerName::try_from(host).expect("a name");
            leaf.verify_is_valid_for_subject_name(&name).is_ok()
        };
        assert!(hosts.iter().all(|host| is_for(host)));
        assert!(!is_for("other.example") && !is_for("10.0.0.2"));
        let bad = clients.for_server(&node("n1"), &["no host".to_owned()], 10);
        assert!(bad.is_err());
    }
}
