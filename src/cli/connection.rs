//! A client of one node, for the commands.

use super::arguments::Server;
use crate::client::tls::{Tls, endpoint};
use crate::client::token::{Bearer, Known, Token};
use crate::limits::GET_BYTES_MAX;
use crate::wire::proto::v1::backups_client::BackupsClient;
use crate::wire::proto::v1::buckets_client::BucketsClient;
use crate::wire::proto::v1::cluster_client::ClusterClient;
use crate::wire::proto::v1::kv_client::KvClient;
use crate::wire::proto::v1::plugins_client::PluginsClient;
use anyhow::Context as _;
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A get may return many siblings.
const DECODED_BYTES_MAX: usize = GET_BYTES_MAX;

/// Clients of the services of one node, over one connection.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Channel,
    bearer: Bearer,
    timeout: Duration,
    trace: bool,
}

impl Connection {
    /// Connects to the node that the command line names.
    pub async fn open(server: &Server) -> anyhow::Result<Self> {
        Self::open_at(&server.server, server).await
    }

    /// Connects to another node than the command line names, in the way that it says.
    pub async fn open_at(url: &str, server: &Server) -> anyhow::Result<Self> {
        let timeout = Duration::from_millis(server.timeout_ms);
        let tls = server.trust.load()?;
        let connection = Self::secured(url, timeout, tls.as_ref()).await?;
        Ok(Self {
            trace: server.trace,
            bearer: Bearer::of(server.credential.load()?),
            ..connection
        })
    }

    /// Connects to `url` in plain text; every request has `timeout`.
    pub async fn to(url: &str, timeout: Duration) -> anyhow::Result<Self> {
        Self::secured(url, timeout, None).await
    }

    /// The same, with certificates if the address asks for them.
    pub async fn secured(url: &str, timeout: Duration, tls: Option<&Tls>) -> anyhow::Result<Self> {
        let endpoint = endpoint(url, tls)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        let channel = endpoint.connect().await.with_context(|| {
            format!("no node answers at {url}; start some with `rejoin dev`, or name another with --server")
        })?;
        Ok(Self {
            channel,
            bearer: Bearer::default(),
            timeout,
            trace: false,
        })
    }

    /// The same connection, on which every request shows a token.
    pub fn showing(&self, token: Token) -> Self {
        Self {
            bearer: Bearer::of(Some(token)),
            ..self.clone()
        }
    }

    fn known(&self) -> Known {
        self.bearer.on(&self.channel)
    }

    /// A request with the deadline of this connection.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        if self.trace {
            let metadata = request.metadata_mut();
            metadata.insert("rejoin-trace", MetadataValue::from_static("1"));
        }
        request
    }

    /// The answer, after its trace was shown if one was asked for.
    #[allow(clippy::result_large_err)] // As the generated clients have it.
    pub fn shown<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, Status> {
        let metadata = match &answer {
            Ok(response) => response.metadata(),
            Err(status) => status.metadata(),
        };
        for step in metadata.get_all("rejoin-trace") {
            eprintln!("{}", step.to_str().unwrap_or_default());
        }
        answer.map(Response::into_inner)
    }

    pub fn kv(&self) -> KvClient<Known> {
        KvClient::new(self.known()).max_decoding_message_size(DECODED_BYTES_MAX)
    }

    pub fn buckets(&self) -> BucketsClient<Known> {
        BucketsClient::new(self.known()).max_decoding_message_size(DECODED_BYTES_MAX)
    }

    pub fn backups(&self) -> BackupsClient<Known> {
        BackupsClient::new(self.known()).max_decoding_message_size(DECODED_BYTES_MAX)
    }

    pub fn plugins(&self) -> PluginsClient<Known> {
        PluginsClient::new(self.known())
    }

    pub fn cluster(&self) -> ClusterClient<Known> {
        ClusterClient::new(self.known()).max_decoding_message_size(DECODED_BYTES_MAX)
    }
}
