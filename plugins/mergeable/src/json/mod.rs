//! JSON (RFC 8259) of which equal values have equal bytes.
//!
//! An object that names a key twice is refused, because two readers of it may see two different values. Numbers
//! are exact decimals and never floats: `1`, `1.0` and `1e0` are one number, and nothing is rounded.
//!
//! Invariant: values are equal if and only if they are written as the same bytes.

mod number;
mod reader;
mod writer;

pub use number::Number;
pub use reader::Fault;

use std::borrow::Cow;

/// Arrays and objects inside each other; a deeper text is refused, before it can overflow a guest's stack.
pub const DEPTH_MAX: usize = 128;

/// The members of an object, in strictly ascending order of the names' UTF-8 bytes.
pub type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

/// A value. Borrows from the text whatever needs no rewriting. The order is by kind first, as listed here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    String(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Members<'a>),
}

impl<'a> Json<'a> {
    /// Reads a text that holds one value and nothing else.
    pub fn parse(text: &'a [u8]) -> Result<Json<'a>, Fault> {
        reader::read(text)
    }

    /// Appends the canonical text: names in ascending order, no spaces, as few escapes as JSON allows.
    pub fn write(&self, text: &mut Vec<u8>) {
        writer::write(self, text);
    }

    /// The canonical text.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        self.write(&mut text);
        text
    }

    /// A string.
    pub fn string(text: impl Into<Cow<'a, str>>) -> Json<'a> {
        Json::String(text.into())
    }

    /// An integer.
    pub fn integer(integer: u64) -> Json<'a> {
        Json::Number(Number::from(integer))
    }

    /// The integer that this is, however it was spelt, if it is one from 0 to `max`.
    pub fn as_integer(&self, max: u64) -> Option<u64> {
        match self {
            Json::Number(number) => number.as_u64().filter(|integer| *integer <= max),
            _ => None,
        }
    }

    /// What it is in the words of a message, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// The members, or the words for a message that says what was found instead.
    pub fn into_members(self) -> Result<Members<'a>, String> {
        match self {
            Json::Object(members) => Ok(members),
            other => Err(format!("{}, expected an object", other.kind())),
        }
    }

    /// The elements, or the words for a message that says what was found instead.
    pub fn into_elements(self) -> Result<Vec<Json<'a>>, String> {
        match self {
            Json::Array(elements) => Ok(elements),
            other => Err(format!("{}, expected an array", other.kind())),
        }
    }
}

/// Joins two lists that are in strictly ascending order of the names: `both` decides where a name is in both.
pub fn join_members<'a, T>(
    one: Vec<(Cow<'a, str>, T)>,
    other: Vec<(Cow<'a, str>, T)>,
    mut both: impl FnMut(T, T) -> T,
) -> Vec<(Cow<'a, str>, T)> {
    let mut joined = Vec::with_capacity(one.len().max(other.len()));
    let mut others = other.into_iter().peekable();
    for (name, value) in one {
        while let Some(smaller) = others.next_if(|(other, _)| *other < name) {
            joined.push(smaller);
        }
        match others.next_if(|(other, _)| *other == name) {
            Some((_, other)) => joined.push((name, both(value, other))),
            None => joined.push((name, value)),
        }
    }
    joined.extend(others);
    joined
}
