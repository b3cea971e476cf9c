//! Something that is made of files, and made again when they change.
//!
//! Looks when it is told to. Knows nothing of what the files hold.
//!
//! Invariant: what was made last stays in use until something new was made: broken files change nothing.

use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

type Make<T, E> = Box<dyn Fn() -> Result<T, E> + Send + Sync>;
type Seen = [u8; 32];

/// The latest `T` that could be made of some files.
pub struct Rotating<T, E> {
    files: Vec<PathBuf>,
    make: Make<T, E>,
    /// Held to take or to put a pointer; never over an await.
    current: RwLock<Arc<T>>,
    /// What the files held when they were looked at last; guards that two do not look at once.
    seen: Mutex<Seen>,
}

impl<T, E> Rotating<T, E> {
    /// Makes the first one.
    pub fn start(
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let seen = look(&files); // Before they are used: a change in between is seen later.
        let first = make()?;
        Ok(Self {
            files,
            make: Box::new(make),
            current: RwLock::new(Arc::new(first)),
            seen: Mutex::new(seen),
        })
    }

    /// For the connection that begins now.
    pub fn current(&self) -> Arc<T> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a new one if the files have changed; none if they have not. Reads files: not for asynchronous threads.
    ///
    /// Files that are broken are reported once and looked at again when they change.
    pub fn look_again(&self) -> Option<Result<(), E>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = look(&self.files);
        if *seen == found {
            return None;
        }
        *seen = found;
        let made = (self.make)().map(|made| {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(made);
        });
        Some(made)
    }
}

/// A hash of what the files hold, or of why they could not be read, and of who may read them.
fn look(files: &[PathBuf]) -> Seen {
    use std::os::unix::fs::PermissionsExt as _;
    let mut hash = Sha256::new();
    for file in files {
        match super::files::watched(file) {
            Ok(bytes) => {
                let mode = std::fs::metadata(file).map(|facts| facts.permissions().mode());
                hash.update((bytes.len() as u64).to_be_bytes());
                hash.update(mode.unwrap_or_default().to_be_bytes());
                hash.update(bytes);
            }
            Err(error) => hash.update(error.to_string()),
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_last_stays_until_the_files_are_good_again_and_each_change_is_told_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("number");
        let write = |text: &str| std::fs::write(&file, text).expect("written");
        write("1");
        let path = file.clone();
        let make = move || {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
            text.parse::<u32>().map_err(|error| error.to_string())
        };
        let rotating = Rotating::start(vec![file.clone()], make).expect("a number");
        let first = rotating.current();
        assert!(rotating.look_again().is_none(), "nothing has changed");
        write("broken");
        assert!(rotating.look_again().expect("looked").is_err());
        assert!(rotating.look_again().is_none(), "told once");
        assert_eq!(*rotating.current(), 1);
        std::fs::remove_file(&file).expect("removed");
        assert!(rotating.look_again().expect("looked").is_err());
        write("2");
        assert!(rotating.look_again().expect("looked").is_ok());
        assert_eq!(
            (*first, *rotating.current()),
            (1, 2),
            "who has the old one keeps it"
        );
    }
}
