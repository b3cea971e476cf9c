//! The wrapping of every stored item: magic, format, a checksum over key and content, the content.
//!
//! The key is under the checksum, so a value that turns up under another key (a misdirected write, a
//! swapped page) is caught like a flipped bit. The engine below has checksums of its own; this one also
//! covers its caches and its bugs. Not a defence against someone who can write to the disk.
//!
//! Invariant: `open` returns the bytes given to `seal` for the same key, or an error; it never panics.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes that the envelope adds to an item.
pub const OVERHEAD_BYTES: usize = 10;
const MAGIC: u8 = 0xd7;
const FORMAT: u8 = 1;

/// Why stored bytes were not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("{0} bytes are too few for an envelope")]
    Short(usize),
    #[error("starts with {0:#04x} instead of {MAGIC:#04x}")]
    Magic(u8),
    #[error("has envelope format {0}, this release reads {FORMAT}")]
    Format(u8),
    #[error("its checksum is {stored:016x}, its key and content give {found:016x}")]
    Checksum { stored: u64, found: u64 },
}

/// Wraps the content, given in parts, for storage under `key`.
pub fn seal(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut stored = Vec::with_capacity(OVERHEAD_BYTES + length);
    stored.extend_from_slice(&[MAGIC, FORMAT, 0, 0, 0, 0, 0, 0, 0, 0]);
    parts.iter().for_each(|part| stored.extend_from_slice(part));
    let sum = checksum(key, &stored[OVERHEAD_BYTES..]);
    stored[2..OVERHEAD_BYTES].copy_from_slice(&sum.to_be_bytes());
    stored
}

/// The content of what was stored under `key`.
pub fn open<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], EnvelopeError> {
    let Some((head, content)) = stored.split_first_chunk::<OVERHEAD_BYTES>() else {
        return Err(EnvelopeError::Short(stored.len()));
    };
    let [magic, format, sum @ ..] = *head;
    if magic != MAGIC {
        return Err(EnvelopeError::Magic(magic));
    }
    if format != FORMAT {
        return Err(EnvelopeError::Format(format));
    }
    let (stored, found) = (u64::from_be_bytes(sum), checksum(key, content));
    if stored != found {
        return Err(EnvelopeError::Checksum { stored, found });
    }
    Ok(content)
}

fn checksum(key: &[u8], content: &[u8]) -> u64 {
    xxh3_64_with_seed(content, xxh3_64(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_sealed_is_what_is_opened(key: Vec<u8>, content: Vec<u8>) {
            let (left, right) = content.split_at(content.len() / 2);
            let stored = seal(&key, &[left, right]);
            prop_assert_eq!(open(&key, &stored), Ok(&content[..]));
        }

        #[test]
        fn any_flipped_bit_is_detected(key: Vec<u8>, content: Vec<u8>, at: usize, bit in 0..8u8) {
            let mut stored = seal(&key, &[&content]);
            let at = at % stored.len();
            stored[at] ^= 1 << bit;
            prop_assert!(open(&key, &stored).is_err());
        }

        #[test]
        fn a_value_under_another_key_is_detected(key: Vec<u8>, other: Vec<u8>, content: Vec<u8>) {
            prop_assume!(key != other);
            prop_assert!(open(&other, &seal(&key, &[&content])).is_err());
        }

        #[test]
        fn a_cut_item_is_detected(key: Vec<u8>, content: Vec<u8>, at: usize) {
            let stored = seal(&key, &[&content]);
            prop_assert!(open(&key, &stored[..at % stored.len()]).is_err());
        }

        #[test]
        fn any_bytes_are_an_answer_not_a_panic(key: Vec<u8>, stored: Vec<u8>) {
            let _ = open(&key, &stored);
        }
    }
}
