//! Certificates and keys as they lie in their files.
//!
//! PEM only. Reads; what fits together is for `tls` to say.
//!
//! Invariant: a private key that others than its owner may read is not used, and no key stands in a message.

use super::secret::Secret;
use crate::limits::transport::KEY_FILE_BYTES_MAX;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Why a file was not used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read {}: {why}", .file.display())]
    Read { file: PathBuf, why: std::io::Error },
    #[error(
        "{}: others than its owner may read this private key; use `chmod 600 {}`", .file.display(), .file.display()
    )]
    Permissions { file: PathBuf },
    #[error("{} has more than {KEY_FILE_BYTES_MAX} bytes, which no key or certificate needs", .file.display())]
    TooLarge { file: PathBuf },
    #[error("{} has no {what} in PEM form ({why}); make one with `rejoin cert`", .file.display())]
    Malformed {
        file: PathBuf,
        what: &'static str,
        why: String,
    },
}

/// The bytes of a file of certificates.
pub fn read(file: &Path) -> Result<Vec<u8>, FileError> {
    watched(file).map(Secret::into_bytes)
}

/// The bytes of the file of a private key, which only its owner may read.
pub fn read_secret(file: &Path) -> Result<Secret, FileError> {
    let failed = |why| FileError::Read {
        file: file.to_owned(),
        why,
    };
    let facts = std::fs::metadata(file).map_err(failed)?;
    if facts.permissions().mode() & 0o077 != 0 {
        return Err(FileError::Permissions {
            file: file.to_owned(),
        });
    }
    watched(file)
}

/// The bytes of any of these files, as they are looked at for changes: it may be a private key.
pub fn watched(file: &Path) -> Result<Secret, FileError> {
    let open = std::fs::File::open(file);
    let read = open.and_then(|open| Secret::read(open, KEY_FILE_BYTES_MAX as usize));
    let secret = read.map_err(|why| FileError::Read {
        file: file.to_owned(),
        why,
    })?;
    match secret.len() as u64 > KEY_FILE_BYTES_MAX {
        true => Err(FileError::TooLarge {
            file: file.to_owned(),
        }),
        false => Ok(secret),
    }
}

/// All certificates of a file's bytes, at least one.
pub fn certificates(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let malformed = |why: String| FileError::Malformed {
        file: file.to_owned(),
        what: "certificate",
        why,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| malformed(error.to_string()))?;
    match found.is_empty() {
        true => Err(malformed("none was found".to_owned())),
        false => Ok(found),
    }
}

/// The private key of a file's bytes.
pub fn key(file: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| FileError::Malformed {
        file: file.to_owned(),
        what: "private key",
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_may_read_and_a_file_without_one_are_refused_with_the_fix() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("n1.key");
        std::fs::write(&file, "nothing").expect("written");
        let set = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, permissions).expect("set");
        };
        for mode in [0o640, 0o604, 0o660] {
            set(mode);
            let refused = read_secret(&file).expect_err("too open").to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        set(0o600);
        let bytes = read_secret(&file).expect("readable");
        let refused = key(&file, &bytes).expect_err("no key").to_string();
        assert!(refused.contains("no private key in PEM form"), "{refused}");
        let refused = certificates(&file, &bytes).expect_err("none").to_string();
        assert!(refused.contains("no certificate in PEM form"), "{refused}");
        assert!(read(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let refused = read(Path::new("/dev/zero")).expect_err("too large");
        assert!(matches!(refused, FileError::TooLarge { .. }));
    }
}
