//! The plugin contract, answered for every resolver that looks at the values and the params alone.
//!
//! A plugin implements [`Merge`] and exports [`Plugin`] of it. Not for plugins that need the key, the metadata or
//! the write times: those answer the contract themselves, as `shopping-cart` shows.
//!
//! Invariant: key, metadata, content types, write times and extras play no part in an answer.

wit_bindgen::generate!({ path: "../../wit/v1", world: "resolver-plugin", pub_export_macro: true });

use exports::rejoin::plugin::{about, resolver};
use std::marker::PhantomData;

/// A rule that makes one value of several.
pub trait Merge {
    /// As in the catalog, e.g. `grow-only-set`.
    const NAME: &'static str;
    const VERSION: &'static str;
    /// Of the samples; the rule itself does not look at it.
    const CONTENT_TYPE: &'static str = "application/json";

    /// Calls that are typical; the server tries the laws on them.
    fn samples() -> Vec<Sample>;

    /// The error is shown to the operator who binds a bucket.
    fn check_params(params: &[u8]) -> Result<(), String>;

    /// Must be commutative, associative and idempotent. The error is the reason why the siblings stay.
    fn merge(values: &[&[u8]], params: &[u8]) -> Result<Vec<u8>, String>;
}

/// One typical call.
pub struct Sample {
    pub params: String,
    pub values: Vec<Vec<u8>>,
}

impl Sample {
    /// Values that are text, without params.
    pub fn of_texts(values: &[&str]) -> Sample {
        Sample::with_params("", values)
    }

    /// Values that are text.
    pub fn with_params(params: &str, values: &[&str]) -> Sample {
        Sample {
            params: params.to_owned(),
            values: values
                .iter()
                .map(|value| value.as_bytes().to_vec())
                .collect(),
        }
    }
}

/// Answers for [`Merge::check_params`] of a plugin that has no params.
pub fn without_params(name: &str, params: &[u8]) -> Result<(), String> {
    if params.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{name} takes no params, {} bytes were given; bind the bucket with empty params",
        params.len()
    ))
}

/// The exports of a rule.
pub struct Plugin<M>(PhantomData<M>);

impl<M: Merge> about::Guest for Plugin<M> {
    fn describe() -> about::Description {
        log_panics();
        about::Description {
            name: M::NAME.into(),
            version: M::VERSION.into(),
            laws: about::Laws::COMMUTATIVE | about::Laws::ASSOCIATIVE | about::Laws::IDEMPOTENT,
            samples: M::samples().into_iter().map(typical_call::<M>).collect(),
            extras: Vec::new(),
        }
    }

    fn check_params(params: Vec<u8>) -> Result<(), String> {
        log_panics();
        M::check_params(&params)
    }
}

impl<M: Merge> resolver::Guest for Plugin<M> {
    fn resolve(
        _key: Vec<u8>,
        siblings: Vec<resolver::Sibling>,
        _extras: Vec<resolver::Extra>,
        params: Vec<u8>,
    ) -> resolver::Resolution {
        log_panics();
        let values: Vec<&[u8]> = siblings
            .iter()
            .map(|sibling| sibling.value.as_slice())
            .collect();
        match M::merge(&values, &params) {
            Ok(merged) => resolver::Resolution::Merged(merged),
            Err(reason) => resolver::Resolution::KeepSiblings(reason),
        }
    }
}

fn typical_call<M: Merge>(sample: Sample) -> about::Sample {
    let sibling = |(value, second): (Vec<u8>, u64)| about::Sibling {
        value,
        content_type: M::CONTENT_TYPE.into(),
        metadata: Vec::new(),
        written_at_ms: 1_700_000_000_000 + second * 1000,
        extras: Vec::new(),
    };
    about::Sample {
        key: format!("{}/1", M::NAME).into_bytes(),
        siblings: sample.values.into_iter().zip(1..).map(sibling).collect(),
        params: sample.params.into_bytes(),
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
