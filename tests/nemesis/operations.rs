//! The operations of a history: what began, how it ended, and whether it all happened in one calm.
//!
//! A calm begins when the cluster has settled, and ends with the next fault, or with a node that ends by itself.

use super::history::{Action, Line, Outcome, Record};
use std::collections::BTreeMap;

/// How an operation ended.
#[derive(Debug, Clone)]
pub struct End {
    pub at_us: u64,
    pub outcome: Outcome,
    pub seen: Vec<String>,
    pub siblings: usize,
    pub primaries: u32,
}

/// One request of a client.
#[derive(Debug, Clone)]
pub struct Operation {
    pub client: u32,
    pub node: usize,
    pub bucket: String,
    pub key: String,
    pub action: Action,
    pub began_us: u64,
    /// When the calm began in which it began and ended.
    pub calm: Option<u64>,
    /// None: the history ends before.
    pub end: Option<End>,
}

impl Operation {
    pub fn outcome(&self) -> Outcome {
        let end = self.end.as_ref();
        end.map_or(Outcome::Unknown, |end| end.outcome)
    }

    /// The end of one that went well.
    pub fn success(&self) -> Option<&End> {
        self.end.as_ref().filter(|end| end.outcome == Outcome::Ok)
    }

    pub fn place(&self) -> (&str, &str) {
        (&self.bucket, &self.key)
    }

    /// The element that it brings in.
    pub fn added(&self) -> Option<&str> {
        match &self.action {
            Action::Add(element) => Some(element),
            _ => None,
        }
    }
}

/// All operations in the order in which they began.
pub fn of(lines: &[Line]) -> Vec<Operation> {
    let mut operations: BTreeMap<u64, Operation> = BTreeMap::new();
    let mut calm = None;
    for line in lines {
        match &line.record {
            Record::Began {
                op,
                client,
                node,
                bucket,
                key,
                action,
            } => {
                let operation = Operation {
                    client: *client,
                    node: *node,
                    bucket: bucket.clone(),
                    key: key.clone(),
                    action: action.clone(),
                    began_us: line.at_us,
                    calm,
                    end: None,
                };
                assert!(operations.insert(*op, operation).is_none(), "op {op} twice");
            }
            Record::Ended {
                op,
                outcome,
                seen,
                siblings,
                primaries,
                ..
            } => {
                let operation = operations.get_mut(op).expect("it began");
                operation.calm = operation.calm.filter(|_| operation.calm == calm);
                operation.end = Some(End {
                    at_us: line.at_us,
                    outcome: *outcome,
                    seen: seen.clone(),
                    siblings: *siblings,
                    primaries: *primaries,
                });
            }
            Record::Calm { .. } => calm = Some(line.at_us),
            Record::Strikes { .. } | Record::Died { .. } => calm = None,
            _ => {}
        }
    }
    operations.into_values().collect()
}
