//! The requests of one bucket, with their options (Dynamo 4.1).
//!
//! Checks names before anything is sent. A session's bucket carries contexts along by itself.
//!
//! Invariant: a request that is never awaited sends nothing.

use super::calls::{self, Write};
use super::error::Error;
use super::membership::Fresh;
use super::remembered::{Remembered, covers};
use super::value::{Context, Read, Written};
use crate::dynamo::bucket::Ack;
use crate::dynamo::names::{BucketName, Key};
use crate::limits::DEADLINE_MAX_MS;
use crate::wire::proto::v1 as proto;
use bytes::Bytes;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What becomes of a request.
pub type Outcome<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A bucket of the cluster, and whose eyes it is seen with.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(super) name: String,
    pub(super) fresh: Arc<Fresh>,
    pub(super) deadline: Duration,
    /// Of the session, if there is one. Guards the map; never held over an await.
    pub(super) remembered: Option<Arc<Mutex<Remembered>>>,
}

/// A get on its way; await it.
#[derive(Debug)]
#[must_use = "a get is sent when it is awaited"]
pub struct Get {
    bucket: Bucket,
    key: Bytes,
    r: Option<u32>,
}

/// A put on its way; await it.
#[derive(Debug)]
#[must_use = "a put is sent when it is awaited"]
pub struct Put {
    bucket: Bucket,
    asked: proto::PutRequest,
    context: Option<Context>,
}

/// A delete on its way; await it.
#[derive(Debug)]
#[must_use = "a delete is sent when it is awaited"]
pub struct Delete {
    bucket: Bucket,
    asked: proto::DeleteRequest,
    context: Option<Context>,
}

impl Bucket {
    /// The value under a key, or its siblings, with the context for a put that follows.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Get {
        Get {
            bucket: self.clone(),
            key: Bytes::copy_from_slice(key.as_ref()),
            r: None,
        }
    }

    /// Stores a value. With a context it replaces what that has seen, without one it stands beside; in a
    /// session the latest context of the key is passed unless another one is.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl Into<Bytes>) -> Put {
        Put {
            bucket: self.clone(),
            asked: proto::PutRequest {
                bucket: self.name.clone(),
                key: Bytes::copy_from_slice(key.as_ref()),
                value: value.into(),
                ..proto::PutRequest::default()
            },
            context: None,
        }
    }

    /// Deletes what the context has seen; without one, what the coordinator holds.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Delete {
        Delete {
            bucket: self.clone(),
            asked: proto::DeleteRequest {
                bucket: self.name.clone(),
                key: Bytes::copy_from_slice(key.as_ref()),
                ..proto::DeleteRequest::default()
            },
            context: None,
        }
    }

    fn key(&self, key: &Bytes) -> Result<Key, Error> {
        let refused = |error: crate::dynamo::names::NameError| Error::Refused {
            reason: "BAD_NAME".to_owned(),
            message: error.to_string(),
        };
        let bucket = BucketName::new(&self.name).map_err(refused)?;
        Key::new(bucket, key.clone()).map_err(refused)
    }

    fn end(&self) -> Instant {
        Instant::now() + self.deadline.min(Duration::from_millis(DEADLINE_MAX_MS))
    }

    fn remembered(&self) -> Option<MutexGuard<'_, Remembered>> {
        let remembered = self.remembered.as_ref()?;
        Some(remembered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn seen(&self, key: &Key) -> Bytes {
        self.remembered()
            .map(|known| known.get(key))
            .unwrap_or_default()
    }

    fn remember(&self, key: &Key, context: &Context) {
        if let Some(mut remembered) = self.remembered() {
            remembered.put(key, context.0.clone());
        }
    }

    fn passed(&self, key: &Key, context: Option<Context>) -> Bytes {
        context.map_or_else(|| self.seen(key), |context| context.0)
    }

    async fn write(&self, key: &Key, write: Write, end: Instant) -> Result<Written, Error> {
        let written = calls::put(&self.fresh.membership, key, &write, end).await?;
        self.remember(key, &written.context);
        Ok(written)
    }
}

impl Get {
    /// Replicas to wait for, in place of the bucket's R.
    pub fn r(mut self, r: u8) -> Self {
        self.r = Some(u32::from(r));
        self
    }

    /// In place of the client's; 10 s at most.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.bucket.deadline = deadline;
        self
    }
}

impl IntoFuture for Get {
    type Output = Result<Read, Error>;
    type IntoFuture = Outcome<Read>;

    fn into_future(self) -> Outcome<Read> {
        Box::pin(async move {
            let Self { bucket, key, r } = self;
            let key = bucket.key(&key)?;
            let asked = proto::GetRequest {
                bucket: bucket.name.clone(),
                key: key.bytes().clone(),
                r,
                ..proto::GetRequest::default()
            };
            let seen = bucket.seen(&key);
            let fits = |read: &Read| covers(&key, &read.context.0, &seen);
            let read =
                calls::get(&bucket.fresh.membership, &key, asked, bucket.end(), fits).await?;
            bucket.remember(&key, &read.context);
            Ok(read)
        })
    }
}

impl Put {
    /// Of the get or put before.
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Acknowledgements to wait for, in place of the bucket's W.
    pub fn w(mut self, w: u8) -> Self {
        self.asked.w = Some(u32::from(w));
        self
    }

    /// When a replica says that it has the write, in place of the bucket's choice.
    pub fn ack(mut self, ack: Ack) -> Self {
        self.asked.ack = ack_choice(ack);
        self
    }

    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.asked.content_type = content_type.into();
        self
    }

    /// An entry of the version's metadata.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.asked.metadata.insert(name.into(), value.into());
        self
    }

    /// In place of the client's; 10 s at most.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.bucket.deadline = deadline;
        self
    }
}

impl IntoFuture for Put {
    type Output = Result<Written, Error>;
    type IntoFuture = Outcome<Written>;

    fn into_future(self) -> Outcome<Written> {
        Box::pin(async move {
            let Self {
                bucket,
                mut asked,
                context,
            } = self;
            let key = bucket.key(&asked.key)?;
            asked.context = bucket.passed(&key, context);
            bucket.write(&key, Write::Put(asked), bucket.end()).await
        })
    }
}

impl Delete {
    /// Of the get or put before.
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Acknowledgements to wait for, in place of the bucket's W.
    pub fn w(mut self, w: u8) -> Self {
        self.asked.w = Some(u32::from(w));
        self
    }

    /// When a replica says that it has the delete, in place of the bucket's choice.
    pub fn ack(mut self, ack: Ack) -> Self {
        self.asked.ack = ack_choice(ack);
        self
    }

    /// In place of the client's; 10 s at most.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.bucket.deadline = deadline;
        self
    }
}

impl IntoFuture for Delete {
    type Output = Result<Written, Error>;
    type IntoFuture = Outcome<Written>;

    fn into_future(self) -> Outcome<Written> {
        Box::pin(async move {
            let Self {
                bucket,
                mut asked,
                context,
            } = self;
            let key = bucket.key(&asked.key)?;
            asked.context = bucket.passed(&key, context);
            bucket.write(&key, Write::Delete(asked), bucket.end()).await
        })
    }
}

fn ack_choice(ack: Ack) -> i32 {
    match ack {
        Ack::Buffered => proto::Ack::Buffered.into(),
        Ack::Durable => proto::Ack::Durable.into(),
    }
}
