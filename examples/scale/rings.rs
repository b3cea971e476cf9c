//! Measures layouts: how even they are, and how much moves when a node joins or leaves (Dynamo 6.2).
//!
//! Every number is a mean or the worst of several rings, each with other names and tokens. No clock is read here.
//!
//! Invariant: the same sizes give the same numbers.

use super::layouts::{Balance, Layout, partitions};
use bytes::Bytes;
use rejoin::dynamo::names::{BucketName, Key};
use rejoin::dynamo::ring::partition::Token;

/// Of the three of section 6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Tokens,
    PartsAndTokens,
    Parts,
}

pub const STRATEGIES: [Strategy; 3] = [Strategy::Tokens, Strategy::PartsAndTokens, Strategy::Parts];

/// One strategy at one size.
pub struct Measured {
    pub nodes: u16,
    pub strategy: Strategy,
    pub ranges: usize,
    /// By the lengths of the ranges, means of all rings.
    pub mean: Balance,
    /// The highest max/mean of any ring.
    pub worst: f64,
    /// By real keys, in the first ring.
    pub keys: Balance,
    /// Copies that a join moves, times the nodes after it: 1 is the joiner's share and no more.
    pub join: Moves,
    /// Copies that a leave moves, times the nodes before it.
    pub leave: Moves,
}

#[derive(Debug, Clone, Copy)]
pub struct Moves {
    pub mean: f64,
    pub worst: f64,
}

impl Strategy {
    pub fn number(self) -> u8 {
        match self {
            Self::Tokens => 1,
            Self::PartsAndTokens => 2,
            Self::Parts => 3,
        }
    }

    /// Of a ring that was made for `nodes` nodes, when these are there.
    pub fn layout(self, nodes: u16, seed: u64, numbers: &[u16]) -> Layout {
        match self {
            Self::Tokens => Layout::by_tokens(seed, numbers),
            Self::PartsAndTokens => Layout::by_parts_and_tokens(seed, numbers),
            Self::Parts => Layout::by_parts(partitions(usize::from(nodes)), seed, numbers),
        }
    }
}

/// The positions of so many keys, as nodes compute them.
pub fn positions(keys: u32) -> Vec<u64> {
    let bucket = BucketName::new("carts").expect("a good name");
    let key = |number| Key::new(bucket.clone(), Bytes::from(format!("cart-{number:07}")));
    let token = |number| Token::of(&key(number).expect("a good key"));
    (0..keys)
        .map(|number| (token(number).0 >> 64) as u64)
        .collect()
}

/// Measures one strategy with `nodes` nodes, in so many rings.
pub fn measure(strategy: Strategy, nodes: u16, rings: u64, positions: &[u64]) -> Measured {
    let numbers: Vec<u16> = (0..nodes).collect();
    let size = f64::from(nodes);
    let (mut balances, mut joins, mut leaves) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..rings {
        let full = strategy.layout(nodes, seed, &numbers);
        balances.push(full.balance(&numbers));
        // The last node joins, and another leaves.
        let before = strategy.layout(nodes, seed, &numbers[..numbers.len() - 1]);
        joins.push(before.moved(&full) * size);
        let gone = (seed * 7919 % u64::from(nodes)) as u16;
        let left: Vec<u16> = numbers.iter().copied().filter(|n| *n != gone).collect();
        leaves.push(full.moved(&strategy.layout(nodes, seed, &left)) * size);
    }
    let first = strategy.layout(nodes, 0, &numbers);
    let off: Vec<f64> = balances.iter().map(|balance| balance.off_share).collect();
    let max: Vec<f64> = balances
        .iter()
        .map(|balance| balance.max_over_mean)
        .collect();
    Measured {
        nodes,
        strategy,
        ranges: first.ranges(),
        mean: Balance {
            max_over_mean: Moves::of(&max).mean,
            off_share: Moves::of(&off).mean,
        },
        worst: Moves::of(&max).worst,
        keys: first.balance_of_keys(&numbers, positions),
        join: Moves::of(&joins),
        leave: Moves::of(&leaves),
    }
}

impl Moves {
    fn of(values: &[f64]) -> Self {
        Self {
            mean: values.iter().sum::<f64>() / values.len() as f64,
            worst: values.iter().copied().fold(0.0, f64::max),
        }
    }
}
