//! Requests by their paths, as bytes: for asking every one that there is.

use super::super::stage::PATIENCE;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use prost::Message as _;
use rejoin::wire::proto::v1 as proto;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

/// A message that has nothing but its field `bucket`, if it has one.
pub fn naming(field: Option<u32>, bucket: &str) -> Bytes {
    let mut message = BytesMut::new();
    if let Some(number) = field {
        prost::encoding::string::encode(number, &bucket.to_owned(), &mut message);
    }
    message.freeze()
}

/// The code that a request with one message comes to; of a batch, that of its element.
pub async fn call(url: &str, path: &str, asked: Bytes, authorization: Option<String>) -> Code {
    let called = tokio::time::timeout(PATIENCE, try_call(url, path, asked, authorization)).await;
    match called.unwrap_or_else(|_| panic!("{path} was not answered")) {
        Ok(Some(item)) if path.ends_with("/BatchGet") => {
            let reply = proto::BatchGetReply::decode(item).expect("a reply");
            match reply.outcome.expect("an outcome") {
                proto::batch_get_reply::Outcome::Response(_) => Code::Ok,
                proto::batch_get_reply::Outcome::Error(error) => error.code.into(),
            }
        }
        Ok(Some(item)) if path.ends_with("/BatchPut") => {
            let reply = proto::BatchPutReply::decode(item).expect("a reply");
            match reply.outcome.expect("an outcome") {
                proto::batch_put_reply::Outcome::Response(_) => Code::Ok,
                proto::batch_put_reply::Outcome::Error(error) => error.code.into(),
            }
        }
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

async fn try_call(
    url: &str,
    path: &str,
    asked: Bytes,
    authorization: Option<String>,
) -> Result<Option<Bytes>, Status> {
    let channel = Endpoint::from_shared(url.to_owned()).expect("an address");
    let channel = channel.connect().await.expect("the node takes connections");
    let mut client = Grpc::new(channel);
    client.ready().await.expect("ready");
    let mut request = Request::new(tokio_stream::once(asked));
    if let Some(header) = authorization {
        let header = header.parse().expect("ascii");
        request.metadata_mut().insert("authorization", header);
    }
    let path: PathAndQuery = path.parse().expect("a path");
    let is_batch = path.path().contains("/Batch");
    let replies = client.streaming(request, path, Raw).await?;
    match is_batch {
        true => replies.into_inner().message().await,
        // Whatever comes now, the caller was let in: a watch would not say anything for long.
        false => Ok(None),
    }
}

/// Bytes as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
