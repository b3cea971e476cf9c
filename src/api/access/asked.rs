//! What a request asks for: its bucket, its plugin, and what else the audit log says of it.
//!
//! Invariant: a request whose bucket is not found here passes no rule that needs a bucket.

use crate::security::roles::Role;
use crate::wire::proto::v1 as proto;
use proto::change_request::Wish;
use tonic::Streaming;

/// A request as a guard sees it.
pub trait Asked {
    fn bucket(&self) -> Option<&str> {
        None
    }

    /// The plugin that it names, by digest or otherwise.
    fn plugin(&self) -> Option<&str> {
        None
    }

    /// A role in its bucket that it needs besides that of its rule.
    fn also(&self) -> Option<Role> {
        None
    }

    /// What else is to be changed; no keys and no values.
    fn detail(&self) -> Option<String> {
        None
    }
}

macro_rules! of_a_bucket {
    ($($asked:ident),* $(,)?) => {
        $(impl Asked for proto::$asked {
            fn bucket(&self) -> Option<&str> {
                Some(&self.bucket)
            }
        })*
    };
}

macro_rules! of_a_bucket_and_a_plugin {
    ($($asked:ident),* $(,)?) => {
        $(impl Asked for proto::$asked {
            fn bucket(&self) -> Option<&str> {
                Some(&self.bucket)
            }

            fn plugin(&self) -> Option<&str> {
                Some(&self.plugin)
            }
        })*
    };
}

macro_rules! of_no_bucket {
    ($($asked:ident),* $(,)?) => {
        $(impl Asked for proto::$asked {})*
    };
}

of_a_bucket!(
    DeleteRequest,
    DescribeBucketRequest,
    DryRunRequest,
    ExplainRequest,
    GetRequest,
    ListConflictsRequest,
    ListKeysRequest,
    LocalRecordRequest,
    PauseRequest,
    PreferenceListRequest,
    RollbackRequest,
    ShadowReportRequest,
    WatchRequest,
);

of_a_bucket_and_a_plugin!(ActivateRequest, ShadowRequest, UnmergeRequest);

of_no_bucket!(
    AntiEntropyRequest,
    HintsRequest,
    ListBucketsRequest,
    ListPluginsRequest,
    MembersRequest,
    OutlineRequest,
    PluginLogsRequest,
    // It may name one; what the caller may not see is left out of the answer.
    PluginStatsRequest,
    ReadRequest,
    ReapRequest,
    RingRequest,
    ScrubRequest,
    StatusRequest,
    TransfersRequest,
);

/// A stream's elements are asked about one by one.
impl<T> Asked for Streaming<T> {}

impl Asked for proto::PutRequest {
    fn bucket(&self) -> Option<&str> {
        Some(&self.bucket)
    }

    /// Whether a condition holds says what is there.
    fn also(&self) -> Option<Role> {
        let unconditional = i32::from(proto::Condition::Unspecified);
        (self.condition != unconditional).then_some(Role::Read)
    }
}

impl Asked for proto::CreateBucketRequest {
    fn bucket(&self) -> Option<&str> {
        Some(&self.bucket)
    }

    fn detail(&self) -> Option<String> {
        let properties = self.properties.as_ref()?;
        let resolver = properties.resolver.as_ref().map(|bound| &bound.plugin);
        let validator = properties.validator.as_ref().map(|bound| &bound.plugin);
        let bound = [("resolver", resolver), ("validator", validator)];
        let bound = bound
            .into_iter()
            .filter_map(|(role, plugin)| Some(format!(" {role}={}", plugin?)));
        let bound: String = bound.collect();
        Some(format!("replace={}{bound}", self.replace))
    }
}

impl Asked for proto::RemoveBucketRequest {
    fn bucket(&self) -> Option<&str> {
        Some(&self.bucket)
    }

    fn detail(&self) -> Option<String> {
        Some(format!("force={}", self.force))
    }
}

impl Asked for proto::ReadPluginRequest {
    fn plugin(&self) -> Option<&str> {
        Some(&self.digest)
    }
}

impl Asked for proto::ChangeRequest {
    fn detail(&self) -> Option<String> {
        let wish = match self.wish.as_ref()? {
            Wish::Join(nodes) => format!("join {}", nodes.nodes.join(" ")),
            Wish::Leave(node) => format!("leave {node}"),
            Wish::Remove(node) => format!("remove {node}"),
            Wish::Replace(names) => format!("replace {} by {}", names.gone, names.new),
            Wish::Resize(member) => format!("resize {} to {}", member.node, member.weight),
            Wish::Cancel(_) => "cancel".to_owned(),
        };
        let stage = match self.commit {
            true => "commit",
            false => "plan",
        };
        Some(format!("{stage}: {wish}, force={}", self.force))
    }
}

impl Asked for proto::SetPolicyRequest {
    fn detail(&self) -> Option<String> {
        let said = |name: &str, value: Option<String>| Some(format!("{name}={} ", value?));
        let said = [
            said("auto_join", self.auto_join.map(|yes| yes.to_string())),
            said(
                "replace_after_ms",
                self.replace_after_ms.map(|ms| ms.to_string()),
            ),
            said("paused", self.paused.map(|yes| yes.to_string())),
        ];
        let said: String = said.into_iter().flatten().collect();
        Some(said.trim_end().to_owned())
    }
}
