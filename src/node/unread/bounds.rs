//! How much of its answers a connection, and all of them, may leave unread, and what who leaves more is told.
//!
//! Counts nothing. The numbers and their reasons are in `limits::transport`.
//!
//! Invariant: a connection that has read everything may have a full load of requests under way.

use crate::limits::transport::{
    PEER_UNREAD_BYTES, PEER_UNREAD_LOOKS_MAX, PEER_UNREAD_NODE_BYTES, UNREAD_BYTES,
    UNREAD_BYTES_MAX, UNREAD_LOOKS_MAX, UNREAD_NODE_BYTES, UNREAD_NODE_BYTES_MAX,
    UNREAD_PROMISED_BYTES,
};

/// How much may be unread.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Of a connection that asks for more, with what its requests under way may bring.
    pub connection: usize,
    /// Of a connection, with the answer that has just been made.
    pub connection_max: usize,
    /// Of all connections, before each gets its share only of what is left.
    pub node: usize,
    /// Of all connections.
    pub node_max: usize,
    /// What a request under way may bring.
    pub promised: usize,
    /// Looks at a connection that takes nothing, before it is closed.
    pub looks: u32,
}

impl Bounds {
    pub const CLIENTS: Self = Self {
        connection: UNREAD_BYTES,
        connection_max: UNREAD_BYTES_MAX,
        node: UNREAD_NODE_BYTES,
        node_max: UNREAD_NODE_BYTES_MAX,
        promised: UNREAD_PROMISED_BYTES,
        looks: UNREAD_LOOKS_MAX,
    };
    /// Nodes are few, known, and bounded by their queues already.
    pub const PEERS: Self = Self {
        connection: PEER_UNREAD_BYTES,
        connection_max: PEER_UNREAD_NODE_BYTES,
        node: PEER_UNREAD_NODE_BYTES,
        node_max: 2 * PEER_UNREAD_NODE_BYTES,
        promised: UNREAD_PROMISED_BYTES,
        looks: PEER_UNREAD_LOOKS_MAX,
    };
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error(
        "this connection has {unread} bytes of answers to read, those of its requests under way included, and {max} are the most; read them, and ask again"
    )]
    Here { unread: usize, max: usize },
    #[error(
        "the connections of this node have {unread} bytes of answers to read, and {max} are the most, of which this one has its share; read its answers, and ask again, or ask another node"
    )]
    Everywhere { unread: usize, max: usize },
}
