//! A list of revoked certificates, and the certificates that it may name.
//!
//! RFC 5280, section 5. Says what is in a list; who is believed is `trust`'s, who is refused is rustls'.
//!
//! Invariant: a certificate is the serial number and the authority that gave it, never the number alone.

use super::cryptography::provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::BTreeMap;
use webpki::{BorrowedCertRevocationList, EndEntityCert, OwnedCertRevocationList};

/// Which certificate somebody showed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    issuer: Vec<u8>,
    serial: Vec<u8>,
}

impl Shown {
    /// None of bytes that are no certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = EndEntityCert::try_from(certificate).ok()?;
        Some(Self {
            issuer: parsed.issuer().to_vec(),
            serial: number(parsed.serial()).to_vec(),
        })
    }

    /// Whether it says that this authority has signed it.
    pub fn is_of(&self, authority: &CertificateDer<'_>) -> bool {
        is_called(authority, &self.issuer)
    }

    /// Its number, which no other certificate of the same authority has.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

/// A list as its authority signed it.
#[derive(Debug)]
pub struct RevocationList {
    der: CertificateRevocationListDer<'static>,
    issuer: Vec<u8>,
    /// And since when, in seconds since 1970.
    serials: BTreeMap<Vec<u8>, u64>,
}

impl RevocationList {
    /// All lists of a file's bytes, at least one, or what is wrong with them.
    pub fn all(pem: &[u8]) -> Result<Vec<Self>, String> {
        let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|error| error.to_string())?;
        match found.is_empty() {
            true => Err("it has no list in PEM form".to_owned()),
            false => found.into_iter().map(Self::read).collect(),
        }
    }

    fn read(der: CertificateRevocationListDer<'static>) -> Result<Self, String> {
        let unreadable = |error: webpki::Error| format!("{error:?}");
        // What rustls does with it later, so that it is refused here and not at each handshake.
        OwnedCertRevocationList::from_der(&der).map_err(unreadable)?;
        let list = BorrowedCertRevocationList::from_der(&der).map_err(unreadable)?;
        let mut serials = BTreeMap::new();
        for revoked in &list {
            let revoked = revoked.map_err(unreadable)?;
            let since_s = revoked.revocation_date.as_secs();
            serials.insert(number(revoked.serial_number).to_vec(), since_s);
        }
        let issuer = webpki::CertRevocationList::from(list).issuer().to_vec();
        Ok(Self {
            der,
            issuer,
            serials,
        })
    }

    pub fn der(&self) -> CertificateRevocationListDer<'static> {
        self.der.clone()
    }

    /// The numbers on it.
    pub fn serials(&self) -> impl Iterator<Item = &[u8]> {
        self.serials.keys().map(Vec::as_slice)
    }

    /// The numbers on it, and since when: seconds since 1970.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.serials
            .iter()
            .map(|(serial, since_s)| (serial.as_slice(), *since_s))
    }

    pub fn len(&self) -> usize {
        self.serials.len()
    }

    pub fn is_empty(&self) -> bool {
        self.serials.is_empty()
    }

    pub fn has(&self, shown: &Shown) -> bool {
        self.issuer == shown.issuer && self.serials.contains_key(&shown.serial)
    }

    /// Whether it says that it is of this authority.
    pub fn names(&self, authority: &CertificateDer<'_>) -> bool {
        is_called(authority, &self.issuer)
    }

    /// Whether this authority has signed it.
    pub fn is_signed_by(&self, authority: &CertificateDer<'_>) -> bool {
        let (Ok(authority), Some(signed)) = (EndEntityCert::try_from(authority), signed(&self.der))
        else {
            return false;
        };
        let algorithms = provider().signature_verification_algorithms.all;
        let mut fitting = algorithms
            .iter()
            .filter(|known| known.signature_alg_id().as_ref() == signed.algorithm);
        fitting.any(|known| {
            let verified = authority.verify_signature(*known, signed.text, signed.signature);
            verified.is_ok()
        })
    }
}

/// Whether this is the name of an authority.
fn is_called(authority: &CertificateDer<'_>, name: &[u8]) -> bool {
    let parsed = EndEntityCert::try_from(authority);
    parsed.is_ok_and(|parsed| parsed.subject() == name)
}

/// A number without the zeros before it: DER has one where others have none.
pub fn number(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

/// The parts of something that was signed: `SEQUENCE { text, algorithm, signature }`.
struct Signed<'a> {
    text: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

fn signed(der: &[u8]) -> Option<Signed<'_>> {
    let (outer, _) = element(SEQUENCE, der)?;
    let (text, rest) = element(SEQUENCE, outer.contents)?;
    let (algorithm, rest) = element(SEQUENCE, rest)?;
    let (signature, _) = element(BIT_STRING, rest)?;
    Some(Signed {
        text: text.whole,
        algorithm: algorithm.contents,
        // Signatures are whole bytes.
        signature: signature.contents.strip_prefix(&[0])?,
    })
}

struct Element<'a> {
    whole: &'a [u8],
    contents: &'a [u8],
}

/// The first element of some DER and what follows it; none if it is of another kind, or longer than what is there.
fn element(tag: u8, der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(first) {
        short @ 0..=0x7f => (short, rest),
        // A list has less than four gigabytes.
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(long - 0x80)?;
            let join = |length: usize, digit: &u8| length << 8 | usize::from(*digit);
            (digits.iter().fold(0, join), rest)
        }
        _ => return None,
    };
    let (contents, after) = rest.split_at_checked(length)?;
    let whole = &der[..der.len() - after.len()];
    (found == tag).then_some((Element { whole, contents }, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::authority::{Authority, Realm, found};
    use proptest::prelude::*;

    #[test]
    fn a_list_grows_and_keeps_what_was_on_it() {
        let made = found(Realm::Peers, 10).expect("made");
        let authority = Authority::load(Realm::Peers, made.certificate.as_bytes(), &made.key);
        let authority = authority.expect("it fits");
        let read = |text: &str| {
            let mut lists = RevocationList::all(text.as_bytes()).expect("readable");
            lists.remove(0)
        };
        let empty = authority.revoke(None, &[]).expect("signed");
        assert!(read(&empty).is_empty());
        let one = authority.revoke(Some(empty.as_bytes()), &[&[0, 7, 9]]);
        let one = one.expect("signed");
        let two = authority.revoke(Some(one.as_bytes()), &[&[0x90, 1], &[7, 9]]);
        let two = read(&two.expect("signed"));
        let serials: Vec<&[u8]> = two.serials().collect();
        assert_eq!(serials, [&[7, 9], &[0x90, 1]]);
        let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).expect("one");
        assert!(two.names(&der) && two.is_signed_by(&der));
        // Nobody adds to what somebody else has signed.
        let other = found(Realm::Peers, 10).expect("made");
        let other = Authority::load(Realm::Peers, other.certificate.as_bytes(), &other.key);
        let added = other
            .expect("it fits")
            .revoke(Some(one.as_bytes()), &[&[1]]);
        assert!(added.is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RevocationList::read(CertificateRevocationListDer::from(bytes.clone()));
            let _ = signed(&bytes);
            let _ = RevocationList::all(&bytes);
        }
    }
}
