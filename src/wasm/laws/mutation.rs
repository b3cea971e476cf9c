//! Cases made of the author's samples, by small changes that writers and clocks make in life.
//!
//! Knows JSON, lines and numbers well enough to change a part of them; everything else is bytes.
//!
//! Invariant: the changes depend on the dice only, and the dice on the plugin only.

use super::case::{Case, Origin};
use super::dice::Dice;
use crate::dynamo::causality::version::{Content, Version};
use bytes::Bytes;
use serde_json::Value;

/// So many cases of these samples, in turn.
pub(super) fn cases(samples: &[Case], count: usize, dice: &mut Dice) -> Vec<Case> {
    let turns = samples.iter().cycle().take(match samples.is_empty() {
        true => 0,
        false => count,
    });
    turns.filter_map(|sample| changed(sample, dice)).collect()
}

fn changed(sample: &Case, dice: &mut Dice) -> Option<Case> {
    let many = 2 + dice.below(3);
    let from = &sample.siblings;
    let mut siblings: Vec<Version> = (0..many)
        .map(|place| match place < from.len() && dice.below(3) > 0 {
            true => from[place].clone(),
            false => from[dice.below(from.len())].clone(),
        })
        .collect();
    for _ in 0..1 + dice.below(3) {
        change(&mut siblings, dice);
    }
    let (key, params) = (sample.key.clone(), sample.params.clone());
    Case::new(Origin::Mutated, key, params, siblings)
}

fn change(siblings: &mut [Version], dice: &mut Dice) {
    let place = dice.below(siblings.len());
    let other = dice.below(siblings.len());
    match dice.below(12) {
        0 => siblings[place] = siblings[other].clone(),
        1 => {
            let at = siblings[other].written_at_ms;
            siblings.iter_mut().for_each(|s| s.written_at_ms = at);
        }
        2 => siblings[place].written_at_ms = dice.below(10) as u64,
        3 => siblings[place].written_at_ms = siblings[other].written_at_ms,
        4 => siblings[place].content = Content::Value(Bytes::new()),
        5 => siblings[place].content = siblings[other].content.clone(),
        6 => {
            let by = ["anna", "bert"][dice.below(2)].to_owned();
            siblings[place].metadata.insert("by".to_owned(), by);
        }
        7 => siblings[place].content_type = ["", "a/b", "c/d"][dice.below(3)].to_owned(),
        _ => {
            let (value, donor) = (value(&siblings[place]), value(&siblings[other]));
            siblings[place].content = Content::Value(edited(&value, &donor, dice));
        }
    }
}

fn value(version: &Version) -> Bytes {
    version.bytes().cloned().unwrap_or_default()
}

fn edited(value: &Bytes, donor: &Bytes, dice: &mut Dice) -> Bytes {
    if let Ok(mut json) = serde_json::from_slice::<Value>(value) {
        let donor = serde_json::from_slice(donor).unwrap_or(Value::Null);
        edit_json(&mut json, &donor, dice);
        return json.to_string().into();
    }
    if value.contains(&b'\n') {
        return edited_lines(value, donor, dice);
    }
    if value.len() == 8 && dice.below(2) == 0 {
        let odd = [f64::NAN, -0.0, f64::INFINITY, 1.0];
        return Bytes::copy_from_slice(&odd[dice.below(odd.len())].to_le_bytes());
    }
    edited_bytes(value, dice)
}

/// Goes down to some part of the value and changes it; `donor` is the other sibling's part of the same name.
fn edit_json(json: &mut Value, donor: &Value, dice: &mut Dice) {
    match json {
        Value::Object(fields) if !fields.is_empty() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = &names[dice.below(names.len())];
            match dice.below(6) {
                0 => drop(fields.remove(name)),
                1 => drop(fields.insert("new".to_owned(), fields[name].clone())),
                2 if donor.get(name).is_some() => {
                    fields.insert(name.clone(), donor[name].clone());
                }
                _ => {
                    let donor = donor.get(name).unwrap_or(&Value::Null);
                    if let Some(inner) = fields.get_mut(name) {
                        edit_json(inner, donor, dice);
                    }
                }
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            let place = dice.below(elements.len());
            match dice.below(4) {
                0 => drop(elements.remove(place)),
                1 => elements.push(elements[place].clone()),
                2 => elements.reverse(),
                _ => edit_json(&mut elements[place], &Value::Null, dice),
            }
        }
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or(0);
            let changed = [number.saturating_add(1), number.saturating_sub(1), 0, -1, 7];
            *json = changed[dice.below(changed.len())].into();
        }
        Value::String(text) if dice.below(3) > 0 => text.push('x'),
        _ => *json = [Value::Null, 1.into(), "x".into()][dice.below(3)].clone(),
    }
}

fn edited_lines(value: &Bytes, donor: &Bytes, dice: &mut Dice) -> Bytes {
    let mut lines: Vec<&[u8]> = value.split(|byte| *byte == b'\n').collect();
    let others: Vec<&[u8]> = donor.split(|byte| *byte == b'\n').collect();
    let place = dice.below(lines.len());
    match dice.below(4) {
        0 => drop(lines.remove(place)),
        1 => lines.push(lines[place]),
        2 => lines.reverse(),
        _ => lines.push(others[dice.below(others.len())]),
    }
    lines.join(&b'\n').into()
}

fn edited_bytes(value: &Bytes, dice: &mut Dice) -> Bytes {
    let mut bytes = value.to_vec();
    let place = dice.below(bytes.len() + 1);
    match dice.below(4) {
        0 => bytes.insert(place, b"019az-"[dice.below(6)]),
        1 => bytes.truncate(place),
        2 if place < bytes.len() => drop(bytes.remove(place)),
        _ if place < bytes.len() => bytes[place] = bytes[place].wrapping_add(1),
        _ => bytes.push(b'1'),
    }
    bytes.into()
}
