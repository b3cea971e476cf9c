//! The latest context of each key that a session has touched, so that its user need not carry them (Dynamo 4.1).
//!
//! Invariant: at most `CLIENT_CONTEXTS_MAX` keys; the one that was touched longest ago is forgotten first. A
//! forgotten context makes a sibling, it loses nothing.

use crate::dynamo::causality::context;
use crate::dynamo::names::Key;
use crate::limits::{CLIENT_CONTEXTS_MAX, CONTEXT_BYTES_MAX};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// Contexts by key.
#[derive(Debug, Default)]
pub struct Remembered {
    contexts: HashMap<Key, (u64, Bytes)>,
    /// By when they were touched.
    order: BTreeMap<u64, Key>,
    touches: u64,
}

impl Remembered {
    /// What the session has seen of a key; empty if that is nothing, or forgotten.
    pub fn get(&self, key: &Key) -> Bytes {
        let known = self.contexts.get(key);
        known
            .map(|(_, context)| context.clone())
            .unwrap_or_default()
    }

    /// The session has seen this now.
    pub fn put(&mut self, key: &Key, context: Bytes) {
        if let Some((touched, _)) = self.contexts.remove(key) {
            self.order.remove(&touched);
        }
        if context.is_empty() {
            return;
        }
        self.touches += 1;
        self.order.insert(self.touches, key.clone());
        self.contexts.insert(key.clone(), (self.touches, context));
        if self.contexts.len() > CLIENT_CONTEXTS_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.contexts.remove(&oldest);
        }
    }
}

/// From here on a context may have been cut to fit its bound, and what it lacks shows nothing: the shortest one
/// that is cut has five thousand bytes.
const COMPARED_BYTES_MAX: usize = CONTEXT_BYTES_MAX / 4;

/// Whether `found` covers all that `seen` does. Bytes that are no contexts of `key` cover nothing.
pub fn covers(key: &Key, found: &Bytes, seen: &Bytes) -> bool {
    if found.len() > COMPARED_BYTES_MAX {
        return true;
    }
    let Ok(seen) = context::Context::decode(seen.clone(), key) else {
        return true; // Nothing that could be compared was seen.
    };
    let found = context::Context::decode(found.clone(), key).unwrap_or_default();
    seen.clock().all(|(actor, n)| found.count_of(actor) >= n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::causality::dot::{Actor, Incarnation};
    use crate::dynamo::names::BucketName;

    fn key(name: &str) -> Key {
        let bucket = BucketName::new("notes").expect("a name");
        Key::new(bucket, name.to_owned().into()).expect("a key")
    }

    fn context(key: &Key, clock: &[(u64, u64)]) -> Bytes {
        let actor = |incarnation| Actor {
            incarnation: Incarnation(incarnation),
            epoch: 1,
        };
        let clock = clock
            .iter()
            .map(|(incarnation, n)| (actor(*incarnation), *n));
        context::Context::from_clock(clock).encode(key)
    }

    #[test]
    fn the_key_touched_longest_ago_is_forgotten() {
        let mut remembered = Remembered::default();
        for number in 0..CLIENT_CONTEXTS_MAX {
            remembered.put(&key(&number.to_string()), Bytes::from_static(b"seen"));
        }
        remembered.put(&key("0"), Bytes::from_static(b"again"));
        remembered.put(&key("new"), Bytes::from_static(b"seen"));
        assert_eq!(remembered.get(&key("1")), "", "the oldest");
        assert_eq!(remembered.get(&key("0")), "again");
        assert_eq!(remembered.contexts.len(), CLIENT_CONTEXTS_MAX);
        assert_eq!(remembered.order.len(), CLIENT_CONTEXTS_MAX);
        remembered.put(&key("0"), Bytes::new());
        assert_eq!(remembered.get(&key("0")), "");
    }

    #[test]
    fn an_answer_that_lacks_what_was_seen_is_told_apart() {
        let key = key("k");
        let seen = context(&key, &[(1, 2), (2, 1)]);
        assert!(covers(
            &key,
            &context(&key, &[(1, 3), (2, 1), (3, 9)]),
            &seen
        ));
        assert!(!covers(&key, &context(&key, &[(1, 3)]), &seen));
        assert!(!covers(&key, &Bytes::new(), &seen));
        assert!(covers(&key, &Bytes::new(), &Bytes::new()));
        let many: Vec<(u64, u64)> = (10..2_000).map(|actor| (actor, 1)).collect();
        assert!(covers(&key, &context(&key, &many), &seen), "it was cut");
    }
}
