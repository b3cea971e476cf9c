//! How much of this node's disk may still be written (Dynamo 4.6: a node that cannot take a write is stood in for).
//!
//! Measures nothing: the shell looks at the disk, and tells the shards what it found.
//!
//! Invariant: less room never allows more.

/// What there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Room {
    /// Everything.
    #[default]
    Ample,
    /// Deletes, and what makes copies equal; no client's value.
    Scarce,
    /// Nothing at all: what the engine writes next could be what it has no room for.
    Spent,
}

impl Room {
    /// Whether a client's write is taken, given whether it is a delete.
    pub fn takes(self, is_delete: bool) -> bool {
        match self {
            Self::Ample => true,
            Self::Scarce => is_delete,
            Self::Spent => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_room_never_allows_more() {
        let rooms = [Room::Ample, Room::Scarce, Room::Spent];
        assert!(rooms.is_sorted());
        for (more, less) in rooms.iter().zip(&rooms[1..]) {
            for is_delete in [false, true] {
                assert!(more.takes(is_delete) || !less.takes(is_delete));
            }
        }
        assert!(!Room::Scarce.takes(false) && Room::Scarce.takes(true));
    }
}
