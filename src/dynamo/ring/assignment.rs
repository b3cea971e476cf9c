//! Which nodes hold which partition: a pure function of the members (Dynamo 6.2, strategy 3).
//!
//! Rendezvous hashing with bounded loads: every member ranks every partition by a hash of both names and
//! its weight; a partition takes the members that rank it highest, past those that are full, first from
//! zones that it does not have yet. So a change of one member moves little more than that member's share.
//! Moving data is not done here.
//!
//! Invariant: the owners of a partition are distinct nodes, in every assignment.

use super::member::Member;
use super::partition::{PartitionId, Partitions};
use crate::limits::N_MAX;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How far above its fair share a node may be loaded, in percent: the price of moving little. A join
/// among 4 to 30 nodes moved up to 1.69 / nodes of the copies with 8, 1.63 with 12, 1.44 with 16.
const SLACK_PERCENT: usize = 20;

/// Members that a partition ranks to begin with; to rank a thousand for each of 4096 took most of the time. More
/// are asked for only where so many are full, or in no zone that is new.
const WISHES_FIRST: usize = 64;

/// By how much two hashes have to differ, of 2^53, so that their scores differ: far more than the rounding of the
/// logarithm comes to.
const HASH_MARGIN: u64 = 1 << 20;

/// Places in the list of members, per partition: owners first, by rank.
pub type Owners = Vec<Vec<u16>>;

/// Assigns every partition to as many members as there may be replicas.
///
/// `members` are in the order of their names, so that equal sets give equal assignments.
pub fn assign(partitions: Partitions, members: &[Member]) -> Owners {
    let mut board = Board::new(partitions, members);
    for round in 1..=members.len().min(usize::from(N_MAX)) {
        board.deal(round);
    }
    board.owners
}

/// The state of dealing: who has how much, and who wants what.
struct Board<'a> {
    members: &'a [Member],
    /// Per partition, its first members by falling score, or all.
    wishes: Vec<Vec<u16>>,
    owners: Owners,
    loads: Vec<usize>,
    weights_total: usize,
}

impl<'a> Board<'a> {
    fn new(partitions: Partitions, members: &'a [Member]) -> Self {
        let all = partitions.all();
        let wishes: Vec<_> = all.map(|id| first_wishes(id, members)).collect();
        Self {
            members,
            owners: vec![Vec::new(); wishes.len()],
            loads: vec![0; members.len()],
            weights_total: members.iter().map(|m| usize::from(m.weight)).sum(),
            wishes,
        }
    }

    /// Gives every partition its next owner. Full members are passed over while others have room.
    fn deal(&mut self, round: usize) {
        for partition in 0..self.owners.len() {
            let chosen = self.choose(partition, round);
            self.loads[usize::from(chosen)] += 1;
            self.owners[partition].push(chosen);
        }
    }

    fn choose(&mut self, partition: usize, round: usize) -> u16 {
        if let Some(best) = self.best(partition, round) {
            return best;
        }
        if self.wishes[partition].len() < self.members.len() {
            let id = PartitionId(partition as u16);
            self.wishes[partition] = ranking(id, self.members);
        }
        let candidates = || self.candidates(partition);
        self.best(partition, round)
            .or_else(|| candidates().find(|c| self.is_new_zone(partition, *c)))
            .or_else(|| candidates().find(|c| self.has_room(*c, round)))
            .or_else(|| candidates().next())
            .expect("there are fewer rounds than members")
    }

    /// The first in a new zone that has room.
    fn best(&self, partition: usize, round: usize) -> Option<u16> {
        self.candidates(partition)
            .find(|c| self.is_new_zone(partition, *c) && self.has_room(*c, round))
    }

    fn candidates(&self, partition: usize) -> impl Iterator<Item = u16> {
        let taken = &self.owners[partition];
        let wishes = self.wishes[partition].iter().copied();
        wishes.filter(|c| !taken.contains(c))
    }

    /// Copies in one zone fail together, so a zone counts before a fair load does.
    fn is_new_zone(&self, partition: usize, candidate: u16) -> bool {
        let zone = &self.members[usize::from(candidate)].zone;
        zone.is_empty()
            || !self.owners[partition]
                .iter()
                .any(|o| self.members[usize::from(*o)].zone == *zone)
    }

    fn has_room(&self, candidate: u16, round: usize) -> bool {
        let weight = usize::from(self.members[usize::from(candidate)].weight);
        let share = self.owners.len() * round * weight * (100 + SLACK_PERCENT);
        self.loads[usize::from(candidate)] < share.div_ceil(100 * self.weights_total)
    }
}

/// The first members by falling score for one partition: the beginning of `ranking`.
fn first_wishes(partition: PartitionId, members: &[Member]) -> Vec<u16> {
    let weight = members.first().map(|member| member.weight);
    let is_even = members.iter().all(|member| Some(member.weight) == weight);
    if !is_even || members.len() <= WISHES_FIRST {
        return ranking(partition, members); // Only among equal weights does the higher hash score higher.
    }
    let hashes: Vec<u64> = members.iter().map(|m| hash(partition, m)).collect();
    let mut sorted = hashes.clone();
    let (_, least, _) = sorted.select_nth_unstable_by(WISHES_FIRST - 1, |a, b| b.cmp(a));
    let floor = least.saturating_sub(HASH_MARGIN);
    let high = (0..).zip(&hashes).filter(|(_, hash)| **hash >= floor);
    let places = high.map(|(place, _)| place);
    let mut wishes = ranked(partition, members, places.collect());
    wishes.truncate(WISHES_FIRST);
    wishes
}

/// The members by falling score for one partition: weighted rendezvous hashing.
fn ranking(partition: PartitionId, members: &[Member]) -> Vec<u16> {
    ranked(partition, members, (0..members.len() as u16).collect())
}

fn ranked(partition: PartitionId, members: &[Member], places: Vec<u16>) -> Vec<u16> {
    let score = |place| score(partition, &members[usize::from(place)]);
    let mut scored: Vec<(f64, u16)> = places.into_iter().map(|p| (score(p), p)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, place)| place).collect()
}

/// `-weight / ln(u)` for a uniform u: the highest score falls to a member as often as its weight says.
///
/// The logarithm is taken of a 53-bit integer in the open interval (0, 1), the same on every node.
fn score(partition: PartitionId, member: &Member) -> f64 {
    let uniform = (hash(partition, member) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(member.weight) / natural_logarithm(uniform)
}

/// 53 bits of both names.
fn hash(partition: PartitionId, member: &Member) -> u64 {
    xxh3_64_with_seed(member.id.as_str().as_bytes(), u64::from(partition.0)) >> 11
}

/// ln for (0, 1) by argument reduction and the series of artanh.
///
/// Not the library's: its last bit may differ between platforms, and so would the ring.
fn natural_logarithm(value: f64) -> f64 {
    let exponent = ((value.to_bits() >> 52) & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits(value.to_bits() & ((1 << 52) - 1) | 1023 << 52);
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut power = z;
    let mut sum = 0.0;
    for odd in (1..40).step_by(2) {
        sum += power / f64::from(odd);
        power *= square;
    }
    2.0 * sum + exponent as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::super::super::names::NodeId;
    use super::*;

    fn members(count: usize) -> Vec<Member> {
        let id = |i: usize| NodeId::new(&format!("node-{i:04}")).expect("a good name");
        (0..count).map(|i| Member::new(id(i))).collect()
    }

    fn loads(owners: &Owners, members: usize, n: usize) -> Vec<usize> {
        let mut loads = vec![0; members];
        for place in owners
            .iter()
            .flat_map(|owners| &owners[..n.min(owners.len())])
        {
            loads[usize::from(*place)] += 1;
        }
        loads
    }

    fn moved(before: &Owners, after: &Owners, n: usize) -> usize {
        let new = |(b, a): (&Vec<u16>, &Vec<u16>)| {
            let held = &b[..n.min(b.len())];
            a[..n.min(a.len())]
                .iter()
                .filter(|owner| !held.contains(owner))
                .count()
        };
        before.iter().zip(after).map(new).sum()
    }

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for step in 1..1000 {
            let value = f64::from(step) / 1000.0;
            assert!(
                (natural_logarithm(value) - value.ln()).abs() < 1e-12,
                "ln({value})"
            );
        }
    }

    #[test]
    fn no_node_holds_much_more_than_its_share() {
        let partitions = Partitions::new(256).expect("in bounds");
        for count in 3..40 {
            let owners = assign(partitions, &members(count));
            let loads = loads(&owners, count, 3);
            let mean = 256.0 * 3.0 / count as f64;
            let max = *loads.iter().max().expect("members") as f64;
            assert!(
                max <= (mean * 1.3).max(mean + 1.0),
                "{count} nodes: {max} of {mean}"
            );
        }
    }

    #[test]
    fn a_join_moves_little_more_than_the_share_of_the_joiner() {
        let partitions = Partitions::new(256).expect("in bounds");
        for count in 4..30 {
            let before = assign(partitions, &members(count));
            let after = assign(partitions, &members(count + 1));
            let share = moved(&before, &after, 3) as f64 / (256.0 * 3.0);
            let bound = 1.5 / (count + 1) as f64;
            assert!(
                share <= bound,
                "{count} nodes: moved {share:.3}, bound {bound:.3}"
            );
        }
    }

    #[test]
    fn the_first_wishes_are_the_beginning_of_the_ranking() {
        for count in [WISHES_FIRST, WISHES_FIRST + 1, 300] {
            let members = members(count);
            for id in Partitions::new(64).expect("in bounds").all() {
                let first = first_wishes(id, &members);
                assert_eq!(first[..], ranking(id, &members)[..WISHES_FIRST]);
            }
        }
    }

    #[test]
    fn where_zones_run_out_all_members_are_ranked() {
        let mut members = members(WISHES_FIRST * 2);
        for (place, member) in members.iter_mut().enumerate() {
            member.zone = format!("zone-{}", place % 2);
        }
        for owners in assign(Partitions::new(64).expect("in bounds"), &members) {
            let distinct: std::collections::BTreeSet<_> = owners.iter().collect();
            assert_eq!(distinct.len(), usize::from(N_MAX));
        }
    }

    #[test]
    fn weights_are_followed() {
        let mut members = members(12);
        members[2].weight = 2;
        let owners = assign(Partitions::new(1024).expect("in bounds"), &members);
        let loads = loads(&owners, 12, 3);
        let others = loads.iter().sum::<usize>() - loads[2];
        let ratio = loads[2] as f64 / (others as f64 / 11.0);
        assert!((1.6..=2.4).contains(&ratio), "ratio {ratio}");
    }

    #[test]
    fn copies_are_spread_over_zones() {
        let mut members = members(9);
        for (place, member) in members.iter_mut().enumerate() {
            member.zone = format!("zone-{}", place % 3);
        }
        for owners in assign(Partitions::new(256).expect("in bounds"), &members) {
            let zones: std::collections::BTreeSet<_> = owners[..3]
                .iter()
                .map(|o| &members[usize::from(*o)].zone)
                .collect();
            assert_eq!(zones.len(), 3);
        }
    }
}
