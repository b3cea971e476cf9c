//! Keys that somebody is to vouch for, or to let go of, in protobuf.
//!
//! Invariant: each key has a fingerprint, and there are no more of them than in a batch.

use super::fingerprints::{
    Decoded, RepairDecodeError, decode_fingerprints, decode_key, encode_fingerprints, encode_key,
};
use super::proto::peer as proto;
use crate::dynamo::names::Key;
use crate::limits::REAP_BATCH_MAX;

pub(super) fn encode_meant(keys: &[(Key, u128)]) -> proto::KeysMeant {
    proto::KeysMeant {
        keys: keys.iter().map(|(key, _)| encode_key(key)).collect(),
        fingerprints: encode_fingerprints(keys.iter().map(|(_, fingerprint)| fingerprint)),
    }
}

pub(super) fn decode_meant(meant: proto::KeysMeant) -> Decoded<Vec<(Key, u128)>> {
    let found = meant.keys.len();
    let fingerprints = decode_fingerprints(&meant.fingerprints, REAP_BATCH_MAX)?;
    if found != fingerprints.len() {
        let (what, limit) = ("number of keys meant", fingerprints.len());
        return Err(RepairDecodeError::Bound { what, found, limit });
    }
    let keys: Decoded<Vec<Key>> = meant.keys.into_iter().map(decode_key).collect();
    Ok(keys?.into_iter().zip(fingerprints).collect())
}

pub(super) fn decode_granted(granted: proto::Granted) -> Decoded<Vec<bool>> {
    let (found, limit) = (granted.granted.len(), REAP_BATCH_MAX);
    let what = "number of keys granted";
    match found <= limit {
        true => Ok(granted.granted),
        false => Err(RepairDecodeError::Bound { what, found, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::names::BucketName;

    #[test]
    fn more_keys_to_vouch_for_than_a_batch_has_are_refused() {
        let bucket = BucketName::new("carts").expect("a good name");
        let key = Key::new(bucket, "a".into()).expect("a good key");
        let meant = |keys: usize, fingerprints: usize| {
            let meant = proto::KeysMeant {
                keys: vec![encode_key(&key); keys],
                fingerprints: vec![0; fingerprints * 16].into(),
            };
            decode_meant(meant).is_ok()
        };
        assert!(meant(REAP_BATCH_MAX, REAP_BATCH_MAX));
        assert!(!meant(2, 1));
        assert!(!meant(REAP_BATCH_MAX + 1, REAP_BATCH_MAX + 1));
        let granted = |keys: usize| {
            let granted = vec![true; keys];
            decode_granted(proto::Granted { granted }).is_ok()
        };
        assert!(granted(REAP_BATCH_MAX) && !granted(REAP_BATCH_MAX + 1));
    }
}
