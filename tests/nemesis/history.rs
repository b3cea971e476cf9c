//! What happened, as JSON lines, written as it happens.
//!
//! Judges nothing: `checker` does, from the file alone, so a kept history can be judged again.
//!
//! Invariant: an operation stands in the file before its request leaves, so whatever is stored was announced.

use super::schedule::Kind;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Read,
    /// A put whose value has this element, which no other put of the run brings in.
    Add(String),
    /// A delete with the context of a read that showed these.
    Delete(Vec<String>),
}

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    /// Perhaps; also when the connection broke.
    Unknown,
    /// Certainly not stored; of a read, not answered.
    Refused,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Record {
    Began {
        op: u64,
        client: u32,
        /// Place of the node that is asked.
        node: usize,
        bucket: String,
        key: String,
        action: Action,
    },
    Ended {
        op: u64,
        outcome: Outcome,
        /// Of a read: the elements of all values.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seen: Vec<String>,
        /// Of a read: the number of values.
        #[serde(default)]
        siblings: usize,
        /// Of the replicas that answered, those that keep the key whoever can be reached.
        #[serde(default)]
        primaries: u32,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    Strikes {
        window: usize,
        kind: Kind,
        victims: Vec<usize>,
    },
    /// Nothing of this window is left in the way.
    Healed { window: usize },
    /// Settled since `after_ms` from the heal, and until the next fault.
    Calm { after_ms: u64 },
    /// A kind that this machine cannot have.
    Skipped { kind: Kind, why: String },
    /// What a fault brought about, in words.
    Note { text: String },
    /// A node ended that nobody had ended.
    Died { node: usize, window: Option<usize> },
    /// The cluster did not settle.
    Unsettled { why: String },
    /// What a key shows in the end.
    Final {
        bucket: String,
        key: String,
        seen: Vec<String>,
        siblings: usize,
    },
    /// What one of a key's primaries has in the end.
    Copy {
        bucket: String,
        key: String,
        node: String,
        hash: u64,
    },
}

/// A record and its moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub at_us: u64,
    #[serde(flatten)]
    pub record: Record,
}

/// The file that a run writes.
pub struct History {
    started: Instant,
    next_op: AtomicU64,
    path: PathBuf,
    /// Guards the order of lines; nothing is awaited under it.
    file: Mutex<File>,
}

impl History {
    pub fn create(path: PathBuf) -> Self {
        Self {
            started: Instant::now(),
            next_op: AtomicU64::new(0),
            file: Mutex::new(File::create(&path).expect("a temporary file")),
            path,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn next_op(&self) -> u64 {
        self.next_op.fetch_add(1, Ordering::Relaxed)
    }

    pub fn note(&self, text: impl Into<String>) {
        self.write(Record::Note { text: text.into() });
    }

    pub fn write(&self, record: Record) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let at_us = self.started.elapsed().as_micros() as u64;
        let mut line = serde_json::to_vec(&Line { at_us, record }).expect("a record");
        line.push(b'\n');
        file.write_all(&line).expect("the file can be written");
    }
}

/// All lines of a file.
pub fn read(path: &Path) -> Vec<Line> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(file).lines();
    let line = |text: std::io::Result<String>| {
        let text = text.expect("a line");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    lines.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let history = History::create(folder.path().join("history.jsonl"));
        let records = [
            Record::Began {
                op: history.next_op(),
                client: 3,
                node: 1,
                bucket: "union".to_owned(),
                key: "k".to_owned(),
                action: Action::Delete(vec!["a".to_owned()]),
            },
            Record::Ended {
                op: 0,
                outcome: Outcome::Unknown,
                seen: Vec::new(),
                siblings: 0,
                primaries: 0,
                why: "deadline".to_owned(),
            },
            Record::Strikes {
                window: 0,
                kind: Kind::OneWay,
                victims: vec![2],
            },
        ];
        for record in records.clone() {
            history.write(record);
        }
        let lines = read(history.path());
        assert!(lines.is_sorted_by_key(|line| line.at_us));
        let found: Vec<Record> = lines.into_iter().map(|line| line.record).collect();
        assert_eq!(found, records);
    }
}
