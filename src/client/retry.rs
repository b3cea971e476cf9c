//! What a failed attempt means: whether another node may be asked, and what the user is told if not.
//!
//! Sends nothing and keeps no time.
//!
//! Invariant: a put may go on only if the node said `outcome: not-stored`, or the request never left this
//! process because there was no connection to send it on.

use super::error::Error;
use crate::limits::{CLIENT_BACKOFF_MS, CLIENT_BACKOFF_MS_MAX};
use std::error::Error as _;
use std::time::Duration;
use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt as _;

/// What is to be done about a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What the user is told if nothing else succeeds.
    pub error: Error,
    /// Another attempt may follow.
    pub may_go_on: bool,
    /// The node gave no answer of its own; it is avoided for a while.
    pub is_node_unwell: bool,
}

/// Why a node did not do what it was asked, in its own words.
struct Words {
    reason: String,
    is_not_stored: bool,
}

fn words(status: &Status) -> Option<Words> {
    let details = status.get_error_details();
    let info = details.error_info()?;
    if info.domain != "rejoin" {
        return None;
    }
    let outcome = info.metadata.get("outcome");
    Some(Words {
        reason: info.reason.clone(),
        is_not_stored: outcome.is_some_and(|outcome| outcome == "not-stored"),
    })
}

/// There was no connection and none could be made, so not a byte of the request went out.
fn never_left(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// A get changes nothing, so it goes on unless the request is at fault.
pub fn judge_get(status: &Status) -> Judged {
    let words = words(status);
    let is_refused = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
    );
    let is_node_unwell = words.is_none() && !is_refused;
    let message = status.message().to_owned();
    let error = match is_refused {
        true => Error::Refused {
            reason: words.map_or_else(|| format!("{:?}", status.code()), |words| words.reason),
            message,
        },
        false => Error::Unanswered { message },
    };
    Judged {
        error,
        may_go_on: !is_refused,
        is_node_unwell,
    }
}

/// A put at `node` goes on only with the proof that it stored nothing, and if another node may do better.
pub fn judge_put(node: &str, status: &Status) -> Judged {
    let message = status.message().to_owned();
    if never_left(status) {
        let reason = "UNREACHABLE".to_owned();
        return Judged {
            error: Error::NotStored { reason, message },
            may_go_on: true,
            is_node_unwell: true,
        };
    }
    let Some(Words {
        reason,
        is_not_stored: true,
    }) = words(status)
    else {
        let error = Error::UnknownOutcome {
            node: node.to_owned(),
            message,
        };
        return Judged {
            error,
            may_go_on: false,
            is_node_unwell: words(status).is_none(),
        };
    };
    let may_go_on = status.code() == Code::Unavailable
        || ["OVERLOADED", "DISK_FULL", "UNREAD_ANSWERS"].contains(&reason.as_str());
    let error = match may_go_on {
        true => Error::NotStored { reason, message },
        false => Error::Refused { reason, message },
    };
    Judged {
        error,
        may_go_on,
        is_node_unwell: false,
    }
}

/// The pause before attempt number `attempt`, counted from 1; `dice` is drawn from 0 to 1.
pub fn backoff(attempt: u32, dice: f64) -> Duration {
    let longest = CLIENT_BACKOFF_MS << attempt.saturating_sub(1).min(16);
    let longest = longest.min(CLIENT_BACKOFF_MS_MAX) as f64;
    Duration::from_secs_f64(longest * (0.5 + 0.5 * dice.clamp(0.0, 1.0)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn status(code: Code, reason: &str, outcome: Option<&str>) -> Status {
        let outcome = outcome.map(|outcome| ("outcome".to_owned(), outcome.to_owned()));
        let metadata: std::collections::HashMap<_, _> = outcome.into_iter().collect();
        let details = ErrorDetails::with_error_info(reason, "rejoin", metadata);
        Status::with_error_details(code, "why", details)
    }

    #[test]
    fn a_put_goes_on_only_after_the_word_not_stored() {
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::ResourceExhausted,
            Code::InvalidArgument,
        ] {
            for status in [
                Status::new(code, "why"),
                status(code, "OUTCOME_UNKNOWN", Some("unknown")),
                status(code, "NOT_STORED", None),
            ] {
                let judged = judge_put("n1", &status);
                assert!(!judged.may_go_on, "{status:?}");
                assert!(judged.error.may_be_stored(), "{status:?}");
                assert!(!judged.error.is_retry_safe(), "{status:?}");
            }
        }
        for (code, reason) in [
            (Code::Unavailable, "NOT_STORED"),
            (Code::ResourceExhausted, "OVERLOADED"),
            (Code::ResourceExhausted, "DISK_FULL"),
            (Code::ResourceExhausted, "UNREAD_ANSWERS"),
        ] {
            let judged = judge_put("n1", &status(code, reason, Some("not-stored")));
            assert!(judged.may_go_on && judged.error.is_retry_safe(), "{reason}");
        }
    }

    #[test]
    fn the_word_of_somebody_else_is_not_believed() {
        let outcome = [("outcome".to_owned(), "not-stored".to_owned())];
        let details = ErrorDetails::with_error_info("NOT_STORED", "a-proxy", outcome);
        let status = Status::with_error_details(Code::Unavailable, "why", details);
        assert!(judge_put("n1", &status).error.may_be_stored());
    }

    #[test]
    fn a_request_that_is_at_fault_is_not_sent_again() {
        for (code, reason) in [
            (Code::InvalidArgument, "BAD_CONTEXT"),
            (Code::NotFound, "NO_SUCH_BUCKET"),
            (Code::FailedPrecondition, "REFUSED_BY_VALIDATOR"),
            (Code::ResourceExhausted, "OBJECT_TOO_LARGE"),
        ] {
            let judged = judge_put("n1", &status(code, reason, Some("not-stored")));
            assert!(matches!(judged.error, Error::Refused { .. }), "{reason}");
            assert!(!judged.may_go_on && !judged.is_node_unwell, "{reason}");
        }
        assert!(!judge_get(&status(Code::NotFound, "NO_SUCH_BUCKET", None)).may_go_on);
    }

    #[test]
    fn a_get_goes_on_whatever_became_of_the_node() {
        for status in [
            Status::unavailable("gone"),
            Status::deadline_exceeded("late"),
            Status::unknown("broken"),
            status(Code::Unavailable, "TOO_FEW_REPLICAS", None),
            status(Code::ResourceExhausted, "OVERLOADED", None),
        ] {
            let judged = judge_get(&status);
            assert!(
                judged.may_go_on && judged.error.is_retry_safe(),
                "{status:?}"
            );
            let spoke = status.get_error_details().error_info().is_some();
            assert_eq!(judged.is_node_unwell, !spoke, "{status:?}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        assert_eq!(backoff(1, 1.0), Duration::from_millis(CLIENT_BACKOFF_MS));
        assert_eq!(
            backoff(1, 0.0),
            Duration::from_millis(CLIENT_BACKOFF_MS / 2)
        );
        assert!(backoff(3, 0.5) > backoff(2, 0.5));
        for attempt in [10, 64, u32::MAX] {
            let longest = Duration::from_millis(CLIENT_BACKOFF_MS_MAX);
            assert_eq!(backoff(attempt, 1.0), longest);
        }
    }
}
