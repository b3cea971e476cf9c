//! A TCP link that can be cut, slowed, stalled and made lossy: how a cluster on one machine gets its network faults.
//!
//! Stands between two nodes and copies bytes. Knows nothing of what they say.
//!
//! Invariant: while a link is cut it carries no byte, and no new connection through it succeeds. While a direction is
//! stalled no byte passes it, and none is lost: they pass when it flows again, as after a retransmission.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes that are carried at a time, and so the most that is late at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What TCP waits at least before it sends again what was lost (Linux; RFC 6298 allows a second). It doubles with each loss.
const RETRANSMISSION_TIMEOUT: Duration = Duration::from_millis(200);
/// Losses in a row after which a chunk passes all the same.
const LOSSES_MAX: u32 = 5;

/// Where a link leads; none while it is cut.
type Target = Option<SocketAddr>;

/// How one direction of a link carries bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flow {
    #[default]
    Free,
    /// Each chunk waits for so long.
    Late(Duration),
    /// Of so many chunks in a hundred, the packets are lost, as TCP shows it: they come after a retransmission, late and in
    /// order.
    Lossy(u32),
    /// Nothing passes, and nobody is told.
    Stalled,
}

/// The directions of a link, as its dialler sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forth,
    Back,
}

/// The connections that one node dials to another. Dropping it closes them all.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    far_end: Target,
    target: watch::Sender<Target>,
    forth: watch::Sender<Flow>,
    back: watch::Sender<Flow>,
    _task: JoinSet<()>,
}

/// What a connection of a link follows.
#[derive(Clone)]
struct Watched {
    target: watch::Receiver<Target>,
    forth: watch::Receiver<Flow>,
    back: watch::Receiver<Flow>,
}

impl Link {
    /// A link that leads nowhere yet.
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (target, to) = watch::channel(None);
        let (forth, forward) = watch::channel(Flow::Free);
        let (back, backward) = watch::channel(Flow::Free);
        let watched = Watched {
            target: to,
            forth: forward,
            back: backward,
        };
        let mut task = JoinSet::new();
        task.spawn(carry(listener, watched));
        Ok(Self {
            address,
            far_end: None,
            target,
            forth,
            back,
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

    /// Changes how a direction carries bytes, also on connections that exist.
    pub fn set_flow(&self, direction: Direction, flow: Flow) {
        match direction {
            Direction::Forth => self.forth.send_replace(flow),
            Direction::Back => self.back.send_replace(flow),
        };
    }
}

async fn carry(listener: TcpListener, watched: Watched) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((near, _)) = accepted {
                    connections.spawn(connection(near, watched.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until an end closes it or the link changes.
async fn connection(mut near: TcpStream, mut watched: Watched) {
    let Some(address) = *watched.target.borrow_and_update() else {
        return; // Cut: the connection is closed at once.
    };
    let Ok(mut far) = TcpStream::connect(address).await else {
        return;
    };
    // Small messages must not wait for each other.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    let forth = pump(from_near, to_far, watched.forth);
    let back = pump(from_far, to_near, watched.back);
    tokio::select! {
        _ = async { tokio::try_join!(forth, back) } => {}
        _ = watched.target.changed() => {}
    }
}

/// Copies one direction until its end.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut flow: watch::Receiver<Flow>,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = from.read(&mut chunk).await?;
        pass(&mut flow).await;
        match length {
            0 => return to.shutdown().await,
            _ => to.write_all(&chunk[..length]).await?,
        }
    }
}

/// Waits until a chunk may pass.
async fn pass(flow: &mut watch::Receiver<Flow>) {
    loop {
        let now = *flow.borrow_and_update();
        match now {
            Flow::Free => return,
            Flow::Late(delay) => return tokio::time::sleep(delay).await,
            Flow::Lossy(percent) => return tokio::time::sleep(retransmitted(percent)).await,
            Flow::Stalled => {
                if flow.changed().await.is_err() {
                    return; // The link is gone, and its connections with it.
                }
            }
        }
    }
}

/// How late a chunk is of whose sendings so many in a hundred are lost.
fn retransmitted(percent: u32) -> Duration {
    let is_lost = |_: &u32| rand::random_ratio(percent.min(100), 100);
    let losses = (0..LOSSES_MAX).take_while(is_lost);
    losses
        .map(|loss| RETRANSMISSION_TIMEOUT * (1 << loss))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SHORT: Duration = Duration::from_millis(50);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A link and the two ends of a connection through it.
    async fn connected() -> (Link, TcpStream, TcpStream) {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let mut link = Link::open().await.expect("a free port");
        link.lead_to(listener.local_addr().expect("it listens"));
        let near = TcpStream::connect(link.address()).await;
        let (far, _) = listener.accept().await.expect("it is dialled");
        (link, near.expect("it listens"), far)
    }

    async fn passes(from: &mut TcpStream, to: &mut TcpStream, patience: Duration) -> bool {
        from.write_all(b"x").await.expect("the connection stands");
        let mut byte = [0];
        timeout(patience, to.read_exact(&mut byte)).await.is_ok()
    }

    #[tokio::test]
    async fn a_stalled_direction_carries_nothing_and_the_other_goes_on() {
        let (link, mut near, mut far) = connected().await;
        assert!(passes(&mut near, &mut far, PATIENCE).await);
        link.set_flow(Direction::Forth, Flow::Stalled);
        assert!(!passes(&mut near, &mut far, SHORT).await);
        assert!(passes(&mut far, &mut near, PATIENCE).await);
        link.set_flow(Direction::Forth, Flow::Free);
        let mut byte = [0];
        let late = timeout(PATIENCE, far.read_exact(&mut byte)).await;
        late.expect("what waited arrives").expect("a byte");
    }

    #[tokio::test]
    async fn a_late_direction_carries_all_and_takes_its_time() {
        let (link, mut near, mut far) = connected().await;
        link.set_flow(Direction::Back, Flow::Late(SHORT));
        let began = std::time::Instant::now();
        assert!(passes(&mut far, &mut near, PATIENCE).await);
        assert!(began.elapsed() >= SHORT);
    }

    #[test]
    fn what_is_lost_comes_after_retransmissions_and_comes() {
        assert_eq!(retransmitted(0), Duration::ZERO);
        let all = RETRANSMISSION_TIMEOUT * ((1 << LOSSES_MAX) - 1);
        assert_eq!(retransmitted(100), all);
        let half: Vec<Duration> = (0..200).map(|_| retransmitted(50)).collect();
        assert!(half.contains(&Duration::ZERO) && half.contains(&RETRANSMISSION_TIMEOUT));
    }

    #[tokio::test]
    async fn a_lossy_direction_carries_all() {
        let (link, mut near, mut far) = connected().await;
        link.set_flow(Direction::Forth, Flow::Lossy(50));
        for _ in 0..5 {
            assert!(passes(&mut near, &mut far, PATIENCE).await);
        }
    }

    #[tokio::test]
    async fn a_cut_closes_what_is_open_and_lets_nothing_new_through() {
        let (link, mut near, _far) = connected().await;
        link.cut();
        let mut byte = [0];
        let ended = timeout(PATIENCE, near.read(&mut byte)).await;
        assert!(matches!(ended.expect("it ends"), Ok(0) | Err(_)));
        let mut other = TcpStream::connect(link.address())
            .await
            .expect("it listens");
        let refused = timeout(PATIENCE, other.read(&mut byte)).await;
        assert!(matches!(refused.expect("it ends"), Ok(0) | Err(_)));
    }
}
