//! The plugin `cart-validator`: judges each value by the schema in the params of the bucket, or by
//! the schema of a shopping cart if the params are empty.
//!
//! Changes no value and merges none. Judges single values: what a merge of two acceptable carts
//! amounts to is judged when the server asks about it.
//!
//! Invariant: params that pass `check-params` never make `validate` answer `bad-params`.

// Native linkers refuse the names that the contract exports, so off Wasm only the tests exist.
#![cfg(any(test, target_family = "wasm"))]

mod schema;

use exports::rejoin::plugin::about::{self, Description, Laws};
use exports::rejoin::plugin::validator::{self, Extra, Refusal, Sibling};
use schema::Schema;

wit_bindgen::generate!({ path: "../../wit/v1", world: "validator-plugin" });

/// At most 100 distinct skus, 1..=999 of each, and nothing beside the items.
const CART_SCHEMA: &str = r#"{
    "type": "object",
    "required": ["items"],
    "additionalProperties": false,
    "properties": {
        "items": {
            "type": "object",
            "maxProperties": 100,
            "additionalProperties": { "type": "integer", "minimum": 1, "maximum": 999 }
        }
    }
}"#;

struct CartValidator;

impl about::Guest for CartValidator {
    fn describe() -> Description {
        log_panics();
        Description {
            name: "cart-validator".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            // Laws and samples speak of merging, which this plugin does not do.
            laws: Laws::empty(),
            samples: Vec::new(),
            extras: Vec::new(),
        }
    }

    fn check_params(params: Vec<u8>) -> Result<(), String> {
        log_panics();
        schema_of(&params).map(|_| ())
    }
}

impl validator::Guest for CartValidator {
    fn validate(
        _key: Vec<u8>,
        incoming: Sibling,
        _extras: Vec<Extra>,
        params: Vec<u8>,
    ) -> Result<(), Refusal> {
        log_panics();
        let schema = schema_of(&params).map_err(|message| Refusal {
            code: "bad-params".into(),
            message,
        })?;
        schema.check(&incoming.value).map_err(|fault| Refusal {
            code: fault.code.into(),
            message: fault.message,
        })
    }
}

export!(CartValidator);

fn schema_of(params: &[u8]) -> Result<Schema<'_>, String> {
    Schema::parse(if params.is_empty() {
        CART_SCHEMA.as_bytes()
    } else {
        params
    })
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
    use validator::Guest as _;

    fn verdict(value: &str, params: &str) -> Result<(), Refusal> {
        let incoming = Sibling {
            value: value.into(),
            content_type: "application/json".into(),
            metadata: Vec::new(),
            written_at_ms: 0,
            extras: Vec::new(),
        };
        CartValidator::validate(b"k".to_vec(), incoming, Vec::new(), params.into())
    }

    fn cart_of(skus: usize) -> String {
        let items: Vec<String> = (0..skus).map(|sku| format!(r#""{sku}":1"#)).collect();
        format!(r#"{{"items":{{{}}}}}"#, items.join(","))
    }

    #[test]
    fn carts_pass_without_params_and_what_is_none_is_refused() {
        for value in [
            r#"{"items":{}}"#,
            r#"{"items":{"milk":1,"eggs":999}}"#,
            r#"{"items":{"milk":2.0}}"#,
            &cart_of(100),
        ] {
            assert!(verdict(value, "").is_ok(), "{value}");
        }
        for (value, code) in [
            ("{}", "required"),
            ("[]", "type"),
            (r#"{"items":{},"owner":"x"}"#, "additional-property"),
            (r#"{"items":{"milk":0}}"#, "minimum"),
            (r#"{"items":{"milk":1000}}"#, "maximum"),
            (r#"{"items":{"milk":1.5}}"#, "type"),
            (&cart_of(101), "max-properties"),
        ] {
            assert_eq!(verdict(value, "").unwrap_err().code, code, "{value}");
        }
    }

    #[test]
    fn a_refusal_names_the_place_the_number_found_and_the_number_allowed() {
        let refusal = verdict(r#"{"items":{"milk":1000}}"#, "").unwrap_err();
        assert_eq!(
            refusal.message,
            "$.items.milk is 1000, at most 999 is allowed"
        );
    }

    #[test]
    fn params_replace_the_cart_schema() {
        assert!(verdict("7", r#"{"type":"integer"}"#).is_ok());
        assert_eq!(
            verdict("{}", r#"{"type":"integer"}"#).unwrap_err().code,
            "type"
        );
        assert_eq!(
            verdict("{}", r#"{"pattern":""}"#).unwrap_err().code,
            "bad-params"
        );
    }

    #[test]
    fn check_params_accepts_the_cart_schema_itself() {
        assert_eq!(CartValidator::check_params(Vec::new()), Ok(()));
        assert_eq!(CartValidator::check_params(CART_SCHEMA.into()), Ok(()));
        assert!(CartValidator::check_params(b"{\"items\":1}".to_vec()).is_err());
        assert_eq!(CartValidator::describe().laws, Laws::empty());
    }
}
