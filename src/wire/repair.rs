//! The questions and answers of an exchange, in protobuf.
//!
//! Knows their shapes and bounds; whether an answer fits its question is the exchange's to judge.
//!
//! Invariant: a list of keys has a fingerprint for each key, and no more keys than a slice.

use super::fingerprints::{
    Decoded, RepairDecodeError, decode_fingerprints, decode_key, encode_fingerprints, encode_key,
};
use super::proto::peer as proto;
use super::vouching::{decode_granted, decode_meant, encode_meant};
use crate::dynamo::causality::object::Object;
use crate::dynamo::codec::DecodeError;
use crate::dynamo::machine::message::Message;
use crate::dynamo::names::{Key, Ticket};
use crate::dynamo::repair::hash_tree::{LeafSet, Leaves};
use crate::dynamo::repair::inquiry::{Answer, Ask, Refusal};
use crate::dynamo::replica::record::Replaced;
use crate::dynamo::ring::partition::PartitionId;
use crate::limits::versions::RETAINED_MERGES_READ_MAX;
use crate::limits::{N_MAX, PARTITIONS_MAX, SLICE_CHUNK_ITEMS, SLICE_ITEMS_MAX, TREE_LEAVES};
use bytes::Bytes;

pub fn encode_ask(partition: PartitionId, n: u8, ask: &Ask) -> proto::Repair {
    use proto::repair::Ask as Body;
    let body = match ask {
        Ask::Root => Body::Root(proto::Nothing {}),
        Ask::Leaves => Body::Leaves(proto::Nothing {}),
        Ask::Keys {
            leaves,
            after,
            upto,
        } => Body::Keys(proto::KeysAsk {
            leaves: leaves.to_bytes(),
            after: after.as_ref().map(encode_key),
            upto: upto.as_ref().map(encode_key),
        }),
        Ask::Copy { key } => Body::Copy(encode_key(key)),
        Ask::Give {
            key,
            object,
            replaced,
        } => Body::Give(encode_copy(Some(key), object, replaced)),
        Ask::Sync => Body::Sync(proto::Nothing {}),
        Ask::Doubt => Body::Doubt(proto::Nothing {}),
        Ask::Vouch {
            placement_version,
            standing_ms,
            keys,
        } => Body::Vouch(proto::VouchAsk {
            placement_version: *placement_version,
            standing_ms: *standing_ms,
            meant: Some(encode_meant(keys)),
        }),
        Ask::Reap { keys } => Body::Reap(encode_meant(keys)),
    };
    proto::Repair {
        partition: u32::from(partition.0),
        n: u32::from(n),
        ask: Some(body),
    }
}

pub fn decode_ask(ticket: Ticket, repair: proto::Repair) -> Decoded<Message> {
    use proto::repair::Ask as Body;
    let ask = match repair.ask.ok_or(RepairDecodeError::Missing("question"))? {
        Body::Root(_) => Ask::Root,
        Body::Leaves(_) => Ask::Leaves,
        Body::Keys(keys) => Ask::Keys {
            leaves: LeafSet::from_bytes(&keys.leaves)
                .ok_or(RepairDecodeError::Missing("set of leaves"))?,
            after: keys.after.map(decode_key).transpose()?,
            upto: keys.upto.map(decode_key).transpose()?,
        },
        Body::Copy(key) => Ask::Copy {
            key: decode_key(key)?,
        },
        Body::Give(mut copied) => {
            let key = copied.key.take();
            let (object, replaced) = decode_copy(copied)?;
            Ask::Give {
                key: decode_key(key.ok_or(RepairDecodeError::Missing("key"))?)?,
                object,
                replaced,
            }
        }
        Body::Sync(_) => Ask::Sync,
        Body::Doubt(_) => Ask::Doubt,
        Body::Vouch(vouch) => Ask::Vouch {
            placement_version: vouch.placement_version,
            standing_ms: vouch.standing_ms,
            keys: decode_meant(vouch.meant.unwrap_or_default())?,
        },
        Body::Reap(meant) => Ask::Reap {
            keys: decode_meant(meant)?,
        },
    };
    let partition = bounded("partition", repair.partition, usize::from(PARTITIONS_MAX))?;
    Ok(Message::Repair {
        ticket,
        partition: PartitionId(partition as u16),
        n: bounded("number of copies", repair.n, usize::from(N_MAX))? as u8,
        ask: Box::new(ask),
    })
}

pub fn encode_answer(answer: &Answer) -> proto::Repaired {
    use proto::repaired::Answer as Body;
    let body = match answer {
        Answer::Root(root) => Body::Root(Bytes::copy_from_slice(&root.to_be_bytes())),
        Answer::Building { records } => Body::Building(*records),
        Answer::Leaves(leaves) => Body::Leaves(encode_fingerprints(leaves.iter())),
        Answer::Keys { keys, covered } => Body::Keys(proto::KeysReply {
            keys: keys.iter().map(|(key, _)| encode_key(key)).collect(),
            fingerprints: encode_fingerprints(keys.iter().map(|(_, fingerprint)| fingerprint)),
            covered: covered.as_ref().map(encode_key),
        }),
        Answer::Copy { object, replaced } => Body::Copy(encode_copy(None, object, replaced)),
        Answer::Done { is_changed } => Body::Done(proto::Done {
            is_changed: *is_changed,
        }),
        Answer::Granted(granted) => Body::Granted(proto::Granted {
            granted: granted.clone(),
        }),
        Answer::Refused(refusal) => Body::Refused(encode_refusal(refusal)),
    };
    proto::Repaired { answer: Some(body) }
}

pub fn decode_answer(ticket: Ticket, repaired: proto::Repaired) -> Decoded<Message> {
    use proto::repaired::Answer as Body;
    let answer = match repaired
        .answer
        .ok_or(RepairDecodeError::Missing("answer"))?
    {
        Body::Root(root) => match decode_fingerprints(&root, 1)?.first() {
            Some(root) => Answer::Root(*root),
            None => return Err(RepairDecodeError::Missing("root")),
        },
        Body::Building(records) => Answer::Building { records },
        Body::Leaves(leaves) => {
            let leaves = decode_fingerprints(&leaves, TREE_LEAVES)?;
            let leaves: Leaves = match leaves.try_into() {
                Ok(leaves) => leaves,
                Err(_) => return Err(RepairDecodeError::Missing("leaves")),
            };
            Answer::Leaves(Box::new(leaves))
        }
        Body::Keys(reply) => {
            let limit = SLICE_ITEMS_MAX + SLICE_CHUNK_ITEMS;
            let found = reply.keys.len();
            let fingerprints = decode_fingerprints(&reply.fingerprints, limit)?;
            if found != fingerprints.len() {
                let (what, limit) = ("number of fingerprints", found);
                let found = fingerprints.len();
                return Err(RepairDecodeError::Bound { what, found, limit });
            }
            let keys: Decoded<Vec<Key>> = reply.keys.into_iter().map(decode_key).collect();
            Answer::Keys {
                keys: keys?.into_iter().zip(fingerprints).collect(),
                covered: reply.covered.map(decode_key).transpose()?,
            }
        }
        Body::Copy(copied) => {
            let (object, replaced) = decode_copy(copied)?;
            Answer::Copy { object, replaced }
        }
        Body::Done(done) => Answer::Done {
            is_changed: done.is_changed,
        },
        Body::Granted(granted) => Answer::Granted(decode_granted(granted)?),
        Body::Refused(refusal) => Answer::Refused(decode_refusal(refusal)?),
    };
    let answer = Box::new(answer);
    Ok(Message::Repaired { ticket, answer })
}

fn bounded(what: &'static str, found: u32, limit: usize) -> Decoded<usize> {
    let found = found as usize;
    match found <= limit {
        true => Ok(found),
        false => Err(RepairDecodeError::Bound { what, found, limit }),
    }
}

pub(super) fn encode_copy(
    key: Option<&Key>,
    object: &Object,
    replaced: &[Replaced],
) -> proto::Copied {
    proto::Copied {
        key: key.map(encode_key),
        object: object.encode(),
        replaced: replaced.iter().map(Replaced::encode).collect(),
    }
}

pub(super) fn decode_copy(copied: proto::Copied) -> Decoded<(Object, Vec<Replaced>)> {
    let (what, found, limit) = (
        "number of merges",
        copied.replaced.len(),
        RETAINED_MERGES_READ_MAX,
    );
    if found > limit {
        return Err(RepairDecodeError::Bound { what, found, limit });
    }
    let replaced: Result<Vec<Replaced>, DecodeError> =
        copied.replaced.into_iter().map(Replaced::decode).collect();
    Ok((Object::decode(copied.object)?, replaced?))
}

fn encode_refusal(refusal: &Refusal) -> proto::Refusal {
    use proto::refusal::Reason;
    let reason = match refusal {
        Refusal::Unreachable => Reason::Unreachable(proto::Nothing {}),
        Refusal::NotKept => Reason::NotKept(proto::Nothing {}),
        Refusal::Storage(message) => Reason::Storage(message.clone()),
    };
    proto::Refusal {
        reason: Some(reason),
    }
}

fn decode_refusal(refusal: proto::Refusal) -> Decoded<Refusal> {
    use proto::refusal::Reason;
    Ok(
        match refusal.reason.ok_or(RepairDecodeError::Missing("reason"))? {
            Reason::Unreachable(_) => Refusal::Unreachable,
            Reason::NotKept(_) => Refusal::NotKept,
            Reason::Storage(message) => Refusal::Storage(message),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::fingerprints::FINGERPRINT_BYTES;
    use super::*;
    use crate::dynamo::causality::dot::{Actor, Dot, Incarnation};
    use crate::dynamo::causality::version::Version;
    use crate::dynamo::names::BucketName;
    use crate::dynamo::repair::hash_tree::Tree;

    const TICKET: Ticket = Ticket { life: 7, count: 9 };

    fn key(name: &str) -> Key {
        let bucket = BucketName::new("carts").expect("a good name");
        Key::new(bucket, Bytes::copy_from_slice(name.as_bytes())).expect("a good key")
    }

    fn copy() -> (Object, Vec<Replaced>) {
        let actor = Actor {
            incarnation: Incarnation(3),
            epoch: 1,
        };
        let version = Version::value("milk", 5);
        let mut object = Object::default();
        let counter = object.event(actor, version.clone()).counter;
        let replaced = Replaced {
            dot: Dot { actor, counter },
            merged_by: None,
            merged_at_ms: 5,
            provenance: None,
            inputs: vec![version],
        };
        (object, vec![replaced])
    }

    #[test]
    fn what_is_asked_arrives_as_it_was_meant() {
        let (object, replaced) = copy();
        let mut tree = Tree::default();
        tree.replace(&key("a"), 0, 5);
        let leaves = tree.differing(Tree::default().leaves());
        let asks = [
            Ask::Root,
            Ask::Leaves,
            Ask::Keys {
                leaves,
                after: None,
                upto: Some(key("z")),
            },
            Ask::Copy { key: key("a") },
            Ask::Give {
                key: key("a"),
                object,
                replaced,
            },
            Ask::Sync,
            Ask::Doubt,
            Ask::Vouch {
                placement_version: 4,
                standing_ms: 30_000,
                keys: vec![(key("a"), 1), (key("b"), u128::MAX)],
            },
            Ask::Reap {
                keys: vec![(key("a"), 1)],
            },
        ];
        for ask in asks {
            let sent = encode_ask(PartitionId(11), 3, &ask);
            let meant = Message::Repair {
                ticket: TICKET,
                partition: PartitionId(11),
                n: 3,
                ask: Box::new(ask),
            };
            assert_eq!(decode_ask(TICKET, sent).expect("it is good"), meant);
        }
    }

    #[test]
    fn what_is_answered_arrives_as_it_was_meant() {
        let (object, replaced) = copy();
        let answers = [
            Answer::Root(u128::MAX - 5),
            Answer::Building { records: 12 },
            Answer::Leaves(Box::new([3; TREE_LEAVES])),
            Answer::Keys {
                keys: vec![(key("a"), 1), (key("b"), u128::MAX)],
                covered: Some(key("b")),
            },
            Answer::Copy { object, replaced },
            Answer::Done { is_changed: true },
            Answer::Granted(vec![true, false]),
            Answer::Refused(Refusal::Unreachable),
            Answer::Refused(Refusal::NotKept),
            Answer::Refused(Refusal::Storage("it is full".to_owned())),
        ];
        for answer in answers {
            let sent = encode_answer(&answer);
            let answer = Box::new(answer);
            let ticket = TICKET;
            let meant = Message::Repaired { ticket, answer };
            assert_eq!(decode_answer(TICKET, sent).expect("it is good"), meant);
        }
    }

    #[test]
    fn more_keys_than_a_slice_has_and_keys_without_fingerprints_are_refused() {
        let reply = |keys: usize, fingerprints: usize| proto::Repaired {
            answer: Some(proto::repaired::Answer::Keys(proto::KeysReply {
                keys: vec![encode_key(&key("a")); keys],
                fingerprints: vec![0; fingerprints * FINGERPRINT_BYTES].into(),
                covered: None,
            })),
        };
        assert!(decode_answer(TICKET, reply(2, 2)).is_ok());
        assert!(decode_answer(TICKET, reply(2, 1)).is_err());
        let many = SLICE_ITEMS_MAX + SLICE_CHUNK_ITEMS + 1;
        assert!(decode_answer(TICKET, reply(many, many)).is_err());
    }
}
