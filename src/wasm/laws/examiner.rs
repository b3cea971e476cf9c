//! Puts questions to one plugin and counts what they cost.
//!
//! An answer goes through the same `believe` as in a node, so what is compared is what would be stored. Judges nothing.
//!
//! Invariant: a failure that another node might not have ends the check; it is never an outcome.

use super::bounds::CHECK_WALL_MS;
use super::outcome::Outcome;
use crate::dynamo::bucket::{Binding, GuestLimits};
use crate::dynamo::causality::version::Version;
use crate::dynamo::names::{BucketName, Digest, Key};
use crate::dynamo::reconcile::answer::{Answer, GuestFailure, Judgement, Resolution};
use crate::dynamo::reconcile::question::{Ask, Question, canonical};
use crate::dynamo::reconcile::verdict::{Verdict, believe};
use crate::limits::{GUEST_WALL_MS_MAX, KEY_BYTES_MAX};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Whoever runs plugins.
pub trait Guests {
    /// Asks one, on this thread.
    fn ask(&self, question: &Question) -> Answer;
}

/// What is examined, and under which terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub digest: Digest,
    /// Fuel of each call.
    pub fuel: u64,
    /// Bytes of a value in the bucket.
    pub value_bytes_max: usize,
    /// Judges what is merged: the bucket's, or the plugin itself.
    pub validator: Option<Binding>,
    pub is_resolver: bool,
    pub is_validator: bool,
}

/// Why an examination cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// Calls or fuel are spent.
    Spent,
    /// This node's fault.
    Host(GuestFailure),
    /// The whole took too long here.
    Late,
}

/// Key and params of what is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub key: Bytes,
    pub params: Bytes,
}

/// One examination.
pub struct Examiner<'a> {
    guests: &'a dyn Guests,
    pub charge: Charge,
    calls_left: u64,
    fuel_left: u64,
    ends_at: Instant,
    /// Fuel of each call that was answered.
    pub fuels: Vec<u64>,
    /// Answers to lists of the case at hand. A plugin that is asked twice answers the same, or breaks a law.
    known: BTreeMap<Vec<Version>, Outcome>,
}

impl<'a> Examiner<'a> {
    pub fn new(guests: &'a dyn Guests, charge: Charge) -> Self {
        Self {
            guests,
            charge,
            calls_left: 0,
            fuel_left: 0,
            ends_at: Instant::now() + Duration::from_millis(CHECK_WALL_MS),
            fuels: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    /// Sets what may be spent from now on.
    pub fn grant(&mut self, calls: u64, fuel: u64) {
        (self.calls_left, self.fuel_left) = (calls, fuel);
    }

    /// What is left of it.
    pub fn left(&self) -> (u64, u64) {
        (self.calls_left, self.fuel_left)
    }

    /// Another key and other params make other questions.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// What the node makes of these siblings: canonical order, one alone stands for itself, none is a delete.
    pub fn merge(&mut self, frame: &Frame, siblings: Vec<Version>) -> Result<Outcome, Halt> {
        let mut live: Vec<Version> = siblings;
        live.retain(|sibling| !sibling.is_tombstone());
        match live.len() {
            0 => Ok(Outcome::One(Version::tombstone(0))),
            1 => Ok(Outcome::One(live.remove(0))),
            _ => self.resolve_as_given(frame, &canonical(live)),
        }
    }

    /// What the plugin makes of the siblings in this order.
    pub fn resolve_as_given(
        &mut self,
        frame: &Frame,
        siblings: &[Version],
    ) -> Result<Outcome, Halt> {
        if let Some(known) = self.known.get(siblings) {
            return Ok(known.clone());
        }
        let outcome = match self.resolve_anew(frame, siblings)? {
            Outcome::Priced(outcome, _) => *outcome,
            outcome => outcome,
        };
        self.known.insert(siblings.to_vec(), outcome.clone());
        Ok(outcome)
    }

    /// The same with its fuel, and never from memory.
    pub fn resolve_anew(&mut self, frame: &Frame, siblings: &[Version]) -> Result<Outcome, Halt> {
        let binding = self.binding(frame);
        let ask = Ask::Resolve(siblings.to_vec());
        let answer = self.ask(frame, binding.clone(), ask)?;
        let fuel = match &answer {
            Answer::Resolved { fuel, .. } | Answer::Judged { fuel, .. } => *fuel,
            Answer::Failed(failure) => return Ok(Outcome::Failed(failure.to_string())),
        };
        let keeps = matches!(
            &answer,
            Answer::Resolved {
                resolution: Resolution::KeepSiblings(_),
                ..
            }
        );
        let value_bytes_max = self.charge.value_bytes_max;
        let outcome = match believe(answer, &binding, siblings, value_bytes_max) {
            Verdict::One { version, .. } => Outcome::One(Version {
                merged_by: None,
                ..version
            }),
            Verdict::Siblings { .. } if keeps => Outcome::Kept,
            Verdict::Siblings { reason } => Outcome::Failed(reason),
        };
        Ok(Outcome::Priced(Box::new(outcome), fuel))
    }

    /// What a validator says of a value, with its fuel.
    pub fn judge(
        &mut self,
        frame: &Frame,
        validator: Binding,
        value: &Version,
    ) -> Result<Outcome, Halt> {
        match self.ask(frame, validator, Ask::Validate(value.clone()))? {
            Answer::Judged { judgement, fuel } => {
                let outcome = match judgement {
                    Judgement::Accepted => Outcome::Accepted,
                    Judgement::Refused { code, message } => {
                        Outcome::Refused(format!("{code}: {message}"))
                    }
                };
                Ok(Outcome::Priced(Box::new(outcome), fuel))
            }
            Answer::Failed(failure) => Ok(Outcome::Failed(failure.to_string())),
            Answer::Resolved { .. } => Ok(Outcome::Refused("it resolved".to_owned())),
        }
    }

    /// The plugin under the frame's params.
    pub fn binding(&self, frame: &Frame) -> Binding {
        Binding {
            digest: self.charge.digest,
            params: frame.params.clone(),
            fuel: self.charge.fuel,
            limits: patient(),
        }
    }

    fn ask(&mut self, frame: &Frame, binding: Binding, ask: Ask) -> Result<Answer, Halt> {
        if self.calls_left == 0 || self.fuel_left == 0 {
            return Err(Halt::Spent);
        }
        if Instant::now() >= self.ends_at {
            return Err(Halt::Late);
        }
        let granted = binding.fuel;
        let question = Question {
            key: key(&frame.key),
            binding,
            ask,
        };
        let answer = self.guests.ask(&question);
        let used = match &answer {
            Answer::Failed(failure) if !failure.is_deterministic() => {
                return Err(Halt::Host(failure.clone()));
            }
            // How much a trap took is not told; it counts as all.
            Answer::Failed(_) => granted,
            Answer::Resolved { fuel, .. } | Answer::Judged { fuel, .. } => {
                self.fuels.push(*fuel);
                *fuel
            }
        };
        self.calls_left -= 1;
        self.fuel_left = self.fuel_left.saturating_sub(used);
        Ok(answer)
    }
}

/// A guest sees the key's bytes only; a sample without a usable key gets one.
fn key(bytes: &Bytes) -> Key {
    let bucket = BucketName::new("sample").expect("a good name");
    let usable = (1..=KEY_BYTES_MAX).contains(&bytes.len());
    let bytes = match usable {
        true => bytes.clone(),
        false => Bytes::from_static(b"sample"),
    };
    Key::new(bucket, bytes).expect("a key within its bounds")
}

/// Fuel decides: the clock of a busy node must not.
fn patient() -> GuestLimits {
    GuestLimits {
        wall_ms: GUEST_WALL_MS_MAX,
        ..GuestLimits::default()
    }
}
