//! Connections from their first packet to their first request: handshake, certificate, HTTP/2 preface, place.
//!
//! All of that is done beside the accept loop, so that one that is slow or silent holds up nobody, with TLS or without it.
//! Knows nothing of requests.
//!
//! Invariant: a connection that is handed on has spoken HTTP/2, holds one of the listener's places, and carries no name
//! but one that its certificate proves.

use crate::limits::transport::{OPENING_MAX, OPENING_TIMEOUT_MS};
use crate::security::connection::ConnectionInfo;
use crate::security::names::{NamingError, client_of, node_of};
use crate::security::transport::Transport;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, ServerConfig};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How a TLS connection begins: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// Before another try, when the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is let in by a listener.
#[derive(Clone)]
pub enum Door {
    Clients(Arc<Transport>),
    Peers(Arc<Transport>),
}

impl Door {
    /// As it is now: a rotation counts from the next connection on.
    fn config(&self) -> Option<Arc<ServerConfig>> {
        match self {
            Self::Clients(transport) => transport.clients(),
            Self::Peers(transport) => Some(Arc::clone(&transport.peers()?.listening)),
        }
    }

    fn name(&self, certificate: &CertificateDer<'_>) -> Result<String, NamingError> {
        match self {
            Self::Clients(_) => client_of(certificate),
            Self::Peers(_) => node_of(certificate).map(|node| node.to_string()),
        }
    }

    /// Who was turned away, for those who look after the cluster.
    fn refused(&self, remote: SocketAddr, why: &Refusal) {
        let event = match self {
            Self::Clients(_) => "client-refused",
            Self::Peers(_) => "peer-refused",
        };
        match why {
            Refusal::Broken(error) => tracing::debug!(event, %remote, %error),
            why => tracing::warn!(target: "rejoin::audit", event, %remote, why = why.to_string()),
        }
    }
}

/// Why a connection was not handed on.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// It ended by itself.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("it showed no certificate; give it one that an authority of this listener has signed")]
    NoCertificate,
    #[error("its certificate is not signed by an authority of this listener")]
    Stranger,
    #[error("it speaks plain text, and this listener speaks TLS")]
    PlainText,
    #[error("it speaks TLS, and this node is insecure: it speaks plain text")]
    Tls,
    #[error("it does not speak HTTP/2")]
    NotHttp2,
    #[error("the handshake failed: {0}")]
    Handshake(Error),
    #[error(transparent)]
    Naming(#[from] NamingError),
    #[error("it was not ready after {OPENING_TIMEOUT_MS} ms")]
    Slow,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            None => Self::Broken(error),
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Self::Stranger,
            Some(Error::InvalidMessage(_)) => Self::PlainText,
            Some(error) => Self::Handshake(error.clone()),
        }
    }
}

/// The connections of a listener, opened, at most `connections_max` at a time.
pub fn incoming(
    listener: TcpListener,
    connections_max: usize,
    door: Door,
) -> impl Stream<Item = io::Result<Connection>> {
    let opening = Opening {
        listener,
        door,
        places: Arc::new(Semaphore::new(connections_max)),
        tasks: JoinSet::new(),
        started: VecDeque::new(),
    };
    futures_util::stream::unfold(opening, async |mut opening| {
        Some((Ok(opening.next().await), opening))
    })
}

/// A listener, and the connections that are not ready yet; they go with it.
struct Opening {
    listener: TcpListener,
    door: Door,
    places: Arc<Semaphore>,
    tasks: JoinSet<Option<Connection>>,
    /// Oldest first, some of them ended.
    started: VecDeque<AbortHandle>,
}

impl Opening {
    async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, remote)) => self.open(stream, remote),
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(opened) = self.tasks.join_next() => {
                    if let Ok(Some(connection)) = opened {
                        return connection;
                    }
                }
            }
        }
    }

    fn open(&mut self, stream: TcpStream, remote: SocketAddr) {
        if self.started.len() >= OPENING_MAX {
            self.started.retain(|task| !task.is_finished());
        }
        if self.started.len() >= OPENING_MAX
            && let Some(oldest) = self.started.pop_front()
        {
            oldest.abort();
        }
        let (door, places) = (self.door.clone(), Arc::clone(&self.places));
        let task = async move {
            let limit = Duration::from_millis(OPENING_TIMEOUT_MS);
            let opened = tokio::time::timeout(limit, open(stream, remote, &door, places));
            let opened = opened.await.unwrap_or(Err(Refusal::Slow));
            opened.inspect_err(|why| door.refused(remote, why)).ok()
        };
        self.started.push_back(self.tasks.spawn(task));
    }
}

async fn open(
    stream: TcpStream,
    remote: SocketAddr,
    door: &Door,
    places: Arc<Semaphore>,
) -> Result<Connection, Refusal> {
    stream.set_nodelay(true)?;
    let (mut stream, certificate) = match door.config() {
        None => (Either::Left(stream), None),
        Some(config) => {
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            let certificate = shown(&stream).map(|shown| door.name(shown)).transpose()?;
            (Either::Right(stream), certificate)
        }
    };
    read_preface(&mut stream).await?;
    let place = places.acquire_owned().await;
    Ok(Connection {
        stream,
        replayed: 0,
        info: ConnectionInfo {
            remote: Some(remote),
            certificate,
        },
        _place: place.map_err(|closed| Refusal::Broken(io::Error::other(closed)))?,
    })
}

fn shown(stream: &TlsStream<TcpStream>) -> Option<&CertificateDer<'static>> {
    let (_, session) = stream.get_ref();
    session.peer_certificates()?.first()
}

/// Reads what HTTP/2 begins with; anything else is told by its first wrong byte.
async fn read_preface(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), Refusal> {
    let mut found = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() {
        let read = stream.read(&mut found[length..]).await?;
        if read == 0 {
            return Err(Refusal::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        length += read;
        if found[0] == TLS_HANDSHAKE {
            return Err(Refusal::Tls);
        }
        if found[..length] != PREFACE[..length] {
            return Err(Refusal::NotHttp2);
        }
    }
    Ok(())
}

/// A connection that is open, and holds one of the places.
pub struct Connection {
    stream: Either<TcpStream, TlsStream<TcpStream>>,
    /// Bytes of the preface that were handed on; it was read already.
    replayed: usize,
    info: ConnectionInfo,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &PREFACE[self.replayed..];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        self.replayed += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(bytes: &'static [u8]) -> Option<Refusal> {
        let mut bytes = bytes;
        read_preface(&mut bytes).await.err()
    }

    #[tokio::test]
    async fn what_is_not_http2_is_told_by_its_first_wrong_byte() {
        assert!(refusal(&PREFACE).await.is_none());
        assert!(matches!(refusal(b"GET /").await, Some(Refusal::NotHttp2)));
        assert!(matches!(refusal(b"PRI !").await, Some(Refusal::NotHttp2)));
        assert!(matches!(
            refusal(&[TLS_HANDSHAKE, 3, 1]).await,
            Some(Refusal::Tls)
        ));
        assert!(matches!(refusal(b"PRI").await, Some(Refusal::Broken(_))));
        assert!(matches!(refusal(b"").await, Some(Refusal::Broken(_))));
    }

    #[tokio::test]
    async fn more_silent_connections_than_are_opened_at_once_do_not_stop_one_that_speaks() {
        use tokio::io::AsyncWriteExt as _;
        use tokio_stream::StreamExt as _;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let door = Door::Clients(Arc::new(Transport::insecure()));
        let mut connections = Box::pin(incoming(listener, 1, door));
        let mut silent = Vec::new();
        let dialled = async {
            for _ in 0..OPENING_MAX + 50 {
                silent.push(TcpStream::connect(address).await.expect("accepted"));
            }
            let mut stream = TcpStream::connect(address).await.expect("accepted");
            stream.write_all(&PREFACE).await.expect("sent");
            stream
        };
        let (spoken, opened) = tokio::join!(dialled, connections.next());
        let mut opened = opened.expect("the listener goes on").expect("a connection");
        let info = opened.connect_info();
        assert_eq!(info.remote, spoken.local_addr().ok());
        let mut replayed = [0; PREFACE.len()];
        opened.read_exact(&mut replayed).await.expect("replayed");
        assert_eq!(replayed, PREFACE);
    }
}
