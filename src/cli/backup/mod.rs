//! `rejoin backup`: everything that a cluster stores, in one file that can be checked, and brought back.
//!
//! The format is in docs/backup.md. `file` reads and writes it in `block`s, `sources` unites what the nodes show, `create`, `verify`
//! and `restore` are the commands.
//!
//! Invariant: a file under its final name was written to its end and synced; nothing is restored of a file that is not
//! whole.

pub mod block;
pub mod create;
pub mod file;
mod restore;
mod sources;
pub mod verify;

use super::arguments::Server;
use super::backup_arguments::Backup;

pub async fn run(command: Backup, server: &Server) -> anyhow::Result<()> {
    match command {
        Backup::Create(create) => create::run(create, server).await,
        Backup::Verify { file } => verify::run(&file, server.json),
        Backup::Restore { file } => restore::run(&file, server).await,
    }
}
