//! What becomes of rows that a later release wrote, and of those that an earlier one did: tests alone.
//!
//! Writes the bytes of other releases by hand.
//!
//! Invariant: nothing that this release does not know is changed by it.

use super::super::bucket::Properties;
use super::super::codec::Writer;
use super::super::names::{BucketName, NodeId};
use super::catalog::Catalog;
use super::facts::{NodeFacts, Speaks};
use super::row::{Fact, Subject};
use crate::limits::operations::UNKNOWN_ROW_BYTES_MAX;
use bytes::Bytes;

fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good name")
}

fn with_bucket(mut catalog: Catalog, name: &str) -> Catalog {
    let subject = Subject::Bucket(BucketName::new(name).expect("a good name"));
    let fact = Fact::Bucket(Properties::default());
    let edited = catalog.edit(subject, fact, node("a"));
    edited.expect("in bounds");
    catalog
}

/// A catalog of one row, as it is written since rows have lengths.
fn one_row(subject: &[u8], fact: &[u8]) -> Bytes {
    let mut writer = Writer::default();
    writer.byte(2);
    writer.number(1);
    writer.bytes(subject);
    writer.number(7);
    writer.node(&node("z"));
    writer.bytes(fact);
    writer.finish()
}

#[test]
fn a_row_of_a_later_release_is_kept_merged_and_passed_on_as_it_is() {
    let rows: [(&[u8], &[u8]); 4] = [
        (b"A subject of the future", b"whatever it says"),
        (b"~", b""),
        (b"y", b"Y a policy of another kind"), // A known subject of which something new is said.
        (b"b\x05carts", b"B a bucket of another kind"),
    ];
    for (subject, fact) in rows {
        let bytes = one_row(subject, fact);
        let future = Catalog::decode(bytes.clone()).expect("it is kept");
        assert_eq!(future.unknown_rows(), 1);
        assert_eq!(future.encode(), bytes);
        let mut here = with_bucket(Catalog::default(), "notes");
        assert_eq!(here.merge(future.clone()), Ok(true));
        assert_eq!(here.merge(future), Ok(false), "once");
        assert_eq!(Catalog::decode(here.encode()), Ok(here.clone()));
        let edited = with_bucket(here, "dolls");
        assert_eq!(edited.unknown_rows(), 1, "an edit of another row leaves it");
        assert_eq!(edited.buckets().count(), 2);
    }
}

#[test]
fn rows_stand_in_the_order_of_their_bytes_so_that_all_releases_compute_one_hash() {
    let future = Catalog::decode(one_row(b"A", b"x")).expect("it is kept");
    let mut here = with_bucket(Catalog::default(), "notes");
    assert_eq!(here.merge(future), Ok(true));
    let bytes = here.encode();
    let place = |subject: &[u8]| bytes.windows(subject.len()).position(|w| w == subject);
    assert!(place(b"\x01A") < place(b"b\x05notes"));
}

#[test]
fn what_a_later_release_adds_behind_a_known_fact_is_kept() {
    let facts = NodeFacts {
        peer_address: "h:1".to_owned(),
        speaks: Speaks { min: 4, max: 9 },
        ..NodeFacts::default()
    };
    let mut fact = vec![b'n'];
    fact.extend_from_slice(&facts.to_bytes());
    fact.extend_from_slice(b"and more");
    let bytes = one_row(b"n\x02n9", &fact);
    let catalog = Catalog::decode(bytes.clone()).expect("it is read as far as it is known");
    assert_eq!(catalog.node(&node("n9")), Some(&facts));
    assert_eq!(catalog.unknown_rows(), 0);
    assert_eq!(catalog.encode(), bytes);
}

#[test]
fn what_was_stored_before_rows_had_lengths_is_still_read() {
    let mut writer = Writer::default();
    writer.byte(1);
    writer.number(1);
    let subject = Subject::Bucket(BucketName::new("notes").expect("a good name"));
    subject.encode(&mut writer);
    writer.number(1);
    writer.node(&node("a"));
    writer.byte(b'b');
    Properties::default().encode(&mut writer);
    let old = Catalog::decode(writer.finish()).expect("it is read");
    assert_eq!(old, with_bucket(Catalog::default(), "notes"));
}

#[test]
fn rows_of_later_releases_are_bounded() {
    let huge = vec![0; UNKNOWN_ROW_BYTES_MAX + 1];
    assert!(Catalog::decode(one_row(b"A", &huge)).is_err());
    let long = vec![b'A'; 1024];
    assert!(Catalog::decode(one_row(&long, b"")).is_err());
    assert!(Catalog::decode(one_row(b"", b"x")).is_err());
}

#[test]
fn two_nodes_speak_the_highest_version_that_both_know() {
    let speaks = |min, max| Speaks { min, max };
    assert_eq!(speaks(3, 5).common(speaks(4, 9)), Some(5));
    assert_eq!(speaks(4, 9).common(speaks(3, 5)), Some(5));
    assert_eq!(speaks(3, 3).common(speaks(3, 5)), Some(3));
    assert_eq!(speaks(3, 4).common(speaks(5, 9)), None);
}
