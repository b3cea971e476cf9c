//! What a request needs of its replicas, and where it stands (Dynamo 4.5, 4.6). `panel` does the counting.

/// Where a quorum stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pending,
    Reached,
    /// Too few answers can still come.
    Impossible,
}

/// How many answers are needed, and how many of them from primaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    pub answers: u8,
    pub primaries: u8,
}
