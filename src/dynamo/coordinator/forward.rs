//! A put at a node that keeps no copy of the key: passed on to one that does (Dynamo 4.5, 4.6).
//!
//! The next node is tried only when the one before says for certain that it stored nothing; an answer
//! that never came is an unknown outcome, because a second try could make a second dot.
//!
//! Invariant: a put is passed on at most once per try, and one client put makes at most one dot.

use super::super::names::{ClientId, Millis, NodeId};
use super::request::{PutError, PutReply, PutRequest};
use std::collections::VecDeque;

/// What the router has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait,
    /// Pass the put on to this node.
    Send(Pass),
    /// No primary takes it, and none has stored anything: coordinate it here, in the place of one (4.6).
    StandIn,
    Answer(Box<PutReply>),
    Fail(PutError),
}

/// To whom a put is passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    pub to: NodeId,
    /// In the place of a primary.
    pub stands_in: bool,
}

/// What is left when no primary takes a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resort {
    /// This node, in the place of one.
    StandIn,
    /// This node cannot store it either: others in the place of one, in this order (4.6).
    Others(Vec<NodeId>),
}

/// A put that some other node coordinates.
#[derive(Debug)]
pub struct Forward {
    pub client: ClientId,
    pub request: PutRequest,
    pub deadline: Millis,
    tried: Option<NodeId>,
    candidates: VecDeque<NodeId>,
    resort: Resort,
    /// A full disk was among the reasons.
    lacks_room: bool,
    w: usize,
}

impl Forward {
    /// Tries these primaries in this order (5).
    pub fn start(
        client: ClientId,
        request: PutRequest,
        primaries: Vec<NodeId>,
        resort: Resort,
        w: u8,
        deadline: Millis,
    ) -> Self {
        Self {
            client,
            request,
            deadline,
            tried: None,
            candidates: primaries.into(),
            resort,
            lacks_room: false,
            w: usize::from(w),
        }
    }

    /// The same, begun because this node's own disk is full.
    pub fn for_want_of_room(mut self) -> Self {
        self.lacks_room = true;
        self
    }

    pub fn next(&mut self, failure: String) -> Step {
        let primary = self.candidates.pop_front().map(|node| (node, false));
        let next = primary.or_else(|| match &mut self.resort {
            Resort::Others(others) if !others.is_empty() => Some((others.remove(0), true)),
            Resort::StandIn | Resort::Others(_) => None,
        });
        match next {
            Some((to, stands_in)) => {
                self.tried = Some(to.clone());
                Step::Send(Pass { to, stands_in })
            }
            None if self.resort == Resort::StandIn => Step::StandIn,
            None if self.lacks_room => Step::Fail(PutError::DiskFull(failure)),
            None => Step::Fail(PutError::NotStored(failure)),
        }
    }

    pub fn on_reply(&mut self, from: &NodeId, outcome: Result<PutReply, PutError>) -> Step {
        if self.tried.as_ref() != Some(from) {
            return Step::Wait; // A second copy of an answer that was dealt with.
        }
        match outcome {
            Ok(reply) => Step::Answer(Box::new(reply)),
            Err(PutError::NotStored(reason)) => self.next(format!("{from}: {reason}")),
            Err(PutError::DiskFull(reason)) => {
                self.lacks_room = true;
                self.next(format!("{from}: {reason}"))
            }
            Err(PutError::Overloaded { .. }) => self.next(format!("{from} is overloaded")),
            // Whoever passes a put on knows its bucket: the other has an empty disk, and has not heard of it yet.
            Err(PutError::NoSuchBucket(_)) => self.next(format!("{from} has no such bucket yet")),
            Err(error) => Step::Fail(error),
        }
    }

    /// Who has the put now.
    pub fn tried(&self) -> Option<&NodeId> {
        self.tried.as_ref()
    }

    pub fn on_deadline(&mut self) -> Step {
        Step::Fail(PutError::Unknown {
            acknowledged: 0,
            needed: self.w,
            reason: "the coordinator did not answer before the deadline".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::bucket::Ack;
    use super::super::super::causality::context::Context;
    use super::super::super::causality::version::Version;
    use super::super::super::names::{BucketName, Key};
    use super::super::request::Ttl;
    use super::*;
    use bytes::Bytes;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn forward(resort: Resort) -> Forward {
        let bucket = BucketName::new("carts").expect("a good name");
        let request = PutRequest {
            key: Key::new(bucket, Bytes::from_static(b"k")).expect("a good key"),
            context: Context::default(),
            version: Version::tombstone(0),
            w: None,
            pw: None,
            ack: Some(Ack::Buffered),
            dw: None,
            ttl: Ttl::Bucket,
        };
        let primaries = vec![node("b"), node("c")];
        Forward::start(ClientId(1), request, primaries, resort, 2, Millis(100))
    }

    fn full() -> Result<PutReply, PutError> {
        Err(PutError::DiskFull("its disk is full".to_owned()))
    }

    fn send(name: &str, stands_in: bool) -> Step {
        let to = node(name);
        Step::Send(Pass { to, stands_in })
    }

    #[test]
    fn where_every_primary_is_full_others_are_asked_in_their_place_and_the_end_names_the_disks() {
        let resort = Resort::Others(vec![node("d")]);
        let mut forward = forward(resort).for_want_of_room();
        assert_eq!(forward.next("mine".to_owned()), send("b", false));
        assert_eq!(forward.on_reply(&node("b"), full()), send("c", false));
        assert_eq!(forward.on_reply(&node("b"), full()), Step::Wait, "twice");
        assert_eq!(forward.on_reply(&node("c"), full()), send("d", true));
        let end = forward.on_reply(&node("d"), full());
        assert!(matches!(end, Step::Fail(PutError::DiskFull(_))), "{end:?}");
    }

    #[test]
    fn a_put_whose_answer_never_came_is_not_passed_on_however_full_the_others_are() {
        let mut forward = forward(Resort::Others(vec![node("d")])).for_want_of_room();
        forward.next("mine".to_owned());
        let end = forward.on_deadline();
        assert!(matches!(end, Step::Fail(PutError::Unknown { .. })));
    }
}
