//! Reads JSON text into a value, in one pass and without copying what needs no rewriting.
//!
//! Invariant: any bytes give a value or a fault, with a stack bounded by the depth and memory bounded by the text.

use std::borrow::Cow;
use std::fmt;

use super::{DEPTH_MAX, Json, Members, Number};

/// Names are quoted up to this length, so that no text can blow up a message.
const QUOTE_CHARS_MAX: usize = 40;

/// Why a text is not JSON, for people, with the place as a count of bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    place: usize,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    NotUtf8,
    Expected(&'static str),
    Bad(&'static str),
    TooDeep,
    Twice(String),
}

impl Fault {
    /// An object names a key twice. The text is JSON to the letter, but not to two readers.
    pub fn is_duplicate(&self) -> bool {
        matches!(self.what, What::Twice(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.what {
            What::NotUtf8 => write!(f, "not UTF-8")?,
            What::Expected(what) => write!(f, "expected {what}")?,
            What::Bad(what) => write!(f, "{what}")?,
            What::TooDeep => write!(
                f,
                "more than {DEPTH_MAX} arrays and objects inside each other"
            )?,
            What::Twice(name) => write!(f, "the name {name:?} twice in the object that ends")?,
        }
        write!(f, " at byte {}", self.place)
    }
}

pub(super) fn read(text: &[u8]) -> Result<Json<'_>, Fault> {
    let text = std::str::from_utf8(text).map_err(|error| Fault {
        place: error.valid_up_to(),
        what: What::NotUtf8,
    })?;
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
    };
    let value = reader.value()?;
    match reader.next_byte() {
        None => Ok(value),
        Some(_) => reader.expected("the end of the text"),
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Json<'a>, Fault> {
        match self.next_byte() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'{') => self.deeper(Self::object),
            Some(b'[') => self.deeper(Self::array),
            Some(b'-' | b'0'..=b'9') => Ok(Json::Number(self.number()?)),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => self.expected("a value"),
        }
    }

    fn deeper(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Json<'a>, Fault>,
    ) -> Result<Json<'a>, Fault> {
        if self.depth == DEPTH_MAX {
            return self.fault(What::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Json<'a>, Fault> {
        let mut members = Members::new();
        if self.takes(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            if self.next_byte() != Some(b'"') {
                return self.expected("a name in double quotes");
            }
            let name = self.string()?;
            if !self.takes(b':') {
                return self.expected("a colon");
            }
            members.push((name, self.value()?));
            if self.takes(b'}') {
                return self.in_order(members);
            }
            if !self.takes(b',') {
                return self.expected("a comma or the end of the object");
            }
        }
    }

    /// What these plugins have written is in ascending order already.
    fn in_order(&self, mut members: Members<'a>) -> Result<Json<'a>, Fault> {
        if !members.is_sorted_by(|(name, _), (next, _)| name < next) {
            members.sort_by(|(name, _), (other, _)| name.cmp(other));
            if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                let name = pair[0].0.chars().take(QUOTE_CHARS_MAX).collect();
                return self.fault(What::Twice(name));
            }
        }
        Ok(Json::Object(members))
    }

    fn array(&mut self) -> Result<Json<'a>, Fault> {
        let mut elements = Vec::new();
        if self.takes(b']') {
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.takes(b']') {
                return Ok(Json::Array(elements));
            }
            if !self.takes(b',') {
                return self.expected("a comma or the end of the array");
            }
        }
    }

    fn number(&mut self) -> Result<Number<'a>, Fault> {
        let start = self.at;
        self.skip(b'-');
        if !self.skip(b'0') && self.digits() == 0 {
            return self.expected("a digit");
        }
        if self.skip(b'.') && self.digits() == 0 {
            return self.expected("a digit");
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _is_signed = self.skip(b'+') || self.skip(b'-');
            if self.digits() == 0 {
                return self.expected("a digit");
            }
        }
        match Number::from_token(&self.text[start..self.at]) {
            Some(number) => Ok(number),
            None => self.fault(What::Bad("an exponent of more than nine digits")),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let run = self.run()?;
        if self.bytes[self.at] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(run));
        }
        let mut unescaped = run.to_owned();
        loop {
            if self.bytes[self.at] == b'"' {
                self.at += 1;
                return Ok(Cow::Owned(unescaped));
            }
            unescaped.push(self.escape()?);
            unescaped.push_str(self.run()?);
        }
    }

    /// The text up to the next quote or backslash, which is there.
    fn run(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.bytes[self.at..];
        let stops = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < b' ';
        match rest.iter().position(stops) {
            Some(length) if rest[length] >= b' ' => {
                let run = &self.text[self.at..self.at + length];
                self.at += length;
                Ok(run)
            }
            Some(length) => {
                self.at += length;
                self.fault(What::Bad("a control character inside a string"))
            }
            None => {
                self.at = self.bytes.len();
                self.expected("the end of the string")
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        self.at += 1;
        let escaped = match self.bytes.get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.expected("an escape"),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let first = self.unit()?;
        let code = if (0xD800..0xDC00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u")
        {
            self.at += 1;
            let second = self.unit()?;
            if !(0xDC00..0xE000).contains(&second) {
                return self.fault(What::Bad("half of a surrogate pair"));
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.fault(What::Bad("half of a surrogate pair")),
        }
    }

    /// The four digits behind `\u`.
    fn unit(&mut self) -> Result<u32, Fault> {
        let digits = self.bytes.get(self.at + 1..self.at + 5).unwrap_or(b"");
        let mut unit = 0;
        for digit in digits {
            match char::from(*digit).to_digit(16) {
                Some(digit) => unit = unit * 16 + digit,
                None => return self.expected("four hexadecimal digits"),
            }
        }
        if digits.is_empty() {
            return self.expected("four hexadecimal digits");
        }
        self.at += 5;
        Ok(unit)
    }

    fn word(&mut self, word: &'static str, value: Json<'a>) -> Result<Json<'a>, Fault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.expected("a value");
        }
        self.at += word.len();
        Ok(value)
    }

    /// The next byte that is no space, which is not taken.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    fn takes(&mut self, wanted: u8) -> bool {
        self.next_byte();
        self.skip(wanted)
    }

    /// Without spaces in front.
    fn skip(&mut self, wanted: u8) -> bool {
        let is_there = self.bytes.get(self.at) == Some(&wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn expected<T>(&self, what: &'static str) -> Result<T, Fault> {
        self.fault(What::Expected(what))
    }

    fn fault<T>(&self, what: What) -> Result<T, Fault> {
        Err(Fault {
            place: self.at,
            what,
        })
    }
}
