//! How a client secures its connections: whom it believes, and what it shows.
//!
//! Certificates come as bytes in PEM form, or from files, which are then read again when they change. Nothing is believed
//! that was not given: the authorities of the system are not asked.
//!
//! Invariant: with certificates no connection is made in plain text, whatever the ring says, and none without an authority.

use crate::limits::transport::KEY_FILE_BYTES_MAX;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

/// Whom a client believes, and what it shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    authorities: Vec<u8>,
    /// A certificate with its chain, and its key.
    shown: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    /// Where all of it was read.
    files: Option<TlsFiles>,
}

/// Where certificates and keys lie; PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub authorities: PathBuf,
    /// A certificate with its chain, and its key, which only its owner may read.
    pub shown: Option<(PathBuf, PathBuf)>,
}

/// An address that no connection is made to, or certificates that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{0:?} is not an address like http://127.0.0.1:7001")]
    Unreadable(String),
    #[error("{0:?} is plain text, and this client was given authorities; use https://")]
    PlainText(String),
    #[error(
        "nobody said whom to believe at {0:?}; give the authority that signed its certificate (`--ca`)"
    )]
    NoAuthority(String),
    #[error("the authorities hold no certificate in PEM form")]
    Authorities,
    #[error("the client's certificate and key cannot be used: {0}")]
    Identity(String),
    #[error("{file}: {why}")]
    File { file: PathBuf, why: String },
}

impl Tls {
    /// Believes servers whose certificates these authorities have signed; PEM, one or several.
    pub fn trusting(authorities: impl Into<Vec<u8>>) -> Result<Self, AddressError> {
        let authorities = authorities.into();
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&authorities).collect();
        match found.is_ok_and(|found| !found.is_empty()) {
            true => Ok(Self {
                authorities,
                shown: None,
                files: None,
            }),
            false => Err(AddressError::Authorities),
        }
    }

    /// As the files say, now and whenever they change: a client looks at them as often as at the ring. Connections that
    /// are open go on with what they began with, until the requests on them have ended.
    pub fn from_files(files: TlsFiles) -> Result<Self, AddressError> {
        let tls = Self::trusting(read(&files.authorities)?)?;
        let tls = match &files.shown {
            None => tls,
            Some((certificate, key)) => tls.showing(read(certificate)?, read_key(key)?),
        };
        // A key that does not fit its certificate is told here, and not with each connection.
        endpoint("https://localhost:1", Some(&tls))?;
        Ok(Self {
            files: Some(files),
            ..tls
        })
    }

    /// What the files say now, if it is something else. Reads files: not for asynchronous threads.
    pub(super) fn read_again(&self) -> Result<Option<Self>, AddressError> {
        let Some(files) = &self.files else {
            return Ok(None);
        };
        let found = Self::from_files(files.clone())?;
        Ok((found != *self).then_some(found))
    }

    /// And shows this certificate; PEM, with its chain.
    pub fn showing(self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            shown: Some((certificate.into(), Zeroizing::new(key.into()))),
            ..self
        }
    }

    fn config(&self) -> ClientTlsConfig {
        let authorities = Certificate::from_pem(&self.authorities);
        let config = ClientTlsConfig::new().ca_certificate(authorities);
        match &self.shown {
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
            None => config,
        }
    }
}

fn unreadable(file: &Path, why: &impl ToString) -> AddressError {
    AddressError::File {
        file: file.to_owned(),
        why: why.to_string(),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, AddressError> {
    let mut bytes = Vec::new();
    let open = File::open(file).map_err(|why| unreadable(file, &why))?;
    // All at once: a buffer that grows leaves copies of a key behind.
    let size = open.metadata().map_or(0, |facts| facts.len());
    bytes.reserve(size.min(KEY_FILE_BYTES_MAX) as usize + 1);
    let read = open.take(KEY_FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    match read.map_err(|why| unreadable(file, &why))? as u64 {
        0..=KEY_FILE_BYTES_MAX => Ok(bytes),
        _ => Err(unreadable(
            file,
            &"it is too long for a certificate or a key",
        )),
    }
}

fn read_key(file: &Path) -> Result<Vec<u8>, AddressError> {
    let facts = std::fs::metadata(file).map_err(|why| unreadable(file, &why))?;
    match facts.permissions().mode() & 0o077 {
        0 => read(file),
        _ => {
            let why = "others than its owner may read this private key; use `chmod 600`";
            Err(unreadable(file, &why))
        }
    }
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shows = self.shown.is_some();
        f.debug_struct("Tls").field("shows", &shows).finish()
    }
}

/// An address, secured as it says and as `tls` is able to.
pub fn endpoint(url: &str, tls: Option<&Tls>) -> Result<Endpoint, AddressError> {
    let endpoint = Endpoint::from_shared(url.to_owned());
    let endpoint = endpoint.map_err(|_| AddressError::Unreadable(url.to_owned()))?;
    match (is_secured(url), tls) {
        (false, None) => Ok(endpoint),
        (false, Some(_)) => Err(AddressError::PlainText(url.to_owned())),
        (true, None) => Err(AddressError::NoAuthority(url.to_owned())),
        (true, Some(tls)) => endpoint.tls_config(tls.config()).map_err(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            AddressError::Identity(why.unwrap_or_else(|| error.to_string()))
        }),
    }
}

/// Whether an address is that of a listener with TLS.
pub fn is_secured(url: &str) -> bool {
    url.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::generate_simple_self_signed;

    #[tokio::test]
    async fn no_connection_is_plain_text_with_authorities_or_secured_without() {
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        let tls = Tls::trusting(made.cert.pem()).expect("one certificate");
        assert!(endpoint("https://localhost:1", Some(&tls)).is_ok());
        assert!(endpoint("http://localhost:1", None).is_ok());
        let refused = |url: &str, tls| endpoint(url, tls).expect_err("refused").to_string();
        assert!(refused("http://localhost:1", Some(&tls)).contains("use https://"));
        assert!(refused("https://localhost:1", None).contains("--ca"));
        assert!(refused("not an address", None).contains("is not an address"));
    }

    #[tokio::test]
    async fn what_is_no_certificate_is_refused_and_no_key_is_shown() {
        assert_eq!(Tls::trusting("nothing"), Err(AddressError::Authorities));
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        let tls = Tls::trusting(made.cert.pem()).expect("one certificate");
        let key = made.signing_key.serialize_pem();
        let whole = tls.clone().showing(made.cert.pem(), key.clone());
        assert!(endpoint("https://localhost:1", Some(&whole)).is_ok());
        let shown = format!("{whole:?} {:?}", whole.clone());
        assert_eq!(shown, "Tls { shows: true } Tls { shows: true }");
        let broken = tls.showing("nothing", key);
        assert!(endpoint("https://localhost:1", Some(&broken)).is_err());
    }
}
