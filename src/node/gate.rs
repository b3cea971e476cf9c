//! The law check on a node: plugins when they come in, resolvers before a bucket is bound to them.
//!
//! Runs away from the asynchronous workers, one check at a time; what is checked, and how, `wasm::laws` decides.
//!
//! Invariant: a check ends, and no more than one takes a core of this node.

use crate::wasm::laws::evidence::Evidence;
use crate::wasm::laws::gate::{LiveSet, Terms, examine_binding, examine_upload, refused};
use crate::wasm::laws::report::LawReport;
use crate::wasm::library::{Admitted, Library};
use crate::wasm::upload_error::UploadError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Where plugins are checked, and where what was found is kept.
pub struct Gate {
    library: Arc<Library>,
    evidence: PathBuf,
    /// One check at a time: each takes a core for seconds. Held over the check.
    turn: Mutex<()>,
}

impl Gate {
    pub(super) fn new(library: Arc<Library>, data: &Path) -> Self {
        Self {
            library,
            evidence: data.join("evidence"),
            turn: Mutex::default(),
        }
    }

    /// Grades a plugin that was just admitted. Refuses one that is not deterministic, or fails on its own samples.
    pub async fn check_upload(&self, admitted: Admitted) -> Result<LawReport, UploadError> {
        self.check(move |library| examine_upload(library, &admitted))
            .await
    }

    /// Grades a resolver under the terms of a bucket, also on siblings that `live` finds. The plugins have to be ready.
    pub async fn check_binding(
        &self,
        terms: Terms,
        live: impl FnOnce() -> Result<Vec<LiveSet>, UploadError> + Send + 'static,
    ) -> Result<LawReport, UploadError> {
        self.check(move |library| examine_binding(library, &terms, live()?))
            .await
    }

    async fn check(
        &self,
        work: impl FnOnce(&Library) -> Result<LawReport, UploadError> + Send + 'static,
    ) -> Result<LawReport, UploadError> {
        let _turn = self.turn.lock().await;
        let library = Arc::clone(&self.library);
        let checked = tokio::task::spawn_blocking(move || work(&library)).await;
        let report = checked.unwrap_or_else(|error| {
            Err(UploadError::LawsUnchecked {
                message: format!("the check ended early: {error}"),
            })
        })?;
        match refused(&report) {
            Some(error) => Err(error),
            None => {
                self.keep_evidence(&report).await;
                Ok(report)
            }
        }
    }

    /// One file for each law that a plugin breaks; a later one takes its place. A disk that cannot take it changes
    /// nothing about the verdict.
    async fn keep_evidence(&self, report: &LawReport) {
        let folder = self.evidence.clone();
        let files: Vec<Evidence> = report.failures.iter().map(Evidence::of).collect();
        if files.is_empty() {
            return;
        }
        let written = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)?;
            files.iter().try_for_each(|evidence| {
                std::fs::write(folder.join(evidence.file_name()), evidence.to_json())
            })
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(%error, "the evidence of a law check was not kept");
        }
    }
}
