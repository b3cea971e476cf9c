//! The nodes as clients find them: who takes connections now, and where.
//!
//! Nodes that start again listen elsewhere. Knows nothing of faults: who ends a node closes its door.

use super::stage::Node;
use rejoin::cli::connection::Connection;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

/// A client waits for so long, and then does not know.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// By the places of the nodes; none while one is down.
pub struct Doors {
    /// Held to look one up; nothing is awaited under it.
    nodes: RwLock<Vec<Option<Node>>>,
}

impl Doors {
    pub fn new(places: usize) -> Self {
        Self {
            nodes: RwLock::new(vec![None; places]),
        }
    }

    /// Whether the node at `url` could be reached.
    pub async fn open(&self, place: usize, url: &str) -> bool {
        let connection = Connection::to(url, REQUEST_TIMEOUT).await.ok();
        let is_open = connection.is_some();
        self.set(place, connection.map(|connection| Node { connection }));
        is_open
    }

    pub fn close(&self, place: usize) {
        self.set(place, None);
    }

    fn set(&self, place: usize, node: Option<Node>) {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes[place] = node;
    }

    pub fn node(&self, place: usize) -> Option<Node> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes[place].clone()
    }

    /// All that are up.
    pub fn all(&self) -> Vec<(usize, Node)> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let up = nodes.iter().enumerate();
        up.filter_map(|(place, node)| Some((place, node.clone()?)))
            .collect()
    }
}
