//! Whether a node can serve clients, for those who send them here.
//!
//! Says nothing of other nodes: a member that is alone still serves what it can.
//!
//! Invariant: a node that has not been let into a cluster never takes a value, for it would be nobody's.

use super::server::Node;

/// What clients can expect of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Serving,
    /// It has not been let into a cluster yet.
    NoCluster,
    /// Its disk is nearly full: values are refused, gets and deletes are not.
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

    /// Resolves when the node is a member of a cluster.
    pub async fn joined(&self) {
        let mut watch = self.registry.watch();
        let joined = watch.wait_for(|snapshot| snapshot.catalog.change().is_some());
        if joined.await.is_err() {
            std::future::pending::<()>().await; // The node is going down.
        }
    }
}
