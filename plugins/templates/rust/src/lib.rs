//! The resolver `line-union`: the union of the lines of all siblings, sorted, each once.
//!
//! Invariant: the answer depends on the bytes of the siblings alone, never on their order.

// Native linkers refuse the names that the contract exports, so off Wasm only the tests exist.
#![cfg(any(test, target_family = "wasm"))]

use exports::rejoin::plugin::about::{self, Description, Laws, Sample};
use exports::rejoin::plugin::resolver::{self, Extra, Resolution, Sibling};
use std::collections::BTreeSet;

wit_bindgen::generate!({ path: "wit", world: "resolver-plugin" });

struct Plugin;

/// The rule itself. An empty line is no line, so an empty value is an empty list.
fn merge<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let lines: BTreeSet<&[u8]> = values
        .flat_map(|value| value.split(|byte| *byte == b'\n'))
        .filter(|line| !line.is_empty())
        .collect();
    lines.into_iter().collect::<Vec<_>>().join(&b'\n')
}

impl resolver::Guest for Plugin {
    fn resolve(_: Vec<u8>, siblings: Vec<Sibling>, _: Vec<Extra>, _: Vec<u8>) -> Resolution {
        Resolution::Merged(merge(siblings.iter().map(|sibling| &sibling.value[..])))
    }
}

impl about::Guest for Plugin {
    fn describe() -> Description {
        Description {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            laws: Laws::COMMUTATIVE | Laws::ASSOCIATIVE | Laws::IDEMPOTENT,
            samples: vec![
                sample(&["apple\npear", "pear\nplum"]),
                sample(&["", "apple", "quince"]),
            ],
            extras: Vec::new(),
        }
    }

    fn check_params(params: Vec<u8>) -> Result<(), String> {
        match params.is_empty() {
            true => Ok(()),
            false => Err("line-union takes no params; bind the bucket with empty params".into()),
        }
    }
}

/// A call that the server tries the laws on.
fn sample(values: &[&str]) -> Sample {
    let siblings = values.iter().map(|value| Sibling {
        value: value.as_bytes().to_vec(),
        content_type: "text/plain".into(),
        metadata: Vec::new(),
        written_at_ms: 1_700_000_000_000,
        extras: Vec::new(),
    });
    Sample {
        key: b"list".to_vec(),
        siblings: siblings.collect(),
        params: Vec::new(),
    }
}

export!(Plugin);

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(values: &[&str]) -> String {
        let merged = merge(values.iter().map(|value| value.as_bytes()));
        String::from_utf8(merged).unwrap()
    }

    #[test]
    fn no_line_is_lost_and_none_is_doubled() {
        assert_eq!(merged(&["apple\npear", "pear\nplum"]), "apple\npear\nplum");
    }

    #[test]
    fn the_order_and_the_grouping_do_not_matter() {
        let all = merged(&["b", "a\nc", "b\nd"]);
        assert_eq!(merged(&["b\nd", "a\nc", "b"]), all);
        assert_eq!(merged(&[&merged(&["b", "a\nc"]), "b\nd"]), all);
        assert_eq!(merged(&[&all, &all]), all);
    }
}
