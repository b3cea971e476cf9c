//! An answer on its way out, in pieces that know when they are gone.
//!
//! HTTP/2 drops a piece once it is written, or with its stream or its connection. Changes no byte.
//!
//! Invariant: an answer is charged whole until its last piece is dropped, since its pieces share one allocation; and a
//! stream is asked for more only when its connection has room.

use crate::limits::transport::ANSWER_PIECE_BYTES;
use crate::node::unread::{Account, Charge, Seat};
use bytes::Bytes;
use http_body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Status;
use tonic::body::Body;

/// A frame of an answer with its data and its trailers has none after it; whatever goes on is a stream.
const FRAMES_OF_ONE_ANSWER: u32 = 2;

type Made = Result<Frame<Bytes>, Status>;

/// The body of an answer.
pub struct Pieces {
    /// Data that waits to be taken.
    rest: Option<(Bytes, Arc<Charge>)>,
    /// What was made already, and is no data.
    made: Option<Made>,
    body: Body,
    account: Arc<Account>,
    frames: u32,
    seat: Option<Seat>,
}

impl Pieces {
    /// An answer whose first data is made and charged.
    pub fn of(data: Bytes, charge: Charge, body: Body, account: &Arc<Account>) -> Self {
        Self {
            rest: Some((data, Arc::new(charge))),
            ..Self::after(None, body, account)
        }
    }

    /// An answer without data so far.
    pub fn after(made: Option<Made>, body: Body, account: &Arc<Account>) -> Self {
        Self {
            rest: None,
            made,
            body,
            account: Arc::clone(account),
            frames: 1,
            seat: None,
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let (data, charge) = self.rest.as_mut()?;
        let bytes = data.split_to(data.len().min(ANSWER_PIECE_BYTES));
        let charge = Arc::clone(charge);
        if data.is_empty() {
            self.rest = None;
        }
        Some(Bytes::from_owner(Piece { bytes, charge }))
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Made>> {
        if let Some(piece) = self.next_piece() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(made) = self.made.take() {
            return Poll::Ready(Some(made));
        }
        let this = &mut *self;
        if this.frames >= FRAMES_OF_ONE_ANSWER {
            ready!(this.account.poll_room(cx, &mut this.seat));
        }
        let made = ready!(Pin::new(&mut this.body).poll_frame(cx));
        this.frames = this.frames.saturating_add(1);
        let data = match made {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            },
            other => return Poll::Ready(other),
        };
        let charge = Arc::new(this.account.charge(data.len()));
        this.rest = Some((data, charge));
        Poll::Ready(this.next_piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.made.is_none() && self.body.is_end_stream()
    }
}

/// Some bytes of an answer.
struct Piece {
    bytes: Bytes,
    charge: Arc<Charge>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.charge.account().note_move();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::unread::{Bounds, Ledger};
    use http_body::Body as _;
    use std::future::poll_fn;

    #[tokio::test]
    async fn an_answer_is_whole_in_its_pieces_and_charged_until_the_last_of_them_is_gone() {
        let account = Ledger::new("clients", Bounds::CLIENTS).open();
        let data: Bytes = (0..3 * ANSWER_PIECE_BYTES + 7)
            .map(|place| place as u8)
            .collect();
        let charge = account.charge(data.len());
        let mut pieces = Pieces::of(data.clone(), charge, Body::empty(), &account);
        let mut taken = Vec::new();
        assert!(!pieces.is_end_stream());
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut pieces).poll_frame(cx)).await {
            let piece = frame.expect("no error").into_data().expect("data");
            assert!(piece.len() <= ANSWER_PIECE_BYTES);
            taken.push(piece);
        }
        assert!(pieces.is_end_stream());
        assert_eq!((taken.len(), taken.concat()), (4, data.to_vec()));
        drop(pieces);
        let begun = account.moves();
        for piece in taken {
            assert_eq!(account.bytes(), data.len());
            drop(piece);
        }
        assert_eq!((account.bytes(), account.moves()), (0, begun + 4));
    }
}
