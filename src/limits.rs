//! Every bound of the system, with its unit in the name and the reason for the number.
//!
//! Law 11: whatever comes from outside is bounded before it is believed. What an operator may choose
//! is in the configuration; what is here is chosen by us and the same on every node of a release.
//!
//! Invariant: the relations between bounds are checked by the compiler, at the foot of the file.

// Paths of their own, so that the core also compiles where it is included file by file.
#[path = "limits/access.rs"]
pub mod access;
#[path = "limits/disk.rs"]
pub mod disk;
#[path = "limits/guest.rs"]
mod guest;
#[path = "limits/operations.rs"]
pub mod operations;
#[path = "limits/relations.rs"]
mod relations;
#[path = "limits/running.rs"]
mod running;
#[path = "limits/transport.rs"]
pub mod transport;
#[path = "limits/versions.rs"]
pub mod versions;
pub use guest::*;
pub use running::*;

/// A key is an index entry on every replica; Dynamo's keys are short (4.1).
pub const KEY_BYTES_MAX: usize = 4 * 1024;
/// Bucket names stand in metric labels and storage keys.
pub const BUCKET_BYTES_MAX: usize = 64;
/// Node names stand in contexts, rings and log lines.
pub const NODE_NAME_BYTES_MAX: usize = 64;
/// The paper's objects are "usually less than 1 MB" (3, 4.1).
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Long enough for any media type with parameters.
pub const CONTENT_TYPE_BYTES_MAX: usize = 128;
/// User metadata: entries of one version.
pub const METADATA_ENTRIES_MAX: usize = 32;
/// User metadata: names and values of one version together.
pub const METADATA_BYTES_MAX: usize = 4 * 1024;
/// A context travels through clients, cookies and logs.
pub const CONTEXT_BYTES_MAX: usize = 16 * 1024;
/// Actors in one object. Each process that ever coordinated a write of the key adds one.
pub const ACTORS_MAX: usize = 16 * 1024;
/// Versions in one object; a bound of the decoder. `OBJECT_BYTES_MAX` strikes first: no write is refused for
/// its siblings, and nothing is stored that could not be read again.
pub const SIBLINGS_MAX: usize = 512 * 1024;
/// What a version weighs in memory beside its bytes.
pub const VERSION_OVERHEAD_BYTES: usize = 128;
/// From here on a put that shrinks nothing is refused, for its bytes, never for its siblings.
pub const OBJECT_BYTES_MAX: usize = 48 * 1024 * 1024;
/// The reply to a get: all siblings of the largest object twice, resolved or not and as they are stored.
pub const GET_BYTES_MAX: usize = 2 * OBJECT_BYTES_MAX + 16 * 1024 * 1024;
/// Siblings from which a node warns and counts.
pub const SIBLINGS_WARN: usize = 16;

/// How far ahead of a node's clock a write time may lie and still win in a last-write-wins bucket, and how long
/// ago a value must have expired to be forgotten by the next write of its key.
pub const CLOCK_SKEW_MS_MAX: u64 = 5 * 60 * 1_000;

/// The longest time to live. Ten years: what is meant to be kept for longer is kept for good.
pub const TTL_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Replicas of a key. More copies than this are a backup, not a quorum.
pub const N_MAX: u8 = 9;
/// Equal partitions of the ring (6.2, strategy 3); ample for the "couple of hundreds" of nodes of 6.6.
pub const PARTITIONS_MAX: u16 = 4096;
/// Default number of partitions.
pub const PARTITIONS_DEFAULT: u16 = 256;
/// Members of one ring.
pub const MEMBERS_MAX: usize = 1000;
/// Relative capacity of a node.
pub const WEIGHT_MAX: u16 = 1000;
/// A zone is a name: of a rack, a room, a data centre.
pub const ZONE_BYTES_MAX: usize = 64;
/// Nodes that a cluster remembers, those that have left included: the history of 4.8.1 is bounded.
pub const NODES_KNOWN_MAX: usize = 2 * MEMBERS_MAX;
/// `host:port`; host names have 253 bytes at most.
pub const ADDRESS_BYTES_MAX: usize = 264;
/// A member is not replaced sooner than this, whatever the policy says: a restart is no death.
pub const REPLACE_AFTER_MS_MIN: u64 = 5_000;
/// Changes of the members that are remembered, for people.
pub const CHANGES_REMEMBERED_MAX: usize = 64;
/// Why a change was made, in the words of whoever made it.
pub const CHANGE_TEXT_BYTES_MAX: usize = 256;
/// An opinion of who cannot be reached counts for so long; ten rounds of gossip, so that a few may be lost.
pub const OPINION_LIFE_MS: u64 = 10_000;
/// Nodes that one node says it does not reach.
pub const SUSPECTS_MAX: usize = MEMBERS_MAX;
/// A secret that admits nodes to the cluster.
pub const TOKEN_BYTES_MAX: usize = 256;
/// One sentence of one node to another.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The paper's interval of gossip (4.8.1).
pub const GOSSIP_INTERVAL_MS: u64 = 1_000;
/// How long a node collects what it has moved before it tells the others.
pub const PROGRESS_INTERVAL_MS: u64 = 200;
/// How often a node looks whether a policy wants something done.
pub const POLICY_INTERVAL_MS: u64 = 1_000;
/// A newcomer waits so long for others, so that nodes that are started together join in one change.
pub const JOIN_DELAY_MS: u64 = 2_000;
/// Buckets of a cluster: each is a row of the metadata that every node holds.
pub const BUCKETS_MAX: usize = 4096;
/// Plugins of a cluster: each holds compiled code on every node.
pub const PLUGINS_MAX: usize = 256;
/// All buckets and plugins together, as nodes exchange them.
pub const CATALOG_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How often a merged catalog may fill the bounds of edits: two sides that were cut off from each other may both have.
pub const CATALOG_MERGED_TIMES: usize = 2;
/// Params of a bound plugin.
pub const PARAMS_BYTES_MAX: usize = 64 * 1024;

/// Keys that a replica looks at for one message of a listing: the others wait for its shard meanwhile.
pub const LIST_ITEMS_MAX: usize = 256;
/// Partitions that one page of a listing is asked of at a time; enough to hide the way to the replicas.
pub const LIST_PARTITIONS_MAX: usize = 16;
/// Keys of one page; of the longest keys they make 4 MiB.
pub const PAGE_KEYS_MAX: usize = 1_000;
/// Keys of a page whose client does not say.
pub const PAGE_KEYS_DEFAULT: usize = 100;
/// A page token holds a key and little more.
pub const PAGE_TOKEN_BYTES_MAX: usize = KEY_BYTES_MAX + 32;

/// Requests of one batch that are under way at a time; the rest waits in the client's stream.
pub const BATCH_ITEMS_MAX: usize = 64;
/// Batches of one node at a time: together they fill a quarter of one shard's conversations.
pub const BATCHES_MAX: usize = 64;
/// How long a batch may wait for its client's next request.
pub const BATCH_IDLE_MS: u64 = 30_000;

/// One message between peers: a full object, its replaced versions, and room for names.
pub const PEER_MESSAGE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Messages waiting for one peer; beyond it the peer counts as unreachable.
pub const PEER_QUEUE_MAX: usize = 8 * 1024;
/// Bytes waiting for one peer.
pub const PEER_QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Requests that one shard coordinates at a time; beyond it clients get `RESOURCE_EXHAUSTED`.
pub const CONVERSATIONS_MAX: usize = 16 * 1024;

/// Inputs that may wait for a shard; beyond it clients get `RESOURCE_EXHAUSTED` and coordinators turn to other nodes. A
/// shard takes some ten thousand a second.
pub const SHARD_WAITING_MAX: usize = 4 * 1024;
/// How long a node that turned something away is asked last: a shard that is full works off its queue in less.
pub const BUSY_MS: u64 = 1_000;
/// Puts passed on by others of which a shard remembers that it took them, should a second copy arrive.
pub const FORWARDS_REMEMBERED_MAX: usize = 16 * 1024;

/// A request without a deadline of its own.
pub const DEADLINE_DEFAULT_MS: u64 = 5_000;
/// The longest deadline that a client may ask for.
pub const DEADLINE_MAX_MS: u64 = 10_000;
/// How long a read waits for stragglers after its answer, to repair them (5).
pub const READ_REPAIR_WINDOW_MS: u64 = 1_000;

/// What a merge on put replaced: merges kept per key.
pub const RETAINED_MERGES_MAX: usize = 4;
/// What a merge on put replaced: age at which it may be dropped.
pub const RETAINED_AGE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Leaves of a hash tree (4.7): 4 KiB a tree, and one in 256 keys is listed for each key that differs.
pub const TREE_LEAVES: usize = 256;
/// Records that are looked at in one go, for a hash tree or a list of keys; a client waits behind them.
pub const SLICE_ITEMS_MAX: usize = 256;
/// Bytes of records after which a slice ends early.
pub const SLICE_BYTES: usize = 1024 * 1024;
/// Records read from the engine at a time; they are in memory together, whatever they weigh.
pub const SLICE_CHUNK_ITEMS: usize = 8;
/// Buckets of a partition that are passed in one go on the way to what is left of removed ones; each is a look at the disk.
pub const BUCKETS_PASSED_MAX: usize = 64;
/// After so long a hash tree is built anew from what is stored, so that no drift lasts.
pub const TREE_AGE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Keys of one exchange that are on their way at a time, so that they share a sync of the disk.
pub const EXCHANGE_WINDOW: usize = 8;
/// Bytes of one exchange on their way, beyond which no further key is started.
pub const EXCHANGE_WINDOW_BYTES: usize = 16 * 1024 * 1024;
/// An exchange that has made no progress for so long is given up; the next round starts where it was.
pub const EXCHANGE_STALL_MS: u64 = 10_000;
/// How long a peer that builds its hash tree is left alone before it is asked again.
pub const TREE_WAIT_MS: u64 = 100;
/// A tree that was changed this recently may differ from a peer's because of a write on its way.
pub const TREE_QUIET_MS: u64 = 10_000;
/// What merges replaced, in one message of an exchange.
pub const EXCHANGE_RETAINED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Between two rounds of anti-entropy, unless the operator chooses otherwise.
pub const ANTI_ENTROPY_INTERVAL_MS_DEFAULT: u64 = 60_000;
/// The longest that an operator may choose: a week, as others rebuild their trees.
pub const ANTI_ENTROPY_INTERVAL_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Exchanges with new owners that a shard has at a time.
pub const TRANSFERS_MAX: usize = 2;
/// How long a transfer or a sweep that failed is left alone.
pub const TRANSFER_RETRY_MS: u64 = 1_000;

/// Background items a second in one shard when no client is hurt.
pub const BACKGROUND_RATE_MAX: u64 = 4_096;
/// Background items a second that are done whatever clients see: work that stops never ends.
pub const BACKGROUND_RATE_MIN: u64 = 8;
/// What a background merge costs in such items: a guest runs, and all replicas write durably.
pub const CONVERGE_ITEMS: i64 = 16;
/// Background work backs off when the 99th percentile of requests takes longer (6.5).
pub const FOREGROUND_P99_MS_DEFAULT: u64 = 50;
/// Seconds over which the percentile is taken (6.5).
pub const FOREGROUND_WINDOW_S: usize = 60;
/// How long a replica may be silent before another node stands in for it: above a slow disk's sync, far
/// below any deadline.
pub const STAND_IN_AFTER_MS: u64 = 250;
/// How long a suspected peer has to answer a probe before it counts as down: several slow round trips, and short
/// enough that clients notice it for no longer than 3 s.
pub const SUSPECT_MS: u64 = 1_500;
/// Between two probes of a peer that is down.
pub const PROBE_MS: u64 = 1_000;
/// The shortest that an operator may choose: a round trip, and a pause of the scheduler.
pub const SUSPECT_MS_MIN: u64 = 100;
/// The longest that an operator may choose, for probes too: a minute of a dead peer that everybody waits for.
pub const SUSPECT_MS_MAX: u64 = 60_000;
/// Probes are small, but there is one for each shard.
pub const PROBE_MS_MIN: u64 = 50;
/// Below a round trip everybody would stand in for everybody.
pub const STAND_IN_AFTER_MS_MIN: u64 = 10;
/// How long a put waits for stragglers after its answer, before what they miss becomes a hint.
pub const PUT_STRAGGLERS_MS: u64 = 1_000;
/// Hints that one shard keeps for others; each is a record of its own and an entry of a scan.
pub const HINTS_MAX: usize = 1_000_000;
/// Bytes of all hints of one shard; beyond it a node does not stand in for others.
pub const HINT_BYTES_MAX: usize = 4 * 1024 * 1024 * 1024;
/// Before a hint that was not taken is offered again; doubled with each failure.
pub const HINT_RETRY_MS: u64 = 2_000;
/// The shortest that an operator may choose: an offer reads the disk.
pub const HINT_RETRY_MS_MIN: u64 = 100;
/// The most hints that an operator may let one shard keep: an entry of some 100 bytes each when they are counted.
pub const HINTS_SET_MAX: u64 = 100_000_000;
/// The most bytes of hints that an operator may let one shard keep: a disk of its own.
pub const HINT_BYTES_SET_MAX: u64 = 1 << 40;
/// How wrong a test may make a node's wall clock: a day.
pub const CLOCK_OFFSET_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// The longest pause between two offers.
pub const HINT_RETRY_MS_MAX: u64 = 16_000;
/// Hints that are on their way to one node at a time.
pub const HINT_WINDOW: usize = 16;
/// How long a hint that was sent is waited for.
pub const HINT_DELIVERY_MS: u64 = 5_000;
/// Hints that are read from the disk in one go: values may be large, and clients wait meanwhile.
pub const HINT_SLICE_ITEMS: usize = 16;
/// Between two walks in which a node looks for tombstones that can go, unless the operator chooses otherwise.
pub const REAP_INTERVAL_MS_DEFAULT: u64 = 10 * 60 * 1_000;
/// The longest that an operator may choose between two walks.
pub const REAP_INTERVAL_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// The longest that a message is on its way: a connection that does not answer is cut after two seconds, a peer has three
/// to open the next one, and what was read from it may wait in an inbox.
pub const MESSAGE_LIFE_MS_MAX: u64 = 10_000;
/// How long everybody has to know of nothing but the tombstone before it goes, unless the operator chooses otherwise.
pub const TOMBSTONE_HORIZON_MS_DEFAULT: u64 = 10 * 60 * 1_000;
/// The shortest that an operator may choose: nothing may be under way that is older.
pub const TOMBSTONE_HORIZON_MS_MIN: u64 = 30_000;
/// The longest that an operator may choose; what everybody has vouched for takes memory all the while.
pub const TOMBSTONE_HORIZON_MS_MAX: u64 = 60 * 60 * 1_000;
/// Actors of one key from which those without a version are retired; a clock of so many is about 1 KiB.
pub const ACTORS_RETIRE_FROM: usize = 64;
/// Keys that everybody is asked about in one message.
pub const REAP_BATCH_MAX: usize = 64;
/// Keys of one shard that wait for the end of the horizon; with the defaults seven a second.
pub const REAPS_PENDING_MAX: usize = 4 * 1024;
/// How long an answer to such a question is waited for: a sync of a slow disk.
pub const VOUCH_TIMEOUT_MS: u64 = 5_000;
/// Keys of one shard that it has vouched for and watches; those of several stewards.
pub const VOUCHES_MAX: usize = 16 * 1024;
/// How long a vouch is remembered: a steward that failed once has time to ask again.
pub const VOUCH_LIFE_MS: u64 = 2 * TOMBSTONE_HORIZON_MS_MAX;
/// How often a shard that watches keys looks at its clocks.
pub const VOUCH_PULSE_MS: u64 = 1_000;
/// A shard that stood still for longer has messages before it of any age; above the pulse and a slow disk.
pub const VOUCH_PAUSE_MS_MAX: u64 = 5_000;
/// Dots that a change tells a watcher; beyond it he learns how many there are.
pub const CHANGE_DOTS_MAX: usize = 64;
/// Changes that one shard holds for watchers who come back; a few seconds under full load.
pub const WATCH_EVENTS_MAX: usize = 16 * 1024;
/// Bytes of them: keys may be long.
pub const WATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Watchers of one node at a time.
pub const WATCHERS_MAX: usize = 256;
/// A position in a node's changes: a format, and 18 bytes for each of at most 64 shards.
pub const WATCH_POSITION_BYTES_MAX: usize = 2 * 1024;

/// How often a client asks for the ring; the paper's interval (6.4).
pub const CLIENT_REFRESH_MS: u64 = 10_000;
/// Between two downloads of the ring, however stale it looks: nodes may disagree while members change.
pub const CLIENT_REFRESH_GAP_MS: u64 = 500;
/// How long a client waits for a ring.
pub const CLIENT_RING_TIMEOUT_MS: u64 = 2_000;
/// A ring: 4096 partitions with nine names each, and a thousand members.
pub const CLIENT_RING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a client waits for a connection; far below the deadline, so that others can be tried.
pub const CLIENT_CONNECT_MS: u64 = 1_000;
/// How long a node is avoided after its first failure; twice as long after each further one.
pub const CLIENT_AVOID_MS: u64 = 1_000;
/// The longest that a node is avoided.
pub const CLIENT_AVOID_MS_MAX: u64 = 16_000;
/// Nodes that one request is sent to, one after the other.
pub const CLIENT_ATTEMPTS_MAX: u32 = 16;
/// The first pause between two attempts; it doubles, and dice cut it short.
pub const CLIENT_BACKOFF_MS: u64 = 10;
/// The longest pause between two attempts.
pub const CLIENT_BACKOFF_MS_MAX: u64 = 500;
/// Requests of one client that are under way at one node; the node takes 64 on a connection.
pub const CLIENT_REQUESTS_PER_NODE_MAX: usize = 48;
/// Buckets whose number of replicas a client remembers.
pub const CLIENT_BUCKETS_MAX: usize = 256;
/// Keys whose context a session remembers; 16 MiB if each is as long as a context can be.
pub const CLIENT_CONTEXTS_MAX: usize = 1024;
/// Dots by which a watcher of all nodes tells what it was told already.
pub const CLIENT_DOTS_MAX: usize = 64 * 1024;
/// Events of all nodes that wait for their watcher; beyond it the nodes wait.
pub const CLIENT_EVENTS_MAX: usize = 256;

/// Buckets that have labels of their own in the metrics; each is up to three hundred lines of a page.
pub const METRIC_BUCKETS_MAX: usize = 32;
/// Plugins that have labels of their own in the metrics.
pub const METRIC_PLUGINS_MAX: usize = 32;
/// Connections to the listener of the metrics: a few scrapers and probes.
pub const METRIC_CONNECTIONS_MAX: usize = 16;
/// How long one of them may last, so that none keeps its place for ever.
pub const METRIC_CONNECTION_MS: u64 = 60_000;

/// A plugin's binary, unless the operator raises it for JavaScript or Python.
pub const PLUGIN_BYTES_DEFAULT: usize = 1024 * 1024;
/// The most that an operator may raise it to.
pub const PLUGIN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What `describe` may answer with: a name, and a few samples.
pub const DESCRIPTION_BYTES_MAX: usize = 256 * 1024;
/// Samples that are looked at; each costs the law check several calls.
pub const DESCRIPTION_SAMPLES_MAX: usize = 32;
/// A plugin's name and version stand in listings and log lines.
pub const PLUGIN_NAME_BYTES_MAX: usize = 64;
/// Native code of one plugin; about five times its Wasm.
pub const ARTEFACT_BYTES_MAX: usize = 512 * 1024 * 1024;
/// CPU time of one compilation; an 83 KiB module was measured to want 27 s.
pub const COMPILE_CPU_S: u64 = 10;
/// Address space of one compilation; the same module wanted 1.3 GiB.
pub const COMPILE_MEMORY_BYTES: u64 = 1024 * 1024 * 1024;
/// Wall clock of one compilation; twice its CPU time, for a busy node.
pub const COMPILE_WALL_MS: u64 = 20_000;
/// A resolver may answer with this much more than four times what it was given.
pub const RESOLVED_SLACK_BYTES: usize = 64 * 1024;
/// A guest's own words (reasons, refusals, panics) that are shown to people.
pub const GUEST_TEXT_BYTES_MAX: usize = 1024;
/// Applied bytes that an engine gathers before it writes them unasked; a second of a busy node.
pub const STORAGE_BUFFER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Items that a scrub reads before it rests; some of them may be as large as an object.
pub const SCRUB_SLICE_ITEMS: usize = 64;

const _: () = assert!(OBJECT_BYTES_MAX + 16 * VALUE_BYTES_MAX < PEER_MESSAGE_BYTES_MAX);
const _: () = assert!(LIST_ITEMS_MAX * KEY_BYTES_MAX < PEER_MESSAGE_BYTES_MAX);
const _: () = assert!(BATCHES_MAX * BATCH_ITEMS_MAX <= CONVERSATIONS_MAX / 4);
const _: () = assert!(DEADLINE_MAX_MS < BATCH_IDLE_MS);
const _: () = assert!(PAGE_KEYS_DEFAULT <= PAGE_KEYS_MAX);
const _: () = assert!(OBJECT_BYTES_MAX / VERSION_OVERHEAD_BYTES < SIBLINGS_MAX);
const _: () = assert!(PEER_MESSAGE_BYTES_MAX <= PEER_QUEUE_BYTES_MAX);
const _: () = assert!(CATALOG_MERGED_TIMES * CATALOG_BYTES_MAX < PEER_MESSAGE_BYTES_MAX);
const _: () = assert!(
    OBJECT_BYTES_MAX + EXCHANGE_RETAINED_BYTES_MAX + 16 * VALUE_BYTES_MAX < PEER_MESSAGE_BYTES_MAX
);
const _: () = assert!(SLICE_ITEMS_MAX * (KEY_BYTES_MAX + 128) < PEER_MESSAGE_BYTES_MAX);
const _: () = assert!(TREE_LEAVES == 256, "a leaf's number is a byte");
const _: () = assert!(SLICE_CHUNK_ITEMS <= SLICE_ITEMS_MAX);
const _: () = assert!(TREE_WAIT_MS < EXCHANGE_STALL_MS);
const _: () = assert!(BACKGROUND_RATE_MIN > 0 && BACKGROUND_RATE_MIN < BACKGROUND_RATE_MAX);
const _: () = assert!(ANTI_ENTROPY_INTERVAL_MS_DEFAULT <= ANTI_ENTROPY_INTERVAL_MS_MAX);
const _: () = assert!(DEADLINE_DEFAULT_MS <= DEADLINE_MAX_MS);
const _: () = assert!(CLIENT_CONNECT_MS < DEADLINE_DEFAULT_MS);
const _: () = assert!(CLIENT_REFRESH_GAP_MS < CLIENT_REFRESH_MS);
const _: () = assert!(READ_REPAIR_WINDOW_MS < DEADLINE_MAX_MS);
const _: () = assert!(GUEST_WALL_MS < DEADLINE_DEFAULT_MS);
const _: () = assert!(PLUGIN_BYTES_DEFAULT <= PLUGIN_BYTES_MAX);
const _: () = assert!(PLUGIN_BYTES_MAX < ARTEFACT_BYTES_MAX);
const _: () = assert!(FUEL_DEFAULT <= FUEL_MAX);
const _: () = assert!(GUEST_INIT_FUEL <= FUEL_MAX);
const _: () = assert!(COMPILE_CPU_S * 1_000 < COMPILE_WALL_MS);
const _: () = assert!(PARTITIONS_DEFAULT <= PARTITIONS_MAX);
const _: () = assert!(SIBLINGS_WARN < SIBLINGS_MAX);
const _: () = assert!(STAND_IN_AFTER_MS < SUSPECT_MS);
const _: () = assert!(SUSPECT_MS < DEADLINE_DEFAULT_MS);
const _: () = assert!(PUT_STRAGGLERS_MS < DEADLINE_DEFAULT_MS);
const _: () = assert!(HINT_RETRY_MS <= HINT_RETRY_MS_MAX);
const _: () = assert!(SUSPECT_MS_MIN <= SUSPECT_MS && SUSPECT_MS <= SUSPECT_MS_MAX);
const _: () = assert!(PROBE_MS_MIN <= PROBE_MS && PROBE_MS <= SUSPECT_MS_MAX);
const _: () = assert!(STAND_IN_AFTER_MS_MIN <= STAND_IN_AFTER_MS);
const _: () = assert!(HINT_RETRY_MS_MIN <= HINT_RETRY_MS);
const _: () = assert!(HINTS_MAX as u64 <= HINTS_SET_MAX);
const _: () = assert!(HINT_BYTES_MAX as u64 <= HINT_BYTES_SET_MAX);
const _: () = assert!(
    TOMBSTONE_HORIZON_MS_MIN
        > DEADLINE_MAX_MS + READ_REPAIR_WINDOW_MS + MESSAGE_LIFE_MS_MAX + VOUCH_PAUSE_MS_MAX,
    "a get that read a value before it was deleted may repair with it, and that write takes its time"
);
const _: () = assert!(TOMBSTONE_HORIZON_MS_MIN <= TOMBSTONE_HORIZON_MS_DEFAULT);
const _: () = assert!(TOMBSTONE_HORIZON_MS_DEFAULT <= TOMBSTONE_HORIZON_MS_MAX);
const _: () = assert!(TOMBSTONE_HORIZON_MS_MAX < VOUCH_LIFE_MS);
const _: () = assert!(REAP_INTERVAL_MS_DEFAULT <= REAP_INTERVAL_MS_MAX);
const _: () = assert!(VOUCH_PULSE_MS < VOUCH_PAUSE_MS_MAX);
const _: () = assert!(REAPS_PENDING_MAX < VOUCHES_MAX && SLICE_CHUNK_ITEMS <= REAP_BATCH_MAX);
