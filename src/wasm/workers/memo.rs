//! What resolvers made of siblings before: the same question has the same answer, on every node and for ever (law 7).
//!
//! Only answers are kept, no failure. Dropped when it is full, the least used first; a restart forgets it.
//!
//! Invariant: the name of a merge covers everything that its answer can depend on, so an answer needs no date.

use crate::dynamo::codec::Writer;
use crate::dynamo::reconcile::answer::{Answer, Resolution};
use crate::dynamo::reconcile::question::{Ask, Question};
use crate::limits::{MEMO_BYTES_MAX, MEMO_ENTRIES_MAX, MEMO_QUESTION_BYTES_MAX};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// The name of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; 32]);

impl Name {
    /// None for what is not remembered: a validator's question, or one that is too long to be worth it.
    pub fn of(question: &Question) -> Option<Self> {
        let Ask::Resolve(siblings) = &question.ask else {
            return None;
        };
        let bytes: usize = siblings.iter().map(|sibling| sibling.size_bytes()).sum();
        if bytes > MEMO_QUESTION_BYTES_MAX {
            return None;
        }
        let binding = &question.binding;
        let mut writer = Writer::with_capacity(bytes + 256);
        writer.raw(&binding.digest.0);
        writer.bytes(&binding.params);
        writer.number(binding.fuel);
        writer.number(binding.limits.memory_bytes as u64);
        writer.number(binding.limits.output_bytes as u64);
        writer.bytes(question.key.bytes());
        writer.number(siblings.len() as u64);
        for sibling in siblings {
            sibling.encode(&mut writer);
        }
        Some(Self(Sha256::digest(writer.finish()).into()))
    }
}

/// The answers that a node remembers.
#[derive(Debug, Default)]
pub struct Memo {
    answers: HashMap<Name, (u64, Answer)>,
    /// By when they were last wanted.
    order: BTreeMap<u64, Name>,
    turns: u64,
    bytes: usize,
}

impl Memo {
    pub fn get(&mut self, name: &Name) -> Option<Answer> {
        let (turn, answer) = self.answers.get_mut(name)?;
        self.order.remove(turn);
        self.turns += 1;
        *turn = self.turns;
        self.order.insert(self.turns, *name);
        Some(answer.clone())
    }

    /// Keeps an answer, if it is one.
    pub fn put(&mut self, name: Name, answer: &Answer) {
        let Answer::Resolved { .. } = answer else {
            return; // A failure may be this node's own; the breaker deals with the others.
        };
        if self.answers.contains_key(&name) {
            return;
        }
        self.turns += 1;
        self.bytes += size_bytes(answer);
        self.order.insert(self.turns, name);
        self.answers.insert(name, (self.turns, answer.clone()));
        while self.answers.len() > MEMO_ENTRIES_MAX || self.bytes > MEMO_BYTES_MAX {
            let Some((_, oldest)) = self.order.pop_first() else {
                return;
            };
            if let Some((_, answer)) = self.answers.remove(&oldest) {
                self.bytes -= size_bytes(&answer);
            }
        }
    }

    /// Answers that are remembered, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.answers.len(), self.bytes)
    }
}

fn size_bytes(answer: &Answer) -> usize {
    let text = match answer {
        Answer::Resolved { resolution, .. } => match resolution {
            Resolution::Merged(bytes) => bytes.len(),
            Resolution::KeepSiblings(reason) => reason.len(),
            Resolution::Deleted | Resolution::Pick(_) => 0,
        },
        Answer::Judged { .. } | Answer::Failed(_) => 0,
    };
    text + size_of::<Answer>() + 2 * size_of::<Name>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::bucket::Binding;
    use crate::dynamo::causality::version::Version;
    use crate::dynamo::names::{BucketName, Digest, Key};
    use crate::dynamo::reconcile::answer::GuestFailure;
    use bytes::Bytes;

    fn question(values: &[&'static str]) -> Question {
        let bucket = BucketName::new("b").unwrap();
        let siblings = values.iter().map(|value| Version::value(*value, 1));
        Question {
            key: Key::new(bucket, Bytes::from("k")).unwrap(),
            binding: Binding::new(Digest([1; 32])),
            ask: Ask::Resolve(siblings.collect()),
        }
    }

    fn answer(bytes: usize) -> Answer {
        Answer::Resolved {
            resolution: Resolution::Merged(Bytes::from(vec![0; bytes])),
            fuel: 7,
        }
    }

    #[test]
    fn whatever_an_answer_can_depend_on_is_in_the_name() {
        let plain = question(&["a", "b"]);
        let mut others = vec![question(&["ab"]), question(&["a", "c"])];
        let changes: [fn(&mut Question); 6] = [
            |q| q.binding.fuel += 1,
            |q| q.binding.params = Bytes::from("p"),
            |q| q.binding.digest = Digest([2; 32]),
            |q| q.binding.limits.memory_bytes -= 1,
            |q| q.binding.limits.output_bytes -= 1,
            |q| q.key = Key::new(q.key.bucket().clone(), Bytes::from("l")).unwrap(),
        ];
        for change in changes {
            let mut other = plain.clone();
            change(&mut other);
            others.push(other);
        }
        for other in others {
            assert_ne!(Name::of(&plain), Name::of(&other), "{other:?}");
        }
        assert_eq!(Name::of(&plain), Name::of(&question(&["a", "b"])));
    }

    #[test]
    fn failures_are_not_remembered() {
        let mut memo = Memo::default();
        let name = Name::of(&question(&["a", "b"])).unwrap();
        memo.put(name, &Answer::Failed(GuestFailure::Busy));
        assert_eq!(memo.get(&name), None);
        memo.put(name, &answer(1));
        assert_eq!(memo.get(&name), Some(answer(1)));
    }

    #[test]
    fn what_was_wanted_least_lately_makes_room() {
        let mut memo = Memo::default();
        let name = |number: usize| Name(Sha256::digest(number.to_be_bytes()).into());
        for number in 0..MEMO_ENTRIES_MAX {
            memo.put(name(number), &answer(1));
        }
        memo.get(&name(0));
        memo.put(name(MEMO_ENTRIES_MAX), &answer(1));
        assert!(memo.get(&name(0)).is_some());
        assert!(memo.get(&name(1)).is_none());
        for number in 0..40 {
            memo.put(name(1_000_000 + number), &answer(1024 * 1024));
        }
        let (entries, bytes) = memo.size();
        assert!(
            entries <= MEMO_ENTRIES_MAX && bytes <= MEMO_BYTES_MAX,
            "{bytes}"
        );
    }
}
