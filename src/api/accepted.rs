//! A connection that is open: plain or TLS, with what is known of its other end.
//!
//! Its first words were read to open it and are handed on, so that whoever serves it sees all that was sent.
//!
//! Invariant: it holds one of the listener's places until it is dropped, and ends when its other end takes nothing of what
//! it was sent.

use super::unread::patience::Patience;
use crate::node::unread::Account;
use crate::security::connection::ConnectionInfo;
use crate::security::tethers::Tether;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
pub const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes with which every client of HTTP/2 begins: the preface, and the head of the settings that have to follow.
pub type FirstWords = [u8; PREFACE.len() + 9];

/// Its bytes.
pub type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// A connection that could be served, if there is a place.
pub struct Opened {
    pub stream: Stream,
    pub first_words: FirstWords,
    pub info: ConnectionInfo,
    /// Of a connection on which a certificate was shown.
    pub tether: Option<Tether>,
}

impl Opened {
    pub fn holding(self, place: OwnedSemaphorePermit, account: Arc<Account>) -> Connection {
        Connection {
            stream: self.stream,
            first_words: self.first_words,
            replayed: 0,
            patience: Patience::with(account, self.info.remote),
            info: self.info,
            tether: self.tether,
            _place: place,
        }
    }
}

/// A connection that is open, and holds one of the places.
pub struct Connection {
    stream: Stream,
    /// They were read already.
    first_words: FirstWords,
    /// How many of them were handed on.
    replayed: usize,
    patience: Patience,
    info: ConnectionInfo,
    tether: Option<Tether>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.patience.is_over(cx) {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}

/// What every request of a connection carries until it is counted.
#[derive(Clone)]
pub struct Arrived {
    pub info: ConnectionInfo,
    pub account: Arc<Account>,
}

impl Connected for Connection {
    type ConnectInfo = Arrived;

    fn connect_info(&self) -> Arrived {
        Arrived {
            info: self.info.clone(),
            account: Arc::clone(self.patience.account()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tether = self.tether.as_mut();
        if tether.is_some_and(|tether| tether.poll_cut(cx).is_ready()) {
            // Its certificate is revoked. Whoever serves the connection ends it with all that is open on it.
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.check(cx)?;
        if self.replayed == self.first_words.len() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let rest = &self.first_words[self.replayed..];
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
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
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
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
