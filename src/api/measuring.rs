//! How long a request took, and how it ended, in the words of the metrics.
//!
//! Invariant: a name that no bucket has is no label.

use crate::dynamo::names::BucketName;
use crate::node::metrics::{Operation, Outcome};
use crate::node::server::Node;
use std::time::Instant;
use tonic::{Code, Status};

/// A request that is being answered.
pub struct Begun {
    bucket: String,
    operation: Operation,
    at: Instant,
}

impl Begun {
    pub fn new(bucket: &str, operation: Operation) -> Self {
        Self {
            bucket: bucket.to_owned(),
            operation,
            at: Instant::now(),
        }
    }

    /// Notes the request as answered now.
    pub fn end<T>(self, node: &Node, answer: &Result<T, Status>) {
        let taken = self.at.elapsed();
        let catalog = node.registry.catalog();
        let name = BucketName::new(&self.bucket).ok();
        let name = name.filter(|name| catalog.bucket(name).is_some());
        let bucket = name.map(|_| self.bucket.as_str());
        let outcome = outcome(answer.as_ref().err().map(Status::code));
        node.metrics
            .on_request(bucket, self.operation, outcome, taken);
    }
}

fn outcome(code: Option<Code>) -> Outcome {
    match code {
        None | Some(Code::Ok) => Outcome::Ok,
        Some(Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition) => Outcome::Refused,
        Some(Code::Unavailable) => Outcome::Unavailable,
        Some(Code::ResourceExhausted) => Outcome::Overloaded,
        Some(Code::DeadlineExceeded) => Outcome::Deadline,
        Some(_) => Outcome::Failed,
    }
}
