//! Finds out who sends a request, before anything of it is read but its headers.
//!
//! What the caller may do is decided by the guards, which know the request's bucket.
//!
//! Invariant: a request goes on with a `Permission` in its extensions, or it needs none, or it is refused.

use super::super::status;
use super::super::traced::{name_request, say_name};
use super::permission::Permission;
use crate::security::access::Access;
use crate::security::caller::Attempt;
use crate::security::connection::ConnectionInfo;
use crate::security::policy::{Need, rule};
use futures_util::future::{Either, Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// The layer around all services of a listener.
#[derive(Clone)]
pub struct Threshold {
    access: Arc<Access>,
}

impl Threshold {
    pub fn new(access: Arc<Access>) -> Self {
        Self { access }
    }
}

impl<S> Layer<S> for Threshold {
    type Service = Beyond<S>;

    fn layer(&self, inner: S) -> Beyond<S> {
        Beyond {
            access: Arc::clone(&self.access),
            inner,
        }
    }
}

/// Services that only known callers reach.
#[derive(Clone)]
pub struct Beyond<S> {
    access: Arc<Access>,
    inner: S,
}

impl<S, B, P> Service<http::Request<B>> for Beyond<S>
where
    S: Service<http::Request<B>, Response = http::Response<P>>,
    P: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let rule = rule(request.uri().path());
        if rule.is_some_and(|rule| rule.need == Need::Nothing) {
            return Either::Left(self.inner.call(request));
        }
        let id = name_request(request.headers_mut());
        let connection = request.extensions().get::<ConnectionInfo>();
        let connection = connection.cloned().unwrap_or_default();
        let authorization = request.headers().get(http::header::AUTHORIZATION);
        let authorization = authorization.map(|header| header.as_bytes());
        match self.access.identify(&connection, authorization) {
            Ok(caller) => {
                // What comes after needs the name, not the secret.
                request.headers_mut().remove(http::header::AUTHORIZATION);
                request.extensions_mut().insert(Permission {
                    access: Arc::clone(&self.access),
                    caller: Arc::new(caller),
                    rule,
                    request: id.into(),
                });
                Either::Left(self.inner.call(request))
            }
            Err(refusal) => {
                let attempt = Attempt {
                    caller: None,
                    remote: connection.remote,
                    rpc: request.uri().path(),
                    request: &id,
                };
                self.access.on_refusal(&refusal, attempt);
                let mut refused = status::of_refusal(&refusal);
                say_name(refused.metadata_mut(), &id);
                Either::Right(ready(Ok(refused.into_http())))
            }
        }
    }
}
