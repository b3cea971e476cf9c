//! Bytes that nobody may see: private keys, and the texts of tokens.
//!
//! Overwritten when they are dropped. What the libraries below make of them (the signing key of ring, what tonic keeps to
//! connect again) is theirs.
//!
//! Invariant: they are in no `Debug` output, and no buffer that held them is given back as it was.

use std::fmt;
use std::io::{self, Read};
use std::ops::Deref;
use zeroize::Zeroizing;

/// Secret bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// At most `most` bytes of what is read, and one more if there are more.
    pub fn read(from: impl Read, most: usize) -> io::Result<Self> {
        // All of its room at once: a buffer that grows leaves a copy behind.
        let mut bytes = Zeroizing::new(vec![0; most + 1]);
        let mut length = 0;
        let mut from = from.take(most as u64 + 1);
        loop {
            match from.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes[..length].to_vec().into())
    }

    /// For an owner that overwrites them too.
    pub fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_to_its_bound_and_shown_to_nobody() {
        let read = |text: &str, most| Secret::read(text.as_bytes(), most).expect("read");
        let secret = read("hush", 4);
        assert_eq!(
            (&*secret, format!("{secret:?}")),
            (&b"hush"[..], "Secret(hidden)".to_owned())
        );
        assert_eq!(read("hush, hush", 4).len(), 5, "one more than there may be");
        assert_eq!(secret.into_bytes(), b"hush");
    }
}
