//! A committed change of the members: where each partition was, and among whom it is shared from now on.
//!
//! Dynamo 4.8.1, 4.9 (explicit joins and leaves), 6.2 (strategy 3: a change needs coordination). One change is
//! under way at a time. Says nothing of how far it is: every node tells its own part in a `Progress`.
//!
//! Invariant: owners are told by name, so that a change means the same on a node that has never seen the one before.

use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::NodeId;
use super::member::{Member, MembersError, check_members};
use super::partition::{PartitionId, Partitions};
use super::partition_set::PartitionSet;
use super::preference::Ring;
use crate::limits::{
    CHANGE_TEXT_BYTES_MAX, CHANGES_REMEMBERED_MAX, MEMBERS_MAX, N_MAX, PARTITIONS_MAX,
};
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_64;

/// Who holds each partition, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holders {
    nodes: Vec<NodeId>,
    /// By partition, places in `nodes`.
    ranks: Vec<Vec<u16>>,
}

/// A change of the members, and of the owners with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Counts the changes of the cluster, from 1.
    pub version: u64,
    /// Where every partition was when the change was committed.
    pub before: Holders,
    /// The members from then on.
    pub members: Vec<Member>,
    /// The members until then: what a cancelled change goes back to.
    pub members_before: Vec<Member>,
    /// Nodes that held something before and are not waited for: they will not come back.
    pub dead: BTreeSet<NodeId>,
    /// This change and those before it, latest last, at most `CHANGES_REMEMBERED_MAX`.
    pub log: Vec<Entry>,
}

/// One change in the history of the members (4.8.1: the change and its time of issue are kept).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub version: u64,
    /// Wall clock of the node that committed it, milliseconds since 1970; for people.
    pub issued_at_ms: u64,
    pub by: NodeId,
    /// What was done, in words.
    pub what: String,
}

/// Names a change. Two that were committed at once have the same version, and different names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub u64);

/// How far one node is with its part of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The change that it is about.
    pub change: ChangeId,
    /// Partitions whose new owners hold everything that this node has to give, as of some moment.
    pub copied: PartitionSet,
    /// Partitions that this node serves no more, or holds in full: all that it had has arrived.
    pub released: PartitionSet,
}

/// Why a change was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Members(#[from] MembersError),
}

impl Holders {
    /// As the ring of a member set shares them out.
    pub fn of(ring: &Ring) -> Self {
        let partitions = ring.partitions();
        Self::gather(partitions, |partition| {
            ring.primaries(partition, N_MAX).cloned().collect()
        })
    }

    /// From each partition's own list.
    pub fn gather(partitions: Partitions, list: impl Fn(PartitionId) -> Vec<NodeId>) -> Self {
        let lists: Vec<Vec<NodeId>> = partitions.all().map(list).collect();
        let nodes: BTreeSet<NodeId> = lists.iter().flatten().cloned().collect();
        let nodes: Vec<NodeId> = nodes.into_iter().collect();
        let place = |node: &NodeId| nodes.binary_search(node).expect("it was gathered") as u16;
        let ranks = lists
            .iter()
            .map(|list| list.iter().map(place).collect())
            .collect();
        Self { nodes, ranks }
    }

    /// The holders of a partition, best first.
    pub fn of_partition(&self, partition: PartitionId) -> impl Iterator<Item = &NodeId> {
        let ranks = self.ranks.get(usize::from(partition.0));
        let ranks = ranks.into_iter().flatten();
        ranks.map(|place| &self.nodes[usize::from(*place)])
    }

    /// Everybody who holds something.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    pub fn partitions(&self) -> usize {
        self.ranks.len()
    }

    fn encode(&self, writer: &mut Writer) {
        writer.number(self.nodes.len() as u64);
        for node in &self.nodes {
            writer.node(node);
        }
        writer.number(self.ranks.len() as u64);
        for ranks in &self.ranks {
            writer.byte(ranks.len() as u8);
            for place in ranks {
                writer.number(u64::from(*place));
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut nodes: Vec<NodeId> = Vec::new();
        for _ in 0..reader.number_max("nodes", MEMBERS_MAX)? {
            let node = reader.node()?;
            if nodes.last().is_some_and(|last| *last >= node) {
                return Err(DecodeError::Malformed("the order of nodes"));
            }
            nodes.push(node);
        }
        let mut ranks = Vec::new();
        for _ in 0..reader.number_max("partitions", usize::from(PARTITIONS_MAX))? {
            ranks.push(decode_ranks(reader, nodes.len())?);
        }
        Ok(Self { nodes, ranks })
    }
}

fn decode_ranks(reader: &mut Reader, nodes: usize) -> Result<Vec<u16>, DecodeError> {
    let count = reader.byte()?;
    if count > N_MAX {
        return Err(DecodeError::Malformed("the holders of a partition"));
    }
    let mut ranks: Vec<u16> = Vec::new();
    for _ in 0..count {
        let place = reader.number_max("a node", nodes.saturating_sub(1))? as u16;
        if nodes == 0 || ranks.contains(&place) {
            return Err(DecodeError::Malformed("the holders of a partition"));
        }
        ranks.push(place);
    }
    Ok(ranks)
}

impl Change {
    /// The first of a cluster: these members, and nothing to move.
    pub fn first(partitions: Partitions, members: Vec<Member>) -> Result<Self, ChangeError> {
        let ring = Ring::new(partitions, members)?;
        Ok(Self {
            version: 1,
            before: Holders::of(&ring),
            members: ring.members().to_vec(),
            members_before: ring.members().to_vec(),
            dead: BTreeSet::new(),
            log: Vec::new(),
        })
    }

    /// What tells it from every other change, also from one that was committed at the same time elsewhere.
    pub fn id(&self) -> ChangeId {
        let mut writer = Writer::default();
        self.encode(&mut writer);
        ChangeId(xxh3_64(&writer.finish()))
    }

    pub fn partitions(&self) -> Result<Partitions, DecodeError> {
        let count = u16::try_from(self.before.partitions()).unwrap_or(u16::MAX);
        Partitions::new(count).map_err(|_| DecodeError::Malformed("the number of partitions"))
    }

    pub fn encode(&self, writer: &mut Writer) {
        writer.number(self.version);
        self.before.encode(writer);
        encode_members(&self.members, writer);
        encode_members(&self.members_before, writer);
        writer.number(self.dead.len() as u64);
        for node in &self.dead {
            writer.node(node);
        }
        writer.number(self.log.len() as u64);
        for entry in &self.log {
            entry.encode(writer);
        }
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let version = reader.number()?;
        let before = Holders::decode(reader)?;
        let members = decode_members(reader)?;
        let members_before = decode_members(reader)?;
        let mut dead = BTreeSet::new();
        for _ in 0..reader.number_max("nodes", MEMBERS_MAX)? {
            let node = reader.node()?;
            if dead.last().is_some_and(|last| *last >= node) {
                return Err(DecodeError::Malformed("the order of nodes"));
            }
            dead.insert(node);
        }
        let mut log = Vec::new();
        for _ in 0..reader.number_max("changes", CHANGES_REMEMBERED_MAX)? {
            log.push(Entry::decode(reader)?);
        }
        let change = Self {
            version,
            before,
            members,
            members_before,
            dead,
            log,
        };
        change.partitions()?;
        Ok(change)
    }
}

fn encode_members(members: &[Member], writer: &mut Writer) {
    writer.number(members.len() as u64);
    for member in members {
        member.encode(writer);
    }
}

fn decode_members(reader: &mut Reader) -> Result<Vec<Member>, DecodeError> {
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..reader.number_max("members", MEMBERS_MAX)? {
        let member = Member::decode(reader)?;
        if members.last().is_some_and(|last| last.id >= member.id) {
            return Err(DecodeError::Malformed("the order of members"));
        }
        members.push(member);
    }
    check_members(&members).map_err(|_| DecodeError::Malformed("the members"))?;
    Ok(members)
}

impl Entry {
    fn encode(&self, writer: &mut Writer) {
        writer.number(self.version);
        writer.number(self.issued_at_ms);
        writer.node(&self.by);
        writer.bytes(self.what.as_bytes());
    }

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.number()?,
            issued_at_ms: reader.number()?,
            by: reader.node()?,
            what: reader.text("a change", CHANGE_TEXT_BYTES_MAX)?,
        })
    }
}

impl Progress {
    /// Whether it is of a ring of this size.
    pub fn fits(&self, partitions: Partitions) -> bool {
        self.copied.fits(partitions) && self.released.fits(partitions)
    }

    /// Nothing is done yet.
    pub fn none(change: ChangeId, partitions: Partitions) -> Self {
        Self {
            change,
            copied: PartitionSet::none(partitions),
            released: PartitionSet::none(partitions),
        }
    }

    pub fn encode(&self, writer: &mut Writer) {
        writer.fixed(self.change.0);
        self.copied.encode(writer);
        self.released.encode(writer);
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            change: ChangeId(reader.fixed()?),
            copied: PartitionSet::decode(reader)?,
            released: PartitionSet::decode(reader)?,
        })
    }
}
