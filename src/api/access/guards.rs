//! The guards: each service again, with the question whether the caller may send the request before every method.
//!
//! A method that a service gains does not compile until it has its line here; a line whose request has no rule is
//! refused, and a test walks all of them.
//!
//! Invariant: nothing of a service runs before `pass`.

use super::super::backups::BackupsService;
use super::super::buckets::BucketsService;
use super::super::cluster::ClusterService;
use super::super::key_value::KvService;
use super::super::plugins::PluginsService;
use super::asked::Asked;
use super::permission::Permission;
use super::recording::{AboutPlugin, Record};
use crate::security::roles::Role;
use crate::wire::proto::v1 as proto;
use crate::wire::proto::v1::backups_server::Backups;
use crate::wire::proto::v1::buckets_server::Buckets;
use crate::wire::proto::v1::cluster_server::Cluster;
use crate::wire::proto::v1::kv_server::Kv;
use crate::wire::proto::v1::plugins_server::Plugins;
use std::pin::Pin;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

type Events<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A service behind its guard.
pub struct Guarded<S>(pub S);

/// Methods that only pass, those of them that are answered by a stream, and whatever else a service has.
macro_rules! guard {
    ($service:ident of $inner:ty {
        $($method:ident($asked:ty) -> $answer:ident;)*
    } streams {
        $($streamed:ident($wanted:ty) -> $stream:ident;)*
    } rest {
        $($rest:tt)*
    }) => {
        #[tonic::async_trait]
        impl $service for Guarded<$inner> {
            $(async fn $method(
                &self,
                request: Request<$asked>,
            ) -> Result<Response<proto::$answer>, Status> {
                pass(request, |request| self.0.$method(request)).await
            })*

            $(type $stream = <$inner as $service>::$stream;

            async fn $streamed(
                &self,
                request: Request<$wanted>,
            ) -> Result<Response<Self::$stream>, Status> {
                pass_to_stream(request, |request| self.0.$streamed(request)).await
            })*

            $($rest)*
        }
    };
}

guard! { Kv of KvService {
    get(proto::GetRequest) -> GetResponse;
    delete(proto::DeleteRequest) -> DeleteResponse;
    list_keys(proto::ListKeysRequest) -> ListKeysResponse;
} streams {
    watch(proto::WatchRequest) -> WatchStream;
} rest {
    async fn put(
        &self,
        request: Request<proto::PutRequest>,
    ) -> Result<Response<proto::PutResponse>, Status> {
        let permission = Permission::of(&request)?;
        let bucket = request.get_ref().bucket.clone();
        let response = pass(request, |request| self.0.put(request)).await?;
        Ok(response.map(|reply| permission.veiled(&bucket, reply)))
    }

    type BatchGetStream = <KvService as Kv>::BatchGetStream;

    /// The elements are asked about in the service, where they are taken up.
    async fn batch_get(
        &self,
        request: Request<Streaming<proto::GetRequest>>,
    ) -> Result<Response<Self::BatchGetStream>, Status> {
        pass(request, |request| self.0.batch_get(request)).await
    }

    type BatchPutStream = <KvService as Kv>::BatchPutStream;

    async fn batch_put(
        &self,
        request: Request<Streaming<proto::PutRequest>>,
    ) -> Result<Response<Self::BatchPutStream>, Status> {
        pass(request, |request| self.0.batch_put(request)).await
    }
} }

guard! { Buckets of BucketsService {
    create(proto::CreateBucketRequest) -> CreateBucketResponse;
    describe(proto::DescribeBucketRequest) -> DescribeBucketResponse;
    remove(proto::RemoveBucketRequest) -> RemoveBucketResponse;
    list_conflicts(proto::ListConflictsRequest) -> ListConflictsResponse;
    dry_run(proto::DryRunRequest) -> DryRunResponse;
} streams {} rest {
    async fn list(
        &self,
        request: Request<proto::ListBucketsRequest>,
    ) -> Result<Response<proto::ListBucketsResponse>, Status> {
        let permission = Permission::of(&request)?;
        let mut response = pass(request, |request| self.0.list(request)).await?;
        let buckets = &mut response.get_mut().buckets;
        buckets.retain(|bucket| permission.shows(&bucket.bucket));
        Ok(response)
    }
} }

guard! { Plugins of PluginsService {
    rollback(proto::RollbackRequest) -> RollbackResponse;
    pause(proto::PauseRequest) -> PauseResponse;
    shadow(proto::ShadowRequest) -> ShadowResponse;
    shadow_report(proto::ShadowReportRequest) -> ShadowReportResponse;
} streams {
    unmerge(proto::UnmergeRequest) -> UnmergeStream;
} rest {
    async fn push(
        &self,
        request: Request<Streaming<proto::PushRequest>>,
    ) -> Result<Response<proto::PushResponse>, Status> {
        pass(request, async |request| {
            let mut response = self.0.push(request).await?;
            if let Some(plugin) = &response.get_ref().plugin {
                let about = AboutPlugin(plugin.digest.clone());
                response.extensions_mut().insert(about);
            }
            Ok(response)
        })
        .await
    }

    type UploadStream = <PluginsService as Plugins>::UploadStream;

    async fn upload(
        &self,
        request: Request<Streaming<proto::PushRequest>>,
    ) -> Result<Response<Self::UploadStream>, Status> {
        pass_upload(request, |request| self.0.upload(request)).await
    }

    async fn activate(
        &self,
        request: Request<proto::ActivateRequest>,
    ) -> Result<Response<proto::ActivateResponse>, Status> {
        pass(request, async |request| {
            let mut response = self.0.activate(request).await?;
            let about = AboutPlugin(response.get_ref().digest.clone());
            response.extensions_mut().insert(about);
            Ok(response)
        })
        .await
    }

    /// Whoever may activate plugins somewhere sees all of them, everybody else those of his buckets.
    async fn list(
        &self,
        request: Request<proto::ListPluginsRequest>,
    ) -> Result<Response<proto::ListPluginsResponse>, Status> {
        let permission = Permission::of(&request)?;
        let mut response = pass(request, |request| self.0.list(request)).await?;
        let plugins = &mut response.get_mut().plugins;
        for plugin in plugins.iter_mut() {
            plugin.buckets.retain(|bucket| permission.shows(bucket));
        }
        if !permission.may_somewhere(Role::Plugin) {
            plugins.retain(|plugin| !plugin.buckets.is_empty());
        }
        Ok(response)
    }

    async fn stats(
        &self,
        request: Request<proto::PluginStatsRequest>,
    ) -> Result<Response<proto::PluginStatsResponse>, Status> {
        let permission = Permission::of(&request)?;
        let mut response = pass(request, |request| self.0.stats(request)).await?;
        let stats = &mut response.get_mut().stats;
        stats.retain(|of| permission.shows(&of.bucket));
        Ok(response)
    }

    /// A plugin may log what it sees.
    async fn logs(
        &self,
        request: Request<proto::PluginLogsRequest>,
    ) -> Result<Response<proto::PluginLogsResponse>, Status> {
        let permission = Permission::of(&request)?;
        let mut response = pass(request, |request| self.0.logs(request)).await?;
        let lines = &mut response.get_mut().lines;
        lines.retain(|line| permission.may(Role::Plugin, &line.bucket));
        Ok(response)
    }
} }

guard! { Cluster of ClusterService {
    status(proto::StatusRequest) -> StatusResponse;
    ring(proto::RingRequest) -> RingResponse;
    preference_list(proto::PreferenceListRequest) -> PreferenceListResponse;
    members(proto::MembersRequest) -> MembersResponse;
    change(proto::ChangeRequest) -> ChangeResponse;
    set_policy(proto::SetPolicyRequest) -> MembershipPolicy;
    local_record(proto::LocalRecordRequest) -> LocalRecordResponse;
    anti_entropy(proto::AntiEntropyRequest) -> AntiEntropyResponse;
    hints(proto::HintsRequest) -> HintsResponse;
    transfers(proto::TransfersRequest) -> TransfersResponse;
    reap(proto::ReapRequest) -> ReapResponse;
    explain(proto::ExplainRequest) -> ExplainResponse;
    scrub(proto::ScrubRequest) -> ScrubResponse;
} streams {} rest {} }

guard! { Backups of BackupsService {
    outline(proto::OutlineRequest) -> OutlineResponse;
    restore(Streaming<proto::RecordPiece>) -> RestoreResponse;
} streams {
    read(proto::ReadRequest) -> ReadStream;
    read_plugin(proto::ReadPluginRequest) -> ReadPluginStream;
} rest {} }

/// Serves a request if its caller may send it, and names it to him however it ends.
async fn pass<Q: Asked, R, F>(
    request: Request<Q>,
    serve: impl FnOnce(Request<Q>) -> F,
) -> Result<Response<R>, Status>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    let permission = Permission::of(&request)?;
    permission.named(served(&permission, request, serve).await)
}

async fn served<Q: Asked, R, F>(
    permission: &Permission,
    request: Request<Q>,
    serve: impl FnOnce(Request<Q>) -> F,
) -> Result<Response<R>, Status>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    permission.admit(request.get_ref())?;
    let Some(line) = permission.line(request.get_ref()) else {
        return serve(request).await;
    };
    let record = permission.begin(line).await?;
    let outcome = serve(request).await;
    let line = record.last_line(&outcome);
    record.end(line).await;
    outcome
}

/// The same for a request that is answered by a stream: it ends when the caller loses what he needed for it.
async fn pass_to_stream<Q: Asked, T: Send + 'static, F>(
    request: Request<Q>,
    serve: impl FnOnce(Request<Q>) -> F,
) -> Result<Response<Events<T>>, Status>
where
    F: Future<Output = Result<Response<Events<T>>, Status>>,
{
    let permission = Permission::of(&request)?;
    let bucket = request.get_ref().bucket().map(str::to_owned);
    let mut refused = false;
    let response = pass(request, serve).await?;
    Ok(response.map(|events| {
        let checked = events.map_while(move |event| {
            if refused {
                return None;
            }
            let checked = permission.check(bucket.as_deref(), None);
            refused = checked.is_err();
            Some(checked.and(event))
        });
        Box::pin(checked) as Events<T>
    }))
}

/// The same for an upload: the log is told which plugin it was, or why it ended, before the client is.
async fn pass_upload<Q: Asked, F>(
    request: Request<Q>,
    serve: impl FnOnce(Request<Q>) -> F,
) -> Result<Response<Events<proto::UploadProgress>>, Status>
where
    F: Future<Output = Result<Response<Events<proto::UploadProgress>>, Status>>,
{
    let permission = Permission::of(&request)?;
    permission.named(served_upload(&permission, request, serve).await)
}

async fn served_upload<Q: Asked, F>(
    permission: &Permission,
    request: Request<Q>,
    serve: impl FnOnce(Request<Q>) -> F,
) -> Result<Response<Events<proto::UploadProgress>>, Status>
where
    F: Future<Output = Result<Response<Events<proto::UploadProgress>>, Status>>,
{
    permission.admit(request.get_ref())?;
    let mut record = match permission.line(request.get_ref()) {
        None => None,
        Some(line) => Some(permission.begin(line).await?),
    };
    let events = match serve(request).await {
        Ok(response) => response.into_inner(),
        Err(refused) => {
            let outcome: Result<Response<()>, Status> = Err(refused.clone());
            end(record.take(), outcome).await;
            return Err(refused);
        }
    };
    let told = futures_util::stream::unfold((events, record), async |(mut events, mut record)| {
        let event = events.next().await?;
        if let Some(outcome) = outcome_of(&event) {
            end(record.take(), outcome).await;
        }
        Some((event, (events, record)))
    });
    Ok(Response::new(Box::pin(told)))
}

async fn end(record: Option<Record>, outcome: Result<Response<()>, Status>) {
    if let Some(record) = record {
        let line = record.last_line(&outcome);
        record.end(line).await;
    }
}

/// How an upload ended; none as long as it goes on.
fn outcome_of(
    event: &Result<proto::UploadProgress, Status>,
) -> Option<Result<Response<()>, Status>> {
    match event {
        Err(status) => Some(Err(status.clone())),
        Ok(progress) => {
            let plugin = progress.pushed.as_ref()?.plugin.as_ref();
            let mut response = Response::new(());
            let digest = plugin.map(|plugin| plugin.digest.clone());
            let about = AboutPlugin(digest.unwrap_or_default());
            response.extensions_mut().insert(about);
            Some(Ok(response))
        }
    }
}
