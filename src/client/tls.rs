//! How a client secures its connections: whom it believes, and what it shows.
//!
//! Certificates come as bytes in PEM form; where they lie is its user's affair. Nothing is believed that was not given:
//! the authorities of the system are not asked.
//!
//! Invariant: with certificates no connection is made in plain text, whatever the ring says, and none without an authority.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::fmt;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// Whom a client believes, and what it shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    authorities: Vec<u8>,
    /// A certificate with its chain, and its key.
    shown: Option<(Vec<u8>, Vec<u8>)>,
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
            }),
            false => Err(AddressError::Authorities),
        }
    }

    /// And shows this certificate; PEM, with its chain.
    pub fn showing(self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            shown: Some((certificate.into(), key.into())),
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
        assert_eq!(format!("{whole:?}"), "Tls { shows: true }");
        let broken = tls.showing("nothing", key);
        assert!(endpoint("https://localhost:1", Some(&broken)).is_err());
    }
}
