//! The plugin `grow-only-set`: what the contract asks for, answered with [`mergeable::grow_only_set`].
//!
//! A G-Set. Forgets nothing and counts nothing.
//!
//! Invariant: the answer depends on the bytes of the siblings alone, never on their order, their
//! metadata or their write times.

// Native linkers refuse the names that the contract exports, so off Wasm only the tests exist.
#![cfg(any(test, target_family = "wasm"))]

use contract::{Merge, Plugin, Sample};

struct GrowOnlySet;

impl Merge for GrowOnlySet {
    const NAME: &'static str = "grow-only-set";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn samples() -> Vec<Sample> {
        SAMPLES.into_iter().map(Sample::of_texts).collect()
    }

    fn check_params(params: &[u8]) -> Result<(), String> {
        contract::without_params(Self::NAME, params)
    }

    fn merge(values: &[&[u8]], _params: &[u8]) -> Result<Vec<u8>, String> {
        mergeable::grow_only_set::merge(values).map_err(|unfit| unfit.to_string())
    }
}

type Exported = Plugin<GrowOnlySet>;
contract::export!(Exported with_types_in contract);

/// Sharing elements, sharing none, empty, other kinds of elements, and texts that need escapes.
const SAMPLES: [&[&str]; 4] = [
    &[r#"["bread","milk"]"#, r#"["eggs","milk"]"#, r#"["milk"]"#],
    &[r#"["apple"]"#, r#"["pear"]"#, r#"[]"#],
    &[r#"[1,2.5,"1"]"#, r#"[null,true,1,[1,2],{"id":7}]"#],
    &[r#"["a \"quoted\" word"]"#, r#"["käse","チーズ"]"#],
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
            GrowOnlySet::merge(&values, b"").unwrap();
        }
    }

    #[test]
    fn params_are_refused_with_their_size() {
        assert_eq!(GrowOnlySet::check_params(b""), Ok(()));
        assert!(
            GrowOnlySet::check_params(b"{}")
                .unwrap_err()
                .contains("2 bytes")
        );
    }
}
