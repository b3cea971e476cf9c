//! The catalog: all rows that a node knows (Dynamo 4.8.1, reconciled persisted histories).
//!
//! Knows nothing of when rows are exchanged or where they are kept.
//!
//! Invariant: the hash is equal on two nodes exactly if their rows are.

use super::super::bucket::removed::RemovedBuckets;
use super::super::bucket::{BucketTable, Properties};
use super::super::codec::{DecodeError, Reader, Writer};
use super::super::names::{BucketName, Digest, NodeId};
use super::super::ring::change::{Change, Progress};
use super::facts::{MembershipPolicy, NodeFacts};
use super::row::{Edit, Fact, PluginFacts, Row, Subject};
use crate::limits::{
    BUCKETS_MAX, CATALOG_BYTES_MAX, CATALOG_MERGED_TIMES, NODES_KNOWN_MAX, PLUGINS_MAX,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

mod bounds;

const FORMAT: u8 = 1;
/// Rows of a catalog that is read.
const ROWS_READ_MAX: usize =
    CATALOG_MERGED_TIMES * (BUCKETS_MAX + PLUGINS_MAX + 2 * NODES_KNOWN_MAX + 2);

/// Why an edit was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error(
        "the cluster has had {BUCKETS_MAX} names of buckets, removed ones included; that is the most it takes: use one of them again"
    )]
    Buckets,
    #[error("the cluster has {PLUGINS_MAX} plugins already; that is the most it takes")]
    Plugins,
    #[error(
        "the cluster knows {NODES_KNOWN_MAX} nodes already, past ones included; that is the most it takes"
    )]
    Nodes,
    #[error(
        "buckets and plugins would take {found} bytes of metadata, the limit is {CATALOG_BYTES_MAX}; use smaller params"
    )]
    Bytes { found: usize },
}

/// The rows of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    rows: BTreeMap<Subject, Row>,
}

impl Catalog {
    /// Makes an edit that wins over everything known here. Of which generation a bucket is, the catalog says.
    pub fn edit(&mut self, subject: Subject, mut fact: Fact, by: NodeId) -> Result<(), EditError> {
        let known = self.generation(&subject);
        match &mut fact {
            Fact::Bucket(properties) => properties.generation = known,
            Fact::Removed { generation } => *generation = known,
            _ => {}
        }
        let count = self.rows.get(&subject).map_or(0, |row| row.edit.count);
        let count = count.saturating_add(1);
        let edit = Edit { count, by };
        let is_large = matches!(subject, Subject::Bucket(_) | Subject::Plugin(_));
        let mut edited = self.clone();
        edited.rows.insert(subject, Row { edit, fact });
        edited.check(self, is_large)?;
        *self = edited;
        Ok(())
    }

    /// Of the bucket of this name, or, where it is removed, of the next one.
    fn generation(&self, subject: &Subject) -> u64 {
        match self.rows.get(subject).map(|row| &row.fact) {
            Some(Fact::Bucket(properties)) => properties.generation,
            Some(Fact::Removed { generation }) => generation.saturating_add(1),
            _ => 0,
        }
    }

    pub fn buckets(&self) -> impl Iterator<Item = (&BucketName, &Properties)> {
        self.rows
            .iter()
            .filter_map(|(subject, row)| match (subject, &row.fact) {
                (Subject::Bucket(name), Fact::Bucket(properties)) => Some((name, properties)),
                _ => None,
            })
    }

    pub fn plugins(&self) -> impl Iterator<Item = (Digest, &PluginFacts)> {
        self.rows
            .iter()
            .filter_map(|(subject, row)| match (subject, &row.fact) {
                (Subject::Plugin(digest), Fact::Plugin(facts)) => Some((*digest, facts)),
                _ => None,
            })
    }

    /// The snapshot that shards work by.
    pub fn bucket_table(&self) -> BucketTable {
        let row = |(name, properties): (&BucketName, &Properties)| {
            (name.of(properties.generation), properties.clone())
        };
        self.buckets().map(row).collect()
    }

    /// What shards let go of.
    pub fn removed_buckets(&self) -> RemovedBuckets {
        let mut removed = RemovedBuckets::default();
        for subject in self.rows.keys() {
            if let Subject::Bucket(name) = subject {
                removed.note(name, self.generation(subject));
            }
        }
        removed
    }

    pub fn plugin(&self, digest: Digest) -> Option<&PluginFacts> {
        match &self.rows.get(&Subject::Plugin(digest))?.fact {
            Fact::Plugin(facts) => Some(facts),
            _ => None,
        }
    }

    pub fn bucket(&self, name: &BucketName) -> Option<&Properties> {
        match &self.rows.get(&Subject::Bucket(name.clone()))?.fact {
            Fact::Bucket(properties) => Some(properties),
            _ => None,
        }
    }

    /// Every node that was ever heard of.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, &NodeFacts)> {
        self.rows
            .iter()
            .filter_map(|(subject, row)| match (subject, &row.fact) {
                (Subject::Node(node), Fact::Node(facts)) => Some((node, facts)),
                _ => None,
            })
    }

    pub fn node(&self, node: &NodeId) -> Option<&NodeFacts> {
        match &self.rows.get(&Subject::Node(node.clone()))?.fact {
            Fact::Node(facts) => Some(facts),
            _ => None,
        }
    }

    /// The change of members that is under way, or was the last; none before the cluster was created.
    pub fn change(&self) -> Option<&Change> {
        match &self.rows.get(&Subject::Change)?.fact {
            Fact::Change(change) => Some(change),
            _ => None,
        }
    }

    /// How far every node is with the change, as far as it has said.
    pub fn progress(&self) -> BTreeMap<NodeId, Progress> {
        let progress = self
            .rows
            .iter()
            .filter_map(|(subject, row)| match (subject, &row.fact) {
                (Subject::Progress(node), Fact::Progress(progress)) => {
                    Some((node.clone(), progress.clone()))
                }
                _ => None,
            });
        progress.collect()
    }

    pub fn policy(&self) -> MembershipPolicy {
        match self.rows.get(&Subject::Policy).map(|row| &row.fact) {
            Some(Fact::Policy(policy)) => policy.clone(),
            _ => MembershipPolicy::default(),
        }
    }

    /// These rows alone, to be told to others.
    pub fn only(&self, subjects: &[Subject]) -> Self {
        let row = |subject: &Subject| Some((subject.clone(), self.rows.get(subject)?.clone()));
        Self {
            rows: subjects.iter().filter_map(row).collect(),
        }
    }

    pub fn hash(&self) -> u64 {
        xxh3_64(&self.encode())
    }

    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.byte(FORMAT);
        writer.number(self.rows.len() as u64);
        for (subject, row) in &self.rows {
            subject.encode(&mut writer);
            row.encode(&mut writer);
        }
        writer.finish()
    }

    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.format(FORMAT)?;
        let count = reader.number_max("rows", ROWS_READ_MAX)?;
        let mut rows = BTreeMap::new();
        for _ in 0..count {
            let subject = Subject::decode(&mut reader)?;
            let row = Row::decode(&mut reader)?;
            if !row.fact.is_about(&subject) {
                return Err(DecodeError::Malformed("a row"));
            }
            rows.insert(subject, row);
        }
        reader.finish()?;
        Ok(Self { rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).expect("a good name")
    }

    fn with_bucket(mut catalog: Catalog, n: u8, by: &str) -> Catalog {
        let subject = Subject::Bucket(BucketName::new("carts").expect("a good name"));
        let properties = Properties {
            n,
            r: 1,
            w: 1,
            ..Properties::default()
        };
        let edited = catalog.edit(subject, Fact::Bucket(properties), node(by));
        edited.expect("in bounds");
        catalog
    }

    #[test]
    fn two_nodes_that_edit_the_same_row_end_with_the_same_one() {
        let start = with_bucket(Catalog::default(), 3, "a");
        let (mut left, mut right) = (
            with_bucket(start.clone(), 1, "a"),
            with_bucket(start, 2, "b"),
        );
        let other = left.clone();
        assert_eq!(left.merge(right.clone()), Ok(true));
        assert_eq!(right.merge(other), Ok(false));
        assert_eq!(left.hash(), right.hash());
    }

    #[test]
    fn rows_survive_the_trip() {
        let catalog = with_bucket(Catalog::default(), 3, "a");
        assert_eq!(Catalog::decode(catalog.encode()), Ok(catalog));
    }

    fn carts() -> BucketName {
        BucketName::new("carts").expect("a good name")
    }

    fn without_bucket(mut catalog: Catalog, by: &str) -> Catalog {
        let fact = Fact::Removed { generation: 0 };
        let edited = catalog.edit(Subject::Bucket(carts()), fact, node(by));
        edited.expect("in bounds");
        catalog
    }

    #[test]
    fn a_removed_bucket_does_not_come_back_by_an_edit_that_had_not_heard_of_it() {
        let start = with_bucket(Catalog::default(), 3, "a");
        let removed = without_bucket(start.clone(), "a");
        let mut edited = start;
        for n in [1, 2, 3] {
            edited = with_bucket(edited, n, "z");
        }
        let (mut left, mut right) = (removed.clone(), edited.clone());
        assert_eq!(left.merge(edited), Ok(false));
        assert_eq!(right.merge(removed), Ok(true));
        assert_eq!((left.bucket(&carts()), left.hash()), (None, right.hash()));
        assert!(left.removed_buckets().contains(&carts()));
        assert_eq!(left.bucket_table().len(), 0);
        assert_eq!(Catalog::decode(left.encode()), Ok(left));
    }

    #[test]
    fn a_bucket_that_is_created_again_is_another_one() {
        let first = with_bucket(Catalog::default(), 3, "a");
        let second = with_bucket(without_bucket(first.clone(), "a"), 2, "a");
        let replaced = with_bucket(second.clone(), 1, "a");
        let names: Vec<BucketName> = replaced.bucket_table().into_keys().collect();
        assert_eq!(names, [carts().of(1)]);
        let removed = replaced.removed_buckets();
        assert!(removed.contains(&carts()) && !removed.contains(&carts().of(1)));
        let mut late = with_bucket(first, 3, "z"); // Has not heard that it was removed.
        assert_eq!(late.merge(second.clone()), Ok(true));
        assert_eq!(late.hash(), second.hash());
        assert_eq!(Catalog::decode(second.encode()), Ok(second));
    }

    /// A side that has as many buckets as it may, all of its own.
    fn full(of: &str) -> Catalog {
        let mut catalog = Catalog::default();
        for number in 0..BUCKETS_MAX {
            let name = BucketName::new(&format!("{of}-{number}")).expect("a good name");
            let (edit, fact) = (
                Edit {
                    count: 1,
                    by: node(of),
                },
                Fact::Bucket(Properties::default()),
            );
            catalog
                .rows
                .insert(Subject::Bucket(name), Row { edit, fact });
        }
        catalog
    }

    fn named(name: &str) -> Subject {
        Subject::Bucket(BucketName::new(name).expect("a good name"))
    }

    #[test]
    fn two_full_sides_merge_to_what_is_read_again_and_can_still_be_edited() {
        let (mut both, right) = (full("a"), full("b"));
        let added = both.edit(
            named("one-more"),
            Fact::Bucket(Properties::default()),
            node("a"),
        );
        assert_eq!(added, Err(EditError::Buckets));
        assert_eq!(both.merge(right), Ok(true));
        assert_eq!(Catalog::decode(both.encode()).as_ref(), Ok(&both));
        let added = both.edit(
            named("one-more"),
            Fact::Bucket(Properties::default()),
            node("a"),
        );
        assert_eq!(added, Err(EditError::Buckets));
        let removed = Fact::Removed { generation: 0 };
        assert_eq!(both.edit(named("b-7"), removed, node("a")), Ok(()));
        assert_eq!(
            both.edit(Subject::Policy, Fact::Policy(both.policy()), node("a")),
            Ok(())
        );
    }

    #[test]
    fn what_could_not_be_read_again_is_not_merged() {
        let mut most = full("a");
        assert_eq!(most.merge(full("b")), Ok(true));
        while most.rows.len() < ROWS_READ_MAX {
            let name = format!("c-{}", most.rows.len());
            let row = most.rows[&named("a-1")].clone();
            most.rows.insert(named(&name), row);
        }
        assert!(Catalog::decode(most.encode()).is_ok());
        let before = most.hash();
        assert!(most.merge(full("d")).is_err());
        assert_eq!(most.hash(), before);
    }
}
