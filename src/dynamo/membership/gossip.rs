//! What nodes tell each other of the cluster (Dynamo 4.8.1): hashes first, rows only where those differ.
//!
//! Whole catalogs are reconciled by merging, so it does not matter what is lost, repeated or out of order.
//! Decides nothing: `steward` does.
//!
//! Invariant: what is answered asks for less than what it answers, so two nodes that differ do not talk for ever.

use super::super::codec::{DecodeError, Reader, Writer};
use super::super::metadata::facts::NodeFacts;
use super::super::names::{JoinToken, NodeId};
use super::opinions::Suspicion;
use crate::limits::operations::UNKNOWN_ROW_BYTES_MAX;
use crate::limits::{
    CATALOG_BYTES_MAX, CATALOG_MERGED_TIMES, SUSPECTS_MAX, TEXT_BYTES_MAX, TOKEN_BYTES_MAX,
};
use bytes::Bytes;

const FORMAT: u8 = 1;

/// One message between two stewards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gossip {
    /// My catalog has this hash, and these I do not reach.
    Digest {
        hash: u64,
        suspects: Vec<Suspicion>,
        /// Nothing is to be sent back.
        is_answer: bool,
    },
    /// Merge these rows: all of mine, or those that just changed.
    Rows {
        rows: Bytes,
        /// Of my whole catalog.
        hash: u64,
        reply: Reply,
    },
    /// I want to become a member of the cluster to which this token admits.
    Knock { facts: NodeFacts, token: JoinToken },
    /// You do not become one.
    Refused { why: String },
}

/// What the receiver of rows sends back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    Nothing,
    /// Its hash, whatever it is.
    Hash,
    /// Its own rows if its catalog still differs, and wants the sender's in turn; else its hash.
    Difference,
    /// Its own rows if its catalog still differs; else its hash.
    Rows,
}

impl Gossip {
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.byte(FORMAT);
        match self {
            Self::Digest {
                hash,
                suspects,
                is_answer,
            } => {
                writer.byte(if *is_answer { b'a' } else { b'd' });
                writer.fixed(*hash);
                writer.number(suspects.len() as u64);
                for (node, down_ms) in suspects {
                    writer.node(node);
                    writer.number(*down_ms);
                }
            }
            Self::Rows { rows, hash, reply } => {
                writer.byte(b'r');
                writer.byte(match reply {
                    Reply::Nothing => 0,
                    Reply::Hash => 1,
                    Reply::Rows => 2,
                    Reply::Difference => 3,
                });
                writer.fixed(*hash);
                writer.bytes(rows);
            }
            Self::Knock { facts, token } => {
                writer.byte(b'k');
                writer.bytes(&facts.to_bytes());
                writer.bytes(token);
            }
            Self::Refused { why } => {
                writer.byte(b'n');
                writer.bytes(why.as_bytes());
            }
        }
        writer.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let gossip = match reader.byte()? {
            kind @ (b'a' | b'd') => Self::Digest {
                hash: reader.fixed()?,
                suspects: decode_suspects(&mut reader)?,
                is_answer: kind == b'a',
            },
            b'r' => {
                let reply = match reader.byte()? {
                    0 => Reply::Nothing,
                    1 => Reply::Hash,
                    2 => Reply::Rows,
                    3 => Reply::Difference,
                    _ => return Err(DecodeError::Malformed("a reply to rows")),
                };
                let hash = reader.fixed()?;
                let rows = reader.bytes("a catalog", CATALOG_MERGED_TIMES * CATALOG_BYTES_MAX)?;
                Self::Rows { rows, hash, reply }
            }
            b'k' => Self::Knock {
                facts: NodeFacts::decode_whole(reader.bytes("facts", UNKNOWN_ROW_BYTES_MAX)?)?,
                token: reader.bytes("a token", TOKEN_BYTES_MAX)?.into(),
            },
            b'n' => Self::Refused {
                why: reader.text("a reason", TEXT_BYTES_MAX)?,
            },
            _ => return Err(DecodeError::Malformed("gossip")),
        };
        reader.finish()?;
        Ok(gossip)
    }
}

fn decode_suspects(reader: &mut Reader) -> Result<Vec<(NodeId, u64)>, DecodeError> {
    let mut suspects = Vec::new();
    for _ in 0..reader.number_max("suspects", SUSPECTS_MAX)? {
        suspects.push((reader.node()?, reader.number()?));
    }
    Ok(suspects)
}
