//! Cases that every resolver meets, whatever its author thought of.
//!
//! Small values of the usual forms, in threes, with the ways in which times can lie to each other. A plugin that has no
//! rule for a form keeps the siblings, and nothing is said of it.
//!
//! Invariant: the same list in every process.

use super::case::{Case, Origin};
use crate::dynamo::causality::version::Version;
use bytes::Bytes;

/// Write times of three siblings: in order, against it, all one, two of one.
const TIMES: [[u64; 3]; 4] = [[1, 2, 3], [3, 2, 1], [5, 5, 5], [7, 7, 4]];

/// All cases, with these params.
pub(super) fn cases(params: &Bytes) -> Vec<Case> {
    let mut lists = Vec::new();
    for values in families() {
        for times in TIMES {
            let pairs = values.iter().zip(times);
            lists.push(pairs.map(|(v, at)| Version::value(v.clone(), at)).collect());
        }
    }
    lists.extend(dressed());
    let key = Bytes::from_static(b"generic");
    let case = |list| Case::new(Origin::Generic, key.clone(), params.clone(), list);
    lists.into_iter().filter_map(case).collect()
}

fn families() -> Vec<[Bytes; 3]> {
    let texts = [
        ["apple", "pear", "fig"],
        ["same", "same", "other"],
        ["", "a", ""],
        ["1", "2", "4"],
        ["10", "9", "-5"],
        ["0.5", "1", "NaN"],
        ["a\nb", "b\nc", "c\na"],
        ["b\na\nb", "-a", "a"],
        [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"b":1}"#],
        [
            r#"{"items":{"milk":1}}"#,
            r#"{"items":{"bread":2}}"#,
            r#"{"items":{"eggs":1,"milk":2}}"#,
        ],
        [r#"["a"]"#, r#"["b","a"]"#, r#"["c"]"#],
    ];
    let mut families: Vec<[Bytes; 3]> = texts
        .into_iter()
        .map(|values| values.map(|text| Bytes::from_static(text.as_bytes())))
        .collect();
    let binary = |values: [[u8; 8]; 3]| values.map(|bytes| Bytes::copy_from_slice(&bytes));
    families.push(binary([1u64, 2, 4].map(u64::to_le_bytes)));
    families.push(binary([1.0, f64::NAN, 2.0].map(f64::to_le_bytes)));
    families.push(binary([0.0, -0.0, f64::NAN].map(f64::to_le_bytes)));
    families.push([1u32, 2, 4].map(|n| Bytes::copy_from_slice(&n.to_le_bytes())));
    families.push([&b"\xff"[..], b"\x00", b"\x80\x00"].map(Bytes::from_static));
    families.push([b'x', b'y', b'z'].map(|byte| Bytes::from(vec![byte; 2_000])));
    families
}

/// Equal values that differ in everything else.
fn dressed() -> Vec<Vec<Version>> {
    let dress = |value: &'static str, content_type: &str, by: &str, at: u64| {
        let mut version = Version::value(value, at);
        content_type.clone_into(&mut version.content_type);
        if !by.is_empty() {
            version.metadata.insert("by".to_owned(), by.to_owned());
        }
        version
    };
    vec![
        vec![
            dress("same", "text/plain", "anna", 3),
            dress("same", "text/plain", "bert", 3),
            dress("same", "", "anna", 3),
        ],
        vec![
            dress("1", "a/b", "anna", 1),
            dress("2", "a/b", "anna", 2),
            dress("4", "c/d", "", 2),
        ],
    ]
}
