//! Asks members for a step of the undoing of bad merges, this node among them.
//!
//! Decides nothing about keys; `unmerging` does the step.
//!
//! Invariant: an answer that was taken has an outcome for every key.

use super::dialing::client;
use super::server::Node;
use super::unmerging::StepError;
use crate::dynamo::bucket::activation::Blame;
use crate::dynamo::coordinator::unmerge::Effort;
use crate::dynamo::names::{BucketName, NodeId};
use crate::dynamo::replica::stretch::{Listed, ListedKey, Stretch};
use crate::limits::versions::UNMERGE_KEYS_MAX;
use crate::wire::proto::peer as proto;
use crate::wire::unmerging::{Outcome, decode_outcome, decode_request, encode_request};
use bytes::Bytes;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// How long a node waits for another's step: its keys, each with its deadline, in their window.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

impl Node {
    /// The keys that a member's own copies hold.
    pub async fn list_own_at(
        &self,
        member: &NodeId,
        stretch: Stretch,
    ) -> Result<Listed, StepError> {
        if member == self.id() {
            return self.switchboard().list_own(stretch).await;
        }
        let request = proto::ListOwnRequest {
            bucket: stretch.bucket.as_str().to_owned(),
            partition: u32::from(stretch.partition.0),
            after: stretch.after,
        };
        let mut client = client(self.channel(member)?);
        let reply = in_time(client.list_own(request)).await?;
        let proto::ListOwnResponse { keys, more } = reply;
        if keys.len() > UNMERGE_KEYS_MAX {
            return Err(StepError::Misfit);
        }
        let keys = keys.into_iter().map(|key| ListedKey { key, is_live: true });
        Ok(Listed {
            keys: keys.collect(),
            more,
        })
    }

    /// Undoes bad merges of these keys at a member.
    pub async fn unmerge_at(
        &self,
        member: &NodeId,
        bucket: &BucketName,
        keys: &[Bytes],
        blame: &Blame,
        effort: Effort,
    ) -> Result<Vec<Outcome>, StepError> {
        let request = encode_request(bucket, keys, blame, effort);
        if member == self.id() {
            let requests = decode_request(request)?;
            return Ok(self.switchboard().unmerge(requests).await);
        }
        let mut client = client(self.channel(member)?);
        let reply = in_time(client.unmerge(request)).await?;
        let outcomes = reply.outcomes.into_iter().map(decode_outcome);
        let outcomes: Vec<Outcome> = outcomes.collect();
        match outcomes.len() == keys.len() {
            true => Ok(outcomes),
            false => Err(StepError::Misfit),
        }
    }

    fn channel(&self, member: &NodeId) -> Result<Channel, StepError> {
        let connected = self.peers.connected().into_iter();
        let mut found = connected.filter(|(node, _)| node == member);
        let (_, channel) = found.next().ok_or(StepError::Unreachable)?;
        Ok(channel)
    }
}

async fn in_time<T>(
    reply: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, StepError> {
    match tokio::time::timeout(STEP_TIMEOUT, reply).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(StepError::Refused(status.message().to_owned())),
        Err(_) => Err(StepError::Late),
    }
}
