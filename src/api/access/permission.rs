//! What a caller may do with one request, asked again whenever it matters.
//!
//! Holds no rights: those of the access file that is in force are looked at each time, so that a stream which was
//! opened yesterday ends when its caller is struck off today.
//!
//! Invariant: a request without a rule is refused.

use super::super::status;
use super::super::traced::say_name;
use super::asked::Asked;
use crate::security::access::{Access, check};
use crate::security::caller::{Attempt, Caller, Refusal};
use crate::security::policy::{Need, Rule};
use crate::security::roles::{Rights, Role};
use crate::wire::proto::v1 as proto;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// What a caller may do with one request; the threshold puts it into the request's extensions.
#[derive(Clone)]
pub struct Permission {
    pub(super) access: Arc<Access>,
    pub(super) caller: Arc<Caller>,
    /// None: a request that nobody may send.
    pub(super) rule: Option<&'static Rule>,
    /// By which the client and the logs name the request.
    pub(super) request: Arc<str>,
}

impl Permission {
    /// That of the request; every request that came over the threshold has one.
    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    pub fn of<Q>(request: &Request<Q>) -> Result<Self, Status> {
        let found = request.extensions().get::<Self>().cloned();
        found.ok_or_else(|| status::internal("nobody asked who sends this request".to_owned()))
    }

    /// Whether it is enough for what is asked, as the access file stands now.
    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    pub(super) fn admit(&self, asked: &impl Asked) -> Result<(), Status> {
        let bucket = match self.rule.map(|rule| rule.need) {
            // The stream itself is of no bucket.
            Some(Need::InEach(_)) | None => None,
            Some(_) => asked.bucket(),
        };
        self.check(bucket, asked.also())
    }

    /// Whether it is enough for one element of a stream.
    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    fn admit_element(&self, asked: &impl Asked) -> Result<(), Status> {
        // An element without a bucket is of a bucket that nobody has a role in.
        self.check(Some(asked.bucket().unwrap_or_default()), asked.also())
    }

    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    pub(super) fn check(&self, bucket: Option<&str>, also: Option<Role>) -> Result<(), Status> {
        let Some(rule) = self.rule else {
            let error = "this request has no rule that says who may send it, so nobody may";
            return Err(Status::permission_denied(error));
        };
        let also = also.map_or(Need::Known, Need::In);
        let checked = self.access.judge(&self.caller, |rights| {
            check(rule.need, rights, bucket)?;
            check(also, rights, bucket)
        });
        let checked = checked.and_then(|checked| checked);
        checked.map_err(|refusal| self.refuse(&refusal))
    }

    fn refuse(&self, refusal: &Refusal) -> Status {
        let attempt = Attempt {
            caller: Some(&self.caller),
            remote: self.caller.remote,
            rpc: self.rule.map_or("", |rule| rule.path),
            request: &self.request,
        };
        self.access.on_refusal(refusal, attempt);
        status::of_refusal(refusal)
    }

    /// The outcome, with the name of the request: who is refused can say it to whoever reads the log.
    #[allow(clippy::result_large_err)] // Its callers return it as it is.
    pub(super) fn named<R>(
        &self,
        outcome: Result<Response<R>, Status>,
    ) -> Result<Response<R>, Status> {
        match outcome {
            Ok(mut response) => {
                say_name(response.metadata_mut(), &self.request);
                Ok(response)
            }
            Err(mut status) => {
                say_name(status.metadata_mut(), &self.request);
                Err(status)
            }
        }
    }

    /// Whether the bucket may be named in an answer to this caller.
    pub(super) fn shows(&self, bucket: &str) -> bool {
        self.has(|rights| rights.may_see(bucket))
    }

    pub(super) fn may(&self, role: Role, bucket: &str) -> bool {
        self.has(|rights| rights.may(role, bucket))
    }

    pub(super) fn may_somewhere(&self, role: Role) -> bool {
        self.has(|rights| rights.may_somewhere(role))
    }

    fn has(&self, judge: impl FnOnce(&Rights) -> bool) -> bool {
        self.access.judge(&self.caller, judge).unwrap_or(false)
    }

    /// What a merge on put made is for readers; a caller who may only write does not see it.
    pub(super) fn veiled(&self, bucket: &str, reply: proto::PutResponse) -> proto::PutResponse {
        match reply.merged.is_none() || self.may(Role::Read, bucket) {
            true => reply,
            false => proto::PutResponse {
                merged: None,
                ..reply
            },
        }
    }
}

/// Serves one element of a stream if the caller may ask for it.
pub async fn each<Q: Asked, R, F>(
    permission: &Permission,
    asked: Q,
    serve: impl FnOnce(Q) -> F,
) -> Result<R, Status>
where
    F: Future<Output = Result<R, Status>>,
{
    permission.admit_element(&asked)?;
    serve(asked).await
}

/// The same for a put, whose answer may show more than its caller may see.
pub async fn each_put<F>(
    permission: &Permission,
    asked: proto::PutRequest,
    serve: impl FnOnce(proto::PutRequest) -> F,
) -> Result<proto::PutResponse, Status>
where
    F: Future<Output = Result<proto::PutResponse, Status>>,
{
    let bucket = asked.bucket.clone();
    let reply = each(permission, asked, serve).await?;
    Ok(permission.veiled(&bucket, reply))
}
