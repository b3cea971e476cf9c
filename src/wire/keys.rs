//! Listings of keys: as clients ask for pages, and as nodes ask each other for stretches.
//!
//! Invariant: a page token continues the listing that it was given for, or is refused.

use super::proto::peer;
use super::proto::v1 as proto;
use crate::dynamo::codec::{DecodeError, Reader, Writer};
use crate::dynamo::names::{BucketName, NameError};
use crate::dynamo::replica::stretch::{Listed, ListedKey, Stretch};
use crate::dynamo::ring::partition::{PartitionId, Partitions};
use crate::limits::{
    KEY_BYTES_MAX, LIST_ITEMS_MAX, PAGE_KEYS_DEFAULT, PAGE_KEYS_MAX, PAGE_TOKEN_BYTES_MAX,
    PARTITIONS_MAX,
};
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = 8;

/// Why a page was refused before anything was asked.
#[derive(Debug, thiserror::Error)]
pub enum PageDecodeError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the prefix has {found} bytes, the limit is {KEY_BYTES_MAX}")]
    Prefix { found: usize },
    #[error(
        "the page size is {found}; give 1 to {PAGE_KEYS_MAX} keys, or none for {PAGE_KEYS_DEFAULT}"
    )]
    Size { found: u32 },
    #[error(
        "the page token {0}; pass the bytes of the page before, unchanged, with the same bucket and prefix"
    )]
    Token(&'static str),
}

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub partition: PartitionId,
    /// The last key that was looked at there; empty: none yet.
    pub after: Bytes,
}

/// One page that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    pub bucket: BucketName,
    pub prefix: Bytes,
    pub keys_max: usize,
    pub from: Cursor,
}

impl Cursor {
    /// The bytes for a client that lists this bucket and prefix.
    pub fn encode(&self, bucket: &BucketName, prefix: &[u8]) -> Bytes {
        let mut writer = Writer::default();
        writer.byte(FORMAT);
        writer.number(u64::from(self.partition.0));
        writer.raw(&self.after);
        let body = writer.finish();
        let mut sealed = Writer::with_capacity(body.len() + CHECKSUM_BYTES);
        sealed.raw(&body);
        sealed.fixed(checksum(&body, bucket, prefix));
        sealed.finish()
    }

    /// Reads a client's token. No bytes are the beginning.
    pub fn decode(
        bytes: Bytes,
        bucket: &BucketName,
        prefix: &[u8],
        partitions: Partitions,
    ) -> Result<Self, PageDecodeError> {
        if bytes.is_empty() {
            let (partition, after) = (PartitionId(0), Bytes::new());
            return Ok(Self { partition, after });
        }
        if bytes.len() > PAGE_TOKEN_BYTES_MAX {
            return Err(PageDecodeError::Token("is longer than any that was given"));
        }
        let cursor =
            open(bytes, bucket, prefix).map_err(|_| PageDecodeError::Token("is damaged"))?;
        match cursor {
            Some(cursor) if cursor.partition.0 < partitions.count() => Ok(cursor),
            Some(_) => Err(PageDecodeError::Token("is of another cluster")),
            None => Err(PageDecodeError::Token("is not one of this listing")),
        }
    }
}

/// None: the checksum is not that of this listing.
fn open(bytes: Bytes, bucket: &BucketName, prefix: &[u8]) -> Result<Option<Cursor>, DecodeError> {
    let Some(body_length) = bytes.len().checked_sub(CHECKSUM_BYTES) else {
        return Err(DecodeError::Truncated(bytes.len()));
    };
    let body = bytes.slice(..body_length);
    if Reader::new(bytes.slice(body_length..)).fixed()? != checksum(&body, bucket, prefix) {
        return Ok(None);
    }
    let mut reader = Reader::new(body);
    reader.format(FORMAT)?;
    let partition = reader.number_max("a partition", usize::from(PARTITIONS_MAX))?;
    let after = reader.raw(reader.remaining())?;
    if after.len() > KEY_BYTES_MAX {
        return Err(DecodeError::Malformed("a key"));
    }
    Ok(Some(Cursor {
        partition: PartitionId(partition as u16),
        after,
    }))
}

/// Over the bucket and the prefix as well, so that a token of another listing is told apart.
fn checksum(body: &[u8], bucket: &BucketName, prefix: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(bucket.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(&(prefix.len() as u64).to_be_bytes());
    hasher.update(prefix);
    hasher.update(body);
    hasher.digest()
}

/// A page as a client of a cluster with so many partitions asks for it.
pub fn decode_page(
    request: proto::ListKeysRequest,
    partitions: Partitions,
) -> Result<PageRequest, PageDecodeError> {
    let bucket = BucketName::new(&request.bucket)?;
    let prefix = request.prefix;
    if prefix.len() > KEY_BYTES_MAX {
        let found = prefix.len();
        return Err(PageDecodeError::Prefix { found });
    }
    let keys_max = match request.page_size {
        None => PAGE_KEYS_DEFAULT,
        Some(found) => match found as usize {
            keys_max @ 1..=PAGE_KEYS_MAX => keys_max,
            _ => return Err(PageDecodeError::Size { found }),
        },
    };
    Ok(PageRequest {
        from: Cursor::decode(request.page_token, &bucket, &prefix, partitions)?,
        bucket,
        prefix,
        keys_max,
    })
}

/// A stretch as a peer is asked for it.
pub fn encode_stretch(stretch: &Stretch) -> peer::List {
    peer::List {
        bucket: stretch.bucket.as_str().to_owned(),
        partition: u32::from(stretch.partition.0),
        prefix: stretch.prefix.clone(),
        after: stretch.after.clone(),
        items_max: stretch.items_max as u32,
        ..peer::List::default()
    }
}

/// A stretch that a peer asks for.
pub fn decode_stretch(list: peer::List) -> Result<Stretch, StretchDecodeError> {
    let bounded = |what: &'static str, found: usize, limit: usize| match found <= limit {
        true => Ok(()),
        false => Err(DecodeError::TooLarge {
            what,
            found: found as u64,
            limit: limit as u64,
        }),
    };
    let partition = list.partition as usize;
    bounded("a partition", partition, usize::from(PARTITIONS_MAX) - 1)?;
    bounded("a prefix", list.prefix.len(), KEY_BYTES_MAX)?;
    bounded("a key", list.after.len(), KEY_BYTES_MAX)?;
    Ok(Stretch {
        bucket: BucketName::stored(&list.bucket)?,
        partition: PartitionId(partition as u16),
        prefix: list.prefix,
        after: list.after,
        items_max: (list.items_max as usize).min(LIST_ITEMS_MAX),
    })
}

/// Why a peer's stretch was not believed.
#[derive(Debug, thiserror::Error)]
pub enum StretchDecodeError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("a listing {0}")]
    Bounds(#[from] DecodeError),
}

pub fn encode_listed(listed: &Listed) -> peer::ListReply {
    let keys = listed.keys.iter().map(|listed| peer::ListedKey {
        key: listed.key.clone(),
        is_live: listed.is_live,
    });
    peer::ListReply {
        keys: keys.collect(),
        more: listed.more,
        failure: None,
    }
}

/// What a peer found; more or longer keys than there can be are not believed.
pub fn decode_listed(reply: peer::ListReply) -> Result<Listed, DecodeError> {
    let is_key = |listed: &peer::ListedKey| (1..=KEY_BYTES_MAX).contains(&listed.key.len());
    if reply.keys.len() > LIST_ITEMS_MAX || !reply.keys.iter().all(is_key) {
        return Err(DecodeError::Malformed("a list of keys"));
    }
    let keys = reply.keys.into_iter().map(|listed| ListedKey {
        key: listed.key,
        is_live: listed.is_live,
    });
    Ok(Listed {
        keys: keys.collect(),
        more: reply.more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str) -> BucketName {
        BucketName::new(name).expect("a good name")
    }

    fn partitions() -> Partitions {
        Partitions::new(256).expect("in bounds")
    }

    fn cursor(partition: u16) -> Cursor {
        Cursor {
            partition: PartitionId(partition),
            after: Bytes::from("last"),
        }
    }

    #[test]
    fn a_token_continues_its_own_listing_and_no_other() {
        let token = cursor(255).encode(&bucket("a"), b"p");
        let decode = |bytes: &Bytes, name: &str, prefix: &[u8]| {
            Cursor::decode(bytes.clone(), &bucket(name), prefix, partitions())
        };
        assert_eq!(decode(&token, "a", b"p").ok(), Some(cursor(255)));
        assert!(decode(&token, "b", b"p").is_err(), "another bucket");
        assert!(decode(&token, "a", b"").is_err(), "another prefix");
        let foreign = cursor(256).encode(&bucket("a"), b"p");
        assert!(decode(&foreign, "a", b"p").is_err(), "no such partition");
        for place in 0..token.len() {
            let mut damaged = token.to_vec();
            damaged[place] ^= 1;
            assert!(decode(&damaged.into(), "a", b"p").is_err(), "byte {place}");
            assert!(decode(&token.slice(..place), "a", b"p").is_err() || place == 0);
        }
    }
}
