//! What stands under a key in sled: the value itself, or where its run is.
//!
//! Both are wrapped in an envelope. Knows nothing of trees.
//!
//! Invariant: any bytes decode to a value, a run or an error.

use super::run::{CHUNK_BYTES, Run};
use crate::dynamo::codec::{DecodeError, Reader, Writer};
use crate::storage::envelope::{self, EnvelopeError};
use bytes::Bytes;

const INLINE: u8 = 0;
const RUN: u8 = 1;

/// The content of an item as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    Inline(&'a [u8]),
    Run(Run),
}

/// Why a stored item is not believed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbelievable {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Content(#[from] DecodeError),
}

impl<'a> Stored<'a> {
    /// Opens what stands under `key`.
    pub fn open(key: &[u8], stored: &'a [u8]) -> Result<Self, Unbelievable> {
        match envelope::open(key, stored)?.split_first() {
            Some((&INLINE, value)) => Ok(Self::Inline(value)),
            Some((&RUN, rest)) => {
                let mut reader = Reader::new(Bytes::copy_from_slice(rest));
                let run = Run::decode(&mut reader)?;
                reader.finish()?;
                Ok(Self::Run(run))
            }
            _ => Err(DecodeError::Malformed("the kind of a stored item").into()),
        }
    }

    /// The bytes to store under `key`.
    pub fn seal(&self, key: &[u8]) -> Vec<u8> {
        match self {
            Self::Inline(value) => {
                assert!(value.len() <= CHUNK_BYTES, "larger values are runs");
                envelope::seal(key, &[&[INLINE], value])
            }
            Self::Run(run) => {
                let mut writer = Writer::default();
                run.encode(&mut writer);
                envelope::seal(key, &[&[RUN], &writer.finish()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_and_values_survive_the_trip(key: Vec<u8>, value: Vec<u8>, id: u64, bytes: u64) {
            for item in [Stored::Inline(&value), Stored::Run(Run { id, bytes })] {
                let sealed = item.seal(&key);
                prop_assert_eq!(Stored::open(&key, &sealed), Ok(item));
            }
        }

        #[test]
        fn any_content_under_a_good_envelope_is_an_answer(key: Vec<u8>, content: Vec<u8>) {
            let _ = Stored::open(&key, &envelope::seal(&key, &[&content]));
        }
    }
}
