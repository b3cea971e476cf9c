//! How many acknowledgements of a put must be durable, and who is asked for one (Dynamo 5).
//!
//! The paper has the coordinator choose one of the N replicas for a durable write, so that a crash of all loses nothing
//! and no client waits for every disk. Knows nothing of disks: a replica says "durable" when its own has synced.
//!
//! Invariant: no more is needed than is asked for, so a put that everybody acknowledges is never short of durable ones.

use super::super::bucket::{Ack, Properties};
use super::super::names::NodeId;

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

    /// What a request asks for, or else its bucket, when the coordinator `me` waits for `w` acknowledgements.
    pub fn of(
        (dw, ack): (Option<u8>, Option<Ack>),
        properties: &Properties,
        w: u8,
        me: &NodeId,
    ) -> Self {
        let of_bucket = properties.dw.filter(|_| ack.is_none());
        let asked = dw.or(of_bucket.map(|dw| dw.min(w)));
        match (asked, ack.unwrap_or(properties.ack)) {
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
    use super::*;

    const BUFFERED: Ack = Ack::Buffered;
    const DURABLE: Ack = Ack::Durable;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    /// How many have to be durable, and how the coordinator and another are asked, at W = 2.
    fn durable((ack, dw): (Ack, Option<u8>), asked: (Option<u8>, Option<Ack>)) -> (u8, Ack, Ack) {
        let properties = Properties {
            ack,
            dw,
            ..Properties::default()
        };
        let durable = Durable::of(asked, &properties, 2, &node("a"));
        let (mine, other) = (durable.ack_of(&node("a")), durable.ack_of(&node("b")));
        (durable.needed, mine, other)
    }

    #[test]
    fn without_a_number_all_or_none_are_durable_as_the_acknowledgement_says() {
        let (all, none) = ((2, DURABLE, DURABLE), (0, BUFFERED, BUFFERED));
        assert_eq!(durable((DURABLE, None), (None, None)), all);
        assert_eq!(durable((BUFFERED, None), (None, None)), none);
        assert_eq!(durable((BUFFERED, None), (None, Some(DURABLE))), all);
        assert_eq!(durable((DURABLE, Some(1)), (None, Some(BUFFERED))), none);
    }

    #[test]
    fn one_durable_copy_is_the_coordinators_and_more_are_anybodys() {
        let (one, two) = ((1, DURABLE, BUFFERED), (2, DURABLE, DURABLE));
        assert_eq!(durable((DURABLE, Some(1)), (None, None)), one);
        assert_eq!(durable((BUFFERED, None), (Some(1), None)), one);
        assert_eq!(durable((DURABLE, Some(1)), (Some(2), None)), two);
        assert_eq!(durable((DURABLE, Some(3)), (None, None)), two);
        let none = (0, BUFFERED, BUFFERED);
        assert_eq!(durable((DURABLE, None), (Some(0), None)), none);
    }
}
