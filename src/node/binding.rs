//! Whether a bucket may use a resolver as an operator wants it.
//!
//! Invariant: a resolver is tried with the params, the fuel and the validator of the bucket, and on what stands in it.

use super::conflicts::live_siblings;
use super::replaying::Replayer;
use super::server::Node;
use crate::dynamo::bucket::{Policy, Properties};
use crate::dynamo::names::BucketName;
use crate::wasm::laws::gate::Terms;
use crate::wasm::laws::report::LawReport;
use crate::wasm::upload_error::UploadError;
use std::sync::Arc;

impl Node {
    /// What asks a resolver that is tried of all that stands in its bucket.
    pub fn replayer(&self) -> Replayer {
        Replayer {
            me: self.id().clone(),
            store: self.store.clone(),
            library: Arc::clone(self.plugins.library()),
            registry: Arc::clone(&self.registry),
            turn: Arc::clone(&self.guests.replay),
        }
    }

    /// Grades the resolver of a bucket under its terms; none without a resolver. The plugins have to be ready here.
    pub async fn check_resolver(
        &self,
        bucket: &BucketName,
        properties: &Properties,
    ) -> Result<Option<LawReport>, UploadError> {
        let Policy::Resolver(resolver) = properties.policy.clone() else {
            return Ok(None);
        };
        let terms = Terms {
            resolver,
            validator: properties.validator.clone(),
            value_bytes_max: properties.value_bytes_max,
        };
        let (store, bucket) = (self.store.clone(), bucket.clone());
        let partitions = self.snapshot().placement.partitions();
        let wall_ms = self.clock.now().wall_ms;
        let live = move || {
            let live = live_siblings(&store, partitions, &bucket, wall_ms);
            live.map_err(|error| UploadError::LawsUnchecked {
                message: error.to_string(),
            })
        };
        let checked = self.plugins.gate().check_binding(terms, live).await;
        checked.map(Some)
    }
}
