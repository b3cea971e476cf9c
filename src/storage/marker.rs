//! The marker beside the engine: which format the data folder has, and which database belongs in it.
//!
//! An engine can lose everything and open empty without an error. The marker remembers, outside of it, that
//! there was a database and which one, so that an empty one is seen to be a loss and never a fresh node.
//! Some lines of text, so that a person can read them; the last is a checksum over the others. Format 1
//! is of the time when there was one engine, and still that of its folders; format 2 names the engine.
//!
//! Invariant: a marker that was cut, changed or written by a newer release is never read as valid.

use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// The newest format of a data folder that this release knows.
pub const FORMAT: u32 = 2;
const TITLE: &str = "rejoin-storage-format";

/// Whose files a data folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineName {
    Sled,
    Redb,
}

impl EngineName {
    /// Every engine that keeps files.
    pub const ALL: [Self; 2] = [Self::Sled, Self::Redb];

    /// What it is called in the configuration, and its files in a data folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.as_str() == name)
    }

    fn format(self) -> u32 {
        match self {
            Self::Sled => 1,
            Self::Redb => 2,
        }
    }
}

/// What the folder is known to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    pub engine: EngineName,
    /// Drawn when the database was created, and stored in it too.
    pub generation: u64,
    /// How often it was opened; the database may be ahead of the marker by one, never behind it.
    pub session: u64,
    /// Why the database must not be opened again, once that was found out.
    pub condemned: Option<String>,
}

/// What reading the marker's bytes gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    Valid(Marker),
    /// Written by a newer release; its bytes are not judged further.
    Newer(u32),
    Damaged,
}

impl Marker {
    /// Reads what `Display` wrote.
    pub fn read(bytes: &[u8]) -> Reading {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Reading::Damaged;
        };
        match format_of(text) {
            Some(newer) if newer > FORMAT => Reading::Newer(newer),
            Some(format) => parse(format, text).map_or(Reading::Damaged, Reading::Valid),
            None => Reading::Damaged,
        }
    }

    fn body(&self) -> String {
        let state = match &self.condemned {
            None => "live".to_owned(),
            Some(reason) => format!("condemned {}", reason.replace(['\n', '\r'], " ")),
        };
        let format = self.engine.format();
        let engine = match format {
            1 => String::new(),
            _ => format!("engine {}\n", self.engine.as_str()),
        };
        format!(
            "{TITLE} {format}\n{engine}generation {:016x}\nsession {}\nstate {state}\n",
            self.generation, self.session
        )
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        writeln!(f, "{body}check {:016x}", xxh3_64(body.as_bytes()))
    }
}

fn format_of(text: &str) -> Option<u32> {
    text.lines()
        .next()?
        .strip_prefix(TITLE)?
        .trim()
        .parse()
        .ok()
}

fn parse(format: u32, text: &str) -> Option<Marker> {
    let mut lines = text.lines().skip(1);
    let engine = match format {
        1 => EngineName::Sled,
        _ => EngineName::named(lines.next()?.strip_prefix("engine ")?)?,
    };
    let generation = lines.next()?.strip_prefix("generation ")?;
    let session = lines.next()?.strip_prefix("session ")?;
    let state = lines.next()?.strip_prefix("state ")?;
    let marker = Marker {
        engine,
        generation: u64::from_str_radix(generation, 16).ok()?,
        session: session.parse().ok()?,
        condemned: state.strip_prefix("condemned ").map(str::to_owned),
    };
    (marker.to_string() == text).then_some(marker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_marker_survives_the_trip(
            redb: bool, generation: u64, session: u64, condemned in proptest::option::of("[a-z :]{0,40}")
        ) {
            let engine = EngineName::ALL[usize::from(redb)];
            let marker = Marker { engine, generation, session, condemned };
            prop_assert_eq!(Marker::read(marker.to_string().as_bytes()), Reading::Valid(marker));
        }

        #[test]
        fn any_flipped_bit_is_noticed(redb: bool, generation: u64, at: usize, bit in 0..8u8) {
            let engine = EngineName::ALL[usize::from(redb)];
            let marker = Marker { engine, generation, session: 1, condemned: None };
            let mut bytes = marker.to_string().into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(Marker::read(&bytes), Reading::Valid(_)));
        }

        #[test]
        fn any_bytes_are_an_answer_not_a_panic(bytes: Vec<u8>) {
            Marker::read(&bytes);
        }
    }

    #[test]
    fn a_cut_marker_is_damaged_and_a_newer_one_is_newer() {
        let text = Marker {
            engine: EngineName::Sled,
            generation: 7,
            session: 1,
            condemned: None,
        }
        .to_string();
        assert_eq!(
            Marker::read(&text.as_bytes()[..text.len() - 1]),
            Reading::Damaged
        );
        let newer = text.replacen("format 1", "format 3", 1);
        assert_eq!(Marker::read(newer.as_bytes()), Reading::Newer(3));
    }

    #[test]
    fn a_marker_of_the_first_release_is_still_read() {
        let text = "rejoin-storage-format 1\ngeneration 0000000000000007\nsession 3\nstate live\n";
        let text = format!("{text}check {:016x}\n", xxh3_64(text.as_bytes()));
        let marker = Marker {
            engine: EngineName::Sled,
            generation: 7,
            session: 3,
            condemned: None,
        };
        assert_eq!(Marker::read(text.as_bytes()), Reading::Valid(marker));
    }
}
