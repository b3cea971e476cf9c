//! What an operator asks of a cluster while faults go on: members, and versions of a plugin.
//!
//! Every request is sent to one node after the other until one says yes, for a while; none of them may.

use super::checker::UNION;
use super::doors::Doors;
use super::schedule::NODES;
use super::settling::members;
use super::stage::Node;
use rejoin::wire::proto::v1 as proto;
use rejoin::wire::proto::v1::Role;
use rejoin::wire::proto::v1::change_request::Wish;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tonic::Request;

/// For a wish while faults go on.
const WISH_PATIENCE: Duration = Duration::from_secs(10);
const ACTIVATION_TIMEOUT: Duration = Duration::from_secs(8);
const POLL: Duration = Duration::from_millis(200);

/// Asks for changes of members and plugins.
pub struct Changes {
    doors: Arc<Doors>,
    names: Vec<String>,
}

impl Changes {
    pub fn new(doors: Arc<Doors>, names: Vec<String>) -> Self {
        Self { doors, names }
    }

    pub async fn join(&self, place: usize) -> Result<(), String> {
        let nodes = vec![self.names[place].clone()];
        self.insist(Wish::Join(proto::Nodes { nodes })).await
    }

    pub async fn replace(&self, gone: usize, new: usize) -> Result<(), String> {
        let replacement = proto::Replacement {
            gone: self.names[gone].clone(),
            new: self.names[new].clone(),
        };
        self.insist(Wish::Replace(replacement)).await
    }

    async fn insist(&self, wish: Wish) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let mut why = "no node is up".to_owned();
            for (_, node) in self.founders() {
                match change(&node, wish.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(error) => why = error,
                }
            }
            if began.elapsed() > WISH_PATIENCE {
                return Err(why);
            }
            sleep(POLL).await;
        }
    }

    fn founders(&self) -> Vec<(usize, Node)> {
        let mut founders = self.doors.all();
        founders.retain(|(place, _)| *place < NODES);
        founders
    }

    /// What is still on its way; none: nothing.
    pub async fn moving(&self) -> Option<String> {
        for (place, node) in self.founders() {
            match members(&node).await {
                Some(reply) if reply.partitions_moving == 0 => return None,
                Some(reply) => {
                    let name = &self.names[place];
                    return Some(format!(
                        "{} partitions move, says {name}",
                        reply.partitions_moving
                    ));
                }
                None => {}
            }
        }
        Some("no member answers".to_owned())
    }

    /// One step towards the members of the beginning: `back` in, `spare` out. What is left to do; none: nothing.
    pub async fn towards_rest(&self, back: usize, spare: usize) -> Option<String> {
        let mut others = self.founders();
        others.retain(|(place, _)| *place != back);
        for (_, node) in others {
            let Some(reply) = members(&node).await else {
                continue;
            };
            if reply.partitions_moving > 0 {
                return Some(format!("{} partitions move", reply.partitions_moving));
            }
            let role = |place: usize| {
                let found = reply
                    .nodes
                    .iter()
                    .find(|node| node.node == self.names[place]);
                found.map(|node| node.role())
            };
            let wish = match (
                back != spare && role(back) != Some(Role::Member),
                role(spare),
            ) {
                (true, _) => Wish::Join(proto::Nodes {
                    nodes: vec![self.names[back].clone()],
                }),
                (false, Some(Role::Member | Role::Joining)) => {
                    Wish::Leave(self.names[spare].clone())
                }
                (false, Some(Role::Leaving)) => return Some("the spare is leaving".to_owned()),
                (false, _) => return None,
            };
            let changed = change(&node, wish.clone()).await;
            return Some(format!("{wish:?}: {changed:?}"));
        }
        Some("no member answers".to_owned())
    }

    /// The epoch in which the other version of the set is asked.
    pub async fn activate(&self, plugin: &str) -> Result<u64, String> {
        let asked = || proto::ActivateRequest {
            bucket: UNION.to_owned(),
            plugin: plugin.to_owned(),
            ..proto::ActivateRequest::default()
        };
        let mut why = "no node is up".to_owned();
        for (_, node) in self.founders() {
            let mut asked = Request::new(asked());
            asked.set_timeout(ACTIVATION_TIMEOUT);
            match node.connection.plugins().activate(asked).await {
                Ok(reply) => return Ok(reply.into_inner().epoch),
                Err(status) => why = status.message().to_owned(),
            }
        }
        Err(why)
    }

    pub async fn roll_back(&self) -> Result<(), String> {
        let mut why = "no node is up".to_owned();
        for (_, node) in self.founders() {
            let asked = node.connection.request(proto::RollbackRequest {
                bucket: UNION.to_owned(),
                to_epoch: None,
            });
            match node.connection.plugins().rollback(asked).await {
                Ok(_) => return Ok(()),
                Err(status) => why = status.message().to_owned(),
            }
        }
        Err(why)
    }
}

async fn change(node: &Node, wish: Wish) -> Result<(), String> {
    let asked = node.connection.request(proto::ChangeRequest {
        wish: Some(wish),
        commit: true,
        ..proto::ChangeRequest::default()
    });
    let changed = node.connection.cluster().change(asked).await;
    changed
        .map(drop)
        .map_err(|status| status.message().to_owned())
}
