//! What clients hand back as a context, a page token or a position.

use super::bytes_of;
use bytes::Bytes;
use rejoin::dynamo::causality::context::Context;
use rejoin::limits::{ACTORS_MAX, CONTEXT_BYTES_MAX};
use rejoin::wire::keys::Cursor;
use rejoin::wire::watch::Position;
use xxhash_rust::xxh3::Xxh3;

pub fn run(bytes: &[u8]) {
    let given = Bytes::copy_from_slice(bytes);
    check_context(given.clone());
    // A search does not find checksums, a client that wants to can compute them.
    check_context(sealed(bytes, |hasher| {
        hasher.update(b"carts\0k");
    }));
    check_cursor(given.clone());
    check_cursor(sealed(bytes, |hasher| {
        hasher.update(b"carts\0");
        hasher.update(&1u64.to_be_bytes());
        hasher.update(b"p");
    }));
    if let Ok(Some(position)) = Position::decode(given.clone()) {
        assert_eq!(position.encode(), given, "a position has one encoding");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let context = bytes_of::context().encode(&bytes_of::key("k"));
    let cursor = Cursor {
        partition: rejoin::dynamo::ring::partition::PartitionId(3),
        after: Bytes::from("pa"),
    };
    let cursor = cursor.encode(&bytes_of::bucket(), b"p");
    let position = Position(vec![(7, 3), (u64::MAX, 300)]).encode();
    let bodies = [&context, &cursor].map(|whole| whole[..whole.len() - 8].to_vec());
    [context, cursor, position]
        .into_iter()
        .map(Vec::from)
        .chain(bodies)
        .collect()
}

fn check_context(given: Bytes) {
    let key = bytes_of::key("k");
    let Ok(context) = Context::decode(given.clone(), &key) else {
        return;
    };
    assert!(given.len() <= CONTEXT_BYTES_MAX && context.clock().count() <= ACTORS_MAX);
    let encoded = context.encode(&key);
    assert!(encoded.len() <= CONTEXT_BYTES_MAX);
    let again = Context::decode(encoded.clone(), &key).expect("ours is good");
    for (actor, n) in again.clock() {
        assert_eq!(n, context.count_of(actor), "it covers less, never more");
    }
    if again.clock().count() == context.clock().count() && !given.is_empty() {
        assert_eq!(encoded, given, "a context has one encoding");
    }
    let mut object = bytes_of::object();
    object.discard(&context);
    object.discard(&context);
}

fn check_cursor(given: Bytes) {
    let bucket = bytes_of::bucket();
    let decoded = Cursor::decode(given.clone(), &bucket, b"p", bytes_of::partitions());
    if let Ok(cursor) = decoded
        && !given.is_empty()
    {
        assert!(cursor.partition.0 < bytes_of::partitions().count());
        assert_eq!(
            cursor.encode(&bucket, b"p"),
            given,
            "a token has one encoding"
        );
    }
}

fn sealed(body: &[u8], over: impl Fn(&mut Xxh3)) -> Bytes {
    let mut hasher = Xxh3::new();
    over(&mut hasher);
    hasher.update(body);
    [body, &hasher.digest().to_be_bytes()].concat().into()
}
