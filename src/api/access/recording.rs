//! What the audit log is told of a request: before it begins, and how it ended.
//!
//! Invariant: a request that has to be told of does not begin before its line is on the disk.

use super::super::status;
use super::asked::Asked;
use super::permission::Permission;
use crate::security::access::Access;
use crate::security::audit::{Line, shown};
use crate::security::policy::Noted;
use std::sync::Arc;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

/// The plugin that a reply is about, for the log; a request may have called it by a name.
#[derive(Clone)]
pub(super) struct AboutPlugin(pub(super) String);

impl Permission {
    /// What the log has to be told of a request before it begins; none of most.
    pub(super) fn line(&self, asked: &impl Asked) -> Option<Line> {
        let rule = self.rule.filter(|rule| rule.noted == Noted::Yes)?;
        self.access.audit.as_ref()?;
        let detail = asked.detail();
        Some(Line {
            bucket: asked.bucket().map(shown).unwrap_or_default(),
            plugin: asked.plugin().map(shown).unwrap_or_default(),
            detail: detail.map(|detail| shown(&detail)).unwrap_or_default(),
            ..Line::begun(&self.caller, rule.path, &self.request)
        })
    }

    /// Has the log say that a request begins. Without the line the request is refused.
    pub(super) async fn begin(&self, line: Line) -> Result<Record, Status> {
        if let Some(audit) = &self.access.audit {
            audit.record(&line).await.map_err(status::of_audit)?;
        }
        Ok(Record {
            access: Arc::clone(&self.access),
            line,
            is_ended: false,
        })
    }
}

/// A request that the log has been told the beginning of.
pub(super) struct Record {
    access: Arc<Access>,
    line: Line,
    is_ended: bool,
}

impl Record {
    /// What the log has to be told of the end.
    pub(super) fn last_line<R>(&self, outcome: &Result<Response<R>, Status>) -> Line {
        let mut line = self.line.ended(word_for(outcome));
        if let Ok(response) = outcome
            && let Some(AboutPlugin(digest)) = response.extensions().get()
        {
            line.plugin.clone_from(digest);
        }
        line
    }

    /// The end is told before the answer is. If that fails the answer is given all the same: what it says has
    /// happened, its beginning is in the log, and the next request is refused.
    pub(super) async fn end(mut self, line: Line) {
        self.is_ended = true;
        if let Some(audit) = &self.access.audit
            && let Err(error) = audit.record(&line).await
        {
            tracing::error!(%error, "the audit log lacks the end of a request");
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.is_ended
            && let Some(audit) = &self.access.audit
        {
            audit.note(&self.line.ended("ABANDONED".to_owned()));
        }
    }
}

/// The status, without its message: that may name keys.
fn word_for<R>(outcome: &Result<Response<R>, Status>) -> String {
    let Err(status) = outcome else {
        return "OK".to_owned();
    };
    let reason = status.get_error_details();
    let reason = reason.error_info().map(|info| info.reason.clone());
    format!("{:?} {}", status.code(), reason.unwrap_or_default())
        .trim_end()
        .to_owned()
}
