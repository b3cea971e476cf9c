//! Connections from their first packet to their first request: handshake, certificate, HTTP/2 preface, place.
//!
//! All of that is done beside the accept loop, so that one that is slow or silent holds up nobody, with TLS or without it.
//! Knows nothing of requests.
//!
//! Invariant: a connection that is handed on has spoken HTTP/2, holds one of the listener's places, and carries no name
//! but one that its certificate proves.

use super::accepted::{Connection, FirstWords, Opened, PREFACE};
use crate::limits::transport::{OPENING_MAX, OPENING_TIMEOUT_MS};
use crate::node::unread::Ledger;
use crate::security::access::Access;
use crate::security::authority::Realm;
use crate::security::connection::ConnectionInfo;
use crate::security::names::{NamingError, client_of, node_of};
use crate::security::tethers::Tether;
use crate::security::transport::Transport;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, ServerConfig};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_util::either::Either;

/// How a TLS connection begins: a handshake record.
const TLS_HANDSHAKE: u8 = 0x16;
/// Before another try, when the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is let in by a listener, and where it is written down who is not.
#[derive(Clone)]
pub enum Door {
    Clients(Arc<Transport>, Arc<Access>),
    Peers(Arc<Transport>, Arc<Access>),
}

impl Door {
    /// As it is now: a rotation counts from the next connection on.
    fn config(&self) -> Option<Arc<ServerConfig>> {
        match self {
            Self::Clients(transport, _) => transport.clients(),
            Self::Peers(transport, _) => Some(Arc::clone(&transport.peers()?.listening)),
        }
    }

    fn name(&self, certificate: &CertificateDer<'_>) -> Result<String, NamingError> {
        match self {
            Self::Clients(..) => client_of(certificate),
            Self::Peers(..) => node_of(certificate).map(|node| node.to_string()),
        }
    }

    /// Has a connection end when what was shown on it is revoked.
    fn tie(&self, shown: &[CertificateDer<'_>]) -> Option<Tether> {
        match self {
            Self::Clients(transport, _) => transport.tie(Realm::Clients, shown),
            Self::Peers(transport, _) => transport.tie(Realm::Peers, shown),
        }
    }

    /// Tells who was turned away, to those who look after the cluster.
    fn refused(&self, remote: SocketAddr, why: &Refusal) {
        match (self, why) {
            (_, Refusal::Broken(error)) => tracing::debug!(%remote, %error, "not opened"),
            (Self::Clients(_, access), why) => {
                access.refused_client(Some(remote), &why.to_string());
            }
            (Self::Peers(_, access), why) => access.refused_peer(Some(remote), &why.to_string()),
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
    #[error("its certificate is revoked")]
    Revoked,
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
    #[error("all connections of this listener are taken; close some, or ask another node")]
    Full,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            None => Self::Broken(error),
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => Self::Stranger,
            Some(Error::InvalidCertificate(CertificateError::Revoked)) => Self::Revoked,
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
    unread: Arc<Ledger>,
) -> impl Stream<Item = io::Result<Connection>> {
    let opening = Opening {
        listener,
        door,
        unread,
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
    unread: Arc<Ledger>,
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
        let unread = Arc::clone(&self.unread);
        let task = async move {
            let limit = Duration::from_millis(OPENING_TIMEOUT_MS);
            let opened = tokio::time::timeout(limit, open(stream, remote, &door)).await;
            let opened = match opened.unwrap_or(Err(Refusal::Slow)) {
                Ok(opened) => match tokio::time::timeout(limit, places.acquire_owned()).await {
                    Ok(Ok(place)) => Ok(opened.holding(place, unread.open())),
                    Ok(Err(_)) | Err(_) => Err(Refusal::Full),
                },
                Err(why) => Err(why),
            };
            opened.inspect_err(|why| door.refused(remote, why)).ok()
        };
        self.started.push_back(self.tasks.spawn(task));
    }
}

async fn open(stream: TcpStream, remote: SocketAddr, door: &Door) -> Result<Opened, Refusal> {
    stream.set_nodelay(true)?;
    let (mut stream, certificate, tether) = match door.config() {
        None => (Either::Left(stream), None, None),
        Some(config) => {
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            let shown = shown(&stream);
            let certificate = shown.first().map(|shown| door.name(shown)).transpose()?;
            let tether = door.tie(shown);
            (Either::Right(stream), certificate, tether)
        }
    };
    let first_words = read_first_words(&mut stream).await?;
    let info = ConnectionInfo {
        remote: Some(remote),
        certificate,
    };
    Ok(Opened {
        stream,
        first_words,
        info,
        tether,
    })
}

fn shown(stream: &TlsStream<TcpStream>) -> &[CertificateDer<'static>] {
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap_or_default()
}

/// Reads what HTTP/2 begins with; anything else is told by its first wrong byte.
async fn read_first_words(stream: &mut (impl AsyncRead + Unpin)) -> Result<FirstWords, Refusal> {
    let mut found: FirstWords = [0; _];
    let mut length = 0;
    while length < found.len() {
        let read = stream.read(&mut found[length..]).await?;
        if read == 0 {
            return Err(Refusal::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        length += read;
        if found[0] == TLS_HANDSHAKE {
            return Err(Refusal::Tls);
        }
        let compared = length.min(PREFACE.len());
        if found[..compared] != PREFACE[..compared] {
            return Err(Refusal::NotHttp2);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::unread::Listeners;
    use tonic::transport::server::Connected as _;

    async fn refusal(bytes: &'static [u8]) -> Option<Refusal> {
        let mut bytes = bytes;
        read_first_words(&mut bytes).await.err()
    }

    /// The preface, and the head of an empty frame of settings.
    const SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    #[tokio::test]
    async fn what_is_not_http2_is_told_by_its_first_wrong_byte() {
        assert!(refusal(SETTINGS).await.is_none());
        assert!(matches!(refusal(&PREFACE).await, Some(Refusal::Broken(_))));
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
        let access = Arc::new(Access::for_everybody());
        let door = Door::Clients(Arc::new(Transport::insecure()), access);
        let mut connections = Box::pin(incoming(listener, 1, door, Listeners::default().clients));
        let mut silent = Vec::new();
        let dialled = async {
            for _ in 0..OPENING_MAX + 50 {
                silent.push(TcpStream::connect(address).await.expect("accepted"));
            }
            let mut stream = TcpStream::connect(address).await.expect("accepted");
            stream.write_all(SETTINGS).await.expect("sent");
            stream
        };
        let (spoken, opened) = tokio::join!(dialled, connections.next());
        let mut opened = opened.expect("the listener goes on").expect("a connection");
        let info = opened.connect_info().info;
        assert_eq!(info.remote, spoken.local_addr().ok());
        let mut replayed = [0; SETTINGS.len()];
        opened.read_exact(&mut replayed).await.expect("replayed");
        assert_eq!(replayed, SETTINGS);
    }

    #[tokio::test]
    async fn a_request_is_told_the_name_in_the_certificate_that_its_connection_showed() {
        use crate::client::tls::{Tls, endpoint};
        use crate::security::authority::{Authority, found};
        use crate::security::tls::Pair;
        use crate::security::transport::TransportFiles;
        use crate::security::trust::TrustFiles;
        use std::os::unix::fs::OpenOptionsExt as _;
        use tokio_stream::StreamExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let file = folder.path().join(name);
            let mut options = std::fs::OpenOptions::new();
            let open = options.write(true).create(true).mode(0o600).open(&file);
            io::Write::write_all(&mut open.expect("made"), text.as_bytes()).expect("written");
            file
        };
        let [(clients, ca), (peers, peer_ca)] = [Realm::Clients, Realm::Peers].map(|realm| {
            let made = found(realm, 1).expect("made");
            let loaded = Authority::load(realm, made.certificate.as_bytes(), &made.key);
            (loaded.expect("it fits"), made.certificate)
        });
        let me = crate::dynamo::names::NodeId::new("n1").expect("a good name");
        let hosts = ["127.0.0.1".to_owned()];
        let server = clients.for_server(&me, &hosts, 1).expect("issued");
        let peer = peers.for_peer(&me, 1).expect("issued");
        let files = TransportFiles {
            client: Pair {
                certificate: put("n1.crt", &server.certificate),
                key: put("n1.key", &server.key),
            },
            client_trust: Some(TrustFiles {
                authorities: put("client-ca.crt", &ca),
                revoked: None,
            }),
            peer: Pair {
                certificate: put("peer.crt", &peer.certificate),
                key: put("peer.key", &peer.key),
            },
            peer_trust: TrustFiles {
                authorities: put("peer-ca.crt", &peer_ca),
                revoked: None,
            },
        };
        let transport = Arc::new(Transport::load(me, files).expect("they fit"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("its address"));
        let door = Door::Clients(transport, Arc::new(Access::for_everybody()));
        let mut connections = Box::pin(incoming(listener, 9, door, Listeners::default().clients));
        let anna = clients.for_client("anna", 1).expect("issued");
        let trusting = Tls::trusting(ca.clone()).expect("an authority");
        let showing = trusting
            .clone()
            .showing(anna.certificate, anna.key.as_bytes());
        for (tls, name) in [(showing, Some("anna".to_owned())), (trusting, None)] {
            let channel = endpoint(&url, Some(&tls))
                .expect("an address")
                .connect_lazy();
            let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
            let asking = tokio::spawn(async move {
                health
                    .check(tonic_health::pb::HealthCheckRequest::default())
                    .await
                    .is_ok()
            });
            let opened = connections.next().await.expect("it goes on").expect("one");
            assert_eq!(opened.connect_info().info.certificate, name);
            asking.abort();
        }
    }
}
