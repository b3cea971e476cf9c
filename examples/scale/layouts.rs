//! Where copies lie under the three strategies of Dynamo 6.2, and how even that is.
//!
//! Strategies 1 and 2 are here for comparison only; strategy 3 is the code that nodes run. Positions are the upper
//! 64 bits of a token. Knows nothing of time or gossip.
//!
//! Invariant: the ranges of a layout cover the ring without a gap, and name distinct nodes, N or as many as there are.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::names::NodeId;
use rejoin::dynamo::ring::assignment::assign;
use rejoin::dynamo::ring::member::Member;
use rejoin::dynamo::ring::partition::Partitions;

/// Copies of a key.
pub const N: usize = 3;
/// Tokens of a node in strategies 1 and 2, and partitions of a node in strategy 3 where the ring takes so many.
pub const T: usize = 30;
/// Strategy 2 wants many more partitions than tokens (6.2).
const PARTITIONS_PER_TOKEN: usize = 10;
/// The paper counts a node as out of balance that is further off the mean than this (6.2).
const OFF_THE_MEAN: f64 = 0.15;
const RING: f64 = 18_446_744_073_709_551_616.0; // 2^64

/// Ranges of the ring, one behind the other, and the nodes that hold each.
pub struct Layout {
    /// The last position of each range, ascending; the last is the end of the ring.
    ends: Vec<u64>,
    holders: Vec<Vec<u16>>,
}

/// How evenly nodes are loaded.
#[derive(Debug, Clone, Copy)]
pub struct Balance {
    pub max_over_mean: f64,
    /// The share of nodes that is more than 15 % off the mean.
    pub off_share: f64,
}

/// A member for each number, named so that their order is that of the numbers.
pub fn members(seed: u64, numbers: &[u16]) -> Vec<Member> {
    let name = |number: &u16| format!("s{seed}-node-{number:04}");
    let id = |number| NodeId::new(&name(number)).expect("a good name");
    numbers
        .iter()
        .map(|number| Member::new(id(number)))
        .collect()
}

/// Thirty partitions for each node, as far as the ring takes so many.
pub fn partitions(nodes: usize) -> Partitions {
    let most = usize::from(rejoin::limits::PARTITIONS_MAX);
    Partitions::new((nodes * T).min(most) as u16).expect("in bounds")
}

/// Random tokens: a node has the same ones whoever is there besides.
fn tokens(seed: u64, numbers: &[u16]) -> Vec<(u64, u16)> {
    let mut tokens = Vec::new();
    for number in numbers {
        let mut dice = ChaCha8Rng::seed_from_u64(seed << 32 | u64::from(*number));
        tokens.extend((0..T).map(|_| (dice.next_u64(), *number)));
    }
    tokens.sort_unstable();
    tokens
}

/// The first distinct nodes from some token on, clockwise.
fn walk(tokens: &[(u64, u16)], from: usize) -> Vec<u16> {
    let mut nodes = Vec::with_capacity(N);
    for step in 0..tokens.len() {
        let (_, node) = tokens[(from + step) % tokens.len()];
        if !nodes.contains(&node) {
            nodes.push(node);
        }
        if nodes.len() == N {
            break;
        }
    }
    nodes
}

/// The last position of a part of a ring that is cut into equal ones.
fn end_of(part: usize, parts: usize) -> u64 {
    let next = ((part as u128 + 1) << 64).div_ceil(parts as u128);
    (next - 1) as u64
}

impl Layout {
    /// Strategy 1: a range ends at each token, and belongs to the nodes of the next tokens.
    pub fn by_tokens(seed: u64, numbers: &[u16]) -> Self {
        let tokens = tokens(seed, numbers);
        let mut ends: Vec<u64> = tokens.iter().map(|(position, _)| *position).collect();
        ends.push(u64::MAX);
        let holders = (0..ends.len()).map(|range| walk(&tokens, range)).collect();
        Self { ends, holders }
    }

    /// Strategy 2: equal partitions, each with the nodes of the tokens behind its end.
    pub fn by_parts_and_tokens(seed: u64, numbers: &[u16]) -> Self {
        let tokens = tokens(seed, numbers);
        let parts = tokens.len() * PARTITIONS_PER_TOKEN;
        let ends: Vec<u64> = (0..parts).map(|part| end_of(part, parts)).collect();
        let first_behind = |end: &u64| tokens.partition_point(|(position, _)| position < end);
        let holders = ends.iter().map(|end| walk(&tokens, first_behind(end)));
        Self {
            holders: holders.collect(),
            ends,
        }
    }

    /// Strategy 3, as the nodes do it.
    pub fn by_parts(partitions: Partitions, seed: u64, numbers: &[u16]) -> Self {
        let owners = assign(partitions, &members(seed, numbers));
        let number = |place: &u16| numbers[usize::from(*place)];
        let first = |owners: &Vec<u16>| owners.iter().take(N).map(number).collect();
        let parts = owners.len();
        Self {
            ends: (0..parts).map(|part| end_of(part, parts)).collect(),
            holders: owners.iter().map(first).collect(),
        }
    }

    pub fn ranges(&self) -> usize {
        self.ends.len()
    }

    /// How even it is by the lengths of the ranges.
    pub fn balance(&self, numbers: &[u16]) -> Balance {
        let mut loads = vec![0.0; usize::from(u16::MAX)];
        let mut from = 0.0;
        for (end, holders) in self.ends.iter().zip(&self.holders) {
            let to = *end as f64 + 1.0;
            holders
                .iter()
                .for_each(|node| loads[usize::from(*node)] += to - from);
            from = to;
        }
        Balance::of(
            numbers
                .iter()
                .map(|number| loads[usize::from(*number)])
                .collect(),
        )
    }

    /// How even it is by the keys at these positions.
    pub fn balance_of_keys(&self, numbers: &[u16], positions: &[u64]) -> Balance {
        let mut loads = vec![0.0; usize::from(u16::MAX)];
        for position in positions {
            let holders = &self.holders[self.ends.partition_point(|end| end < position)];
            holders
                .iter()
                .for_each(|node| loads[usize::from(*node)] += 1.0);
        }
        Balance::of(
            numbers
                .iter()
                .map(|number| loads[usize::from(*number)])
                .collect(),
        )
    }

    /// The share of all copies that are somewhere else in `after`.
    pub fn moved(&self, after: &Self) -> f64 {
        let (mut mine, mut theirs, mut from, mut moved) = (0, 0, 0.0, 0.0);
        while mine < self.ends.len() && theirs < after.ends.len() {
            let end = self.ends[mine].min(after.ends[theirs]);
            let to = end as f64 + 1.0;
            let held = &self.holders[mine];
            let new = after.holders[theirs]
                .iter()
                .filter(|node| !held.contains(node));
            moved += (to - from) * new.count() as f64;
            from = to;
            mine += usize::from(self.ends[mine] == end);
            theirs += usize::from(after.ends[theirs] == end);
        }
        moved / (RING * N as f64)
    }
}

impl Balance {
    fn of(loads: Vec<f64>) -> Self {
        let mean = loads.iter().sum::<f64>() / loads.len() as f64;
        let off = loads
            .iter()
            .filter(|load| (*load / mean - 1.0).abs() > OFF_THE_MEAN);
        Self {
            max_over_mean: loads.iter().copied().fold(0.0, f64::max) / mean,
            off_share: off.count() as f64 / loads.len() as f64,
        }
    }
}
