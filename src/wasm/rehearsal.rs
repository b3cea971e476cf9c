//! A plugin tried on its own samples, so that nodes can compare what comes of it before it is bound.
//!
//! Judges nothing: two nodes that find the same agree, whatever it is.
//!
//! Invariant: only outcomes that every node has to find go in (law 7); this node's own failures end the rehearsal.

use super::library::Library;
use crate::dynamo::bucket::Binding;
use crate::dynamo::causality::version::Version;
use crate::dynamo::codec::Writer;
use crate::dynamo::names::{BucketName, Digest, Key};
use crate::dynamo::reconcile::answer::{Answer, GuestFailure, Judgement, Resolution};
use crate::dynamo::reconcile::question::{Ask, Question, canonical};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// What came of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rehearsal {
    /// SHA-256 of every answer, byte for byte, and its fuel.
    pub hash: Digest,
    pub calls: u32,
}

impl Library {
    /// Resolves and validates a plugin's samples, on this thread: each with its own params and with those of the
    /// binding, and two plain values for plugins that have none.
    pub fn rehearse(&self, binding: &Binding) -> Result<Rehearsal, GuestFailure> {
        let admitted = self.admitted(binding.digest)?;
        let plain = [Version::value("", 0), Version::value("rejoin", 1)];
        let mut cases = vec![(Bytes::new(), plain.to_vec(), binding.params.clone())];
        for sample in admitted.description.samples {
            let (key, siblings) = (Bytes::from(sample.key), sample.siblings);
            cases.push((key.clone(), siblings.clone(), binding.params.clone()));
            let own = Bytes::from(sample.params);
            if own != binding.params {
                cases.push((key, siblings, own));
            }
        }
        let mut writer = Writer::default();
        let mut calls = 0;
        for (key, siblings, params) in cases {
            for ask in asks(siblings, admitted.roles.resolver, admitted.roles.validator) {
                let question = Question {
                    key: named(key.clone()),
                    binding: Binding {
                        params: params.clone(),
                        ..binding.clone()
                    },
                    ask,
                };
                note(self.answer(&question).answer, &mut writer)?;
                calls += 1;
            }
        }
        let hash = Digest(Sha256::digest(writer.finish()).into());
        Ok(Rehearsal { hash, calls })
    }
}

/// A sample's key may be anything, also nothing.
fn named(key: Bytes) -> Key {
    let bucket = BucketName::new("rehearsal").unwrap_or_else(|_| unreachable!("a good name"));
    let fallback = || Key::new(bucket.clone(), Bytes::from_static(b"sample"));
    Key::new(bucket.clone(), key)
        .or_else(|_| fallback())
        .unwrap_or_else(|_| unreachable!("a good key"))
}

fn asks(siblings: Vec<Version>, resolves: bool, validates: bool) -> Vec<Ask> {
    let siblings = canonical(siblings);
    let mut asks = Vec::new();
    if validates {
        asks.extend(siblings.iter().cloned().map(Ask::Validate));
    }
    // A resolver is never asked about fewer than two.
    if resolves && siblings.len() > 1 {
        asks.push(Ask::Resolve(siblings));
    }
    asks
}

fn note(answer: Answer, writer: &mut Writer) -> Result<(), GuestFailure> {
    match answer {
        Answer::Resolved { resolution, fuel } => {
            match resolution {
                Resolution::Merged(bytes) => {
                    writer.byte(b'm');
                    writer.bytes(&bytes);
                }
                Resolution::Deleted => writer.byte(b'd'),
                Resolution::Pick(place) => {
                    writer.byte(b'p');
                    writer.number(u64::from(place));
                }
                Resolution::KeepSiblings(reason) => {
                    writer.byte(b'k');
                    writer.bytes(reason.as_bytes());
                }
            }
            writer.number(fuel);
        }
        Answer::Judged { judgement, fuel } => {
            match judgement {
                Judgement::Accepted => writer.byte(b'a'),
                Judgement::Refused { code, message } => {
                    writer.byte(b'r');
                    writer.bytes(code.as_bytes());
                    writer.bytes(message.as_bytes());
                }
            }
            writer.number(fuel);
        }
        Answer::Failed(failure) if failure.is_deterministic() => {
            writer.byte(b'f');
            writer.bytes(failure.to_string().as_bytes());
        }
        Answer::Failed(failure) => return Err(failure),
    }
    Ok(())
}
