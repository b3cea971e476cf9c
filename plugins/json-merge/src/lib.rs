//! The plugin `json-merge`: what the contract asks for, answered with [`document`] and the rules of the params.
//!
//! For buckets whose values are JSON objects and whose users do not want to write a plugin. Reads the params anew for
//! each call; they are small.
//!
//! Invariant: the answer depends on the bytes of the siblings and the params alone, never on the siblings' order,
//! their metadata or their write times.

// Native linkers refuse the names that the contract exports, so off Wasm only the tests exist.
#![cfg(any(test, target_family = "wasm"))]

mod document;
mod rule;

use contract::{Merge, Plugin, Sample};
use rule::Schema;

struct JsonMerge;

impl Merge for JsonMerge {
    const NAME: &'static str = "json-merge";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn samples() -> Vec<Sample> {
        SAMPLES
            .into_iter()
            .map(|(params, values)| Sample::with_params(params, values))
            .collect()
    }

    fn check_params(params: &[u8]) -> Result<(), String> {
        Schema::parse(params).map(|_| ())
    }

    fn merge(values: &[&[u8]], params: &[u8]) -> Result<Vec<u8>, String> {
        let schema = Schema::parse(params)?;
        document::merge(&schema, values).map_err(|unfit| unfit.to_string())
    }
}

type Exported = Plugin<JsonMerge>;
contract::export!(Exported with_types_in contract);

/// Every rule at once, the default rule with a deleted field, and objects inside each other.
const SAMPLES: [(&str, &[&str]); 3] = [
    (
        r#"{"fields":{"born":"min","readers":"observed-remove-set","tags":"union","views":"max","votes":"counter"}}"#,
        &[
            r#"{"$at":{"title":1700000000001},"born":"2024-05-01","tags":["news"],"title":"Bread","views":10}"#,
            r#"{"$at":{"title":1700000000002},"tags":["food","news"],"title":"Milk","views":9,"votes":{"anna-1":[2,0]}}"#,
            r#"{"born":"2024-04-30","readers":{"items":{"bert":{"bert-1":[1]}},"seen":{"bert-1":[1]}},"votes":{"anna-1":[1,1]}}"#,
        ],
    ),
    (
        "",
        &[
            r#"{"$at":{"name":3,"town":5},"name":"Anna"}"#,
            r#"{"$at":{"name":4,"town":4},"name":"Anna B.","town":"Ulm"}"#,
            r#"{"name":"anna"}"#,
        ],
    ),
    (
        r#"{"default":{"default":"max"},"fields":{"shop":{"fields":{"open":"lww"},"default":"union"}}}"#,
        &[
            r#"{"january":{"clicks":7,"views":70},"shop":{"$at":{"open":8},"open":true,"towns":["Ulm"]}}"#,
            r#"{"january":{"clicks":9},"shop":{"$at":{"open":9},"open":false,"towns":["Bonn","Ulm"]}}"#,
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_merged_by_their_params_and_in_canonical_order() {
        for (params, values) in SAMPLES {
            assert_eq!(JsonMerge::check_params(params.as_bytes()), Ok(()));
            assert!(values.is_sorted(), "{params}");
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            let merged = JsonMerge::merge(&values, params.as_bytes()).unwrap();
            for value in values {
                let again = JsonMerge::merge(&[&merged, value], params.as_bytes()).unwrap();
                assert_eq!(again, merged);
            }
        }
    }

    #[test]
    fn params_that_are_no_rules_are_refused() {
        assert!(JsonMerge::check_params(b"fast").is_err());
        assert!(JsonMerge::merge(&[b"{}", b"{}"], b"fast").is_err());
    }
}
