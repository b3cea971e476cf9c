//! What `rejoin cluster` takes.
//!
//! Invariant: what changes the cluster is only planned, unless it says that it is committed.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Who the asked node is, whom it reaches, what it has done.
    Status,
    /// Members, and how the partitions are shared among them.
    Ring,
    /// The nodes of a key, in the order in which they are asked.
    Preference { bucket: String, key: String },
    /// The asked node's own record of a key.
    Record { bucket: String, key: String },
    /// How the asked node's copies compare with those of others, and what was repaired.
    Repair {
        /// Compare all of them now, and wait until that is done.
        #[arg(long)]
        now: bool,
    },
    /// What the asked node keeps for nodes that were away.
    Hints,
    /// What the asked node moves while the owners of partitions change.
    Transfers,
    /// How the removal of tombstones fares: a key goes once every node has vouched for it twice.
    Reap {
        /// Look for some now, and wait until all partitions have been looked at.
        #[arg(long)]
        now: bool,
    },
    /// How the asked node's reading of all that it stores fares: what is corrupt is filled again by the others.
    Scrub {
        /// Read everything now, and wait until that is done.
        #[arg(long)]
        now: bool,
    },
    /// Who is in the cluster and who wants to be, and what was changed.
    Members,
    /// Make nodes members that have shown the join token.
    Join {
        #[arg(required = true)]
        nodes: Vec<String>,
        #[command(flatten)]
        commit: Commit,
    },
    /// Let a member give away what it holds, and leave.
    Leave {
        node: String,
        #[command(flatten)]
        commit: Commit,
    },
    /// Give up a member that will not come back; what it held is copied from the others.
    Remove {
        node: String,
        #[command(flatten)]
        commit: Commit,
    },
    /// Give up a member that will not come back, and let another node take its place.
    Replace {
        gone: String,
        new: String,
        #[command(flatten)]
        commit: Commit,
    },
    /// Give a member another weight or zone.
    Resize {
        node: String,
        #[arg(long, default_value_t = 1)]
        weight: u32,
        #[arg(long, default_value = "")]
        zone: String,
        #[command(flatten)]
        commit: Commit,
    },
    /// Undo the change that is under way.
    Cancel {
        #[command(flatten)]
        commit: Commit,
    },
    /// Show or set how the members change by themselves.
    Policy(Policy),
}

/// A change is only planned and shown, unless it is committed.
#[derive(Debug, Args)]
pub struct Commit {
    /// Commit the plan with this number, if no other change has come first.
    #[arg(long, value_name = "PLAN")]
    pub commit: Option<u64>,
    /// Also if fewer members are left than some bucket keeps copies, or if the node that is asked is no member itself.
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Policy {
    /// Whether nodes that show the token become members without a command.
    #[arg(long, value_name = "BOOL")]
    pub auto_join: Option<bool>,
    /// Replace a member that several others have not reached for so many seconds; 0: never.
    #[arg(long, value_name = "SECONDS")]
    pub replace_after: Option<u64>,
    /// The stop button: nothing happens by itself, and nothing is moved.
    #[arg(long, value_name = "BOOL")]
    pub paused: Option<bool>,
}
