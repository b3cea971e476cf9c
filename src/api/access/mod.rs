//! Who may send which request: the threshold where callers are known, and the guards before the services.
//!
//! `threshold` finds out who asks, before a byte of the request's body is read. `guards` stand between the router and
//! each service, where the request is decoded and its bucket is known: what they let through, the services need not
//! ask about. `asked` is where the bucket is found, `security::policy` what each request needs.
//!
//! Invariant: no service is served without its guard, a request without a rule is refused, and of what an
//! administrator is about to do the log is on the disk before it is begun.

pub mod asked;
pub mod guards;
pub mod metrics;
pub mod permission;
mod recording;
pub mod threshold;
