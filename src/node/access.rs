//! Keeps the access file in force that is on the disk: looks every few seconds, and at once at a SIGHUP.
//!
//! Decides nothing; `security::access` does.
//!
//! Invariant: the disk is waited for away from the asynchronous workers.

use crate::limits::access::ACCESS_LOOK_MS;
use crate::security::access::{Access, Look};
use crate::security::audit::{Event, Line};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Runs until the node stops; then the audit log is told, and with it is on the disk whatever waited to be written.
pub(super) async fn keep_reading(access: Arc<Access>, mut stop: watch::Receiver<bool>) {
    if access.is_guarded() {
        tokio::select! {
            () = look_again_and_again(&access) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    } else {
        // The sender outlives the tasks; without it, it is time to stop as well.
        drop(stop.wait_for(|stop| *stop).await);
    }
    if let Some(audit) = &access.audit
        && let Err(error) = audit.record(&Line::of(Event::Stopped)).await
    {
        tracing::error!(%error, "the audit log lacks the end of this process");
    }
}

async fn look_again_and_again(access: &Arc<Access>) {
    let mut hangups = signal(SignalKind::hangup()).ok();
    loop {
        let hangup = async {
            match &mut hangups {
                Some(hangups) => drop(hangups.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ACCESS_LOOK_MS)) => {}
            () = hangup => {}
        }
        let looking = Arc::clone(access);
        match tokio::task::spawn_blocking(move || looking.look()).await {
            Ok(Look::Same) => {}
            Ok(Look::Taken) => tracing::info!("the access file was read again and is in force"),
            Ok(Look::Broken(error)) => {
                tracing::error!(%error, "the callers stay as they were");
            }
            Err(error) => tracing::error!(%error, "the access file was not read"),
        }
    }
}
