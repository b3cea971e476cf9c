//! The changes of a node's copies, and positions among them, in protobuf.
//!
//! Not in the paper. Holds no changes and follows none.
//!
//! Invariant: any bytes decode to a position or to an error; a position that decodes may still be of another
//! node or another life, which is for the feed to see.

use super::proto::v1 as proto;
use crate::dynamo::codec::{DecodeError, Reader, Writer};
use crate::dynamo::replica::change::Change;
use crate::limits::WATCH_POSITION_BYTES_MAX;
use bytes::Bytes;
use proto::watch_response::Event;

const FORMAT: u8 = 1;
/// More than any node has.
const SHARDS_MAX: usize = 64;

/// How far a watcher is: per life of a shard, how many changes it was told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position(pub Vec<(u64, u64)>);

/// Why a position was refused. Watching without one works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    #[error("the position has {found} bytes, the limit is {WATCH_POSITION_BYTES_MAX}")]
    TooLong { found: usize },
    #[error("the position {0}; pass the bytes of an event unchanged, or none")]
    Decode(#[from] DecodeError),
}

/// What a watcher is told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Reached,
    Changed(Change),
    Resync,
}

impl Position {
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::with_capacity(2 + self.0.len() * 18);
        writer.byte(FORMAT);
        writer.number(self.0.len() as u64);
        for (life, count) in &self.0 {
            writer.fixed(*life);
            writer.number(*count);
        }
        writer.finish()
    }

    /// No bytes are the position of somebody who has not watched before.
    pub fn decode(bytes: Bytes) -> Result<Option<Self>, PositionError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() > WATCH_POSITION_BYTES_MAX {
            return Err(PositionError::TooLong { found: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let shards = reader.number_max("shards of a position", SHARDS_MAX)?;
        let mut counts = Vec::new();
        for _ in 0..shards {
            counts.push((reader.fixed()?, reader.number()?));
        }
        reader.finish()?;
        Ok(Some(Self(counts)))
    }
}

/// One event as it travels at this time of the wall clock.
pub fn encode(told: Told, position: &Position, wall_ms: u64) -> proto::WatchResponse {
    proto::WatchResponse {
        position: position.encode(),
        event: Some(match told {
            Told::Reached => Event::Reached(proto::Reached {}),
            Told::Resync => Event::Resync(proto::Resync {}),
            Told::Changed(change) => Event::Changed(proto::Changed {
                key: change.key.bytes().clone(),
                dots: change.dots.iter().map(ToString::to_string).collect(),
                standing: change.standing as u32,
                is_live: change.is_live(wall_ms),
            }),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_position_fits_its_bound() {
        let longest = Position(vec![(u64::MAX, u64::MAX); SHARDS_MAX]).encode();
        assert!(longest.len() <= WATCH_POSITION_BYTES_MAX);
        assert!(Position::decode(longest).is_ok());
    }

    proptest! {
        #[test]
        fn a_position_comes_back_as_it_was(counts: Vec<(u64, u64)>) {
            let position = Position(counts.into_iter().take(SHARDS_MAX).collect());
            prop_assert_eq!(Position::decode(position.encode()), Ok(Some(position)));
        }

        #[test]
        fn any_bytes_are_a_position_or_an_error(bytes: Vec<u8>) {
            if let Ok(Some(position)) = Position::decode(bytes.clone().into()) {
                prop_assert_eq!(position.encode(), bytes);
            }
        }
    }
}
