//! What a peer tells the steward, and what the steward makes of it.

use super::bytes_of::{self, facts, node, partitions};
use bytes::Bytes;
use rejoin::dynamo::membership::gossip::{Gossip, Reply};
use rejoin::dynamo::membership::snapshot::{Effect, Identity};
use rejoin::dynamo::membership::steward::Steward;
use rejoin::dynamo::names::{Millis, Now};

const TOKEN: &[u8] = b"a long enough secret";

pub fn run(bytes: &[u8]) {
    let given = Bytes::copy_from_slice(bytes);
    let Ok(gossip) = Gossip::decode(given.clone()) else {
        return;
    };
    let again = Gossip::decode(gossip.encode());
    assert_eq!(
        again.as_ref(),
        Ok(&gossip),
        "what was read is what is written"
    );
    if !matches!(gossip, Gossip::Knock { .. }) {
        // Behind the facts of who knocks a later release may say more.
        assert_eq!(gossip.encode(), given, "gossip has one encoding");
    }
    let identity = Identity {
        me: node("a"),
        facts: facts(),
        token: Some(Bytes::from_static(TOKEN).into()),
        partitions: partitions(),
    };
    let mut steward = Steward::new(identity, bytes_of::catalog(), 1, at(0));
    let mut effects = Vec::new();
    steward.introduce(at(1), &mut effects).ok();
    for (place, from) in ["b", "stranger"].into_iter().enumerate() {
        let now = at(10 + place as u64);
        steward.on_gossip(now, node(from), gossip.clone(), &mut effects);
    }
    steward.suspected(at(20));
    steward.agreeing();
    for effect in effects {
        if let Effect::Send { gossip, .. } = effect {
            assert!(
                Gossip::decode(gossip.encode()).is_ok(),
                "what is sent can be read"
            );
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let rows = bytes_of::catalog().encode();
    let token = Bytes::from_static(TOKEN).into();
    let suspects = vec![(node("c"), 5_000)];
    [
        Gossip::Digest {
            hash: 5,
            suspects,
            is_answer: false,
        },
        Gossip::Rows {
            rows,
            hash: 5,
            reply: Reply::Difference,
        },
        Gossip::Knock {
            facts: facts(),
            token,
        },
        Gossip::Refused {
            why: "it is full".to_owned(),
        },
    ]
    .iter()
    .map(|gossip| gossip.encode().to_vec())
    .collect()
}

fn at(ms: u64) -> Now {
    Now {
        monotonic: Millis(ms),
        wall_ms: ms,
    }
}
