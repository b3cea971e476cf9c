//! The laws of each type over random values, down to the byte.
//!
//! The server believes a resolver only if these hold: any replica may merge any siblings in any order and grouping.

use mergeable::siblings::Unfit;
use mergeable::{grow_only_set, observed_remove_set, pn_counter};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Merge = fn(&[&[u8]]) -> Result<Vec<u8>, Unfit>;

/// Commutative, associative, idempotent; also where a value is spelt otherwise than the plugin spells it.
fn check_laws(merge: Merge, texts: &[String]) -> Result<(), TestCaseError> {
    let merged = |values: &[&[u8]]| merge(values).unwrap_or_else(|unfit| panic!("{unfit}"));
    let [a, b, c] = [0, 1, 2].map(|place| texts[place].as_bytes());
    let all = merged(&[a, b, c]);
    for order in [[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
        prop_assert_eq!(&merged(&order), &all);
    }
    prop_assert_eq!(&merged(&[&merged(&[a, b]), c]), &all);
    prop_assert_eq!(&merged(&[a, &merged(&[b, c])]), &all);
    prop_assert_eq!(&merged(&[&merged(&[a, c]), b]), &all);
    for one in [a, &all] {
        prop_assert_eq!(&merged(&[one, one]), one);
        prop_assert_eq!(&merged(&[&all, one]), &all);
    }
    // Three that are the same bytes stay those bytes, however they are spelt.
    if a != b || b != c {
        let spaced = [b" ", b, b"\n"].concat();
        prop_assert_eq!(&merged(&[a, &spaced, c]), &all);
    }
    Ok(())
}

fn any_set() -> impl Strategy<Value = String> {
    let element = prop_oneof![
        "[0-3]",
        "[0-3]\\.0",
        "\"[xy]{0,2}\"",
        "\\[[12]\\]",
        "\\{\"id\":[12]\\}",
        "null|true"
    ];
    vec(element, 0..6).prop_map(|elements| format!("[{}]", elements.join(", ")))
}

fn object(members: impl IntoIterator<Item = (String, String)>) -> String {
    let members = members
        .into_iter()
        .map(|(name, value)| format!("{name:?}:{value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn any_dots() -> impl Strategy<Value = BTreeMap<String, Vec<u64>>> {
    btree_map("[mn]", vec(1u64..7, 0..4), 0..3)
}

fn dots_text(dots: &BTreeMap<String, Vec<u64>>) -> String {
    object(
        dots.iter()
            .map(|(actor, counts)| (actor.clone(), format!("{counts:?}"))),
    )
}

/// Every dot of an element is also a seen one, as a client has to see to.
fn any_observed_remove_set() -> impl Strategy<Value = String> {
    (btree_map("[stu]", any_dots(), 0..4), any_dots()).prop_map(|(items, mut seen)| {
        for (actor, counts) in items.values().flatten() {
            seen.entry(actor.clone()).or_default().extend(counts);
        }
        let items = object(
            items
                .iter()
                .map(|(name, dots)| (name.clone(), dots_text(dots))),
        );
        object([
            ("seen".to_owned(), dots_text(&seen)),
            ("items".to_owned(), items),
        ])
    })
}

fn any_counter() -> impl Strategy<Value = String> {
    let totals = (0u64..5, 0u64..5).prop_map(|(added, taken)| format!("[{added}, {taken}]"));
    btree_map("[lmn]", totals, 0..4).prop_map(object)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn grow_only_sets_merge_lawfully(texts in vec(any_set(), 3)) {
        check_laws(grow_only_set::merge, &texts)?;
    }

    #[test]
    fn observed_remove_sets_merge_lawfully(texts in vec(any_observed_remove_set(), 3)) {
        check_laws(observed_remove_set::merge, &texts)?;
    }

    #[test]
    fn counters_merge_lawfully(texts in vec(any_counter(), 3)) {
        check_laws(pn_counter::merge, &texts)?;
    }
}
