//! When user code is asked about siblings, and what is believed of its answer (Dynamo 4.4, 6).
//!
//! The code itself runs elsewhere: a question goes out as an effect, its answer comes back as an event,
//! so a trap or a time-out is an input like any other. See `docs/decisions/0002-view-on-read.md`.
//!
//! Invariant: no answer, and no missing answer, ever drops a sibling from the stored object (law 1).

pub mod answer;
pub mod question;
pub mod verdict;
