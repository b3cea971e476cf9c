//! The plugin `shopping-cart`: what the contract asks for, answered with [`cart`].
//!
//! Follows the cart of the Dynamo paper, sections 1 and 4.4. Holds no rule of its own about carts.
//!
//! Invariant: the answer depends on the bytes of the siblings alone, never on their order, their
//! metadata or their write times.

// Native linkers refuse the names that the contract exports, so off Wasm only the tests exist.
#![cfg(any(test, target_family = "wasm"))]

mod cart;

use exports::rejoin::plugin::about::{self, Description, Laws, Sample};
use exports::rejoin::plugin::resolver::{self, Extra, Resolution, Sibling};

wit_bindgen::generate!({ path: "../../wit/v1", world: "resolver-plugin" });

struct ShoppingCart;

impl about::Guest for ShoppingCart {
    fn describe() -> Description {
        log_panics();
        Description {
            name: "shopping-cart".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            laws: Laws::COMMUTATIVE | Laws::ASSOCIATIVE | Laws::IDEMPOTENT,
            samples: SAMPLES.iter().map(|values| sample(values)).collect(),
            extras: Vec::new(),
        }
    }

    fn check_params(params: Vec<u8>) -> Result<(), String> {
        if params.is_empty() {
            return Ok(());
        }
        Err(format!(
            "shopping-cart takes no params, {} bytes were given; bind the bucket with empty params",
            params.len()
        ))
    }
}

impl resolver::Guest for ShoppingCart {
    fn resolve(
        _key: Vec<u8>,
        siblings: Vec<Sibling>,
        _extras: Vec<Extra>,
        _params: Vec<u8>,
    ) -> Resolution {
        log_panics();
        let values: Vec<&[u8]> = siblings
            .iter()
            .map(|sibling| sibling.value.as_slice())
            .collect();
        match cart::merge(&values) {
            Ok(merged) => Resolution::Merged(merged),
            Err(not_a_cart) => Resolution::KeepSiblings(not_a_cart.to_string()),
        }
    }
}

export!(ShoppingCart);

/// The calls that the server tries the laws on: sharing items, sharing none, empty, and one that
/// needs escapes. Each list is in the canonical order of the server.
const SAMPLES: [&[&str]; 4] = [
    &[
        r#"{"items":{"bread":1,"milk":2}}"#,
        r#"{"items":{"eggs":12,"milk":3}}"#,
        r#"{"items":{"milk":1}}"#,
    ],
    &[
        r#"{"items":{"apple":1}}"#,
        r#"{"items":{"pear":4294967295}}"#,
    ],
    &[r#"{"items":{"milk":1}}"#, r#"{"items":{}}"#],
    &[
        r#"{"items":{"a \"quoted\" sku":1}}"#,
        r#"{"items":{"käse":0,"チーズ":7}}"#,
    ],
];

fn sample(values: &[&str]) -> Sample {
    let siblings = values.iter().zip(1u64..).map(|(value, second)| Sibling {
        value: value.as_bytes().to_vec(),
        content_type: "application/json".into(),
        metadata: Vec::new(),
        written_at_ms: 1_700_000_000_000 + second * 1000,
        extras: Vec::new(),
    });
    Sample {
        key: b"cart/1".to_vec(),
        siblings: siblings.collect(),
        params: Vec::new(),
    }
}

/// Sends the text of a panic to the server, which shows it to whoever uploaded the plugin: without
/// it they would only be told that an `unreachable` instruction was reached.
fn log_panics() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| {
        rejoin::plugin::log::emit(rejoin::plugin::log::Level::Error, &panic.to_string());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use about::Guest as _;
    use resolver::Guest as _;

    fn answer(values: &[&str]) -> Resolution {
        ShoppingCart::resolve(
            b"k".to_vec(),
            sample(values).siblings,
            Vec::new(),
            Vec::new(),
        )
    }

    #[test]
    fn an_item_added_on_either_side_is_in_the_merged_cart() {
        let merged = answer(&[r#"{"items":{"bread":1}}"#, r#"{"items":{"milk":2}}"#]);
        assert!(
            matches!(merged, Resolution::Merged(bytes) if bytes == br#"{"items":{"bread":1,"milk":2}}"#)
        );
    }

    #[test]
    fn a_sibling_that_is_no_cart_is_named_and_the_siblings_are_kept() {
        let kept = answer(&[r#"{"items":{}}"#, "milk"]);
        assert!(
            matches!(kept, Resolution::KeepSiblings(reason) if reason.contains("sibling 2 of 2"))
        );
    }

    #[test]
    fn samples_are_canonical_carts_in_canonical_order() {
        for values in SAMPLES {
            assert!(values.is_sorted());
            for value in values {
                let merged = cart::merge(&[value.as_bytes(), br#"{"items":{}}"#]).unwrap();
                assert_eq!(merged, value.as_bytes());
            }
        }
        assert_eq!(ShoppingCart::describe().samples.len(), SAMPLES.len());
    }

    #[test]
    fn params_are_refused_with_their_size() {
        assert_eq!(ShoppingCart::check_params(Vec::new()), Ok(()));
        assert!(
            ShoppingCart::check_params(b"{}".to_vec())
                .unwrap_err()
                .contains("2 bytes")
        );
    }
}
