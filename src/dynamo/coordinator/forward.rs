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
    Send(NodeId),
    /// No primary takes it, and none has stored anything: coordinate it here, in the place of one (4.6).
    StandIn,
    Answer(Box<PutReply>),
    Fail(PutError),
}

/// What is left when no primary takes a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resort {
    StandIn,
    /// This node cannot store it either.
    Nobody,
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
            w: usize::from(w),
        }
    }

    pub fn next(&mut self, failure: String) -> Step {
        match self.candidates.pop_front() {
            Some(node) => {
                self.tried = Some(node.clone());
                Step::Send(node)
            }
            None if self.resort == Resort::StandIn => Step::StandIn,
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
