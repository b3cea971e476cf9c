//! What a bucket remembers of its plugins, and keeps of their merges, in protobuf.
//!
//! Knows the shapes; what may be bound is the API's to check.
//!
//! Invariant: what a client leaves out takes its default here and nowhere else.

use super::bucket::encode_binding;
use super::proto::v1 as proto;
use crate::dynamo::bucket::activation::{Activation, Past};
use crate::dynamo::bucket::{Policy, Properties};
use crate::dynamo::names::BucketName;

/// A bucket with everything that is known of it.
pub fn encode_bucket(name: &BucketName, properties: &Properties) -> proto::Bucket {
    proto::Bucket {
        bucket: name.as_str().to_owned(),
        properties: Some(super::bucket::encode(properties)),
        activation: Some(encode(&properties.activation)),
    }
}

fn encode(activation: &Activation) -> proto::Activation {
    let shadow = activation.shadow.as_ref();
    proto::Activation {
        epoch: activation.epoch,
        is_paused: activation.is_paused,
        shadow: shadow.map(|shadow| encode_binding(&shadow.binding)),
        shadow_percent: shadow.map_or(0, |shadow| u32::from(shadow.percent)),
        past: activation.past.iter().map(encode_past).collect(),
    }
}

fn encode_past(past: &Past) -> proto::PastBinding {
    let policy = match past.policy {
        Policy::Siblings => proto::Policy::Siblings,
        Policy::LastWriteWins => proto::Policy::LastWriteWins,
        Policy::Resolver(_) => proto::Policy::Resolver,
    };
    proto::PastBinding {
        epoch: past.epoch,
        policy: policy.into(),
        resolver: past.policy.resolver().map(encode_binding),
        validator: past.validator.as_ref().map(encode_binding),
        merge_on_put: past.merge_on_put,
    }
}
