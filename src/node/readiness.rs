//! Whether a node can serve clients, for those who send them here.
//!
//! Says nothing of other nodes: a member that is alone still serves what it can.
//!
//! Invariant: a node that knows no cluster takes no value, for it would be nobody's. One that knows its cluster and
//! waits to become a member coordinates requests like any other.

use super::server::Node;

/// What clients can expect of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Serving,
    /// It has not found its cluster yet.
    NoCluster,
    /// Its disk is nearly full: it keeps no values, and those who ask it are better served by another.
    ReadOnly,
}

impl Node {
    pub fn has_cluster(&self) -> bool {
        self.registry.catalog().change().is_some()
    }

    pub fn readiness(&self) -> Readiness {
        match (self.has_cluster(), self.is_disk_full()) {
            (false, _) => Readiness::NoCluster,
            (true, true) => Readiness::ReadOnly,
            (true, false) => Readiness::Serving,
        }
    }

    /// Resolves when the node knows its cluster.
    pub async fn found_cluster(&self) {
        let mut watch = self.registry.watch();
        let joined = watch.wait_for(|snapshot| snapshot.catalog.change().is_some());
        if joined.await.is_err() {
            std::future::pending::<()>().await; // The node is going down.
        }
    }
}
