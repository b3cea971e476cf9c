//! What can be typed.

pub use super::author_arguments::{BuildPlugin, NewPlugin, TestPlugin};
use super::backup_arguments::Backup;
use super::certificate_arguments::{Certificate, Trust};
pub use super::cluster_arguments::{Cluster, Commit, Policy};
pub use super::dev_arguments::Dev;
use super::plugin_arguments::Versions;
pub use super::serve_arguments::Serve;
use super::token_arguments::{Credential, Token};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// An always-writeable key-value store whose conflicts are resolved by WebAssembly that you upload.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub server: Server,
}

/// Which node is asked, and how the answer is printed.
#[derive(Debug, Args)]
pub struct Server {
    /// Address of any node's client listener.
    #[arg(
        long,
        global = true,
        env = "REJOIN_SERVER",
        default_value = "http://127.0.0.1:7001",
        value_name = "URL"
    )]
    pub server: String,
    /// How long to wait for the answer, in milliseconds.
    #[arg(long, global = true, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=60_000), value_name = "MS")]
    pub timeout_ms: u64,
    /// Show on standard error what becomes of a get, put or delete, step by step.
    #[arg(long, global = true)]
    pub trace: bool,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub trust: Trust,
    #[command(flatten)]
    pub credential: Credential,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a three-node cluster on this machine, to try things out.
    Dev(Dev),
    /// Run one node.
    Serve(Serve),
    /// Print the value under a key, resolved by its bucket's policy.
    Get(Get),
    /// Store a value.
    Put(Put),
    /// Delete a key.
    Delete(Delete),
    /// Print the keys of a bucket as they change, at any node, until it is ended.
    Watch(Watch),
    /// Print the keys of a bucket.
    Keys(Keys),
    /// Say why a key reads as it does: what each of its nodes has, and what the policy makes of it.
    Explain { bucket: String, key: String },
    /// Create and show buckets.
    #[command(subcommand)]
    Bucket(Bucket),
    /// Write, build, upload and show resolvers and validators.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Save all that a cluster stores, check what was saved, and bring it back.
    #[command(subcommand)]
    Backup(Backup),
    /// Look at nodes, the ring and single replicas.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Make certificates for nodes and clients.
    #[command(subcommand)]
    Cert(Certificate),
    /// Make tokens for callers, and check the file that says what they may do.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Debug, Args)]
pub struct Get {
    pub bucket: String,
    pub key: String,
    /// Replicas to wait for, in place of the bucket's R.
    #[arg(long)]
    pub r: Option<u32>,
    /// Of those, how many must be among the key's N primaries.
    #[arg(long)]
    pub pr: Option<u32>,
    /// Also show every stored version, before any policy.
    #[arg(long)]
    pub siblings: bool,
}

#[derive(Debug, Args)]
pub struct Put {
    pub bucket: String,
    pub key: String,
    /// The value; `-` reads it from standard input.
    pub value: String,
    /// Context of the get or put before, as printed. Without it the value stands beside what is there.
    #[arg(long, value_name = "HEX", conflicts_with = "replace")]
    pub context: Option<String>,
    /// Get first, and replace what that get shows.
    #[arg(long)]
    pub replace: bool,
    /// Store only if nothing is there. Best effort: two that do so at once may both succeed, as siblings.
    #[arg(long, conflicts_with_all = ["context", "replace", "if_context"])]
    pub if_absent: bool,
    /// Store only if nothing is there that --context or --replace did not see. Best effort, as --if-absent.
    #[arg(long)]
    pub if_context: bool,
    #[arg(long, default_value = "", value_name = "TYPE")]
    pub content_type: String,
    /// Metadata; may be given several times.
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub metadata: Vec<(String, String)>,
    /// How long the value lives, in milliseconds; 0: for good [default: as the bucket says].
    #[arg(long, value_name = "MS")]
    pub ttl_ms: Option<u64>,
    #[command(flatten)]
    pub write: Write,
}

#[derive(Debug, Args)]
pub struct Delete {
    pub bucket: String,
    pub key: String,
    /// Context of the get or put before, as printed. Without it: get first, and delete what that get shows.
    #[arg(long, value_name = "HEX")]
    pub context: Option<String>,
    #[command(flatten)]
    pub write: Write,
}

#[derive(Debug, Args)]
pub struct Watch {
    pub bucket: String,
    /// End after so many lines.
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
}

#[derive(Debug, Args)]
pub struct Keys {
    pub bucket: String,
    /// Only keys that begin with it.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub prefix: String,
    /// The most keys to print [default: all].
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
}

/// How a write is acknowledged.
#[derive(Debug, Args)]
pub struct Write {
    /// Acknowledgements to wait for, in place of the bucket's W.
    #[arg(long)]
    pub w: Option<u32>,
    /// Of those, how many must be among the key's N primaries.
    #[arg(long)]
    pub pw: Option<u32>,
    /// When a replica says that it has the write, in place of the bucket's choice.
    #[arg(long)]
    pub ack: Option<AckChoice>,
    /// Of the acknowledgements, how many must be from the disk, whatever --ack says.
    #[arg(long)]
    pub dw: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AckChoice {
    /// In memory: a crash may lose it.
    Buffered,
    /// Synced to disk.
    Durable,
}

#[derive(Debug, Subcommand)]
pub enum Bucket {
    /// Create a bucket, or change one with --replace.
    Create(Box<CreateBucket>),
    /// Show the properties of a bucket.
    Describe { bucket: String },
    /// Show all buckets.
    List,
    /// Remove a bucket and all that it holds, for good. The name can be used again at once.
    Remove {
        bucket: String,
        /// Also if it still holds keys.
        #[arg(long)]
        force: bool,
    },
    /// Print the keys under which several values stand.
    Conflicts(super::bucket_arguments::Conflicts),
    /// Say which existing keys a validator would refuse, before it is bound. Changes nothing.
    Validate(super::bucket_arguments::Validate),
}

#[derive(Debug, Args)]
pub struct CreateBucket {
    /// 1 to 64 lower-case letters, digits, `-`, `_` and `.`.
    pub bucket: String,
    /// Replicas of each key [default: 3].
    #[arg(long)]
    pub n: Option<u32>,
    /// Answers that a get waits for [default: 2].
    #[arg(long)]
    pub r: Option<u32>,
    /// Acknowledgements that a put waits for [default: 2].
    #[arg(long)]
    pub w: Option<u32>,
    /// Of a get's answers, how many must be among the key's N primaries [default: 0].
    #[arg(long)]
    pub pr: Option<u32>,
    /// Of a put's acknowledgements, how many must be among the key's N primaries [default: 0].
    #[arg(long)]
    pub pw: Option<u32>,
    /// When a replica says that it has a write [default: durable].
    #[arg(long)]
    pub ack: Option<AckChoice>,
    /// Of a put's acknowledgements, how many must be from the disk [default: all or none, as --ack says].
    #[arg(long)]
    pub dw: Option<u32>,
    /// Plugin that resolves siblings: its name, or the first digits of its digest.
    #[arg(long, value_name = "PLUGIN", conflicts_with = "last_write_wins")]
    pub resolver: Option<String>,
    /// File that is handed to the resolver with every call.
    #[arg(long, value_name = "FILE", requires = "resolver")]
    pub resolver_params: Option<PathBuf>,
    /// Fuel of one call of the resolver [default: 50 million].
    #[arg(long, value_name = "UNITS", requires = "resolver")]
    pub resolver_fuel: Option<u64>,
    /// Let the latest write time win, and drop the rest.
    #[arg(long)]
    pub last_write_wins: bool,
    /// Plugin that judges values before they are stored: its name, or the first digits of its digest.
    #[arg(long, value_name = "PLUGIN")]
    pub validator: Option<String>,
    /// File that is handed to the validator with every call.
    #[arg(long, value_name = "FILE", requires = "validator")]
    pub validator_params: Option<PathBuf>,
    /// Fuel of one call of the validator [default: 50 million].
    #[arg(long, value_name = "UNITS", requires = "validator")]
    pub validator_fuel: Option<u64>,
    /// Bounds of a call of the resolver: memory_bytes, wall_ms, output_bytes, log_lines, fuel_per_second; may be given several times.
    #[arg(long = "resolver-limit", value_name = "NAME=NUMBER", value_parser = name_and_value, requires = "resolver")]
    pub resolver_limits: Vec<(String, String)>,
    /// Bounds of a call of the validator; as those of the resolver.
    #[arg(long = "validator-limit", value_name = "NAME=NUMBER", value_parser = name_and_value, requires = "validator")]
    pub validator_limits: Vec<(String, String)>,
    /// Store what the validator refuses, and warn of it in the reply.
    #[arg(long, requires = "validator")]
    pub validator_warns: bool,
    /// Whether a put stores what the policy makes of its value and the siblings that it did not see.
    #[arg(long, value_name = "BOOL")]
    pub merge_on_put: Option<bool>,
    /// Bytes of a value [default: 1048576, which is also the most].
    #[arg(long, value_name = "BYTES")]
    pub value_bytes_max: Option<u64>,
    /// Bytes of a value above which its put warns [default: 0, never].
    #[arg(long, value_name = "BYTES")]
    pub value_bytes_warn: Option<u64>,
    /// How long values live, in milliseconds, unless their put says otherwise [default: 0, for good].
    #[arg(long, value_name = "MS")]
    pub ttl_ms: Option<u64>,
    /// Merges on put of each key whose inputs are kept, 1 to 64 [default: 4].
    #[arg(long, value_name = "COUNT")]
    pub retain_merges: Option<u32>,
    /// For how long they are kept, in milliseconds [default: a day].
    #[arg(long, value_name = "MS")]
    pub retain_ms: Option<u64>,
    /// How many bytes of them are kept for each key [default: 4194304].
    #[arg(long, value_name = "BYTES")]
    pub retain_bytes: Option<u64>,
    /// Change the properties of a bucket that exists.
    #[arg(long)]
    pub replace: bool,
}

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Upload a WebAssembly component (or a core module with the contract's export names).
    Push { file: PathBuf },
    /// Show all plugins.
    List,
    /// Start a plugin: a small project that works as it is.
    New(NewPlugin),
    /// Build a plugin's project, and check it as a node would.
    Build(BuildPlugin),
    /// What plugins cost on the asked node, and how their calls ended.
    Stats { bucket: Option<String> },
    /// What a plugin has logged on the asked node, and why its calls failed.
    Logs {
        /// Its name, or the first digits of its digest.
        plugin: String,
        /// The latest so many lines [default: all that the node has].
        #[arg(
            long,
            value_name = "COUNT",
            default_value_t = 0,
            hide_default_value = true
        )]
        lines: u32,
    },
    #[command(flatten)]
    Versions(Versions),
    /// Say what an upload would say, without a server: form, samples, laws; and try the author's fixtures.
    Test(Box<TestPlugin>),
    /// Try a counterexample of a law check again.
    Replay {
        /// JSON file of `rejoin plugin test --evidence`, or of a node's `evidence` folder.
        evidence: PathBuf,
        /// The plugin, or a mended one [default: the one with the digest of the evidence, beside it or in build].
        #[arg(long, value_name = "FILE")]
        plugin: Option<PathBuf>,
        /// The bucket's validator, if the evidence names one.
        #[arg(long, value_name = "FILE")]
        validator: Option<PathBuf>,
    },
    /// Show one plugin: a file, or a name or digest of the cluster's.
    Inspect { plugin: String },
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }
}
