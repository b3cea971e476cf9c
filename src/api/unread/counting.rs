//! The layer around all services that counts what they answer with.
//!
//! A request is turned away before anything is done for it. One that was let in beside too many others may be turned
//! away with its answer made, if it only reads; whoever writes is told what became of it. Knows no message.
//!
//! Invariant: a request goes on only with the account of its connection and its `ConnectionInfo` in its extensions.

use super::super::accepted::Arrived;
use super::super::status;
use super::pieces::Pieces;
use crate::node::unread::{Account, UnderWay, Unread};
use crate::security::policy::{Need, Noted, rule};
use crate::security::roles::Role;
use http_body::Body as _;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::body::Body;
use tower::{Layer, Service};

/// The layer around all services of a listener.
#[derive(Clone, Copy)]
pub struct Counting;

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner }
    }
}

/// Services whose answers are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
}

type Answer<E> = Result<http::Response<Body>, E>;

impl<S, B> Service<http::Request<B>> for Counted<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Answer<S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let Some(Arrived { info, account }) = request.extensions_mut().remove() else {
            let error = "nobody counts what this connection leaves unread".to_owned();
            return Box::pin(async { Ok(status::internal(error).into_http()) });
        };
        request.extensions_mut().insert(info);
        let under_way = match account.begin() {
            Ok(under_way) => under_way,
            Err(why) => return Box::pin(async move { Ok(refusal(why)) }),
        };
        let only_reads = only_reads(request.uri().path());
        request.extensions_mut().insert(Arc::clone(&account)); // For batches, whose replies wait.
        let answering = self.inner.call(request);
        Box::pin(async move {
            let response = answering.await?;
            Ok(counted(response, &account, under_way, only_reads).await)
        })
    }
}

fn refusal(why: Unread) -> http::Response<Body> {
    status::of_unread(why).into_http()
}

/// Whether nothing is lost if a request is turned away with its answer made.
fn only_reads(path: &str) -> bool {
    let reads = |need| {
        matches!(
            need,
            Need::Known | Need::AnyRole | Need::In(Role::Read) | Need::InEach(Role::Read)
        )
    };
    rule(path).is_some_and(|rule| reads(rule.need) && rule.noted == Noted::No)
}

/// Makes the beginning of an answer, which is all of it unless it is a stream, and charges it.
async fn counted(
    response: http::Response<Body>,
    account: &Arc<Account>,
    under_way: UnderWay,
    only_reads: bool,
) -> http::Response<Body> {
    let (parts, mut body) = response.into_parts();
    let made = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx))).await;
    let pieces = match made {
        Poll::Ready(None) => return http::Response::from_parts(parts, Body::empty()),
        Poll::Pending => Pieces::after(None, body, account),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) if only_reads => match account.try_charge(data.len()) {
                Ok(charge) => Pieces::of(data, charge, body, account),
                Err(why) => return refusal(why),
            },
            Ok(data) => {
                let charge = account.charge(data.len());
                Pieces::of(data, charge, body, account)
            }
            Err(frame) => Pieces::after(Some(Ok(frame)), body, account),
        },
        Poll::Ready(Some(Err(status))) => Pieces::after(Some(Err(status)), body, account),
    };
    drop(under_way); // Its answer is charged from here on.
    http::Response::from_parts(parts, Body::new(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::policy::POLICY;

    #[test]
    fn whoever_writes_is_always_told_what_became_of_it() {
        for path in ["Kv/Put", "Kv/BatchPut", "Kv/Delete", "Buckets/Create"] {
            assert!(!only_reads(&format!("/rejoin.v1.{path}")), "{path}");
        }
        for path in ["Kv/Get", "Kv/BatchGet", "Kv/ListKeys", "Cluster/Explain"] {
            assert!(only_reads(&format!("/rejoin.v1.{path}")), "{path}");
        }
        let noted = POLICY.iter().filter(|rule| rule.noted == Noted::Yes);
        assert!(noted.map(|rule| rule.path).all(|path| !only_reads(path)));
    }
}
