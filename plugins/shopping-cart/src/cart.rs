//! A shopping cart, and how several become one.
//!
//! The Dynamo paper, sections 1 and 4.4: adding to the cart must never be lost, so the merge is the union of
//! the items and the larger quantity of each. Knows nothing of plugins. Does not remember removals:
//! an item deleted on one side and still present on the other comes back.
//!
//! Invariant: [`merge`] is commutative, associative and idempotent down to the byte.

use std::borrow::Cow;

use mergeable::json::{Json, join_members};
use mergeable::siblings::{self, Rule, Unfit};

/// The skus in ascending order of their UTF-8 bytes, with their quantities.
struct Cart<'a>(Vec<(Cow<'a, str>, u32)>);

/// Merges the carts into canonical JSON: skus in ascending order of their UTF-8 bytes, no spaces.
///
/// Siblings that are the same cart byte for byte are answered with those bytes, even when they are
/// not canonical: otherwise merging a value with itself would rewrite it.
pub fn merge(values: &[&[u8]]) -> Result<Vec<u8>, Unfit> {
    let rule = Rule {
        kind: "a cart",
        read: Cart::read,
        join: Cart::join,
        give: Cart::into_json,
    };
    siblings::merge(values, rule)
}

impl<'a> Cart<'a> {
    fn read(json: Json<'a>) -> Result<Self, String> {
        let mut items = None;
        for (name, value) in json.into_members()? {
            // Ignoring an unknown field would lose its data in the merge.
            if name != "items" {
                return Err(format!("unknown field {name:?}; a cart has only items"));
            }
            items = Some(
                value
                    .into_members()
                    .map_err(|why| format!("`items` is {why}"))?,
            );
        }
        let items = items.ok_or("the field `items` is missing")?;
        let quantity =
            |(sku, quantity): (Cow<'a, str>, Json)| match quantity.as_integer(u32::MAX.into()) {
                Some(quantity) => Ok((sku, quantity as u32)),
                None => Err(format!(
                    "sku {sku:?} has {}, expected an integer from 0 to {}",
                    found(&quantity),
                    u32::MAX
                )),
            };
        items
            .into_iter()
            .map(quantity)
            .collect::<Result<_, _>>()
            .map(Cart)
    }

    /// The union, with the larger quantity of each.
    fn join(self, other: Self) -> Self {
        Cart(join_members(self.0, other.0, u32::max))
    }

    fn into_json(self) -> Json<'a> {
        let item = |(sku, quantity)| (sku, Json::integer(u64::from(quantity)));
        let items = Json::Object(self.0.into_iter().map(item).collect());
        Json::Object(vec![("items".into(), items)])
    }
}

/// The number itself where it is one: that is what its writer will look for.
fn found(quantity: &Json) -> String {
    match quantity {
        Json::Number(number) => number.text().to_owned(),
        other => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cart over two skus with quantities 0..=2 or the sku absent, and two that are not
    /// canonical: with spaces, and with the skus in descending order.
    fn all_small_carts() -> Vec<Vec<u8>> {
        let quantity = |choice: u32| choice.checked_sub(1);
        let mut carts: Vec<Vec<u8>> = (0..16)
            .map(|choice| {
                let a = quantity(choice % 4).map(|n| ("a".into(), n));
                let b = quantity(choice / 4).map(|n| ("b\n".into(), n));
                Cart(a.into_iter().chain(b).collect())
                    .into_json()
                    .to_bytes()
            })
            .collect();
        carts.push(br#" { "items" : { "a" : 1 } } "#.to_vec());
        carts.push(br#"{"items":{"b\n":1,"a":2}}"#.to_vec());
        carts
    }

    fn merged(values: &[&[u8]]) -> Vec<u8> {
        merge(values).unwrap()
    }

    #[test]
    fn merge_is_commutative() {
        let carts = all_small_carts();
        for (a, b) in carts.iter().flat_map(|a| carts.iter().map(move |b| (a, b))) {
            assert_eq!(merged(&[a, b]), merged(&[b, a]));
            for c in &carts {
                assert_eq!(merged(&[a, b, c]), merged(&[c, a, b]));
                assert_eq!(merged(&[a, b, c]), merged(&[b, a, c]));
            }
        }
    }

    #[test]
    fn merge_is_associative() {
        let carts = all_small_carts();
        for (a, b) in carts.iter().flat_map(|a| carts.iter().map(move |b| (a, b))) {
            for c in &carts {
                let at_once = merged(&[a, b, c]);
                assert_eq!(at_once, merged(&[&merged(&[a, b]), c]));
                assert_eq!(at_once, merged(&[a, &merged(&[b, c])]));
            }
        }
    }

    #[test]
    fn merge_is_idempotent_even_for_carts_that_are_not_canonical() {
        for cart in &all_small_carts() {
            assert_eq!(&merged(&[cart, cart]), cart);
        }
        let carts = all_small_carts();
        for (a, b) in carts.iter().flat_map(|a| carts.iter().map(move |b| (a, b))) {
            let both = merged(&[a, b]);
            assert_eq!(merged(&[&both, &both]), both);
            assert_eq!(merged(&[&both, a]), merged(&[a, b, a]));
        }
    }

    #[test]
    fn no_item_is_lost_and_no_quantity_shrinks() {
        let merged = merged(&[
            br#"{"items":{"bread":1,"milk":2}}"#,
            br#"{"items":{"eggs":12,"milk":3}}"#,
            br#"{"items":{"milk":1}}"#,
        ]);
        assert_eq!(merged, br#"{"items":{"bread":1,"eggs":12,"milk":3}}"#);
    }

    #[test]
    fn equal_skus_written_differently_are_one_item() {
        let merged = merged(&[br#"{"items":{"\u006dilk":1}}"#, br#"{"items":{"milk":2}}"#]);
        assert_eq!(merged, br#"{"items":{"milk":2}}"#);
    }

    #[test]
    fn a_whole_number_is_a_quantity_however_it_is_spelt() {
        let merged = merged(&[
            br#"{"items":{"bread":1e0,"milk":2.0}}"#,
            br#"{"items":{"milk":1}}"#,
        ]);
        assert_eq!(merged, br#"{"items":{"bread":1,"milk":2}}"#);
    }

    #[test]
    fn what_is_not_a_cart_is_refused_with_its_place_and_the_fault() {
        let faults: [(&str, &str); 12] = [
            ("milk", "expected a value at byte 0"),
            ("", "expected a value at byte 0"),
            ("[{}]", "an array, expected an object"),
            ("{}", "the field `items` is missing"),
            (r#"{"items":[]}"#, "`items` is an array, expected an object"),
            (
                r#"{"items":{"a":-1}}"#,
                r#"sku "a" has -1, expected an integer"#,
            ),
            (r#"{"items":{"a":4294967296}}"#, "has 4294967296"),
            (r#"{"items":{"a":1.5}}"#, "has 1.5"),
            (r#"{"items":{"a":"1"}}"#, "has a string"),
            (r#"{"items":{"a":1,"a":2}}"#, r#"the name "a" twice"#),
            (r#"{"items":{},"owner":"x"}"#, r#"unknown field "owner""#),
            (r#"{"items":{}} {}"#, "expected the end of the text"),
        ];
        for (value, fault) in faults {
            let refused = merge(&[br#"{"items":{}}"#, value.as_bytes()])
                .unwrap_err()
                .to_string();
            assert!(
                refused.starts_with("sibling 2 of 2 is not a cart: "),
                "{refused}"
            );
            assert!(refused.contains(fault), "{value}: {refused}");
        }
    }

    #[test]
    fn a_value_that_is_not_utf8_is_refused() {
        assert!(merge(&[b"{\"items\":{\"\xff\":1}}", br#"{"items":{}}"#]).is_err());
    }

    #[test]
    fn a_huge_fault_is_quoted_only_in_part() {
        let value = format!(r#"{{"items":{{"{}":-1}}}}"#, "é".repeat(10_000));
        let refused = merge(&[value.as_bytes(), b"{}"]).unwrap_err().to_string();
        assert!(refused.len() < 300 && refused.ends_with("..."), "{refused}");
    }
}
