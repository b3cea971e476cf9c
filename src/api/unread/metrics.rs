//! What is unread, who was turned away for it and what was closed, for the metrics.
//!
//! Invariant: no name of a caller is a label.

use crate::node::metrics::text::{Kind, Page};
use crate::node::unread::Ledger;
use std::sync::Arc;

/// Of all listeners.
pub fn write_unread<const LISTENERS: usize>(ledgers: [&Arc<Ledger>; LISTENERS], page: &mut Page) {
    type Count = fn(&Ledger) -> u64;
    let families: [(&str, Kind, &str, Count); 3] = [
        (
            "rejoin_unread_answer_bytes",
            Kind::Gauge,
            "Bytes of answers that are made and not yet sent, by listener.",
            |ledger| ledger.bytes() as u64,
        ),
        (
            "rejoin_unread_refused_total",
            Kind::Counter,
            "Requests that were turned away because their connection had too much to read.",
            Ledger::refused,
        ),
        (
            "rejoin_unread_closed_total",
            Kind::Counter,
            "Connections that were closed because they took nothing of their answers.",
            Ledger::closed,
        ),
    ];
    for (name, kind, help, count) in families {
        page.family(name, kind, help);
        for ledger in ledgers {
            page.sample(name, &[("listener", ledger.name)], count(ledger));
        }
    }
}
