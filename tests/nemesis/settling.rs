//! When a cluster has settled: everybody is there, nothing is kept for anybody, nothing moves, and copies were compared.
//!
//! Asks; changes nothing but the moment of the next comparison.

use super::doors::Doors;
use super::stage::Node;
use rejoin::wire::proto::v1 as proto;
use std::collections::{BTreeMap, BTreeSet};

/// What the nodes were seen to have done when a settling began.
#[derive(Default)]
pub struct Rounds {
    /// Rounds of anti-entropy and keys that they repaired, by place.
    before: BTreeMap<usize, (u64, u64)>,
}

pub async fn status(node: &Node) -> Option<proto::StatusResponse> {
    let asked = node.connection.request(proto::StatusRequest {});
    let status = node.connection.cluster().status(asked).await;
    Some(status.ok()?.into_inner())
}

pub async fn members(node: &Node) -> Option<proto::MembersResponse> {
    let asked = node.connection.request(proto::MembersRequest {});
    let members = node.connection.cluster().members(asked).await;
    Some(members.ok()?.into_inner())
}

async fn anti_entropy(node: &Node, now: bool) -> Option<proto::AntiEntropyResponse> {
    let asked = node.connection.request(proto::AntiEntropyRequest { now });
    let reply = node.connection.cluster().anti_entropy(asked).await;
    Some(reply.ok()?.into_inner())
}

/// Why these nodes have not come to rest; none: they have.
pub async fn unrest(doors: &Doors, names: &[String], places: &[usize]) -> Option<String> {
    let (mut hashes, mut hints) = (BTreeSet::new(), 0);
    for place in places {
        let name = &names[*place];
        let Some(node) = doors.node(*place) else {
            return Some(format!("{name} is down"));
        };
        let (Some(status), Some(members)) = (status(&node).await, members(&node).await) else {
            return Some(format!("{name} does not answer"));
        };
        for other in places.iter().filter(|other| *other != place) {
            let reaches = |peer: &&proto::Peer| peer.node == names[*other] && peer.is_connected;
            if status.peers.iter().find(reaches).is_none() {
                return Some(format!("{name} does not reach {}", names[*other]));
            }
        }
        if members.partitions_moving > 0 {
            let moving = members.partitions_moving;
            return Some(format!("{moving} partitions are moving, says {name}"));
        }
        hashes.insert((status.ring_hash, status.metadata_hash));
        hints += status.counters.get("hints_pending").copied().unwrap_or(0);
    }
    match (hashes.len(), hints) {
        (1, 0) => None,
        (1, hints) => Some(format!("{hints} hints are pending")),
        _ => Some("the nodes do not agree on ring and metadata".to_owned()),
    }
}

impl Rounds {
    /// From now on.
    pub async fn begin(doors: &Doors, places: &[usize]) -> Option<Self> {
        let mut rounds = Self::default();
        for place in places {
            let reply = anti_entropy(&doors.node(*place)?, true).await?;
            let seen = (reply.rounds_finished, reply.keys_repaired);
            rounds.before.insert(*place, seen);
        }
        Some(rounds)
    }

    /// Why not every node has finished a round that it began since; none: all have. The first to end may be an older one.
    pub async fn unfinished(&self, doors: &Doors, names: &[String]) -> Option<String> {
        for (place, (rounds, _)) in &self.before {
            let name = &names[*place];
            let node = doors.node(*place);
            let reply = match node {
                Some(node) => anti_entropy(&node, false).await,
                None => None,
            };
            match reply {
                None => return Some(format!("{name} does not answer")),
                Some(reply) if reply.rounds_finished < rounds + 2 => {
                    return Some(format!("{name} has not compared its copies"));
                }
                Some(_) => {}
            }
        }
        None
    }

    /// Keys that were repaired since. None: some node does not answer.
    pub async fn repaired(&self, doors: &Doors) -> Option<u64> {
        let mut repaired = 0;
        for (place, (_, before)) in &self.before {
            let reply = anti_entropy(&doors.node(*place)?, false).await?;
            repaired += reply.keys_repaired.saturating_sub(*before);
        }
        Some(repaired)
    }
}
