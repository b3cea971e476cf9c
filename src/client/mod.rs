//! A client that knows the ring and asks the right node at once (Dynamo 6.4).
//!
//! Downloads members and owners from any node, finds the partition of a key as the nodes do, sends puts
//! straight to a node of the preference list and gets to any replica. Resolves nothing: that is the nodes'.
//!
//! Invariant: a put is sent a second time only if it is certain that the first one stored nothing.

pub mod bucket;
pub mod calls;
pub mod cluster;
pub mod error;
pub mod membership;
pub mod nodes;
pub mod placement;
pub mod remembered;
pub mod retry;
pub mod tls;
pub mod token;
pub mod value;
pub mod watch;

pub use bucket::{Bucket, Delete, Get, Put};
pub use cluster::{Client, Options, Session};
pub use error::Error;
pub use tls::{Tls, TlsFiles};
pub use token::Token;
pub use value::{Context, Found, Read, Value, Written};
pub use watch::{Event, Watch};
