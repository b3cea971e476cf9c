//! How many acknowledgements of a put must be durable, and who is asked for one (Dynamo 5).
//!
//! The paper has the coordinator choose one of the N replicas for a durable write, so that a crash of all loses nothing
//! and no client waits for every disk. Knows nothing of disks: a replica says "durable" when its own has synced.
//!
//! Invariant: no more is needed than is asked for, so a put that everybody acknowledges is never short of durable ones.

use super::super::bucket::{Ack, Properties};
use super::super::names::NodeId;
use super::request::PutRequest;

/// The durable part of one put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    /// Acknowledgements that must be durable.
    pub needed: u8,
    by: By,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    Nobody,
    /// The coordinator alone: it is the one that certainly takes part, and one sync is saved at each of the others.
    Only(NodeId),
    Everybody,
}

impl Durable {
    /// For a request that asks for nothing durable, or for no write at all.
    pub fn nothing() -> Self {
        Self {
            needed: 0,
            by: By::Nobody,
        }
    }

    /// What the request asks for, or else its bucket, when `w` acknowledgements are waited for.
    pub fn of(request: &PutRequest, properties: &Properties, w: u8, me: &NodeId) -> Self {
        let of_bucket = properties.dw.filter(|_| request.ack.is_none());
        let asked = request.dw.or(of_bucket.map(|dw| dw.min(w)));
        let ack = request.ack.unwrap_or(properties.ack);
        match (asked, ack) {
            (Some(0), _) | (None, Ack::Buffered) => Self::nothing(),
            (Some(1), _) => Self {
                needed: 1,
                by: By::Only(me.clone()),
            },
            (Some(needed), _) => Self {
                needed,
                by: By::Everybody,
            },
            (None, Ack::Durable) => Self {
                needed: w,
                by: By::Everybody,
            },
        }
    }

    /// How a node is asked to acknowledge.
    pub fn ack_of(&self, node: &NodeId) -> Ack {
        let is_durable = match &self.by {
            By::Nobody => false,
            By::Only(one) => one == node,
            By::Everybody => true,
        };
        match is_durable {
            true => Ack::Durable,
            false => Ack::Buffered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::causality::version::Version;
    use super::super::super::names::{BucketName, Key};
    use super::super::request::Ttl;
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    /// How many have to be durable, and how the coordinator and another are asked, at W = 2.
    fn durable(
        of_bucket: (Ack, Option<u8>),
        of_request: (Option<Ack>, Option<u8>),
    ) -> (u8, Ack, Ack) {
        let bucket = BucketName::new("b").expect("a good name");
        let request = PutRequest {
            key: Key::new(bucket, "key".into()).expect("a good key"),
            context: Default::default(),
            version: Version::tombstone(0),
            w: None,
            pw: None,
            ack: of_request.0,
            dw: of_request.1,
            ttl: Ttl::Bucket,
        };
        let properties = Properties {
            ack: of_bucket.0,
            dw: of_bucket.1,
            ..Properties::default()
        };
        let durable = Durable::of(&request, &properties, 2, &node("a"));
        let (mine, other) = (durable.ack_of(&node("a")), durable.ack_of(&node("b")));
        (durable.needed, mine, other)
    }

    #[test]
    fn without_a_number_all_or_none_are_durable_as_the_acknowledgement_says() {
        use Ack::{Buffered, Durable};
        assert_eq!(durable((Durable, None), (None, None)), (2, Durable, Durable));
        assert_eq!(durable((Buffered, None), (None, None)), (0, Buffered, Buffered));
        assert_eq!(durable((Buffered, None), (Some(Durable), None)), (2, Durable, Durable));
        assert_eq!(durable((Durable, Some(1)), (Some(Buffered), None)), (0, Buffered, Buffered));
    }

    #[test]
    fn one_durable_copy_is_the_coordinators_and_more_are_anybodys() {
        use Ack::{Buffered, Durable};
        assert_eq!(durable((Durable, Some(1)), (None, None)), (1, Durable, Buffered));
        assert_eq!(durable((Buffered, None), (None, Some(1))), (1, Durable, Buffered));
        assert_eq!(durable((Durable, Some(1)), (None, Some(2))), (2, Durable, Durable));
        assert_eq!(durable((Durable, None), (None, Some(0))), (0, Buffered, Buffered));
        assert_eq!(durable((Durable, Some(3)), (None, None)), (2, Durable, Durable));
    }
}
