//! The certificates of one node, as they are now: for its clients and for its peers.
//!
//! Opens no connection and starts no task; somebody tells it to look at the files again.
//!
//! Invariant: both kinds of connections are secured or neither is, and none that is tied outlives the look at the files
//! that revokes its certificate.

use super::authority::Realm;
use super::revocation::Shown;
use super::rotation::Rotating;
use super::tethers::{Tether, Tethers};
use super::tls::{ClientKeys, Pair, PeerKeys, TlsError, for_clients, for_peers};
use super::trust::{Trust, TrustFiles};
use crate::dynamo::names::NodeId;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// Where certificates and keys are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportFiles {
    /// What the node shows to clients.
    pub client: Pair,
    /// Who signs the certificates of clients; none: clients show none.
    pub client_trust: Option<TrustFiles>,
    /// What the node shows to other nodes.
    pub peer: Pair,
    /// Who signs the certificates of nodes.
    pub peer_trust: TrustFiles,
}

/// How the connections of a node are secured.
pub struct Transport {
    secured: Option<Secured>,
}

struct Secured {
    clients: Rotating<ClientKeys, TlsError>,
    peers: Rotating<PeerKeys, TlsError>,
    open_clients: Arc<Tethers>,
    open_peers: Arc<Tethers>,
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
            client_trust,
            peer,
            peer_trust,
        } = files;
        let mut watched = vec![client.certificate.clone(), client.key.clone()];
        watched.extend(client_trust.iter().flat_map(TrustFiles::watched));
        let make = move || for_clients(&client, client_trust.as_ref());
        let clients = Rotating::start(watched, make)?;
        let mut watched = vec![peer.certificate.clone(), peer.key.clone()];
        watched.extend(peer_trust.watched());
        let certificate = peer.certificate.clone();
        let make = move || for_peers(&me, &peer, &peer_trust);
        let peers = Rotating::start(watched, make)?;
        if peers.current().is_revoked {
            return Err(TlsError::Revoked { file: certificate });
        }
        Ok(Self {
            secured: Some(Secured {
                clients,
                peers,
                open_clients: Arc::default(),
                open_peers: Arc::default(),
            }),
        })
    }

    /// For the listener of clients; none if it speaks plain text.
    pub fn clients(&self) -> Option<Arc<ServerConfig>> {
        let secured = self.secured.as_ref()?;
        Some(Arc::clone(&secured.clients.current().listening))
    }

    /// For connections between nodes; none if they are plain text.
    pub fn peers(&self) -> Option<Arc<PeerKeys>> {
        Some(self.secured.as_ref()?.peers.current())
    }

    /// Ties an open connection to what its other end has shown; none if it has shown nothing.
    pub fn tie(&self, realm: Realm, chain: &[CertificateDer<'_>]) -> Option<Tether> {
        let secured = self.secured.as_ref().filter(|_| !chain.is_empty())?;
        let tether = secured.open(realm).tie(chain);
        // A list may have been taken between the handshake and now.
        secured.cut(realm);
        Some(tether)
    }

    /// Takes what has changed in the files, logs it, and ends the connections whose certificates are now revoked. Reads
    /// files: not for asynchronous threads.
    pub fn look_again(&self) {
        let Some(secured) = &self.secured else {
            return;
        };
        let looked = [
            (Realm::Clients, "clients", secured.clients.look_again()),
            (Realm::Peers, "nodes", secured.peers.look_again()),
        ];
        for (realm, whose, looked) in looked {
            match looked {
                None => {}
                Some(Ok(())) => secured.taken(realm, whose),
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

impl Secured {
    fn open(&self, realm: Realm) -> &Arc<Tethers> {
        match realm {
            Realm::Clients => &self.open_clients,
            Realm::Peers => &self.open_peers,
        }
    }

    /// Ends the connections whose certificates are revoked; says how many.
    fn cut(&self, realm: Realm) -> usize {
        let by = |trust: &Trust| {
            let is_revoked = |shown: &Shown| trust.is_revoked(shown);
            self.open(realm).cut(is_revoked)
        };
        match realm {
            Realm::Clients => self.clients.current().trust.as_ref().map_or(0, by),
            Realm::Peers => by(&self.peers.current().dialling.trust),
        }
    }

    fn taken(&self, realm: Realm, whose: &str) {
        let revoked = match realm {
            Realm::Clients => {
                let current = self.clients.current();
                current.trust.as_ref().map_or(0, Trust::revoked_count)
            }
            Realm::Peers => self.peers.current().dialling.trust.revoked_count(),
        };
        tracing::info!(
            whose,
            revoked,
            "new certificates are used for new connections"
        );
        let closed = self.cut(realm);
        if closed > 0 {
            tracing::warn!(
                whose,
                closed,
                "open connections end: their certificates are revoked"
            );
        }
        if realm == Realm::Peers && self.peers.current().is_revoked {
            tracing::error!(
                "this node's own certificate is revoked, so no other node talks to it; make another one with `rejoin cert node`"
            );
        }
    }
}
