//! The first words of a connection between two nodes: cluster, name, ring, and the versions of the protocol.
//!
//! Sends nothing itself.
//!
//! Invariant: two nodes of different clusters or rings, or without a version in common, do not talk.

use crate::dynamo::metadata::facts::Speaks;
use crate::dynamo::names::NodeId;
use crate::dynamo::ring::partition::Partitions;
use crate::wire::proto::peer::{Frame, Hello};
use tonic::Status;

/// Capabilities that a hello may name.
const CAPABILITIES_MAX: usize = 64;

/// Who this node is towards its peers.
#[derive(Debug, Clone)]
pub struct Identity {
    pub cluster: String,
    pub node: NodeId,
    pub partitions: Partitions,
    pub speaks: Speaks,
}

impl Identity {
    pub fn hello(&self) -> Frame {
        Frame {
            hello: Some(Hello {
                cluster: self.cluster.clone(),
                node: self.node.as_str().to_owned(),
                version: self.speaks.min,
                partitions: u32::from(self.partitions.count()),
                version_min: self.speaks.min,
                version_max: self.speaks.max,
                capabilities: Vec::new(),
            }),
            ..Frame::default()
        }
    }

    /// The name of the peer behind a first frame, if it belongs to this cluster.
    pub fn check(&self, frame: Frame) -> Result<NodeId, Status> {
        let hello = frame
            .hello
            .ok_or_else(|| Status::invalid_argument("the first frame has no hello"))?;
        if hello.cluster != self.cluster {
            return Err(Status::failed_precondition(format!(
                "this is the cluster {:?}, not {:?}; check `cluster` in the configuration",
                self.cluster, hello.cluster
            )));
        }
        self.check_speech(&hello)?;
        let ours = u32::from(self.partitions.count());
        if hello.partitions != ours {
            return Err(Status::failed_precondition(format!(
                "this ring has {ours} partitions, not {}; `partitions` must be the same on every node, for ever",
                hello.partitions
            )));
        }
        NodeId::new(&hello.node).map_err(|error| Status::invalid_argument(error.to_string()))
    }

    /// Two nodes use the highest version that both speak; without one they do not talk.
    #[allow(clippy::result_large_err)] // Its caller returns it as it is.
    fn check_speech(&self, hello: &Hello) -> Result<u32, Status> {
        let (ours, theirs) = (self.speaks, speaks_of(hello));
        if hello.capabilities.len() > CAPABILITIES_MAX {
            return Err(Status::invalid_argument(
                "the hello has too many capabilities",
            ));
        }
        ours.common(theirs).ok_or_else(|| {
            Status::failed_precondition(format!(
                "this node speaks versions {} to {} of the peer protocol, not {} to {}; upgrade one release at a time",
                ours.min, ours.max, theirs.min, theirs.max
            ))
        })
    }
}

/// A node may only be called what its certificate names.
#[allow(clippy::result_large_err)] // Its callers return it as it is.
pub fn check_named(peer: &NodeId, certificate: &str) -> Result<(), Status> {
    match peer.as_str() == certificate {
        true => Ok(()),
        false => Err(Status::permission_denied(format!(
            "this peer says that it is node {peer}, and its certificate names node {certificate}; give each node its own certificate"
        ))),
    }
}

/// A node of the time before there were several versions names one.
fn speaks_of(hello: &Hello) -> Speaks {
    match hello.version_max {
        0 => Speaks {
            min: hello.version,
            max: hello.version,
        },
        max => Speaks {
            min: hello.version_min,
            max,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(speaks: Speaks) -> Identity {
        Identity {
            cluster: "dev".to_owned(),
            node: NodeId::new("n1").expect("a good name"),
            partitions: Partitions::new(64).expect("a good number"),
            speaks,
        }
    }

    fn hello(min: u32, max: u32) -> Hello {
        let frame = identity(Speaks { min, max }).hello();
        frame.hello.expect("a hello")
    }

    #[test]
    fn two_nodes_speak_the_highest_version_that_both_know_or_do_not_talk() {
        let ours = identity(Speaks { min: 3, max: 5 });
        for (min, max, common) in [(3, 3, 3), (3, 4, 4), (4, 9, 5), (5, 6, 5), (3, 5, 5)] {
            let found = ours.check_speech(&hello(min, max));
            assert_eq!(found.ok(), Some(common), "{min} to {max}");
        }
        for (min, max) in [(1, 2), (6, 9)] {
            let refused = ours.check_speech(&hello(min, max)).expect_err("too far");
            assert!(refused.message().contains("3 to 5"), "{refused}");
        }
    }

    #[test]
    fn a_node_is_only_what_its_certificate_names() {
        let n1 = NodeId::new("n1").expect("a good name");
        assert!(check_named(&n1, "n1").is_ok());
        for other in ["n2", "n1.", "N1", ""] {
            let refused = check_named(&n1, other).expect_err("another");
            assert_eq!(refused.code(), tonic::Code::PermissionDenied);
            assert!(refused.message().contains("its own certificate"));
        }
    }

    #[test]
    fn a_hello_that_names_one_version_means_that_one() {
        let old = |version| Hello {
            version,
            version_min: 0,
            version_max: 0,
            ..hello(3, 3)
        };
        let ours = identity(Speaks { min: 3, max: 5 });
        assert_eq!(ours.check_speech(&old(3)).ok(), Some(3));
        assert!(ours.check_speech(&old(2)).is_err());
    }
}
