//! What a node has of one key, as another asks for it, in protobuf.
//!
//! Invariant: an answer holds one object, and one for each node that a cluster can have, at most.

use super::fingerprints::{Decoded, RepairDecodeError, decode_key, encode_key};
use super::proto::peer as proto;
use super::repair::{decode_copy, encode_copy};
use crate::dynamo::causality::object::Object;
use crate::dynamo::names::{Key, NodeId};
use crate::dynamo::replica::record::Replaced;
use crate::limits::{NODES_KNOWN_MAX, TEXT_BYTES_MAX};

/// The object, what merges replaced, the actor, and the hints.
pub type Held = (Object, Vec<Replaced>, String, Vec<(NodeId, Object)>);

pub fn encode_request(key: &Key) -> proto::InspectRequest {
    proto::InspectRequest {
        key: Some(encode_key(key)),
    }
}

pub fn decode_request(request: proto::InspectRequest) -> Decoded<Key> {
    decode_key(request.key.ok_or(RepairDecodeError::Missing("key"))?)
}

pub fn encode((object, replaced, actor, hints): Held) -> proto::InspectResponse {
    let hint = |(home, object): &(NodeId, Object)| proto::HintKept {
        home: home.as_str().to_owned(),
        object: object.encode(),
    };
    proto::InspectResponse {
        copied: Some(encode_copy(None, &object, &replaced)),
        actor,
        hints: hints.iter().map(hint).collect(),
    }
}

pub fn decode(response: proto::InspectResponse) -> Decoded<Held> {
    let bounded = |what, found, limit| match found <= limit {
        true => Ok(()),
        false => Err(RepairDecodeError::Bound { what, found, limit }),
    };
    bounded("actor", response.actor.len(), TEXT_BYTES_MAX)?;
    bounded("number of hints", response.hints.len(), NODES_KNOWN_MAX)?;
    let (object, replaced) = decode_copy(response.copied.unwrap_or_default())?;
    let mut hints = Vec::new();
    for hint in response.hints {
        let home = NodeId::new(&hint.home)?;
        hints.push((home, Object::decode(hint.object)?));
    }
    Ok((object, replaced, response.actor, hints))
}
