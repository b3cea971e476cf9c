//! The marker beside the engine: which format the data folder has, and which database belongs in it.
//!
//! sled can lose everything and open empty without an error. The marker remembers, outside sled, that
//! there was a database and which one, so that an empty one is seen to be a loss and never a fresh node.
//! Five lines of text, so that a person can read them; the last is a checksum over the others.
//!
//! Invariant: a marker that was cut, changed or written by a newer release is never read as valid.

use std::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// The format of a data folder that this release writes.
pub const FORMAT: u32 = 1;
const TITLE: &str = "rejoin-storage-format";

/// What the folder is known to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
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
            Some(FORMAT) => parse(text).map_or(Reading::Damaged, Reading::Valid),
            Some(newer) if newer > FORMAT => Reading::Newer(newer),
            _ => Reading::Damaged, // An older format will be migrated here, once there is one.
        }
    }

    fn body(&self) -> String {
        let state = match &self.condemned {
            None => "live".to_owned(),
            Some(reason) => format!("condemned {}", reason.replace(['\n', '\r'], " ")),
        };
        format!(
            "{TITLE} {FORMAT}\ngeneration {:016x}\nsession {}\nstate {state}\n",
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

fn parse(text: &str) -> Option<Marker> {
    let mut lines = text.lines().skip(1);
    let generation = lines.next()?.strip_prefix("generation ")?;
    let session = lines.next()?.strip_prefix("session ")?;
    let state = lines.next()?.strip_prefix("state ")?;
    let marker = Marker {
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
        fn a_marker_survives_the_trip(generation: u64, session: u64, reason in proptest::option::of("[a-z :]{0,40}")) {
            let marker = Marker { generation, session, condemned: reason };
            prop_assert_eq!(Marker::read(marker.to_string().as_bytes()), Reading::Valid(marker));
        }

        #[test]
        fn any_flipped_bit_is_noticed(generation: u64, at: usize, bit in 0..8u8) {
            let mut bytes = Marker { generation, session: 1, condemned: None }.to_string().into_bytes();
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
            generation: 7,
            session: 1,
            condemned: None,
        }
        .to_string();
        assert_eq!(
            Marker::read(&text.as_bytes()[..text.len() - 1]),
            Reading::Damaged
        );
        let newer = text.replacen("format 1", "format 2", 1);
        assert_eq!(Marker::read(newer.as_bytes()), Reading::Newer(2));
    }
}
