//! The plugin `observed-remove-set`: what the contract asks for, answered with [`mergeable::observed_remove_set`].
//!
//! An optimised OR-Set. Hands out no dots: the clients do.
//!
//! Invariant: the answer depends on the bytes of the siblings alone, never on their order, their
//! metadata or their write times.

// Native linkers refuse the names that the contract exports, so off Wasm only the tests exist.
#![cfg(any(test, target_family = "wasm"))]

use contract::{Merge, Plugin, Sample};

struct ObservedRemoveSet;

impl Merge for ObservedRemoveSet {
    const NAME: &'static str = "observed-remove-set";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn samples() -> Vec<Sample> {
        SAMPLES.into_iter().map(Sample::of_texts).collect()
    }

    fn check_params(params: &[u8]) -> Result<(), String> {
        contract::without_params(Self::NAME, params)
    }

    fn merge(values: &[&[u8]], _params: &[u8]) -> Result<Vec<u8>, String> {
        mergeable::observed_remove_set::merge(values).map_err(|unfit| unfit.to_string())
    }
}

type Exported = Plugin<ObservedRemoveSet>;
contract::export!(Exported with_types_in contract);

/// Two additions, a removal against an addition, a removal that saw everything, and dots with holes.
const SAMPLES: [&[&str]; 4] = [
    &[
        r#"{"items":{"bread":{"anna-1":[1]}},"seen":{"anna-1":[1]}}"#,
        r#"{"items":{"milk":{"bert-1":[1]}},"seen":{"bert-1":[1]}}"#,
    ],
    &[
        r#"{"items":{"milk":{"anna-1":[1],"bert-1":[1]}},"seen":{"anna-1":[1],"bert-1":[1]}}"#,
        r#"{"items":{},"seen":{"anna-1":[1]}}"#,
    ],
    &[
        r#"{"items":{"milk":{"anna-1":[1]}},"seen":{"anna-1":[1]}}"#,
        r#"{"items":{},"seen":{"anna-1":[1]}}"#,
    ],
    &[
        r#"{"items":{"bread":{"anna-1":[2]},"eggs":{"anna-1":[5]}},"seen":{"anna-1":[2,[4,5]]}}"#,
        r#"{"items":{"bread":{"anna-1":[2]},"milk":{"anna-1":[1]}},"seen":{"anna-1":[[1,2]]}}"#,
        r#"{"items":{"tea":{"bert-1":[[1,2]]}},"seen":{"anna-1":[[1,3]],"bert-1":[[1,2]]}}"#,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_canonical_and_in_canonical_order() {
        for values in SAMPLES {
            assert!(values.is_sorted());
            for value in values {
                let parsed = mergeable::json::Json::parse(value.as_bytes()).unwrap();
                assert_eq!(parsed.to_bytes(), value.as_bytes());
            }
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            ObservedRemoveSet::merge(&values, b"").unwrap();
        }
    }

    #[test]
    fn params_are_refused_with_their_size() {
        assert_eq!(ObservedRemoveSet::check_params(b""), Ok(()));
        assert!(
            ObservedRemoveSet::check_params(b"{}")
                .unwrap_err()
                .contains("2 bytes")
        );
    }
}
