//! Whom one kind of connections believes: authorities, without the certificates that they have taken back.
//!
//! A list of revoked certificates counts for the authority that signed it. What an authority without a list has signed
//! is good until it expires, so that a new authority can be believed before it has a list. How old a list is does not
//! count: one that nobody renews must not lock everybody out.
//!
//! Invariant: a list that stands here is signed by an authority that stands here, or by nobody that is believed.

use super::cryptography::provider;
use super::files::{self, FileError};
use super::revocation::{RevocationList, Shown};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientCertVerifierBuilder, VerifierBuilderError, WebPkiClientVerifier};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where authorities and their lists are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFiles {
    pub authorities: PathBuf,
    /// Lists of revoked certificates; none: nothing is revoked.
    pub revoked: Option<PathBuf>,
}

impl TrustFiles {
    /// All of them.
    pub fn watched(&self) -> impl Iterator<Item = PathBuf> {
        let authorities = std::iter::once(self.authorities.clone());
        authorities.chain(self.revoked.clone())
    }
}

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} holds no usable authority: {why}", .file.display())]
    Authorities { file: PathBuf, why: String },
    #[error("{} is no usable list of revoked certificates: {why}; make one with `rejoin cert revoke`", .file.display())]
    List { file: PathBuf, why: String },
    #[error(
        "{} has no list of an authority in {}, so it would revoke nothing; give the list that lies beside the authority", .file.display(), .authorities.display()
    )]
    Foreign { file: PathBuf, authorities: PathBuf },
}

/// Authorities, and what they have taken back.
#[derive(Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    lists: Vec<RevocationList>,
}

impl Trust {
    /// Reads and checks all of it.
    pub fn read(from: &TrustFiles) -> Result<Self, TrustError> {
        let file = &from.authorities;
        let unusable = |error: rustls::Error| TrustError::Authorities {
            file: file.clone(),
            why: error.to_string(),
        };
        let authorities = files::certificates(file, &files::read(file)?)?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone()).map_err(unusable)?;
        }
        let lists = match &from.revoked {
            None => Vec::new(),
            Some(revoked) => lists(revoked, file, &authorities)?,
        };
        Ok(Self {
            roots: Arc::new(roots),
            lists,
        })
    }

    /// The authorities.
    pub fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    /// Whether an authority has taken back a certificate.
    pub fn is_revoked(&self, shown: &Shown) -> bool {
        self.lists.iter().any(|list| list.has(shown))
    }

    /// How many certificates are revoked.
    pub fn revoked_count(&self) -> usize {
        self.lists.iter().map(RevocationList::len).sum()
    }

    /// For the side that is dialled.
    pub fn of_clients(&self) -> ClientCertVerifierBuilder {
        let roots = Arc::clone(&self.roots);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let lists = self.lists.iter().map(RevocationList::der);
        builder.with_crls(lists).allow_unknown_revocation_status()
    }

    /// For the side that dials.
    pub fn of_servers(&self) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
        let roots = Arc::clone(&self.roots);
        let builder = WebPkiServerVerifier::builder_with_provider(roots, provider());
        let lists = self.lists.iter().map(RevocationList::der);
        let builder = builder.with_crls(lists);
        builder.allow_unknown_revocation_status().build()
    }
}

/// Lists of which at least one is of an authority that is believed. One of another authority is passed over: its
/// authority may have been believed until yesterday. One that uses the name of an authority without its key is refused.
fn lists(
    file: &Path,
    authorities_file: &Path,
    authorities: &[CertificateDer<'_>],
) -> Result<Vec<RevocationList>, TrustError> {
    let unusable = |why: String| TrustError::List {
        file: file.to_owned(),
        why,
    };
    let found = RevocationList::all(&files::read(file)?).map_err(unusable)?;
    let mut ours = Vec::new();
    for list in found {
        let mut named = authorities.iter().filter(|found| list.names(found));
        let Some(first) = named.next() else {
            continue;
        };
        if !list.is_signed_by(first) && !named.any(|other| list.is_signed_by(other)) {
            let why = "it was not signed by the authority that it names";
            return Err(unusable(why.to_owned()));
        }
        ours.push(list);
    }
    match ours.is_empty() {
        true => Err(TrustError::Foreign {
            file: file.to_owned(),
            authorities: authorities_file.to_owned(),
        }),
        false => Ok(ours),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::authority::{Authority, Realm, found};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn put(&self, name: &str, text: &str) -> PathBuf {
            let file = self.0.path().join(name);
            std::fs::write(&file, text).expect("written");
            file
        }
    }

    fn shown(certificate: &str) -> Shown {
        let found = files::certificates(Path::new("one"), certificate.as_bytes());
        Shown::of(&found.expect("one")[0]).expect("readable")
    }

    #[test]
    fn a_list_counts_for_the_authority_that_signed_it_and_another_ones_is_refused() {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        let [(first, first_ca), (second, second_ca)] = [(); 2].map(|()| {
            let made = found(Realm::Clients, 10).expect("made");
            let loaded = Authority::load(Realm::Clients, made.certificate.as_bytes(), &made.key);
            (loaded.expect("it fits"), made.certificate)
        });
        let anna = first.for_client("anna", 10).expect("issued").certificate;
        let bert = first.for_client("bert", 10).expect("issued").certificate;
        let (stolen, other) = (shown(&anna), shown(&bert));
        let list = first.revoke(None, &[stolen.serial()]).expect("signed");
        let trusted = |authorities: &str, list: &str| {
            Trust::read(&TrustFiles {
                authorities: folder.put("ca.crt", authorities),
                revoked: Some(folder.put("ca.crl", list)),
            })
        };
        let trust = trusted(&first_ca, &list).expect("it fits");
        assert!(trust.is_revoked(&stolen) && !trust.is_revoked(&other));
        assert_eq!(trust.revoked_count(), 1);
        // The same number of another authority is another certificate.
        let both = [first_ca.as_str(), &second_ca].concat();
        let namesake = second.revoke(None, &[stolen.serial()]).expect("signed");
        let trust = trusted(&both, &namesake).expect("one of the two");
        assert!(!trust.is_revoked(&stolen));
        let trust = trusted(&first_ca, &[namesake.as_str(), &list].concat());
        assert!(trust.expect("one of them is ours").is_revoked(&stolen));
        let refused = |authorities: &str, list: &str| {
            let refused = trusted(authorities, list).expect_err("refused");
            refused.to_string()
        };
        let text = refused(&first_ca, &namesake);
        assert!(text.contains("it would revoke nothing"), "{text}");
        let text = refused(&first_ca, "nothing");
        assert!(text.contains("rejoin cert revoke"), "{text}");
        let text = refused(&first_ca, &first_ca);
        assert!(text.contains("no list in PEM form"), "{text}");
        // One that says whose it is, and is signed by nobody who could.
        let mut lines: Vec<String> = list.lines().map(str::to_owned).collect();
        let place = lines.len() - 2;
        let last = lines[place].pop().expect("a digit");
        let before = lines[place].pop().expect("a digit");
        let changed = if before == 'A' { 'B' } else { 'A' };
        lines[place].extend([changed, last]);
        let text = refused(&first_ca, &lines.join("\n"));
        assert!(text.contains("no usable list"), "{text}");
    }
}
