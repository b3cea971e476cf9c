//! The certificates of one node, as they are now: for its clients and for its peers.
//!
//! Opens no connection and starts no task; somebody tells it to look at the files again.
//!
//! Invariant: both kinds of connections are secured or neither is.

use super::rotation::Rotating;
use super::tls::{Pair, PeerKeys, TlsError, for_clients, for_peers};
use crate::dynamo::names::NodeId;
use rustls::ServerConfig;
use std::path::PathBuf;
use std::sync::Arc;

/// Where certificates and keys are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFiles {
    /// What the node shows to clients.
    pub client: Pair,
    /// Who signs the certificates of clients; none: clients show none.
    pub client_authorities: Option<PathBuf>,
    /// What the node shows to other nodes.
    pub peer: Pair,
    /// Who signs the certificates of nodes.
    pub peer_authorities: PathBuf,
}

/// How the connections of a node are secured.
pub struct Transport {
    secured: Option<Secured>,
}

struct Secured {
    clients: Rotating<Arc<ServerConfig>, TlsError>,
    peers: Rotating<PeerKeys, TlsError>,
}

impl Transport {
    /// Nothing is encrypted, and nobody proves who he is.
    pub fn insecure() -> Self {
        Self { secured: None }
    }

    /// Reads and checks all of it.
    pub fn load(me: NodeId, files: TransportFiles) -> Result<Self, TlsError> {
        let TransportFiles {
            client,
            client_authorities,
            peer,
            peer_authorities,
        } = files;
        let mut watched = vec![client.certificate.clone(), client.key.clone()];
        watched.extend(client_authorities.clone());
        let make = move || for_clients(&client, client_authorities.as_deref());
        let clients = Rotating::start(watched, make)?;
        let watched = vec![
            peer.certificate.clone(),
            peer.key.clone(),
            peer_authorities.clone(),
        ];
        let make = move || for_peers(&me, &peer, &peer_authorities);
        let peers = Rotating::start(watched, make)?;
        Ok(Self {
            secured: Some(Secured { clients, peers }),
        })
    }

    /// For the listener of clients; none if it speaks plain text.
    pub fn clients(&self) -> Option<Arc<ServerConfig>> {
        let secured = self.secured.as_ref()?;
        Some(Arc::clone(&secured.clients.current()))
    }

    /// For connections between nodes; none if they are plain text.
    pub fn peers(&self) -> Option<Arc<PeerKeys>> {
        Some(self.secured.as_ref()?.peers.current())
    }

    /// Takes what has changed in the files, and logs it. Reads files: not for asynchronous threads.
    pub fn look_again(&self) {
        let Some(Secured { clients, peers }) = &self.secured else {
            return;
        };
        for (whose, looked) in [
            ("clients", clients.look_again()),
            ("nodes", peers.look_again()),
        ] {
            match looked {
                None => {}
                Some(Ok(())) => {
                    tracing::info!(whose, "new certificates are used for new connections");
                }
                Some(Err(error)) => {
                    let error = error.to_string();
                    tracing::error!(
                        whose,
                        error,
                        "the changed files of certificates are not used; the ones before are"
                    );
                }
            }
        }
    }
}
