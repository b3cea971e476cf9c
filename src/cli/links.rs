//! The links between the nodes of a cluster on this machine, one for each who dials and each who is dialled.
//!
//! What is said here of `from` and `to` is about bytes on their way from one node to the other, whoever dialled.
//!
//! Invariant: every byte between two nodes passes one of these links.

use super::proxy::{Direction, Flow, Link};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// By the places of the node that dials and of the one that is dialled. Empty where ports are fixed.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<(usize, usize), Link>,
}

impl Links {
    /// Links between so many nodes, which lead nowhere yet.
    pub async fn lay(nodes: usize) -> std::io::Result<Self> {
        let mut links = BTreeMap::new();
        for from in 0..nodes {
            for to in (0..nodes).filter(|to| *to != from) {
                links.insert((from, to), Link::open().await?);
            }
        }
        Ok(Self { links })
    }

    /// What `from` dials to reach `to`.
    pub fn address(&self, from: usize, to: usize) -> Option<SocketAddr> {
        self.links.get(&(from, to)).map(Link::address)
    }

    /// The node at `place` listens there from now on.
    pub fn lead_to(&mut self, place: usize, address: SocketAddr) {
        for ((_, to), link) in &mut self.links {
            if *to == place {
                link.lead_to(address);
            }
        }
    }

    /// Cuts both links between two nodes: connections are closed and refused.
    pub fn cut(&self, one: usize, other: usize) {
        self.between(one, other).for_each(Link::cut);
    }

    /// Mends what `cut` cut.
    pub fn heal(&self, one: usize, other: usize) {
        self.between(one, other).for_each(Link::heal);
    }

    fn between(&self, one: usize, other: usize) -> impl Iterator<Item = &Link> {
        let both = [(one, other), (other, one)];
        both.into_iter().filter_map(|ends| self.links.get(&ends))
    }

    /// Changes how bytes get from one node to another, and leaves the way back as it is.
    pub fn set_flow(&self, from: usize, to: usize, flow: Flow) {
        if let Some(link) = self.links.get(&(from, to)) {
            link.set_flow(Direction::Forth, flow);
        }
        if let Some(link) = self.links.get(&(to, from)) {
            link.set_flow(Direction::Back, flow);
        }
    }
}
