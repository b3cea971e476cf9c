//! A shopping cart, and how several become one.
//!
//! The Dynamo paper, sections 1 and 4.4: adding to the cart must never be lost, so the merge is the union of
//! the items and the larger quantity of each. Knows nothing of plugins. Does not remember removals:
//! an item deleted on one side and still present on the other comes back.
//!
//! Invariant: [`merge`] is commutative, associative and idempotent down to the byte.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// The reason is shown to clients and the server bounds it, so a huge stray value is quoted only in part.
const REASON_BYTES_MAX: usize = 240;

/// A value that cannot be merged because it is not a cart. The siblings stay as they are.
#[derive(Debug)]
pub struct NotACart {
    /// Place in the list, counted from one because people read it.
    place: usize,
    siblings: usize,
    why: String,
}

/// Merges the carts into canonical JSON: skus in ascending order of their UTF-8 bytes, no spaces.
///
/// Siblings that are the same cart byte for byte are answered with those bytes, even when they are
/// not canonical: otherwise merging a value with itself would rewrite it.
pub fn merge(values: &[&[u8]]) -> Result<Vec<u8>, NotACart> {
    let mut items = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let cart: Cart = serde_json::from_slice(value)
            .map_err(|error| NotACart::new(index + 1, values.len(), error.to_string()))?;
        items.extend(cart.0);
    }
    if values.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(values
            .first()
            .map(|value| value.to_vec())
            .unwrap_or_default());
    }
    Ok(canonical_json(&union(items)))
}

/// One entry for each sku, with the largest quantity, in ascending order.
fn union(mut items: Vec<Item>) -> Vec<Item> {
    // The largest quantity of a sku sorts first, and the first is what `dedup` keeps.
    items.sort_by(|(sku, quantity), (other_sku, other_quantity)| {
        sku.cmp(other_sku).then(other_quantity.cmp(quantity))
    });
    items.dedup_by(|(sku, _), (kept_sku, _)| sku == kept_sku);
    items
}

fn canonical_json(items: &[Item]) -> Vec<u8> {
    let mut json = br#"{"items":{"#.to_vec();
    for (index, (Sku(sku), quantity)) in items.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        serde_json::to_writer(&mut json, sku).expect("a string always has a JSON form");
        json.push(b':');
        serde_json::to_writer(&mut json, quantity).expect("an integer always has a JSON form");
    }
    json.extend_from_slice(b"}}");
    json
}

impl NotACart {
    fn new(place: usize, siblings: usize, mut why: String) -> Self {
        if why.len() > REASON_BYTES_MAX {
            let end = (0..=REASON_BYTES_MAX)
                .rev()
                .find(|&at| why.is_char_boundary(at));
            why.truncate(end.unwrap_or(0));
            why.push_str("...");
        }
        NotACart {
            place,
            siblings,
            why,
        }
    }
}

impl fmt::Display for NotACart {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "sibling {} of {} is not a cart: {}",
            self.place, self.siblings, self.why
        )
    }
}

/// A sku and its quantity.
type Item<'a> = (Sku<'a>, u32);

/// Borrows from the value unless the JSON text escapes something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Sku<'a>(#[serde(borrow)] Cow<'a, str>);

/// A list and not a map, because a map would hide a sku that appears twice.
struct Cart<'a>(Vec<Item<'a>>);

/// Written by hand because a derived reader would also take an array for an object.
impl<'de: 'a, 'a> Deserialize<'de> for Cart<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CartVisitor;
        impl<'de> Visitor<'de> for CartVisitor {
            type Value = Cart<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(r#"an object such as {"items":{"milk":1}}"#)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cart<'de>, A::Error> {
                let mut items = None;
                while let Some(Sku(field)) = map.next_key()? {
                    // Ignoring an unknown field would lose its data in the merge.
                    if field != "items" {
                        return Err(de::Error::unknown_field(&field, &["items"]));
                    }
                    if items.is_some() {
                        return Err(de::Error::duplicate_field("items"));
                    }
                    items = Some(map.next_value::<Items>()?.0);
                }
                items
                    .map(Cart)
                    .ok_or_else(|| de::Error::missing_field("items"))
            }
        }
        deserializer.deserialize_map(CartVisitor)
    }
}

/// The object below `items`, in ascending order of the skus, none of them twice.
struct Items<'a>(Vec<Item<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object from sku to quantity")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Items<'de>, A::Error> {
                let mut items: Vec<Item> = Vec::new();
                while let Some(item) = map.next_entry()? {
                    items.push(item);
                }
                // What this plugin has written is in ascending order already.
                if items.is_sorted_by(|(sku, _), (next, _)| sku < next) {
                    return Ok(Items(items));
                }
                items.sort();
                match items.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                    Some(pair) => Err(de::Error::custom(format_args!(
                        "sku `{}` twice",
                        pair[0].0.0
                    ))),
                    None => Ok(Items(items)),
                }
            }
        }
        deserializer.deserialize_map(ItemsVisitor)
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
                let a = quantity(choice % 4).map(|n| (Sku("a".into()), n));
                let b = quantity(choice / 4).map(|n| (Sku("b\n".into()), n));
                canonical_json(&a.into_iter().chain(b).collect::<Vec<_>>())
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
    fn what_is_not_a_cart_is_refused_with_its_place_and_the_fault() {
        let faults: [(&str, &str); 11] = [
            ("milk", "expected value"),
            ("", "EOF"),
            ("[{}]", "invalid type: sequence"),
            ("{}", "missing field `items`"),
            (r#"{"items":[]}"#, "invalid type: sequence"),
            (r#"{"items":{"a":-1}}"#, "-1"),
            (r#"{"items":{"a":4294967296}}"#, "4294967296"),
            (r#"{"items":{"a":1.0}}"#, "floating point"),
            (r#"{"items":{"a":1,"a":2}}"#, "sku `a` twice"),
            (r#"{"items":{},"owner":"x"}"#, "unknown field `owner`"),
            (r#"{"items":{}} {}"#, "trailing characters"),
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
        let value = format!(r#"{{"items":"{}"}}"#, "é".repeat(10_000));
        let refused = merge(&[value.as_bytes(), b"{}"]).unwrap_err().to_string();
        assert!(
            refused.len() < REASON_BYTES_MAX + 60 && refused.ends_with("..."),
            "{refused}"
        );
    }
}
