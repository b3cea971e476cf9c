//! Whole clusters: real processes, real sockets, real disks, cuttable links; each test a claim to users.
//!
//! Uses only what users touch (gRPC, the command line, signals) and the links between the nodes. Fixed ports,
//! sleeps and shared clusters are absent: every test starts and ends its own nodes.
//!
//! Invariant: a test waits for conditions, never for time; its deadlines are generous and only end a failure.

#[path = "cluster/access.rs"]
mod access;
#[path = "cluster/authors.rs"]
mod authors;
#[path = "cluster/backups.rs"]
mod backups;
#[path = "cluster/batches.rs"]
mod batches;
#[path = "cluster/command_line.rs"]
mod command_line;
#[path = "cluster/conditions.rs"]
mod conditions;
#[path = "cluster/expiry.rs"]
mod expiry;
#[path = "cluster/explaining.rs"]
mod explaining;
#[path = "cluster/failures.rs"]
mod failures;
#[path = "cluster/guests.rs"]
mod guests;
#[path = "cluster/handoff.rs"]
mod handoff;
#[path = "cluster/hostile.rs"]
mod hostile;
#[path = "cluster/laws.rs"]
mod laws;
#[path = "cluster/listing.rs"]
mod listing;
#[path = "cluster/members.rs"]
mod members;
#[path = "cluster/metrics.rs"]
mod metrics;
#[path = "cluster/mistakes.rs"]
mod mistakes;
#[path = "cluster/overload.rs"]
mod overload;
#[path = "cluster/processes.rs"]
mod processes;
#[path = "cluster/quorums.rs"]
mod quorums;
#[path = "cluster/reaping.rs"]
mod reaping;
#[path = "cluster/removing.rs"]
mod removing;
#[path = "cluster/repairing.rs"]
mod repairing;
#[path = "cluster/replacing.rs"]
mod replacing;
#[path = "cluster/resolving.rs"]
mod resolving;
#[path = "cluster/scrubbing.rs"]
mod scrubbing;
#[path = "cluster/siblings.rs"]
mod siblings;
#[path = "cluster/stage.rs"]
mod stage;
#[path = "cluster/transport.rs"]
mod transport;
#[path = "cluster/unread.rs"]
mod unread;
#[path = "cluster/upgrading.rs"]
mod upgrading;
#[path = "cluster/uploading.rs"]
mod uploading;
#[path = "cluster/validating.rs"]
mod validating;
#[path = "cluster/versions.rs"]
mod versions;
#[path = "cluster/warnings.rs"]
mod warnings;
#[allow(dead_code, reason = "`bad_input` uses the rest")]
#[path = "cluster/written_plugins.rs"]
mod written_plugins;
