//! The certificates of the node in use: loaded, looked at again, shown to the peers that it dials.
//!
//! What they are is `security`; who is let in by them, `listening` and `hello`.
//!
//! Invariant: a change of the files breaks no connection that is open.

use crate::config::{Config, ConfigError};
use crate::dynamo::names::NodeId;
use crate::limits::transport::KEYS_INTERVAL_MS;
use crate::security::authority::Realm;
use crate::security::names::PEER_HOST;
use crate::security::tethers::Tether;
use crate::security::tls::TlsError;
use crate::security::transport::Transport;
use crate::security::verifier::PeerVerifier;
use rustls::server::VerifierBuilderError;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Identity};

/// Why a node does not start on its certificates. Nothing was made on the disk.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("`[tls]`: {0}")]
    Tls(#[from] TlsError),
}

/// Why there is no connection to a peer. A retry is safe.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("`peer_ca`: {0}")]
    Authorities(#[from] VerifierBuilderError),
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

/// What the configuration says of certificates, read and checked.
pub fn load(config: &Config) -> Result<Transport, LoadError> {
    let Some(files) = config.transport_files()? else {
        tracing::warn!(
            "this node is insecure: plain text, and whoever is on this machine may read and write everything"
        );
        return Ok(Transport::insecure());
    };
    Ok(Transport::load(config.node_id()?, files)?)
}

/// Looks at the files every few seconds and on SIGHUP, until told to stop.
pub async fn keep_fresh(transport: Arc<Transport>, mut stopping: watch::Receiver<bool>) {
    let mut asked = signal(SignalKind::hangup())
        .inspect_err(|error| tracing::warn!(%error, "SIGHUP is not listened to"))
        .ok();
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(KEYS_INTERVAL_MS)) => {}
            () = received(&mut asked) => tracing::info!("SIGHUP: the certificates are looked at"),
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        let transport = Arc::clone(&transport);
        let looked = tokio::task::spawn_blocking(move || transport.look_again());
        if let Err(error) = looked.await {
            tracing::error!(%error, "looking at the certificates");
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// A connection to a peer, and whom its certificate names.
pub struct Connected {
    pub channel: Channel,
    /// None on an insecure connection.
    pub certificate: Option<NodeId>,
    /// Cut when that certificate is revoked.
    pub tether: Option<Tether>,
}

/// Connects as this node. With certificates it has to be `expected` who answers, if that is known, also when the channel
/// connects again.
pub async fn connect(
    transport: &Transport,
    endpoint: Endpoint,
    expected: Option<&NodeId>,
) -> Result<Connected, ConnectError> {
    let Some(keys) = transport.peers() else {
        return Ok(Connected {
            channel: endpoint.connect().await?,
            certificate: None,
            tether: None,
        });
    };
    let dialling = &keys.dialling;
    let verifier = PeerVerifier::of(expected, &dialling.trust)?;
    let verifier = Arc::new(verifier);
    let identity = Identity::from_pem(&dialling.certificate_pem, &dialling.key_pem);
    let tls = ClientTlsConfig::new()
        .domain_name(PEER_HOST)
        .identity(identity);
    let endpoint = endpoint.tls_config_with_verifier(tls, verifier.clone())?;
    let channel = endpoint.connect().await?;
    Ok(Connected {
        channel,
        certificate: verifier.node().cloned(),
        tether: transport.tie(Realm::Peers, verifier.chain()),
    })
}

/// `host:port` of a peer as an address of the kind of connection that this node makes.
pub fn peer_url(transport: &Transport, address: &str) -> String {
    match transport.peers() {
        Some(_) => format!("https://{address}"),
        None => format!("http://{address}"),
    }
}
