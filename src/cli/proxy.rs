//! A TCP link that can be cut: how a cluster on one machine gets its network partitions.
//!
//! Stands between two nodes and copies bytes. Knows nothing of what they say.
//!
//! Invariant: while a link is cut it carries no byte, and no new connection through it succeeds.

use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where a link leads; none while it is cut.
type Target = Option<SocketAddr>;

/// One direction between two nodes. Dropping it closes all its connections.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    far_end: Target,
    target: watch::Sender<Target>,
    _task: JoinSet<()>,
}

impl Link {
    /// A link that leads nowhere yet.
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (target, watched) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(carry(listener, watched));
        Ok(Self {
            address,
            far_end: None,
            target,
            _task: task,
        })
    }

    /// What is dialled.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to a node from now on.
    pub fn lead_to(&mut self, far_end: SocketAddr) {
        self.far_end = Some(far_end);
        self.target.send_replace(self.far_end);
    }

    pub fn cut(&self) {
        self.target.send_replace(None);
    }

    pub fn heal(&self) {
        self.target.send_replace(self.far_end);
    }
}

async fn carry(listener: TcpListener, target: watch::Receiver<Target>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((near, _)) = accepted {
                    connections.spawn(connection(near, target.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until an end closes it or the link changes.
async fn connection(mut near: TcpStream, mut target: watch::Receiver<Target>) {
    let Some(address) = *target.borrow_and_update() else {
        return; // Cut: the connection is closed at once.
    };
    let Ok(mut far) = TcpStream::connect(address).await else {
        return;
    };
    // Small messages must not wait for each other.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = target.changed() => {}
    }
}
