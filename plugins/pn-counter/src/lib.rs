//! The plugin `pn-counter`: what the contract asks for, answered with [`mergeable::pn_counter`].
//!
//! A PN-Counter. Adds nothing itself: each actor writes its own totals.
//!
//! Invariant: the answer depends on the bytes of the siblings alone, never on their order, their
//! metadata or their write times.

// Native linkers refuse the names that the contract exports, so off Wasm only the tests exist.
#![cfg(any(test, target_family = "wasm"))]

use contract::{Merge, Plugin, Sample};

struct PnCounter;

impl Merge for PnCounter {
    const NAME: &'static str = "pn-counter";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn samples() -> Vec<Sample> {
        SAMPLES.into_iter().map(Sample::of_texts).collect()
    }

    fn check_params(params: &[u8]) -> Result<(), String> {
        contract::without_params(Self::NAME, params)
    }

    fn merge(values: &[&[u8]], _params: &[u8]) -> Result<Vec<u8>, String> {
        mergeable::pn_counter::merge(values).map_err(|unfit| unfit.to_string())
    }
}

type Exported = Plugin<PnCounter>;
contract::export!(Exported with_types_in contract);

/// Other actors, the same actor earlier and later, and up and down at once.
const SAMPLES: [&[&str]; 3] = [
    &[r#"{"anna-1":[5,2]}"#, r#"{"bert-1":[1,0]}"#, r#"{}"#],
    &[r#"{"anna-1":[5,2],"bert-1":[1,0]}"#, r#"{"anna-1":[6,2]}"#],
    &[
        r#"{"anna-1":[3,9007199254740991],"bert-1":[2,2]}"#,
        r#"{"anna-1":[4,1],"bert-1":[1,3],"carl-1":[0,0]}"#,
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
            PnCounter::merge(&values, b"").unwrap();
        }
    }

    #[test]
    fn params_are_refused_with_their_size() {
        assert_eq!(PnCounter::check_params(b""), Ok(()));
        assert!(
            PnCounter::check_params(b"{}")
                .unwrap_err()
                .contains("2 bytes")
        );
    }
}
