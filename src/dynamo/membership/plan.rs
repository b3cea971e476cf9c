//! From a wish to a change: what the members would be, and what would have to move (Dynamo 4.8.1, 4.9).
//!
//! A plan is a pure function of the catalog, so it can be looked at before it is committed, on any node.
//! Commits nothing.
//!
//! Invariant: one change at a time. While partitions move, only a change that helps them to end is planned:
//! to cancel, or to give up a node that will not come back.

use super::super::metadata::catalog::Catalog;
use super::super::names::NodeId;
use super::super::ring::change::{Change, Entry};
use super::super::ring::member::{Member, MembersError, check_members};
use super::super::ring::placement::Placement;
use crate::limits::{CHANGE_TEXT_BYTES_MAX, CHANGES_REMEMBERED_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// What somebody wants done about the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// These nodes, which the cluster has heard of, become members.
    Join(BTreeSet<NodeId>),
    /// A member gives away all that it holds, and then is none any more.
    Leave(NodeId),
    /// A member is gone and will not come back: what it held is copied from the others.
    Remove(NodeId),
    /// The same, and another node takes its place.
    Replace { gone: NodeId, new: NodeId },
    /// A member takes another share, or stands in another zone.
    Resize(Member),
    /// What has moved moves back, and the rest stays.
    Cancel,
}

/// Why there is no such plan. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "this node belongs to no cluster yet; give it `members` or `seeds` in its configuration"
    )]
    NoCluster,
    #[error(
        "{left} of {total} partitions still move; wait for `rejoin cluster transfers` to be empty, or cancel that change first"
    )]
    UnderWay { left: usize, total: usize },
    #[error("nothing is under way that could be cancelled")]
    NothingToCancel,
    #[error(
        "the cluster has not heard of {0}; start it with `seeds` and the cluster's `join_token` first"
    )]
    Unknown(NodeId),
    #[error("{0} is a member already")]
    AlreadyMember(NodeId),
    #[error("{0} is not a member; `rejoin cluster members` shows who is")]
    NotAMember(NodeId),
    #[error(
        "{left} members would be left, and the bucket {bucket} keeps {n} copies; join another node first, or ask with `force`"
    )]
    TooFew { left: usize, bucket: String, n: u8 },
    #[error(
        "{0} is the only member that stays; cancel the change that is under way first (`rejoin cluster cancel`), or join another node"
    )]
    NobodyLeft(NodeId),
    #[error(transparent)]
    Members(#[from] MembersError),
}

/// A change that has not been committed, and what it would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub change: Change,
    /// Copies of partitions that each node would hold, before and after; by name.
    pub shares: BTreeMap<NodeId, Share>,
    /// Copies of partitions that have to be made.
    pub copies_moved: usize,
    /// All copies of partitions, after the change.
    pub copies_total: usize,
}

/// Copies of partitions on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    pub before: usize,
    pub after: usize,
    /// Of those after, the ones that it does not hold yet.
    pub gained: usize,
}

/// Who asks, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub by: NodeId,
    /// Wall clock, milliseconds since 1970; for the log of changes.
    pub at_ms: u64,
    /// Fewer members than some bucket has copies are accepted.
    pub force: bool,
}

/// The plan that fulfils a wish, from where every partition is now.
pub fn plan(
    catalog: &Catalog,
    placement: &Placement,
    wish: &Wish,
    asked: Asked,
) -> Result<Plan, PlanError> {
    let last = catalog.change().ok_or(PlanError::NoCluster)?;
    check_time(placement, wish)?;
    let is_leaving = |node: &NodeId| !placement.is_settled() && placement.nodes().contains(node);
    let members = members_after(catalog, last, wish, is_leaving)?;
    if let Wish::Leave(node) | Wish::Remove(node) = wish
        && members.is_empty()
    {
        return Err(PlanError::NobodyLeft(node.clone()));
    }
    check_members(&members)?;
    if !asked.force && members.len() < last.members.len() {
        check_copies(catalog, members.len())?;
    }
    let mut dead: BTreeSet<NodeId> = match placement.is_settled() {
        true => BTreeSet::new(),
        false => last.dead.clone(),
    };
    if let Wish::Remove(gone) | Wish::Replace { gone, .. } = wish {
        dead.insert(gone.clone());
    }
    // Whoever is a member again is waited for again.
    dead.retain(|node| !members.iter().any(|member| member.id == *node));
    let change = Change {
        version: last.version.saturating_add(1),
        before: placement.current(),
        members,
        members_before: last.members.clone(),
        dead,
        log: log_after(last, wish, asked),
    };
    Ok(Plan::of(change, placement, copies(catalog)))
}

fn check_time(placement: &Placement, wish: &Wish) -> Result<(), PlanError> {
    let left = placement.unsettled().count();
    match wish {
        Wish::Cancel if left == 0 => Err(PlanError::NothingToCancel),
        Wish::Cancel | Wish::Remove(_) | Wish::Replace { .. } => Ok(()),
        _ if left > 0 => {
            let total = usize::from(placement.partitions().count());
            Err(PlanError::UnderWay { left, total })
        }
        _ => Ok(()),
    }
}

/// `is_leaving`: it takes part although it may be a member no more.
fn members_after(
    catalog: &Catalog,
    last: &Change,
    wish: &Wish,
    is_leaving: impl Fn(&NodeId) -> bool,
) -> Result<Vec<Member>, PlanError> {
    let mut members: BTreeMap<NodeId, Member> = BTreeMap::new();
    let before = match wish {
        Wish::Cancel => &last.members_before,
        _ => &last.members,
    };
    for member in before {
        members.insert(member.id.clone(), member.clone());
    }
    let has_left = |node: &NodeId| !last.members.iter().any(|member| member.id == *node);
    let mut take = |node: &NodeId| match members.remove(node) {
        Some(_) => Ok(()),
        None => Err(PlanError::NotAMember(node.clone())),
    };
    let joining: Vec<&NodeId> = match wish {
        Wish::Join(nodes) => nodes.iter().collect(),
        // It died on its way out: its share is copied from the others.
        Wish::Remove(node) if has_left(node) && is_leaving(node) => Vec::new(),
        Wish::Leave(node) | Wish::Remove(node) => {
            take(node)?;
            Vec::new()
        }
        Wish::Replace { gone, new } => {
            take(gone)?;
            vec![new]
        }
        Wish::Resize(member) => {
            take(&member.id)?;
            members.insert(member.id.clone(), member.clone());
            Vec::new()
        }
        Wish::Cancel => Vec::new(),
    };
    for node in joining {
        let member = newcomer(catalog, node)?;
        if members.insert(node.clone(), member).is_some() {
            return Err(PlanError::AlreadyMember(node.clone()));
        }
    }
    Ok(members.into_values().collect())
}

fn newcomer(catalog: &Catalog, node: &NodeId) -> Result<Member, PlanError> {
    let facts = catalog.node(node);
    let facts = facts.ok_or_else(|| PlanError::Unknown(node.clone()))?;
    Ok(Member {
        id: node.clone(),
        weight: facts.weight.max(1),
        zone: facts.zone.clone(),
    })
}

fn check_copies(catalog: &Catalog, left: usize) -> Result<(), PlanError> {
    let wanting = catalog
        .buckets()
        .find(|(_, properties)| usize::from(properties.n) > left);
    match wanting {
        Some((bucket, properties)) => Err(PlanError::TooFew {
            left,
            bucket: bucket.to_string(),
            n: properties.n,
        }),
        None => Ok(()),
    }
}

/// The most copies that any bucket keeps; what a plan counts in.
fn copies(catalog: &Catalog) -> u8 {
    let most = catalog.buckets().map(|(_, properties)| properties.n).max();
    most.unwrap_or(3)
}

fn log_after(last: &Change, wish: &Wish, asked: Asked) -> Vec<Entry> {
    let mut what = wish.to_string();
    while what.len() > CHANGE_TEXT_BYTES_MAX {
        what.pop();
    }
    let mut log = last.log.clone();
    log.push(Entry {
        version: last.version.saturating_add(1),
        issued_at_ms: asked.at_ms,
        by: asked.by,
        what,
    });
    let surplus = log.len().saturating_sub(CHANGES_REMEMBERED_MAX);
    log.split_off(surplus)
}

impl std::fmt::Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Join(nodes) => {
                let names: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
                write!(f, "join {}", names.join(" "))
            }
            Self::Leave(node) => write!(f, "leave {node}"),
            Self::Remove(node) => write!(f, "remove {node}"),
            Self::Replace { gone, new } => write!(f, "replace {gone} by {new}"),
            Self::Resize(member) => {
                write!(f, "resize {} to weight {}", member.id, member.weight)?;
                match member.zone.is_empty() {
                    true => Ok(()),
                    false => write!(f, " in zone {}", member.zone),
                }
            }
            Self::Cancel => f.write_str("cancel"),
        }
    }
}

impl Plan {
    fn of(change: Change, now: &Placement, n: u8) -> Self {
        let goal = Placement::new(&change, BTreeMap::new()).expect("the members were checked");
        let mut shares: BTreeMap<NodeId, Share> = BTreeMap::new();
        let (mut copies_moved, mut copies_total) = (0, 0);
        for partition in now.partitions().all() {
            let before = now.primaries(partition, n);
            let after = goal.goal(partition, n);
            for node in &before {
                shares.entry(node.clone()).or_default().before += 1;
            }
            for node in &after {
                let share = shares.entry(node.clone()).or_default();
                let is_new = !before.contains(node);
                share.after += 1;
                share.gained += usize::from(is_new);
                copies_moved += usize::from(is_new);
            }
            copies_total += after.len();
        }
        Self {
            change,
            shares,
            copies_moved,
            copies_total,
        }
    }
}
