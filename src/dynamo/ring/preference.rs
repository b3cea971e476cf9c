//! The ring as nodes use it: from a key to its preference list (Dynamo 4.3).
//!
//! An immutable snapshot of one member set. Knows nothing of which nodes can be reached.
//!
//! Invariant: a preference list names distinct physical nodes, the N primaries first, then the rest.

use super::super::codec::Writer;
use super::super::names::{Key, NodeId};
use super::assignment::{Owners, assign};
use super::member::{Member, MembersError, check_members};
use super::partition::{PartitionId, Partitions, Token};
use xxhash_rust::xxh3::xxh3_64;

/// Partitions and their owners, for one set of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    partitions: Partitions,
    members: Vec<Member>,
    owners: Owners,
    /// Stands in every reply to a client, so it is computed once.
    hash: u64,
}

impl Ring {
    /// The ring of these members, whatever their order.
    pub fn new(partitions: Partitions, mut members: Vec<Member>) -> Result<Self, MembersError> {
        check_members(&members)?;
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let owners = assign(partitions, &members);
        let hash = hash(partitions, &members, &owners);
        Ok(Self {
            partitions,
            members,
            owners,
            hash,
        })
    }

    pub fn partitions(&self) -> Partitions {
        self.partitions
    }

    /// In ascending order of their names.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn partition_of(&self, key: &Key) -> PartitionId {
        self.partitions.of(Token::of(key))
    }

    /// The nodes that keep the `n` copies of a partition, best first; fewer if the cluster is smaller.
    pub fn primaries(&self, partition: PartitionId, n: u8) -> impl Iterator<Item = &NodeId> {
        self.owners_of(partition)
            .iter()
            .take(usize::from(n))
            .map(|place| &self.members[usize::from(*place)].id)
    }

    /// Nobody, for a partition beyond the ring.
    fn owners_of(&self, partition: PartitionId) -> &[u16] {
        let owners = self.owners.get(usize::from(partition.0));
        owners.map_or(&[], Vec::as_slice)
    }

    /// Every node in the order in which it is asked: the owners by rank, then the others by name,
    /// starting behind the last owner so that fallbacks differ between partitions.
    pub fn preference_list(&self, partition: PartitionId) -> impl Iterator<Item = &NodeId> {
        let owners = self.owners_of(partition);
        let start = owners.last().map_or(0, |place| usize::from(*place) + 1);
        let others = (0..self.members.len())
            .map(move |step| (start + step) % self.members.len())
            .filter(|place| !owners.contains(&(*place as u16)));
        owners
            .iter()
            .map(|place| usize::from(*place))
            .chain(others)
            .map(|place| &self.members[place].id)
    }

    pub fn is_primary(&self, partition: PartitionId, n: u8, node: &NodeId) -> bool {
        self.primaries(partition, n).any(|primary| primary == node)
    }

    /// Equal on nodes that agree on members and owners.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

fn hash(partitions: Partitions, members: &[Member], owners: &Owners) -> u64 {
    let mut writer = Writer::default();
    writer.number(u64::from(partitions.count()));
    for member in members {
        writer.bytes(member.id.as_str().as_bytes());
        writer.number(u64::from(member.weight));
        writer.bytes(member.zone.as_bytes());
    }
    for owners in owners {
        owners
            .iter()
            .for_each(|place| writer.number(u64::from(*place)));
    }
    xxh3_64(&writer.finish())
}
