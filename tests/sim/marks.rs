//! A set of small numbers: places in the history of one key.
//!
//! Invariant: equal sets compare equal, whatever was inserted first; there are no trailing zero words.

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    words: Vec<u64>,
}

impl Marks {
    pub fn insert(&mut self, place: usize) {
        if self.words.len() <= place / 64 {
            self.words.resize(place / 64 + 1, 0);
        }
        self.words[place / 64] |= 1 << (place % 64);
    }

    pub fn contains(&self, place: usize) -> bool {
        self.words
            .get(place / 64)
            .is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub fn join(&mut self, other: &Marks) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
    }

    pub fn is_within(&self, other: &Marks) -> bool {
        let theirs = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words
            .iter()
            .zip(theirs)
            .all(|(mine, theirs)| mine & !theirs == 0)
    }
}
