//! The disks of the nodes: a small one that can be filled and made read-only, and damage to the files of any.
//!
//! A small disk is a `tmpfs`, so it takes root; who is not root goes without, and is told why.
//!
//! Invariant: what was mounted is unmounted when its disk is dropped, on a panic too.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Room for the database of a run that makes a million writes.
const SMALL_MIB: u32 = 2048;
const BALLAST: &str = "ballast";

/// A file system of its own under a node's folder.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one over `folder`, which has to be there. The error says why there is none.
    pub fn over(folder: &Path) -> Result<Self, String> {
        mount(
            &["-t", "tmpfs", "-o", &format!("size={SMALL_MIB}m"), "tmpfs"],
            folder,
        )?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Writes until only so many bytes are free.
    pub fn fill(&self, left: u64) {
        let chunk = vec![0x5a; 64 * 1024];
        let mut file = File::create(self.folder.join(BALLAST)).expect("a file");
        for length in [chunk.len(), 4096, 1] {
            while self.free_bytes() >= left + length as u64 && file.write(&chunk[..length]).is_ok()
            {
            }
        }
    }

    fn free_bytes(&self) -> u64 {
        let space = rejoin::storage::space::Space::of(&self.folder);
        space.map_or(0, |space| space.free)
    }

    pub fn free(&self) {
        let _ = fs::remove_file(self.folder.join(BALLAST)); // A wipe may have taken it.
    }

    /// No file may be open for writing.
    pub fn read_only(&self, is_read_only: bool) -> Result<(), String> {
        let options = match is_read_only {
            true => "remount,ro",
            false => "remount,rw",
        };
        mount(&["-o", options], &self.folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn mount(arguments: &[&str], folder: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(folder).output();
    let output = output.map_err(|error| format!("mount: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Takes everything out of a folder, which stays: a disk may be mounted on it.
pub fn wipe(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return; // It never was.
    };
    for entry in entries {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        }
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        match path.is_dir() {
            true => copy(&path, &target),
            false => fs::copy(&path, &target).map(drop).expect("copies"),
        }
    }
}

/// Flips bytes of the database in a node's folder, none of them zero before. What was flipped, in words.
pub fn flip(data: &Path, dice: u64) -> String {
    let mut dice = StdRng::seed_from_u64(dice);
    let files = fs::read_dir(data.join("sled")).expect("the database is there");
    let paths = files.map(|entry| entry.expect("readable").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.is_file()).collect();
    paths.sort();
    paths.retain(|path| path.file_name().is_some_and(|name| name == "db") || dice.random_bool(0.2));
    let mut done = Vec::new();
    for path in paths {
        let mut bytes = fs::read(&path).expect("reads");
        let mut flipped = 0;
        for _ in 0..dice.random_range(1..400) {
            let mut places = (0..1_000).map(|_| dice.random_range(0..bytes.len().max(1)));
            let Some(at) = places.find(|at| bytes.get(*at).is_some_and(|byte| *byte != 0)) else {
                continue;
            };
            bytes[at] ^= 1 << (at % 8);
            flipped += 1;
        }
        fs::write(&path, &bytes).expect("writes");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        done.push(format!("{flipped} of {name}"));
    }
    done.join(", ")
}
