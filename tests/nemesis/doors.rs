//! The nodes as clients find them: who takes connections now, and where.
//!
//! Nodes that start again listen elsewhere. Knows nothing of faults: who ends a node closes its door.

use super::stage::Node;
use rand::seq::IndexedRandom as _;
use rejoin::cli::connection::Connection;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// Of all clients together to each node, which serves only some requests of one connection at a time.
const CONNECTIONS: usize = 6;
/// A client waits for so long, and then does not know.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// By the places of the nodes; none while one is down.
pub struct Doors {
    /// Held to look one up; nothing is awaited under it.
    nodes: RwLock<Vec<Vec<Node>>>,
}

impl Doors {
    pub fn new(places: usize) -> Self {
        Self {
            nodes: RwLock::new(vec![Vec::new(); places]),
        }
    }

    /// Whether the node at `url` could be reached.
    pub async fn open(&self, place: usize, url: &str) -> bool {
        let mut opened = Vec::new();
        for _ in 0..CONNECTIONS {
            let connection = Connection::to(url, REQUEST_TIMEOUT).await;
            opened.extend(connection.map(|connection| Node { connection }));
        }
        let is_open = opened.len() == CONNECTIONS;
        self.set(place, opened);
        is_open
    }

    pub fn close(&self, place: usize) {
        self.set(place, Vec::new());
    }

    fn set(&self, place: usize, connections: Vec<Node>) {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes[place] = connections;
    }

    pub fn node(&self, place: usize) -> Option<Node> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        any_of(&nodes[place])
    }

    /// All that are up.
    pub fn all(&self) -> Vec<(usize, Node)> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let up = nodes.iter().enumerate();
        up.filter_map(|(place, connections)| Some((place, any_of(connections)?)))
            .collect()
    }
}

fn any_of(connections: &[Node]) -> Option<Node> {
    connections.choose(&mut rand::rng()).cloned()
}
