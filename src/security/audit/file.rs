//! The file of the audit log: lines are added at its end, and it is set aside when it is full.
//!
//! Decides nothing about lines.
//!
//! Invariant: `append` returns well only if all of the bytes are in the file, and with `Sync` on the disk; a line
//! that was written in part is never continued by another one.

use crate::limits::access::{AUDIT_FILE_BYTES_MAX, AUDIT_FILES_MAX};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Whether the disk is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Sync,
    Later,
}

/// The log's newest file and those that were set aside, `.1` the latest of them.
pub struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    /// None before the first line, and after an error.
    open: Option<Open>,
}

struct Open {
    file: File,
    bytes: u64,
    /// By which the file is known when somebody else has moved it away.
    device_and_inode: (u64, u64),
}

impl LogFile {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            bytes_max: AUDIT_FILE_BYTES_MAX,
            open: None,
        }
    }

    /// Adds whole lines.
    pub fn append(&mut self, lines: &[u8], durability: Durability) -> io::Result<()> {
        let appended = self.try_append(lines, durability);
        if appended.is_err() {
            // What a failed write or sync has left is not known; the next line looks at the file anew.
            self.open = None;
        }
        appended
    }

    fn try_append(&mut self, lines: &[u8], durability: Durability) -> io::Result<()> {
        self.forget_if_moved();
        let mut open = self.take_open()?;
        if open.bytes > 0 && open.bytes + lines.len() as u64 > self.bytes_max {
            self.set_aside(open)?;
            open = self.take_open()?;
        }
        let open = self.open.insert(open);
        if let Err(error) = open.file.write_all(lines) {
            // Best effort: half a line is told apart from the next one anyway.
            let _ = open.file.set_len(open.bytes);
            return Err(error);
        }
        open.bytes += lines.len() as u64;
        match durability {
            Durability::Sync => open.file.sync_data(),
            Durability::Later => Ok(()),
        }
    }

    fn take_open(&mut self) -> io::Result<Open> {
        match self.open.take() {
            Some(open) => Ok(open),
            None => Open::at(&self.path),
        }
    }

    /// Somebody who keeps logs may have taken the file away; the next line begins another one.
    fn forget_if_moved(&mut self) {
        let Some(open) = &self.open else { return };
        let there = std::fs::metadata(&self.path).map(|facts| (facts.dev(), facts.ino()));
        if there.ok() != Some(open.device_and_inode) {
            self.open = None;
        }
    }

    fn set_aside(&self, full: Open) -> io::Result<()> {
        full.file.sync_all()?;
        for number in (1..AUDIT_FILES_MAX).rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            if from.exists() {
                std::fs::rename(from, to)?;
            }
        }
        std::fs::rename(&self.path, self.numbered(1))?;
        sync_folder_of(&self.path)
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(path)?;
        let facts = file.metadata()?;
        let mut bytes = facts.len();
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        sync_folder_of(path)?;
        Ok(Self {
            file,
            bytes,
            device_and_inode: (facts.dev(), facts.ino()),
        })
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &tempfile::TempDir, bytes_max: u64) -> (LogFile, PathBuf) {
        let path = folder.path().join("audit.log");
        let log = LogFile {
            bytes_max,
            ..LogFile::new(path.clone())
        };
        (log, path)
    }

    fn text(path: impl AsRef<Path>) -> String {
        std::fs::read_to_string(path).expect("a file")
    }

    #[test]
    fn a_full_file_is_set_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, path) = log(&folder, 10);
        for number in 0..3 * AUDIT_FILES_MAX {
            let line = format!("line {number:02}\n");
            log.append(line.as_bytes(), Durability::Sync)
                .expect("written");
        }
        assert_eq!(
            text(&path),
            format!("line {:02}\n", 3 * AUDIT_FILES_MAX - 1)
        );
        assert_eq!(
            text(log.numbered(1)),
            format!("line {:02}\n", 3 * AUDIT_FILES_MAX - 2)
        );
        let files = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(files, 1 + AUDIT_FILES_MAX);
        let mode = std::fs::metadata(&path).expect("facts").mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn half_a_line_is_not_continued() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, path) = log(&folder, 1000);
        std::fs::write(&path, "whole\nha").expect("written");
        log.append(b"next\n", Durability::Later).expect("written");
        assert_eq!(text(&path), "whole\nha\nnext\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_again_and_a_failed_write_is_an_error_until_it_is_mended()
    {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, path) = log(&folder, 1000);
        log.append(b"one\n", Durability::Sync).expect("written");
        let moved = folder.path().join("moved");
        std::fs::rename(&path, &moved).expect("moved");
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
        assert!(log.append(b"two\n", Durability::Sync).is_err());
        assert!(log.append(b"two\n", Durability::Sync).is_err());
        std::fs::remove_file(&path).expect("removed");
        log.append(b"three\n", Durability::Sync).expect("written");
        assert_eq!(
            (text(moved), text(path)),
            ("one\n".to_owned(), "three\n".to_owned())
        );
    }
}
