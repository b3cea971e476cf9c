//! Claims about merged documents, and the laws over random schemas and random documents of them.

use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn merged(params: &str, values: &[&str]) -> String {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let schema = Schema::parse(params.as_bytes()).unwrap();
    let merged = merge(&schema, &values).unwrap_or_else(|unfit| panic!("{unfit}"));
    String::from_utf8(merged).unwrap()
}

fn refused(params: &str, value: &str) -> String {
    let schema = Schema::parse(params.as_bytes()).unwrap();
    let refused = merge(&schema, &[b"{}", value.as_bytes()]).unwrap_err();
    refused.to_string()
}

const ARTICLE: &str = r#"{"fields":{"tags":"union","views":"max","born":"min","votes":"counter","readers":"observed-remove-set","meta":{"default":"max"}}}"#;

#[test]
fn each_field_is_merged_by_its_own_rule() {
    let one = r#"{"title":"Old","tags":["a","b"],"views":9,"born":"2024","votes":{"x":[1,0]},"meta":{"size":1},"$at":{"title":1}}"#;
    let other = r#"{"title":"New","tags":["b","c"],"views":10,"born":"2023","votes":{"y":[0,1]},"meta":{"size":0,"rank":2},"$at":{"title":2}}"#;
    assert_eq!(
        merged(ARTICLE, &[one, other]),
        r#"{"$at":{"title":2},"born":"2023","meta":{"rank":2,"size":1},"tags":["a","b","c"],"title":"New","views":10,"votes":{"x":[1,0],"y":[0,1]}}"#
    );
}

#[test]
fn each_field_keeps_its_own_write_time_through_merges() {
    // By one time for the whole document, c would win both fields or none.
    let a = r#"{"$at":{"x":5},"x":"a"}"#;
    let b = r#"{"$at":{"y":9},"y":"b"}"#;
    let c = r#"{"$at":{"x":7,"y":7},"x":"c","y":"c"}"#;
    let expected = r#"{"$at":{"x":7,"y":9},"x":"c","y":"b"}"#;
    assert_eq!(merged("", &[a, b, c]), expected);
    assert_eq!(merged("", &[&merged("", &[a, b]), c]), expected);
    assert_eq!(merged("", &[a, &merged("", &[b, c])]), expected);
}

#[test]
fn a_deleted_field_stays_deleted_until_it_is_written_later() {
    let old = r#"{"$at":{"x":5},"x":1}"#;
    let deleted = r#"{"$at":{"x":6}}"#;
    assert_eq!(merged("", &[old, deleted]), deleted);
    let written = r#"{"$at":{"x":7},"x":2}"#;
    assert_eq!(merged("", &[deleted, written]), written);
}

#[test]
fn a_tie_of_write_times_goes_to_the_greater_value_and_never_to_a_delete() {
    let one = r#"{"$at":{"x":5},"x":1}"#;
    let ten = r#"{"$at":{"x":5},"x":10}"#;
    assert_eq!(merged("", &[one, ten]), ten);
    assert_eq!(merged("", &[one, r#"{"$at":{"x":5}}"#]), one);
}

#[test]
fn a_field_without_write_time_loses_to_any_that_has_one() {
    let plain = r#"{"x":"z"}"#;
    let stamped = r#"{"$at":{"x":1},"x":"a"}"#;
    assert_eq!(merged("", &[plain, stamped]), stamped);
}

#[test]
fn what_does_not_fit_its_rule_is_named_with_its_field() {
    for (value, part) in [
        ("[]", "an array, expected an object"),
        (
            r#"{"tags":"a"}"#,
            r#"field "tags": a string, expected an array"#,
        ),
        (
            r#"{"views":null}"#,
            r#"field "views": null, expected a number"#,
        ),
        (r#"{"votes":{"x":1}}"#, r#"field "votes": actor "x""#),
        (r#"{"readers":{}}"#, "`items` is missing"),
        (
            r#"{"meta":{"size":{}}}"#,
            r#"field "meta": field "size": an object"#,
        ),
        (r#"{"$at":{"views":1},"views":1}"#, "knows no times"),
        (r#"{"$at":{"title":-1}}"#, "needs an integer"),
        (r#"{"$at":1}"#, "`$at` is a number"),
    ] {
        let refused = refused(ARTICLE, value);
        assert!(
            refused.starts_with("sibling 2 of 2 is not a document of this schema: "),
            "{refused}"
        );
        assert!(refused.contains(part), "{value}: {refused}");
    }
}

// ---- The laws, over random schemas ----

fn any_rule() -> impl Strategy<Value = Rule> {
    let leaf = prop_oneof![
        Just(Rule::LastWriteWins),
        Just(Rule::Max),
        Just(Rule::Min),
        Just(Rule::Union),
        Just(Rule::Counter),
        Just(Rule::ObservedRemoveSet),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| schema_of(inner).prop_map(Rule::Document))
}

fn schema_of(rule: impl Strategy<Value = Rule> + Clone) -> impl Strategy<Value = Schema> {
    (btree_map("[ab]", rule.clone(), 0..3), rule)
        .prop_map(|(fields, default)| Schema::new(fields, default))
}

fn any_scalar() -> BoxedStrategy<Json<'static>> {
    prop_oneof![
        (0u64..3).prop_map(Json::integer),
        "[xy\"]{0,2}".prop_map(Json::string),
    ]
    .boxed()
}

fn any_json() -> BoxedStrategy<Json<'static>> {
    let leaf = prop_oneof![
        any_scalar(),
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool)
    ];
    let tree = leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Json::Array),
            btree_map("[pq]", inner, 0..3).prop_map(object),
        ]
    });
    tree.boxed()
}

fn object(members: BTreeMap<String, Json<'static>>) -> Json<'static> {
    Json::Object(
        members
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
    )
}

fn any_counts() -> BoxedStrategy<BTreeMap<String, Vec<u64>>> {
    btree_map("[mn]", vec(1u64..5, 1..4), 0..3).boxed()
}

fn counts_json(counts: &BTreeMap<String, Vec<u64>>) -> Json<'static> {
    let list = |counts: &Vec<u64>| Json::Array(counts.iter().copied().map(Json::integer).collect());
    object(
        counts
            .iter()
            .map(|(actor, counts)| (actor.clone(), list(counts)))
            .collect(),
    )
}

fn any_observed_remove_set() -> BoxedStrategy<Json<'static>> {
    (btree_map("[st]", any_counts(), 0..3), any_counts())
        .prop_map(|(items, mut seen)| {
            for (actor, counts) in items.values().flatten() {
                seen.entry(actor.clone()).or_default().extend(counts);
            }
            let items = items
                .iter()
                .map(|(name, dots)| (name.clone(), counts_json(dots)))
                .collect();
            object(BTreeMap::from([
                ("items".to_owned(), object(items)),
                ("seen".to_owned(), counts_json(&seen)),
            ]))
        })
        .boxed()
}

fn any_counter() -> BoxedStrategy<Json<'static>> {
    let totals =
        (0u64..4, 0u64..4).prop_map(|(p, n)| Json::Array(vec![Json::integer(p), Json::integer(n)]));
    btree_map("[mn]", totals, 0..3).prop_map(object).boxed()
}

/// A document that fits the schema, with fields missing and, of `lww` fields, some without time and some deleted.
fn any_document(schema: &Schema) -> BoxedStrategy<Json<'static>> {
    let fields: Vec<_> = ["a", "b", "c"]
        .map(|name| any_field(name, schema.rule(name)))
        .into();
    fields
        .prop_map(|fields| {
            let (mut members, mut stamps) = (BTreeMap::new(), BTreeMap::new());
            for (name, value, stamp) in fields {
                members.extend(value.map(|value| (name.to_owned(), value)));
                stamps.extend(stamp.map(|stamp| (name.to_owned(), Json::integer(stamp))));
            }
            if !stamps.is_empty() {
                members.insert(STAMPS.to_owned(), object(stamps));
            }
            object(members)
        })
        .boxed()
}

type AnyField = BoxedStrategy<(&'static str, Option<Json<'static>>, Option<u64>)>;

fn any_field(name: &'static str, rule: &Rule) -> AnyField {
    let value = match rule {
        Rule::LastWriteWins => any_json(),
        Rule::Max | Rule::Min => any_scalar(),
        Rule::Union => vec(any_json(), 0..4).prop_map(Json::Array).boxed(),
        Rule::Counter => any_counter(),
        Rule::ObservedRemoveSet => any_observed_remove_set(),
        Rule::Document(schema) => any_document(schema),
    };
    let stamp = match rule {
        Rule::LastWriteWins => proptest::option::of(0u64..4).boxed(),
        _ => Just(None).boxed(),
    };
    (Just(name), proptest::option::of(value), stamp).boxed()
}

/// The text as a client may have written it: the same value with spaces.
fn spaced(text: &[u8]) -> Vec<u8> {
    [b" ", text, b"\n"].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn u13_documents_of_random_schemas_inherit_the_laws(
        (schema, documents) in schema_of(any_rule().boxed())
            .prop_flat_map(|schema| {
                let documents = vec(any_document(&schema), 3);
                (Just(schema), documents)
            })
    ) {
        let texts: Vec<Vec<u8>> = documents.iter().map(Json::to_bytes).collect();
        let [a, b, c] = &texts[..] else { unreachable!() };
        let merged = |values: &[&[u8]]| merge(&schema, values).unwrap_or_else(|unfit| panic!("{unfit}"));
        let all = merged(&[a, b, c]);
        for order in [[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
            prop_assert_eq!(&merged(&order.map(Vec::as_slice)), &all);
        }
        prop_assert_eq!(&merged(&[&merged(&[a, b]), c]), &all);
        prop_assert_eq!(&merged(&[a, &merged(&[b, c])]), &all);
        prop_assert_eq!(&merged(&[&merged(&[a, c]), b]), &all);
        for one in [a, &all, &spaced(a)] {
            prop_assert_eq!(&merged(&[one, one]), one);
        }
        prop_assert_eq!(&merged(&[&all, a]), &all);
        prop_assert_eq!(&merged(&[&all, &spaced(b)]), &all);
    }
}
