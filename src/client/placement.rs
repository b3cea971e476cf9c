//! The ring as a client has downloaded it: from a key to the nodes to ask, in order (Dynamo 4.3, 6.4).
//!
//! An immutable snapshot. Sends nothing; which nodes are well is told from outside.
//!
//! Invariant: a key falls into the same partition as at the nodes, for it is the same code; nobody is named
//! twice, and everybody who may help is named.

use super::tls::is_secured;
use crate::dynamo::names::{Key, NameError, NodeId};
use crate::dynamo::ring::partition::{PartitionId, Partitions, PartitionsError, Token};
use crate::limits::MEMBERS_MAX;
use crate::wire::proto::v1 as proto;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Members and owners at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    partitions: Partitions,
    /// By partition, best first.
    owners: Vec<Vec<NodeId>>,
    targets: BTreeMap<NodeId, Target>,
    hash: u64,
}

/// Where a request is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub url: Arc<str>,
    /// Who is there; none if some node stands in for one whose address nobody knows.
    pub node: Option<NodeId>,
}

/// Why a ring was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    #[error("its {0}")]
    Partitions(#[from] PartitionsError),
    #[error("it names {count} partitions and the owners of {found}")]
    Count { count: u32, found: usize },
    #[error("it has {0} members, the limit is {MEMBERS_MAX}")]
    Members(usize),
    #[error("a name of a node was refused: {0}")]
    Name(#[from] NameError),
    #[error("partition {0} has no owner that is a member")]
    Owners(u16),
}

impl Placement {
    /// Believes a ring that the node at `answered` told. `addresses` win over those that it knows; it stands in
    /// itself for members without any.
    pub fn of(
        ring: proto::RingResponse,
        answered: &Arc<str>,
        addresses: &BTreeMap<String, String>,
    ) -> Result<Self, PlacementError> {
        let found = ring.partitions.len();
        let count = ring.partition_count;
        if usize::try_from(count) != Ok(found) {
            return Err(PlacementError::Count { count, found });
        }
        let partitions = Partitions::new(u16::try_from(found).unwrap_or(u16::MAX))?;
        if ring.members.len() > MEMBERS_MAX {
            return Err(PlacementError::Members(ring.members.len()));
        }
        let mut targets = BTreeMap::new();
        for member in ring.members {
            let node = NodeId::new(&member.node)?;
            let known = addresses.get(&member.node).unwrap_or(&member.address);
            let target = match known.is_empty() && ring.node != member.node {
                true => Target {
                    url: Arc::clone(answered),
                    node: None,
                },
                false => Target {
                    url: match known.is_empty() {
                        true => Arc::clone(answered),
                        false => url(known, scheme_of(answered)),
                    },
                    node: Some(node.clone()),
                },
            };
            targets.insert(node, target);
        }
        let mut owners = Vec::with_capacity(found);
        for (partition, named) in ring.partitions.into_iter().enumerate() {
            let mut nodes: Vec<NodeId> = Vec::new();
            for name in named.nodes {
                let node = NodeId::new(&name)?;
                if let Some((node, _)) = targets.get_key_value(&node) {
                    nodes.push(node.clone()); // One text for each name.
                }
            }
            if nodes.is_empty() {
                return Err(PlacementError::Owners(partition as u16));
            }
            owners.push(nodes);
        }
        Ok(Self {
            partitions,
            owners,
            targets,
            hash: ring.ring_hash,
        })
    }

    /// Equal to that of the nodes while nothing has changed.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn partition_of(&self, key: &Key) -> PartitionId {
        self.partitions.of(Token::of(key))
    }

    /// The nodes that keep the `n` copies of a key, best first.
    pub fn primaries(&self, key: &Key, n: u8) -> &[NodeId] {
        let owners = &self.owners[usize::from(self.partition_of(key).0)];
        &owners[..owners.len().min(usize::from(n))]
    }

    /// Every member, with where it is asked.
    pub fn targets(&self) -> impl Iterator<Item = (&NodeId, &Target)> {
        self.targets.iter()
    }

    /// All whom a request for `key` may be sent to, best first: `fastest` if it keeps the key (5), the other
    /// primaries from place `turn` on, so that clients spread, and everybody else, who can pass it on. Whoever
    /// `is_avoided` comes last.
    pub fn candidates(
        &self,
        key: &Key,
        n: u8,
        fastest: Option<&NodeId>,
        turn: usize,
        is_avoided: impl Fn(&str) -> bool,
    ) -> Vec<Target> {
        let primaries = self.primaries(key, n);
        let first = primaries.iter().filter(|node| Some(*node) == fastest);
        let others = self.targets.keys().filter(|node| !primaries.contains(node));
        let others: Vec<&NodeId> = others.collect();
        let nodes = first
            .chain(rotated(primaries, turn))
            .chain(rotated(&others, turn).copied());
        let mut seen = BTreeSet::new();
        let distinct = nodes
            .filter_map(|node| self.targets.get(node))
            .filter(|target| seen.insert(Arc::clone(&target.url)));
        let (well, avoided): (Vec<Target>, Vec<Target>) = distinct
            .cloned()
            .partition(|target| !is_avoided(&target.url));
        [well, avoided].concat()
    }
}

fn rotated<T>(items: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let start = turn.checked_rem(items.len()).unwrap_or(0);
    items[start..].iter().chain(&items[..start])
}

/// An address with its scheme, which configurations leave out.
pub fn url(address: &str, scheme: &str) -> Arc<str> {
    match address.contains("://") {
        true => address.into(),
        false => format!("{scheme}://{address}").into(),
    }
}

/// A cluster speaks to its clients in one way: the way of the node that answered.
pub fn scheme_of(url: &str) -> &'static str {
    match is_secured(url) {
        true => "https",
        false => "http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::names::BucketName;
    use crate::dynamo::ring::member::Member;
    use crate::dynamo::ring::preference::Ring;

    const ANSWERED: &str = "http://answered:1";

    fn ring(nodes: usize) -> Ring {
        let member = |place| Member {
            id: NodeId::new(&format!("n{place}")).expect("a name"),
            weight: 1,
            zone: String::new(),
        };
        let partitions = Partitions::new(64).expect("in bounds");
        Ring::new(partitions, (0..nodes).map(member).collect()).expect("a ring")
    }

    /// As a node tells it; n0, who answers, knows the addresses of all but n1.
    fn told(ring: &Ring) -> proto::RingResponse {
        let member = |member: &Member| proto::Member {
            node: member.id.as_str().to_owned(),
            weight: 1,
            zone: String::new(),
            address: match member.id.as_str() {
                "n1" => String::new(),
                name => format!("{name}:7001"),
            },
        };
        let owners = |partition| proto::Owners {
            nodes: ring
                .primaries(partition, u8::MAX)
                .map(|id| id.as_str().to_owned())
                .collect(),
        };
        proto::RingResponse {
            members: ring.members().iter().map(member).collect(),
            partitions: ring.partitions().all().map(owners).collect(),
            ring_hash: ring.hash(),
            partition_count: 64,
            node: "n0".to_owned(),
        }
    }

    fn placement(ring: &Ring) -> Placement {
        Placement::of(told(ring), &ANSWERED.into(), &BTreeMap::new()).expect("a ring")
    }

    fn keys() -> impl Iterator<Item = Key> {
        let bucket = BucketName::new("carts").expect("a name");
        (0..200).map(move |number: u32| {
            Key::new(bucket.clone(), number.to_string().into()).expect("a key")
        })
    }

    fn urls(targets: &[Target]) -> Vec<&str> {
        targets.iter().map(|target| &*target.url).collect()
    }

    #[test]
    fn the_other_nodes_are_dialled_as_the_one_that_answered_was() {
        let answered = "https://answered:1".into();
        let placement = Placement::of(told(&ring(3)), &answered, &BTreeMap::new());
        let placement = placement.expect("a ring");
        let mut urls: Vec<&str> = placement
            .targets()
            .map(|(_, target)| &*target.url)
            .collect();
        urls.sort_unstable();
        assert_eq!(
            urls,
            ["https://answered:1", "https://n0:7001", "https://n2:7001"]
        );
    }

    #[test]
    fn a_key_is_placed_as_the_nodes_place_it() {
        let ring = ring(7);
        let placement = placement(&ring);
        assert_eq!(placement.hash(), ring.hash());
        for key in keys() {
            let partition = ring.partition_of(&key);
            assert_eq!(placement.partition_of(&key), partition);
            let primaries: Vec<_> = ring.primaries(partition, 3).cloned().collect();
            assert_eq!(placement.primaries(&key, 3), primaries);
        }
    }

    #[test]
    fn everybody_is_asked_once_and_the_primaries_first() {
        let placement = placement(&ring(7));
        for (turn, key) in keys().enumerate() {
            let candidates = placement.candidates(&key, 3, None, turn, |_| false);
            assert_eq!(candidates.len(), 7);
            let primaries = placement.primaries(&key, 3);
            let first: BTreeSet<_> = urls(&candidates[..3]).into_iter().collect();
            let expected = primaries.iter().map(|node| &*placement.targets[node].url);
            assert_eq!(first, expected.collect());
            assert_eq!(
                candidates[0].url,
                placement.targets[&primaries[turn % 3]].url
            );
        }
    }

    #[test]
    fn the_fastest_is_first_if_it_keeps_the_key() {
        let placement = placement(&ring(7));
        for key in keys() {
            let primaries = placement.primaries(&key, 3);
            for (node, target) in placement.targets() {
                let candidates = placement.candidates(&key, 3, Some(node), 0, |_| false);
                let leads = candidates[0].url == target.url;
                assert_eq!(
                    leads,
                    primaries.contains(node) && (leads || node != &primaries[0])
                );
                assert_eq!(candidates.len(), 7);
            }
        }
    }

    #[test]
    fn who_is_avoided_comes_last() {
        let placement = placement(&ring(7));
        for key in keys() {
            let primaries = placement.primaries(&key, 3);
            let avoided = placement.targets[&primaries[0]].url.clone();
            let fastest = Some(&primaries[0]);
            let candidates = placement.candidates(&key, 3, fastest, 0, |url| *url == *avoided);
            assert_eq!(
                candidates[6].url, avoided,
                "it may be the only one that is up"
            );
        }
    }

    #[test]
    fn the_node_that_answered_stands_in_for_an_unknown_address() {
        let ring = ring(3);
        let known = placement(&ring);
        let n1 = &known.targets[&NodeId::new("n1").expect("a name")];
        assert_eq!((&*n1.url, &n1.node), (ANSWERED, &None));
        let mut nameless = told(&ring);
        nameless
            .members
            .iter_mut()
            .for_each(|member| member.address.clear());
        let one = Placement::of(nameless, &ANSWERED.into(), &BTreeMap::new()).expect("a ring");
        for key in keys() {
            assert_eq!(
                urls(&one.candidates(&key, 3, None, 1, |_| false)),
                [ANSWERED]
            );
        }
        let given = [("n1".to_owned(), "elsewhere:9".to_owned())].into();
        let given = Placement::of(told(&ring), &ANSWERED.into(), &given).expect("a ring");
        let n1 = &given.targets[&NodeId::new("n1").expect("a name")];
        assert_eq!(&*n1.url, "http://elsewhere:9");
    }

    #[test]
    fn a_ring_that_cannot_be_is_not_believed() {
        let good = told(&ring(3));
        let refuse = |change: fn(&mut proto::RingResponse)| {
            let mut bad = good.clone();
            change(&mut bad);
            Placement::of(bad, &ANSWERED.into(), &BTreeMap::new()).expect_err("it is refused")
        };
        refuse(|ring| ring.partition_count = 63);
        refuse(|ring| ring.partitions[5].nodes.clear());
        refuse(|ring| ring.partitions[5].nodes = vec!["stranger".to_owned()]);
        refuse(|ring| ring.members[0].node = "NOT A NAME".to_owned());
        refuse(|ring| ring.members = vec![ring.members[0].clone(); MEMBERS_MAX + 1]);
        refuse(|ring| {
            ring.partitions.clear();
            ring.partition_count = 0;
        });
        refuse(|ring| {
            ring.partitions = vec![ring.partitions[0].clone(); 70_000];
            ring.partition_count = 70_000;
        });
    }
}
