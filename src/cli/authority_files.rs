//! The folder that `rejoin cert authority` makes: two authorities, their lists, and what they have signed.
//!
//! Invariant: whoever changes the folder holds its lock, and a list is replaced whole or not at all.

use crate::limits::transport::ISSUED_BYTES_MAX;
use crate::security::authority::{Authority, Realm};
use crate::security::files::{certificates, read, read_secret};
use crate::security::moment;
use crate::security::revocation::Shown;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Both of them.
pub const REALMS: [Realm; 2] = [Realm::Clients, Realm::Peers];
/// What was signed, one JSON object in each line.
const REGISTER: &str = "issued.jsonl";

/// What the files of an authority are called.
pub fn name(realm: Realm) -> &'static str {
    match realm {
        Realm::Clients => "client-ca",
        Realm::Peers => "peer-ca",
    }
}

pub fn certificate(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.crt"))
}

pub fn key(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.key"))
}

/// The certificates that an authority has taken back.
pub fn list(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.crl"))
}

/// An authority, from the folder that it lies in.
pub fn load(realm: Realm, folder: &Path) -> anyhow::Result<Authority> {
    let (certificate, key) = (certificate(folder, name(realm)), key(folder, name(realm)));
    let secret = read_secret(&key)?;
    let secret = std::str::from_utf8(&secret);
    let secret = secret.with_context(|| format!("{} is not text", key.display()))?;
    Authority::load(realm, &read(&certificate)?, secret)
        .with_context(|| format!("the authority {}", certificate.display()))
}

/// Whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    Client,
    Node,
}

/// One certificate that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub at: String,
    /// By which authority: the name of its files.
    pub authority: String,
    pub holder: Holder,
    pub name: String,
    /// Hexadecimal.
    pub serial: String,
}

impl Signed {
    /// Of a certificate in PEM form.
    pub fn now(realm: Realm, holder: Holder, holder_name: &str, pem: &str) -> anyhow::Result<Self> {
        let found = certificates(Path::new(holder_name), pem.as_bytes())?;
        let shown = Shown::of(&found[0]).context("the certificate cannot be read")?;
        Ok(Self {
            at: moment::written_to_the_second(moment::now_ms()),
            authority: name(realm).to_owned(),
            holder,
            name: holder_name.to_owned(),
            serial: hex::encode(shown.serial()),
        })
    }
}

/// What was signed, and the right to change the folder.
pub struct Register {
    file: File,
    path: PathBuf,
}

impl Register {
    /// Waits until nobody else changes the folder.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(REGISTER);
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        file.lock()
            .with_context(|| format!("locking {}", path.display()))?;
        Ok(Self { file, path })
    }

    /// Before the certificates are there: one that nobody knows of could not be revoked by name.
    pub fn add(&mut self, signed: &[Signed]) -> anyhow::Result<()> {
        let mut text = String::new();
        for line in signed {
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        Ok(())
    }

    /// All of it.
    pub fn read(&mut self) -> anyhow::Result<Vec<Signed>> {
        let path = self.path.display();
        let mut text = String::new();
        let file = File::open(&self.path).with_context(|| path.to_string())?;
        let mut bounded = file.take(ISSUED_BYTES_MAX + 1);
        bounded.read_to_string(&mut text)?;
        anyhow::ensure!(
            text.len() as u64 <= ISSUED_BYTES_MAX,
            "{path} has more than {ISSUED_BYTES_MAX} bytes; take the lines of certificates that have expired out of it"
        );
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(place, line)| {
                let read = serde_json::from_str(line);
                read.with_context(|| format!("{path}, line {}", place + 1))
            })
            .collect()
    }
}

/// Puts a list in the place of the one before.
pub fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let folder = file.parent().context("a file in a folder")?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    // Everybody may know what is revoked, and nodes may run as somebody else.
    let readable = std::fs::Permissions::from_mode(0o644);
    new.as_file().set_permissions(readable)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file)
        .with_context(|| format!("replacing {}", file.display()))?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_found_again_and_a_broken_line_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let signed = |serial: &str| Signed {
            at: "2026-11-22T00:00:00Z".to_owned(),
            authority: "client-ca".to_owned(),
            holder: Holder::Client,
            name: "anna".to_owned(),
            serial: serial.to_owned(),
        };
        let mut register = Register::open(folder.path()).expect("a register");
        assert!(register.read().expect("empty").is_empty());
        register.add(&[signed("1f")]).expect("written");
        drop(register);
        let mut register = Register::open(folder.path()).expect("the same");
        register.add(&[signed("2f")]).expect("written");
        let found = register.read().expect("two lines");
        assert_eq!(found, [signed("1f"), signed("2f")]);
        register.file.write_all(b"{\n").expect("written");
        let wrong = format!("{:#}", register.read().expect_err("broken"));
        assert!(wrong.contains("line 3"), "{wrong}");
    }
}
