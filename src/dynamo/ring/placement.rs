//! Who keeps a partition right now, also while the owners change (Dynamo 4.3, 4.9).
//!
//! An immutable snapshot of one change and of how far every node is with it. A partition is with its old
//! owners until everyone who has to move something of it has said that all of it has arrived; then, at once,
//! with its new ones. Until then the new ones are pending: they are sent every write, count for nothing, and
//! are not read. Knows nothing of which nodes can be reached.
//!
//! Invariant: the primaries of a partition are distinct nodes at every moment of a change, and each write that W of them
//! acknowledged is on W of the primaries after it.

use super::super::codec::Writer;
use super::super::names::{Key, NodeId};
use super::change::{Change, ChangeError, ChangeId, Holders, Progress};
use super::member::Member;
use super::partition::{PartitionId, Partitions};
use super::preference::Ring;
use crate::limits::N_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The nodes of one partition, for buckets that keep some number of copies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seats {
    /// They keep the copies, best first.
    pub primaries: Vec<NodeId>,
    /// They will keep them: sent every write, never counted, never read.
    pub pending: Vec<NodeId>,
    /// The rest of the preference list, in the order in which they stand in.
    pub others: Vec<NodeId>,
}

/// What one node has to move of one partition, for buckets that keep some number of copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// Give all that it holds to each of these.
    Give(Vec<NodeId>),
    /// Take all that these hold; whoever should have given it is dead, or there is nobody.
    Take(Vec<NodeId>),
}

/// Where every partition is.
#[derive(Debug, Clone)]
pub struct Placement {
    version: u64,
    change: ChangeId,
    before: Holders,
    after: Arc<Ring>,
    dead: BTreeSet<NodeId>,
    progress: BTreeMap<NodeId, Progress>,
    /// By partition, everybody who has a duty in it.
    movers: Arc<Vec<BTreeSet<NodeId>>>,
    /// By partition: it is with its new owners.
    switched: Vec<bool>,
    /// Everybody who holds or will hold something, without the dead.
    nodes: Vec<NodeId>,
    hash: u64,
}

impl Placement {
    /// A change as far as it has come. Progress of other changes counts for nothing.
    pub fn new(change: &Change, progress: BTreeMap<NodeId, Progress>) -> Result<Self, ChangeError> {
        let count = u16::try_from(change.before.partitions()).unwrap_or(u16::MAX);
        let partitions = Partitions::new(count).expect("a change that exists has a ring");
        let after = Arc::new(Ring::new(partitions, change.members.clone())?);
        let mut placement = Self {
            version: change.version,
            change: change.id(),
            before: change.before.clone(),
            after,
            dead: change.dead.clone(),
            progress: BTreeMap::new(),
            movers: Arc::default(),
            switched: vec![false; usize::from(partitions.count())],
            nodes: Vec::new(),
            hash: 0,
        };
        let all = partitions.all();
        placement.movers = Arc::new(all.map(|p| placement.find_movers(p)).collect());
        Ok(placement.advanced(progress))
    }

    /// The same change, further on.
    pub fn advanced(&self, mut progress: BTreeMap<NodeId, Progress>) -> Self {
        progress.retain(|_, progress| progress.change == self.change);
        let mut placement = Self {
            progress,
            ..self.clone()
        };
        let all = placement.partitions().all();
        placement.switched = all.map(|p| placement.is_all_released(p)).collect();
        placement.nodes = placement.taking_part();
        placement.hash = placement.compute_hash();
        placement
    }

    /// Who has left is no longer asked once nothing of it is needed.
    fn taking_part(&self) -> Vec<NodeId> {
        let members = self.after.members().iter().map(|member| member.id.clone());
        let leaving = match self.is_settled() {
            true => &[][..],
            false => self.before.nodes(),
        };
        let nodes: BTreeSet<NodeId> = members.chain(leaving.iter().cloned()).collect();
        nodes.difference(&self.dead).cloned().collect()
    }

    /// Of a node that belongs to no cluster yet: older than every change there is.
    pub fn alone(partitions: Partitions, me: NodeId) -> Self {
        let ring = Ring::new(partitions, vec![Member::new(me)]);
        let placement = Self::still(ring.expect("one member is a ring"));
        Self {
            version: 0,
            ..placement
        }
    }

    /// A cluster in which nothing changes.
    pub fn still(ring: Ring) -> Self {
        let partitions = ring.partitions();
        let change = Change::first(partitions, ring.members().to_vec());
        let change = change.expect("the members of a ring are good");
        Self::new(&change, BTreeMap::new()).expect("the members of a ring are good")
    }

    /// Counts the changes of the cluster.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The change that this is a moment of.
    pub fn change(&self) -> ChangeId {
        self.change
    }

    pub fn partitions(&self) -> Partitions {
        self.after.partitions()
    }

    pub fn partition_of(&self, key: &Key) -> PartitionId {
        self.after.partition_of(key)
    }

    /// The members once the change is over, in ascending order of their names.
    pub fn members(&self) -> &[Member] {
        self.after.members()
    }

    /// Everybody who takes part, leaving nodes included, in ascending order.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Whether every partition is with its new owners.
    pub fn is_settled(&self) -> bool {
        self.switched.iter().all(|switched| *switched)
    }

    /// A partition beyond the ring, as a peer or a disk might name it, has no owners, old or new.
    pub fn is_switched(&self, partition: PartitionId) -> bool {
        let switched = self.switched.get(usize::from(partition.0));
        switched.copied().unwrap_or(true)
    }

    /// Partitions that are still with their old owners.
    pub fn unsettled(&self) -> impl Iterator<Item = PartitionId> {
        self.partitions().all().filter(|p| !self.is_switched(*p))
    }

    /// The holders of a partition as of now, best first.
    pub fn holders(&self, partition: PartitionId) -> Vec<NodeId> {
        match self.is_switched(partition) {
            true => self.after.primaries(partition, N_MAX).cloned().collect(),
            false => self.before.of_partition(partition).cloned().collect(),
        }
    }

    /// Where everything is now: what the next change starts from.
    pub fn current(&self) -> Holders {
        Holders::gather(self.partitions(), |partition| self.holders(partition))
    }

    /// The nodes that keep the `n` copies of a partition, best first; fewer if the cluster is smaller.
    pub fn primaries(&self, partition: PartitionId, n: u8) -> Vec<NodeId> {
        let mut holders = self.holders(partition);
        holders.truncate(usize::from(n));
        holders
    }

    /// The nodes that will keep the `n` copies of a partition once the change is over, best first.
    pub fn goal(&self, partition: PartitionId, n: u8) -> Vec<NodeId> {
        self.after.primaries(partition, n).cloned().collect()
    }

    pub fn seats(&self, partition: PartitionId, n: u8) -> Seats {
        let primaries = self.primaries(partition, n);
        let pending = match self.is_switched(partition) {
            true => Vec::new(),
            false => self.arriving(partition, n),
        };
        let ranked = self.after.preference_list(partition).cloned();
        let leaving = self.nodes.iter().cloned();
        let candidates = self.holders(partition).into_iter().chain(ranked);
        let mut others = Vec::new();
        for node in candidates.chain(leaving) {
            let is_known = primaries.contains(&node) || others.contains(&node);
            if !is_known && !self.dead.contains(&node) {
                others.push(node);
            }
        }
        Seats {
            primaries,
            pending,
            others,
        }
    }

    /// Whether a node has to take writes of a partition for buckets of `n` copies: as primary or as pending.
    pub fn keeps(&self, partition: PartitionId, n: u8, node: &NodeId) -> bool {
        let is_leaver_done = self.has_released(node, partition)
            && !self.after.is_primary(partition, n, node)
            && !self.is_switched(partition);
        if is_leaver_done {
            return false; // It has given everything away, and must not take what would stay behind.
        }
        self.primaries(partition, n).contains(node)
            || (!self.is_switched(partition) && self.after.is_primary(partition, n, node))
    }

    fn arriving(&self, partition: PartitionId, n: u8) -> Vec<NodeId> {
        let before: Vec<&NodeId> = self.first_before(partition, n).collect();
        let after = self.after.primaries(partition, n);
        after
            .filter(|node| !before.contains(node))
            .cloned()
            .collect()
    }

    fn first_before(&self, partition: PartitionId, n: u8) -> impl Iterator<Item = &NodeId> {
        self.before.of_partition(partition).take(usize::from(n))
    }

    /// What each node has to move of a partition. An old owner is paired with a new one, by rank, so that as
    /// many copies are left as there were.
    pub fn duties(&self, partition: PartitionId, n: u8) -> BTreeMap<NodeId, Duty> {
        let arriving = self.arriving(partition, n);
        let leaving: Vec<&NodeId> = self
            .first_before(partition, n)
            .filter(|node| !self.after.is_primary(partition, n, node))
            .collect();
        let alive = || {
            let old = self.first_before(partition, n);
            old.filter(|node| !self.dead.contains(node)).cloned()
        };
        let mut duties = BTreeMap::new();
        for (place, old) in leaving.iter().enumerate() {
            if self.dead.contains(old) {
                continue;
            }
            let heirs = match arriving.get(place) {
                Some(heir) => vec![heir.clone()],
                None => self.after.primaries(partition, n).cloned().collect(),
            };
            duties.insert((*old).clone(), Duty::Give(heirs));
        }
        for (place, new) in arriving.iter().enumerate() {
            if leaving
                .get(place)
                .is_none_or(|old| self.dead.contains(*old))
            {
                duties.insert(new.clone(), Duty::Take(alive().collect()));
            }
        }
        duties
    }

    /// Everybody who has a duty in a partition, whatever the number of copies.
    pub fn movers(&self, partition: PartitionId) -> &BTreeSet<NodeId> {
        &self.movers[usize::from(partition.0)]
    }

    fn find_movers(&self, partition: PartitionId) -> BTreeSet<NodeId> {
        let before = self.before.of_partition(partition);
        if before.eq(self.after.primaries(partition, N_MAX)) {
            return BTreeSet::new();
        }
        let duties = (1..=N_MAX).flat_map(|n| self.duties(partition, n).into_keys());
        duties.collect()
    }

    fn is_all_released(&self, partition: PartitionId) -> bool {
        let movers = self.movers(partition);
        movers.iter().all(|node| self.has_released(node, partition))
    }

    /// Whether everybody with a duty in a partition has fulfilled it once, so that releasing it takes but a moment.
    pub fn is_copied(&self, partition: PartitionId) -> bool {
        let movers = self.movers(partition);
        movers.iter().all(|node| self.has_copied(node, partition))
    }

    pub fn has_copied(&self, node: &NodeId, partition: PartitionId) -> bool {
        let progress = self.progress.get(node);
        progress.is_some_and(|progress| progress.copied.contains(partition))
    }

    pub fn has_released(&self, node: &NodeId, partition: PartitionId) -> bool {
        let progress = self.progress.get(node);
        progress.is_some_and(|progress| progress.released.contains(partition))
    }

    /// Equal on nodes that agree on members, owners, and how far a change is.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn compute_hash(&self) -> u64 {
        let mut writer = Writer::default();
        writer.number(self.version);
        for member in self.members() {
            member.encode(&mut writer);
        }
        for partition in self.partitions().all() {
            writer.byte(u8::from(self.is_switched(partition)));
            for node in self.holders(partition) {
                writer.node(&node);
            }
        }
        xxh3_64(&writer.finish())
    }
}
