//! Who was turned away, and how the access file and the audit log are, for the metrics.
//!
//! Invariant: no name of a caller is a label.

use crate::node::metrics::text::{Kind, Page};
use crate::security::access::Access;
use std::sync::atomic::Ordering;

/// Connections that were turned away before their first request.
fn write_strangers(access: &Access, page: &mut Page) {
    let name = "rejoin_connections_refused_total";
    page.family(
        name,
        Kind::Counter,
        "Connections that were turned away before their first request, by listener.",
    );
    for (listener, count) in access.strangers.counts() {
        page.sample(name, &[("listener", listener)], count);
    }
    page.single(
        "rejoin_connections_refused_unlisted_total",
        Kind::Counter,
        "Those of them without a line in the log: there were too many.",
        access.strangers.without_line(),
    );
}

/// What concerns access; of a node without an access file and an audit log only who was turned away.
pub fn write_access(access: &Access, page: &mut Page) {
    write_strangers(access, page);
    let name = "rejoin_access_denied_total";
    page.family(
        name,
        Kind::Counter,
        "Requests that were turned away, by reason.",
    );
    for (reason, count) in access.denied() {
        page.sample(name, &[("reason", &reason.to_lowercase())], count);
    }
    if let Some((callers, is_broken, failed)) = access.file_state() {
        page.single(
            "rejoin_access_callers",
            Kind::Gauge,
            "Callers in the access file that is in force.",
            callers,
        );
        page.single(
            "rejoin_access_file_broken",
            Kind::Gauge,
            "1 if the access file that is there is not in force, because it is wrong.",
            u64::from(is_broken),
        );
        page.single(
            "rejoin_access_file_failures_total",
            Kind::Counter,
            "Access files that were read again and not taken.",
            failed,
        );
    }
    if let Some(audit) = &access.audit {
        let counts = &audit.counts;
        let counters = [
            (
                "rejoin_audit_lines_total",
                "Lines of the audit log that were written.",
                &counts.written,
            ),
            (
                "rejoin_audit_failures_total",
                "Lines of the audit log that could not be written.",
                &counts.failed,
            ),
            (
                "rejoin_audit_unlisted_total",
                "Refusals without a line of their own: there were too many.",
                &counts.unlisted,
            ),
        ];
        for (name, help, count) in counters {
            page.single(name, Kind::Counter, help, count.load(Ordering::Relaxed));
        }
    }
}
