//! What happened, as a hash over everything and, when asked for, as lines to read.
//!
//! Invariant: the hash does not depend on whether the lines are kept.

use std::collections::VecDeque;
use xxhash_rust::xxh3::Xxh3;

/// Lines shown of a run that failed, unless `REJOIN_LINES` says otherwise.
const LINES_MAX: usize = 120;

pub struct Trace {
    hash: Xxh3,
    keeps: bool,
    lines_max: usize,
    lines: VecDeque<String>,
}

impl Trace {
    pub fn hashed() -> Self {
        Self {
            hash: Xxh3::new(),
            keeps: false,
            lines_max: super::number("REJOIN_LINES").map_or(LINES_MAX, |max| max as usize),
            lines: VecDeque::new(),
        }
    }

    pub fn kept() -> Self {
        Self {
            keeps: true,
            ..Self::hashed()
        }
    }

    pub fn note(&mut self, at_ms: u64, bytes: &[u8], line: impl FnOnce() -> String) {
        self.hash.update(&at_ms.to_be_bytes());
        self.hash.update(bytes);
        if self.keeps {
            self.lines.push_back(format!("{at_ms:>7} {}", line()));
            if self.lines.len() > self.lines_max {
                self.lines.pop_front();
            }
        }
    }

    /// Keeps no more lines: what led to a violation is worth more than what followed.
    pub fn freeze(&mut self) {
        self.keeps = false;
    }

    pub fn hash(&self) -> u64 {
        self.hash.digest()
    }

    pub fn tail(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}
