//! Makes certificates: two authorities, and what each of them signs.
//!
//! For `rejoin cert`; nodes only read. Writes no file. An authority that another tool made cannot be used here, but its
//! certificates can: all that counts is the names and usages (`docs/security.md`).
//!
//! Invariant: what an authority signed here is believed by whoever trusts its certificate; it was tried.

use super::cryptography::provider;
use super::names::{PEER_HOST, client_uri, node_uri};
use super::revocation::{RevocationList, Shown, number};
use crate::dynamo::names::NodeId;
use crate::limits::transport::{CERTIFICATE_SKEW_S, KEY_FILE_BYTES_MAX, REVOCATION_DAYS};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use zeroize::Zeroizing;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whose certificates an authority signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Realm {
    /// Clients, and what nodes show to them.
    Clients,
    /// Nodes among themselves.
    Peers,
}

impl Realm {
    /// Two authorities never have the same subject, so that a stranger's certificate is told to be one, and not to be forged.
    fn subject(self, key: &KeyPair) -> String {
        let whose = match self {
            Self::Clients => "client",
            Self::Peers => "peer",
        };
        let hash = Sha256::digest(key.public_key_raw());
        format!("rejoin {whose} authority {}", hex::encode(&hash[..8]))
    }
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub certificate: String,
    /// Overwritten when it is dropped.
    pub key: Zeroizing<String>,
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(transparent)]
    Make(#[from] rcgen::Error),
    #[error("{0:?} is no host name or address")]
    Host(String),
    #[error("the certificate of the authority cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "what was signed does not fit the certificate of the authority ({0}); its key is of another one, it has expired, or `rejoin cert authority` did not make it"
    )]
    Misfit(webpki::Error),
    #[error("the list of revoked certificates is not used: {0}")]
    List(String),
    #[error(
        "the list of revoked certificates would have {bytes} bytes, and nodes read {KEY_FILE_BYTES_MAX}; replace the authority (docs/security.md)"
    )]
    ListTooLong { bytes: usize },
}

/// Signs certificates of one realm.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A new authority of a realm.
pub fn found(realm: Realm, days: u32) -> Result<Issued, IssueError> {
    let key = KeyPair::generate()?;
    let certificate = of_authority(realm, &key, days).self_signed(&key)?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem().into(),
    })
}

fn of_authority(realm: Realm, key: &KeyPair, days: u32) -> CertificateParams {
    let mut params = valid_for(days, &realm.subject(key));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn valid_for(days: u32, subject: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_secs(CERTIFICATE_SKEW_S)).into();
    params.not_after = (now + DAY * days).into();
    let subject = DnValue::Utf8String(subject.to_owned());
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

impl Authority {
    /// One that `found` made, from its files.
    pub fn load(realm: Realm, certificate: &[u8], key: &str) -> Result<Self, IssueError> {
        let certificate = CertificateDer::from_pem_slice(certificate);
        let key = KeyPair::from_pem(key)?;
        Ok(Self {
            // Only the name and the key matter to a signature.
            issuer: Issuer::new(of_authority(realm, &key, 1), key),
            certificate: certificate.map_err(|error| IssueError::Unreadable(error.to_string()))?,
        })
    }

    /// What a node shows to clients that dial it by one of these names.
    pub fn for_server(
        &self,
        node: &NodeId,
        hosts: &[String],
        days: u32,
    ) -> Result<Issued, IssueError> {
        for host in hosts {
            rustls::pki_types::ServerName::try_from(host.as_str())
                .map_err(|_| IssueError::Host(host.clone()))?;
        }
        let names = CertificateParams::new(hosts.to_vec())?.subject_alt_names;
        self.issue(node.as_str(), names, &[Usage::Server], days)
    }

    /// What a node shows to other nodes, whoever dials.
    pub fn for_peer(&self, node: &NodeId, days: u32) -> Result<Issued, IssueError> {
        let names = vec![
            SanType::URI(node_uri(node).try_into()?),
            SanType::DnsName(PEER_HOST.try_into()?),
        ];
        self.issue(node.as_str(), names, &[Usage::Server, Usage::Client], days)
    }

    /// What a client shows.
    pub fn for_client(&self, name: &str, days: u32) -> Result<Issued, IssueError> {
        let names = vec![SanType::URI(client_uri(name).try_into()?)];
        self.issue(name, names, &[Usage::Client], days)
    }

    fn issue(
        &self,
        subject: &str,
        names: Vec<SanType>,
        usages: &[Usage],
        days: u32,
    ) -> Result<Issued, IssueError> {
        let mut params = valid_for(days, subject);
        params.subject_alt_names = names;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.iter().map(Usage::purpose).collect();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        for usage in usages {
            self.check(certificate.der(), usage.key_usage())
                .map_err(IssueError::Misfit)?;
        }
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem().into(),
        })
    }

    /// Whether a certificate says that it is of this authority.
    pub fn has_issued(&self, shown: &Shown) -> bool {
        shown.is_of(&self.certificate)
    }

    /// A list of revoked certificates, in PEM: what was on the list before, and these serial numbers.
    pub fn revoke(&self, before: Option<&[u8]>, serials: &[&[u8]]) -> Result<String, IssueError> {
        let now = SystemTime::now();
        let age = now.duration_since(SystemTime::UNIX_EPOCH);
        let age = age.unwrap_or_default();
        let mut revoked = BTreeMap::new();
        let before = before.map_or(Ok(Vec::new()), RevocationList::all);
        for list in before.map_err(IssueError::List)? {
            if !list.is_signed_by(&self.certificate) {
                let why = "another authority has signed it";
                return Err(IssueError::List(why.to_owned()));
            }
            revoked.extend(
                list.entries()
                    .map(|(serial, since_s)| (serial.to_vec(), since_s)),
            );
        }
        for serial in serials {
            let serial = number(serial).to_vec();
            revoked.entry(serial).or_insert(age.as_secs());
        }
        let entry = |(serial, since_s): (&Vec<u8>, &u64)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: (SystemTime::UNIX_EPOCH + Duration::from_secs(*since_s)).into(),
            reason_code: None,
            invalidity_date: None,
        };
        // A later list has a greater number, also if the one before it is lost.
        let params = CertificateRevocationListParams {
            this_update: (now - Duration::from_secs(CERTIFICATE_SKEW_S)).into(),
            next_update: (now + DAY * REVOCATION_DAYS).into(),
            crl_number: SerialNumber::from(age.as_millis() as u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let text = params.signed_by(&self.issuer)?.pem()?;
        match text.len() as u64 > KEY_FILE_BYTES_MAX {
            true => Err(IssueError::ListTooLong { bytes: text.len() }),
            false => Ok(text),
        }
    }

    fn check(&self, leaf: &CertificateDer<'_>, usage: KeyUsage) -> Result<(), webpki::Error> {
        let anchors = [anchor_from_trusted_cert(&self.certificate)?];
        let algorithms = provider().signature_verification_algorithms;
        let leaf = EndEntityCert::try_from(leaf)?;
        let now = UnixTime::now();
        leaf.verify_for_usage(algorithms.all, &anchors, &[], now, usage, None, None)?;
        Ok(())
    }
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy)]
enum Usage {
    Server,
    Client,
}

impl Usage {
    fn purpose(&self) -> ExtendedKeyUsagePurpose {
        match self {
            Self::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Self::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }
    }

    fn key_usage(&self) -> KeyUsage {
        match self {
            Self::Server => KeyUsage::server_auth(),
            Self::Client => KeyUsage::client_auth(),
        }
    }
}
