//! The seat of one primary: it, and whoever was asked in its place (Dynamo 4.6).
//!
//! Invariant: the nodes of a seat are distinct.

use super::super::names::NodeId;

/// Somebody to be asked, and for whom it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    pub to: NodeId,
    pub hint_for: Option<NodeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Silent,
    Answered,
    /// It stands in and knows nothing of the key.
    Empty,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) node: NodeId,
    pub(super) state: State,
    /// Asked before the present spell of waiting began.
    pub(super) is_waited_for: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) home: NodeId,
    pub(super) asked: Vec<Asked>,
}

impl Seat {
    pub(super) fn has(&self, state: State) -> bool {
        self.asked.iter().any(|asked| asked.state == state)
    }

    pub(super) fn home_is(&self, state: State) -> bool {
        let mut home = self.asked.iter().filter(|asked| asked.node == self.home);
        home.any(|asked| asked.state == state)
    }
}

pub(super) fn asked(node: NodeId, is_waited_for: bool) -> Asked {
    Asked {
        node,
        state: State::Silent,
        is_waited_for,
    }
}

pub(super) fn errand(home: &NodeId, node: &NodeId) -> Errand {
    Errand {
        to: node.clone(),
        hint_for: (home != node).then(|| home.clone()),
    }
}
