//! The first phase of an activation: every member compiles the plugin, tries it on its samples, and says what came of it.
//!
//! Binds nothing. The second phase is an edit of the bucket's row, like any other.
//!
//! Invariant: a plugin goes on only if all who have it found the same, if everybody who lacks it was left out by name,
//! and if those who have it are more than half of the members.

use super::dialing::client;
use super::plugins::Plugins;
use super::server::Node;
use crate::dynamo::bucket::Binding;
use crate::dynamo::names::{Digest, NodeId};
use crate::limits::versions::STAGE_TIMEOUT_MS;
use crate::wasm::rehearsal::Rehearsal;
use crate::wire::proto::peer as proto;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;

/// What a member says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staged {
    Ready(Rehearsal),
    /// It cannot be reached.
    Down,
    /// It had no answer in time, and goes on.
    Late,
    Failed(String),
}

/// Why an activation does not go on. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    #[error("{0} is no member of the cluster; see `rejoin cluster members`")]
    NoMember(NodeId),
    #[error(
        "{0} cannot be reached and does not have the plugin; wait for it, or leave it out with `--without {0}`: it answers siblings until it has it"
    )]
    Down(NodeId),
    #[error(
        "{0} is still compiling the plugin, or does not answer; it goes on, so try again, or leave it out with `--without {0}`"
    )]
    Late(NodeId),
    #[error(
        "{node} could not stage the plugin: {why}; mend it, or leave it out with `--without {node}`"
    )]
    Failed { node: NodeId, why: String },
    #[error(
        "{one} and {other} find different results for the same samples: {left} and {right}; one of their machines or releases is wrong, and must not merge"
    )]
    Different {
        one: NodeId,
        other: NodeId,
        left: Digest,
        right: Digest,
    },
    #[error(
        "{ready} of {members} members have the plugin; more than half must, so that two sides of a partition do not activate two plugins"
    )]
    Minority { ready: usize, members: usize },
}

/// Whether the second phase may begin.
pub fn judge(staged: &[(NodeId, Staged)], without: &BTreeSet<NodeId>) -> Result<(), StageError> {
    let is_member = |node: &&NodeId| staged.iter().any(|(member, _)| member == *node);
    if let Some(stranger) = without.iter().find(|node| !is_member(node)) {
        return Err(StageError::NoMember(stranger.clone()));
    }
    let mut first: Option<(&NodeId, Digest)> = None;
    let mut ready = 0;
    for (node, said) in staged {
        match said {
            Staged::Ready(Rehearsal { hash, .. }) => {
                ready += 1;
                let (one, left) = *first.get_or_insert((node, *hash));
                // Also one that is left out: it would go on to merge wrongly.
                if left != *hash {
                    return Err(StageError::Different {
                        one: one.clone(),
                        other: node.clone(),
                        left,
                        right: *hash,
                    });
                }
            }
            _ if without.contains(node) => {}
            Staged::Down => return Err(StageError::Down(node.clone())),
            Staged::Late => return Err(StageError::Late(node.clone())),
            Staged::Failed(why) => {
                let (node, why) = (node.clone(), why.clone());
                return Err(StageError::Failed { node, why });
            }
        }
    }
    match 2 * ready > staged.len() {
        true => Ok(()),
        false => {
            let members = staged.len();
            Err(StageError::Minority { ready, members })
        }
    }
}

impl Node {
    /// What every member says of a plugin with these params and this fuel, by name.
    pub async fn stage_everywhere(&self, binding: &Binding) -> Vec<(NodeId, Staged)> {
        let connected = self.peers.connected();
        let snapshot = self.snapshot();
        let members = snapshot.placement.nodes().iter().cloned();
        let staged = members.map(|member| {
            let channel = connected.iter().find(|(node, _)| *node == member);
            let channel = channel.map(|(_, channel)| channel.clone());
            async move {
                let limit = Duration::from_millis(STAGE_TIMEOUT_MS);
                let said = match channel {
                    _ if member == *self.id() => {
                        let rehearsed = self.plugins.rehearse(binding.clone());
                        tokio::time::timeout(limit, rehearsed).await
                    }
                    None => return (member, Staged::Down),
                    Some(channel) => tokio::time::timeout(limit, stage_at(channel, binding)).await,
                };
                let said = match said {
                    Ok(Ok(rehearsal)) => Staged::Ready(rehearsal),
                    Ok(Err(error)) => Staged::Failed(error.0),
                    Err(_) => Staged::Late,
                };
                (member, said)
            }
        });
        futures_util::future::join_all(staged).await
    }
}

/// Why a plugin was not rehearsed, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RehearseError(pub String);

impl Plugins {
    /// Makes a plugin ready on this node and tries it on its samples, away from the asynchronous threads.
    pub async fn rehearse(self: &Arc<Self>, binding: Binding) -> Result<Rehearsal, RehearseError> {
        let staged = self.stage(binding.digest).await;
        staged.map_err(|error| RehearseError(format!("{error:#}")))?;
        let library = Arc::clone(self.library());
        match tokio::task::spawn_blocking(move || library.rehearse(&binding)).await {
            Ok(rehearsed) => rehearsed.map_err(|failure| RehearseError(failure.to_string())),
            Err(error) => Err(RehearseError(error.to_string())),
        }
    }
}

async fn stage_at(channel: Channel, binding: &Binding) -> Result<Rehearsal, RehearseError> {
    let request = proto::StagePluginRequest {
        digest: Bytes::copy_from_slice(&binding.digest.0),
        rehearse: Some(proto::Rehearse {
            params: binding.params.clone(),
            fuel: binding.fuel,
        }),
    };
    let failed = |why: &str| Err(RehearseError(why.to_owned()));
    let mut client = client(channel);
    let reply = match client.stage_plugin(request).await {
        Ok(reply) => reply.into_inner(),
        Err(status) => return failed(status.message()),
    };
    if !reply.is_ready {
        return Err(RehearseError(reply.message));
    }
    match <[u8; 32]>::try_from(reply.rehearsal.as_ref()) {
        Ok(hash) => Ok(Rehearsal {
            hash: Digest(hash),
            calls: reply.calls,
        }),
        Err(_) => failed("its release does not rehearse plugins; upgrade it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn ready(hash: u8) -> Staged {
        Staged::Ready(Rehearsal {
            hash: Digest([hash; 32]),
            calls: 1,
        })
    }

    fn judged(said: [Staged; 3], without: &[&str]) -> Result<(), StageError> {
        let staged: Vec<_> = ["a", "b", "c"].map(node).into_iter().zip(said).collect();
        judge(&staged, &without.iter().map(|name| node(name)).collect())
    }

    #[test]
    fn all_members_have_to_agree() {
        assert_eq!(judged([ready(1), ready(1), ready(1)], &[]), Ok(()));
        let differs = judged([ready(1), ready(1), ready(2)], &[]);
        assert!(
            matches!(differs, Err(StageError::Different { .. })),
            "{differs:?}"
        );
        let left_out = judged([ready(1), ready(1), ready(2)], &["c"]);
        assert_eq!(
            left_out, differs,
            "who finds something else is not left out"
        );
    }

    #[test]
    fn who_lacks_it_has_to_be_left_out_by_name() {
        let down = || [ready(1), ready(1), Staged::Down];
        assert_eq!(judged(down(), &[]), Err(StageError::Down(node("c"))));
        assert_eq!(judged(down(), &["b"]), Err(StageError::Down(node("c"))));
        assert_eq!(judged(down(), &["c"]), Ok(()));
        assert_eq!(judged(down(), &["d"]), Err(StageError::NoMember(node("d"))));
        let failed = judged([ready(1), Staged::Failed("no room".into()), ready(1)], &[]);
        assert!(
            matches!(failed, Err(StageError::Failed { .. })),
            "{failed:?}"
        );
    }

    #[test]
    fn who_is_late_is_waited_for_unless_it_is_left_out() {
        let late = || [ready(1), Staged::Late, ready(1)];
        assert_eq!(judged(late(), &[]), Err(StageError::Late(node("b"))));
        assert_eq!(judged(late(), &["b"]), Ok(()));
    }

    #[test]
    fn half_of_the_members_or_fewer_activate_nothing() {
        let one = judged([ready(1), Staged::Down, Staged::Down], &["b", "c"]);
        let (ready, members) = (1, 3);
        assert_eq!(one, Err(StageError::Minority { ready, members }));
    }
}
