//! What happens to the members without a command, and who does it (Dynamo 4.8.1; assisted membership).
//!
//! One node acts at a time: the first member by name that the others do not miss. Should two act at once,
//! their catalogs merge and one change wins. Commits nothing itself.
//!
//! Invariant: nothing happens while the policy is paused; nobody is given up by fewer than two observers, nor by
//! a minority.

use super::super::metadata::catalog::Catalog;
use super::super::metadata::facts::MembershipPolicy;
use super::super::names::{Millis, NodeId};
use super::super::ring::change::Change;
use super::super::ring::placement::Placement;
use super::opinions::Opinions;
use super::plan::Wish;
use std::collections::BTreeSet;

/// Fewer observers than this prove nothing: it may be their own link.
const OBSERVERS_MIN: usize = 2;

/// What a node knows when it looks whether something is to be done.
pub struct Outlook<'a> {
    pub me: &'a NodeId,
    pub catalog: &'a Catalog,
    pub placement: &'a Placement,
    pub opinions: &'a Opinions,
    /// Whom this node does not reach.
    pub suspects: &'a BTreeSet<NodeId>,
    /// Nodes that want to join and have been heard of for long enough, and lately.
    pub ready: &'a BTreeSet<NodeId>,
    pub now: Millis,
}

/// What this node has to commit now, if anything.
pub fn decide(outlook: &Outlook<'_>) -> Option<Wish> {
    let policy = outlook.catalog.policy();
    let change = outlook.catalog.change()?;
    if policy.paused || !outlook.is_first(change) {
        return None;
    }
    if let Some(gone) = outlook.given_up(change, &policy) {
        return outlook.without(change, gone);
    }
    let may_join = policy.auto_join && outlook.placement.is_settled();
    (may_join && !outlook.ready.is_empty()).then(|| Wish::Join(outlook.ready.clone()))
}

impl Outlook<'_> {
    fn is_first(&self, change: &Change) -> bool {
        let present = change.members.iter().map(|member| &member.id);
        let mut present = present.filter(|id| !self.suspects.contains(*id));
        present.next() == Some(self.me)
    }

    fn given_up(&self, change: &Change, policy: &MembershipPolicy) -> Option<NodeId> {
        let window_ms = policy.replace_after_ms?;
        let members = &change.members;
        let is_member = |id: &NodeId| members.iter().any(|member| member.id == *id);
        let gone = members.iter().map(|member| &member.id).find(|suspect| {
            let observers = self.opinions.observers(suspect, window_ms, self.now);
            let observers = observers.into_iter();
            let count = observers
                .filter(|id| is_member(id) && id != suspect)
                .count();
            let others = members.len() - 1;
            count >= OBSERVERS_MIN && 2 * count > others
        });
        gone.cloned()
    }

    /// A newcomer takes the place of a dead member; without one its copies go to the others, if enough are left.
    fn without(&self, change: &Change, gone: NodeId) -> Option<Wish> {
        if let Some(new) = self.ready.first().cloned() {
            return Some(Wish::Replace { gone, new });
        }
        let left = change.members.len() - 1;
        let mut buckets = self.catalog.buckets();
        let is_enough = buckets.all(|(_, properties)| usize::from(properties.n) <= left);
        is_enough.then_some(Wish::Remove(gone))
    }
}
