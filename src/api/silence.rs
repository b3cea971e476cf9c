//! Gives up a connection on which nobody speaks: each holds one of few places, and the server below has no patience of its
//! own before the first words.
//!
//! Watches only the beginning. Who has spoken HTTP/2 is asked by its pings from then on.
//!
//! Invariant: a connection that has not brought its first words in time reads as an error, also if nothing ever comes.

use crate::limits::operations::FIRST_WORDS_MS;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// Bytes with which every client of HTTP/2 begins: the preface, and the head of the settings that have to follow.
const FIRST_WORDS_BYTES: usize = 24 + 9;

/// How much of the first words is still to come, and until when.
#[derive(Debug)]
pub struct Silence {
    missing: usize,
    ends: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// Begins with the connection.
    pub fn begin() -> Self {
        Self::of(FIRST_WORDS_MS)
    }

    fn of(ms: u64) -> Self {
        let ends = tokio::time::sleep(Duration::from_millis(ms));
        Self {
            missing: FIRST_WORDS_BYTES,
            ends: Some(Box::pin(ends)),
        }
    }

    /// What a read comes to that has brought so many bytes.
    pub fn after_read(
        &mut self,
        read: Poll<io::Result<()>>,
        bytes: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.missing = self.missing.saturating_sub(bytes);
        if self.missing == 0 {
            self.ends = None;
        }
        let Some(ends) = &mut self.ends else {
            return read;
        };
        match read.is_pending() && ends.as_mut().poll(cx).is_ready() {
            true => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            false => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn after(silence: &mut Silence, bytes: usize) -> io::Result<()> {
        let mut bytes = Some(bytes);
        std::future::poll_fn(|cx| {
            let came = bytes.take().unwrap_or(0);
            match silence.after_read(Poll::Pending, came, cx) {
                Poll::Pending if silence.ends.is_none() => Poll::Ready(Ok(())),
                polled => polled,
            }
        })
        .await
    }

    #[tokio::test]
    async fn who_says_nothing_or_too_little_is_given_up_and_who_has_spoken_is_not() {
        assert!(after(&mut Silence::of(1), 0).await.is_err());
        assert!(
            after(&mut Silence::of(1), FIRST_WORDS_BYTES - 1)
                .await
                .is_err()
        );
        assert!(after(&mut Silence::of(1), FIRST_WORDS_BYTES).await.is_ok());
    }
}
