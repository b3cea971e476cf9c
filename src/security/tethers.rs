//! Connections that are open, by the certificates that they rest on, so that they end when one of these is revoked.
//!
//! Closes nothing itself: whoever holds a connection waits for its tether as well.
//!
//! Invariant: a connection that is tied after a certificate was revoked is cut as one that was tied before.

use super::revocation::Shown;
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The open connections of one kind.
#[derive(Debug, Default)]
pub struct Tethers {
    /// Guards the list; never held over an await.
    tied: Mutex<Tied>,
}

#[derive(Debug, Default)]
struct Tied {
    next: u64,
    open: BTreeMap<u64, (Vec<Shown>, CancellationToken)>,
}

impl Tethers {
    fn tied(&self) -> MutexGuard<'_, Tied> {
        self.tied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ties a connection to the certificates that were shown on it. The caller looks at the lists afterwards: a look
    /// before it could miss the one that is taken in between.
    pub fn tie(self: &Arc<Self>, chain: &[CertificateDer<'_>]) -> Tether {
        let token = CancellationToken::new();
        let shown = chain.iter().filter_map(Shown::of).collect();
        let mut tied = self.tied();
        tied.next += 1;
        let place = tied.next;
        tied.open.insert(place, (shown, token.clone()));
        Tether {
            cut: Box::pin(token.cancelled_owned()),
            place,
            among: Arc::clone(self),
        }
    }

    /// Cuts all that rest on a certificate of this kind; says how many.
    pub fn cut(&self, is_revoked: impl Fn(&Shown) -> bool) -> usize {
        let tied = self.tied();
        let open = tied.open.values();
        let cut =
            open.filter(|(shown, token)| !token.is_cancelled() && shown.iter().any(&is_revoked));
        cut.map(|(_, token)| token.cancel()).count()
    }
}

/// Held by an open connection.
#[derive(Debug)]
pub struct Tether {
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    place: u64,
    among: Arc<Tethers>,
}

impl Tether {
    /// Ready when the connection has to end.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.cut.as_mut().poll(cx)
    }

    /// Resolves when the connection has to end.
    pub async fn is_cut(&mut self) {
        std::future::poll_fn(|cx| self.poll_cut(cx)).await;
    }
}

impl Drop for Tether {
    fn drop(&mut self) {
        self.among.tied().open.remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::authority::{Authority, Realm, found};
    use futures_util::FutureExt as _;
    use rustls::pki_types::pem::PemObject as _;

    #[tokio::test]
    async fn only_what_rests_on_a_revoked_certificate_is_cut_and_nothing_is_kept_of_what_has_ended()
    {
        let made = found(Realm::Clients, 10).expect("made");
        let authority = Authority::load(Realm::Clients, made.certificate.as_bytes(), &made.key);
        let authority = authority.expect("it fits");
        let [anna, bert] = ["anna", "bert"].map(|name| {
            let issued = authority.for_client(name, 10).expect("issued");
            CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("one")
        });
        let tethers = Arc::new(Tethers::default());
        let mut first = tethers.tie(std::slice::from_ref(&anna));
        let mut second = tethers.tie(std::slice::from_ref(&bert));
        let stolen = Shown::of(&anna).expect("readable");
        assert_eq!(tethers.cut(|shown| *shown == stolen), 1);
        assert_eq!(first.is_cut().now_or_never(), Some(()));
        assert_eq!(second.is_cut().now_or_never(), None);
        assert_eq!(tethers.cut(|shown| *shown == stolen), 0, "once");
        drop((first, second));
        assert!(tethers.tied().open.is_empty());
    }
}
