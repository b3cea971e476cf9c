//! The subset of JSON Schema that operators may give as params, and the judgement by it.
//!
//! Keywords: `type`, `required`, `properties`, `additionalProperties`, `minimum`, `maximum`,
//! `minLength`, `maxLength`, `maxProperties`, `enum`, with the meaning of JSON Schema 2020-12.
//! Any other keyword is an error and not an annotation: a rule that is silently not applied is
//! worse than one that is refused. Does not look into the elements of arrays.
//!
//! Invariant: a keyword judges only values of its own kind, so `maximum` alone lets a string pass.

use std::collections::BTreeMap;
use std::fmt::Write;

use mergeable::json::{Json, Members, Number};

/// Names of keys and strings are quoted up to this length, so that no value can blow up a message.
const QUOTE_CHARS_MAX: usize = 40;

const TYPES: [&str; 7] = [
    "null", "boolean", "integer", "number", "string", "array", "object",
];

const KEYWORDS: &str = "type, required, properties, additionalProperties, minimum, maximum, \
                        minLength, maxLength, maxProperties, enum";

/// Why a value is refused. The codes are part of what users rely on.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
}

#[derive(Debug, Default)]
pub struct Schema<'a> {
    /// Empty if any type will do.
    types: Vec<&'static str>,
    required: Vec<String>,
    properties: BTreeMap<String, Schema<'a>>,
    additional: Additional<'a>,
    numbers: Range<Number<'a>>,
    lengths: Range<u64>,
    properties_max: Option<u64>,
    allowed: Option<Vec<Json<'a>>>,
}

/// What is said of the properties that have no schema of their own.
#[derive(Debug, Default)]
enum Additional<'a> {
    #[default]
    Allowed,
    Forbidden,
    Judged(Box<Schema<'a>>),
}

#[derive(Debug)]
struct Range<T> {
    min: Option<T>,
    max: Option<T>,
}

impl<T> Default for Range<T> {
    fn default() -> Self {
        Range {
            min: None,
            max: None,
        }
    }
}

impl<'a> Schema<'a> {
    /// The error says where in the schema the fault is, in words for the operator.
    pub fn parse(text: &'a [u8]) -> Result<Schema<'a>, String> {
        let json = Json::parse(text).map_err(|fault| format!("the schema is not JSON: {fault}"))?;
        Schema::read(&json, "$")
    }

    /// Judges the text of a value.
    pub fn check(&self, text: &[u8]) -> Result<(), Fault> {
        let value = Json::parse(text).map_err(|fault| Fault {
            code: if fault.is_duplicate() {
                "duplicate-key"
            } else {
                "not-json"
            },
            message: format!("the value is not acceptable JSON: {fault}"),
        })?;
        self.judge(&value, &Path::Root)
    }
}

/// Reading a schema.
impl<'a> Schema<'a> {
    fn read(json: &Json<'a>, at: &str) -> Result<Schema<'a>, String> {
        let Json::Object(keywords) = json else {
            return Err(format!("{at} is {}, a schema is an object", kind_of(json)));
        };
        let mut schema = Schema::default();
        for (keyword, json) in keywords {
            schema.read_keyword(keyword, json, &format!("{at}.{}", shorten(keyword)))?;
        }
        Ok(schema)
    }

    fn read_keyword(&mut self, keyword: &str, json: &Json<'a>, at: &str) -> Result<(), String> {
        match keyword {
            "type" => self.types = read_types(json, at)?,
            "required" => self.required = read_strings(json, at)?,
            "properties" => self.properties = read_properties(json, at)?,
            "additionalProperties" => self.additional = read_additional(json, at)?,
            "minimum" => self.numbers.min = Some(read_number(json, at)?),
            "maximum" => self.numbers.max = Some(read_number(json, at)?),
            "minLength" => self.lengths.min = Some(read_count(json, at)?),
            "maxLength" => self.lengths.max = Some(read_count(json, at)?),
            "maxProperties" => self.properties_max = Some(read_count(json, at)?),
            "enum" => self.allowed = Some(read_array(json, at)?.to_vec()),
            _ => {
                return Err(format!(
                    "the keyword at {at} is not supported; supported are {KEYWORDS}"
                ));
            }
        }
        Ok(())
    }
}

fn read_types(json: &Json, at: &str) -> Result<Vec<&'static str>, String> {
    let names = match json {
        Json::String(name) => vec![name.to_string()],
        _ => read_strings(json, at)?,
    };
    let known = |name: &String| {
        TYPES
            .into_iter()
            .find(|known| known == name)
            .ok_or_else(|| {
                format!(
                    "{at} names the type {}; types are {}",
                    quote(name),
                    TYPES.join(", ")
                )
            })
    };
    names.iter().map(known).collect()
}

fn read_properties<'a>(json: &Json<'a>, at: &str) -> Result<BTreeMap<String, Schema<'a>>, String> {
    let Json::Object(properties) = json else {
        return Err(format!(
            "{at} is {}, expected an object of schemas",
            kind_of(json)
        ));
    };
    let mut read = BTreeMap::new();
    for (name, json) in properties {
        let schema = Schema::read(json, &format!("{at}.{}", shorten(name)))?;
        read.insert(name.to_string(), schema);
    }
    Ok(read)
}

fn read_additional<'a>(json: &Json<'a>, at: &str) -> Result<Additional<'a>, String> {
    match json {
        Json::Bool(true) => Ok(Additional::Allowed),
        Json::Bool(false) => Ok(Additional::Forbidden),
        _ => Ok(Additional::Judged(Box::new(Schema::read(json, at)?))),
    }
}

fn read_number<'a>(json: &Json<'a>, at: &str) -> Result<Number<'a>, String> {
    match json {
        Json::Number(number) => Ok(number.clone()),
        _ => Err(format!("{at} is {}, expected a number", kind_of(json))),
    }
}

fn read_count(json: &Json, at: &str) -> Result<u64, String> {
    let count = json.as_integer(u64::MAX);
    count.ok_or_else(|| {
        format!(
            "{at} is {}, expected an integer of 0 or more",
            kind_of(json)
        )
    })
}

fn read_strings(json: &Json, at: &str) -> Result<Vec<String>, String> {
    let read = |json: &Json| match json {
        Json::String(string) => Ok(string.to_string()),
        _ => Err(format!("{at} holds {}, expected strings", kind_of(json))),
    };
    read_array(json, at)?.iter().map(read).collect()
}

fn read_array<'j, 'a>(json: &'j Json<'a>, at: &str) -> Result<&'j [Json<'a>], String> {
    match json {
        Json::Array(array) if !array.is_empty() => Ok(array),
        Json::Array(_) => Err(format!("{at} is empty; leave it out to allow everything")),
        _ => Err(format!("{at} is {}, expected an array", kind_of(json))),
    }
}

/// Judging a value.
impl Schema<'_> {
    fn judge(&self, value: &Json, at: &Path) -> Result<(), Fault> {
        self.judge_type(value, at)?;
        self.judge_enum(value, at)?;
        match value {
            Json::Number(number) => self.judge_number(number, at),
            Json::String(string) => self.judge_length(string, at),
            Json::Object(object) => self.judge_object(object, at),
            _ => Ok(()),
        }
    }

    fn judge_type(&self, value: &Json, at: &Path) -> Result<(), Fault> {
        if self.types.is_empty() || self.types.iter().any(|name| has_type(value, name)) {
            return Ok(());
        }
        refuse(
            "type",
            at,
            format!(
                "is {}, expected {}",
                kind_of(value),
                self.types.join(" or ")
            ),
        )
    }

    fn judge_enum(&self, value: &Json, at: &Path) -> Result<(), Fault> {
        match &self.allowed {
            Some(allowed) if !allowed.contains(value) => {
                let names: Vec<String> = allowed.iter().take(8).map(kind_of).collect();
                let more = if allowed.len() > 8 { ", ..." } else { "" };
                let names = names.join(", ");
                refuse(
                    "enum",
                    at,
                    format!("is {}, allowed are {names}{more}", kind_of(value)),
                )
            }
            _ => Ok(()),
        }
    }

    fn judge_number(&self, number: &Number, at: &Path) -> Result<(), Fault> {
        match (&self.numbers.min, &self.numbers.max) {
            (Some(min), _) if number < min => refuse(
                "minimum",
                at,
                format!("is {number}, at least {min} is allowed"),
            ),
            (_, Some(max)) if number > max => refuse(
                "maximum",
                at,
                format!("is {number}, at most {max} is allowed"),
            ),
            _ => Ok(()),
        }
    }

    /// Counts Unicode code points, as JSON Schema does.
    fn judge_length(&self, string: &str, at: &Path) -> Result<(), Fault> {
        let length = string.chars().count() as u64;
        match (self.lengths.min, self.lengths.max) {
            (Some(min), _) if length < min => refuse(
                "min-length",
                at,
                format!("has {length} characters, at least {min} are allowed"),
            ),
            (_, Some(max)) if length > max => refuse(
                "max-length",
                at,
                format!("has {length} characters, at most {max} are allowed"),
            ),
            _ => Ok(()),
        }
    }

    fn judge_object(&self, object: &Members, at: &Path) -> Result<(), Fault> {
        if let Some(missing) = self.required.iter().find(|name| !has_member(object, name)) {
            return refuse(
                "required",
                at,
                format!("has no {}, which is required", quote(missing)),
            );
        }
        let count = object.len() as u64;
        match self.properties_max {
            Some(max) if count > max => {
                let message = format!("has {count} properties, at most {max} are allowed");
                return refuse("max-properties", at, message);
            }
            _ => {}
        }
        object
            .iter()
            .try_for_each(|(name, value)| self.judge_property(name, value, at))
    }

    fn judge_property(&self, name: &str, value: &Json, parent: &Path) -> Result<(), Fault> {
        let at = Path::Property(parent, name);
        match (self.properties.get(name), &self.additional) {
            (Some(schema), _) => schema.judge(value, &at),
            (None, Additional::Allowed) => Ok(()),
            (None, Additional::Judged(schema)) => schema.judge(value, &at),
            (None, Additional::Forbidden) => refuse(
                "additional-property",
                &at,
                "is not a property that this bucket allows".into(),
            ),
        }
    }
}

fn has_member(object: &Members, name: &str) -> bool {
    let place = object.binary_search_by(|(member, _)| member.as_ref().cmp(name));
    place.is_ok()
}

fn refuse(code: &'static str, at: &Path, what: String) -> Result<(), Fault> {
    Err(Fault {
        code,
        message: format!("{} {what}", at.text()),
    })
}

fn has_type(value: &Json, name: &str) -> bool {
    match value {
        Json::Null => name == "null",
        Json::Bool(_) => name == "boolean",
        Json::Number(number) => name == "number" || name == "integer" && number.is_integer(),
        Json::String(_) => name == "string",
        Json::Array(_) => name == "array",
        Json::Object(_) => name == "object",
    }
}

/// The kind of a value, with the value itself where it is short enough to help.
fn kind_of(value: &Json) -> String {
    match value {
        Json::Null => "null".into(),
        Json::Bool(bool) => bool.to_string(),
        Json::Number(number) => format!("the number {number}"),
        Json::String(string) => format!("the string {}", quote(string)),
        Json::Array(_) => "an array".into(),
        Json::Object(_) => "an object".into(),
    }
}

/// Where a value is. Lives on the stack, so that values without fault cost no text.
enum Path<'a> {
    Root,
    Property(&'a Path<'a>, &'a str),
}

impl Path<'_> {
    /// `$.items.milk`, or `$.items["semi-skimmed milk"]` where a name is not a plain word.
    fn text(&self) -> String {
        let Path::Property(parent, name) = self else {
            return "$".into();
        };
        let mut text = parent.text();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let result = match *name {
            "" => write!(text, "[\"\"]"),
            name if name.len() <= QUOTE_CHARS_MAX && name.chars().all(plain) => {
                write!(text, ".{name}")
            }
            name => write!(text, "[{}]", quote(name)),
        };
        result.expect("writing to a string does not fail");
        text
    }
}

fn quote(text: &str) -> String {
    format!("{:?}", shorten_to(text, QUOTE_CHARS_MAX))
}

/// Four times the length of a name: these are sentences of the JSON library.
fn shorten(text: &str) -> String {
    shorten_to(text, 4 * QUOTE_CHARS_MAX)
}

fn shorten_to(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(schema: &str, value: &str) -> (&'static str, String) {
        let fault = Schema::parse(schema.as_bytes())
            .unwrap()
            .check(value.as_bytes())
            .unwrap_err();
        (fault.code, fault.message)
    }

    fn passes(schema: &str, value: &str) -> bool {
        Schema::parse(schema.as_bytes())
            .unwrap()
            .check(value.as_bytes())
            .is_ok()
    }

    #[test]
    fn each_keyword_refuses_with_its_own_code_and_the_numbers() {
        let cases = [
            (r#"{}"#, "milk", "not-json", "expected a value"),
            (r#"{}"#, r#"{"a":1,"a":1}"#, "duplicate-key", r#""a" twice"#),
            (
                r#"{"type":"object"}"#,
                "[]",
                "type",
                "$ is an array, expected object",
            ),
            (
                r#"{"type":["string","null"]}"#,
                "1",
                "type",
                "is the number 1, expected string or null",
            ),
            (r#"{"type":"integer"}"#, "1.5", "type", "the number 1.5"),
            (r#"{"required":["a"]}"#, "{}", "required", r#"$ has no "a""#),
            (r#"{"minimum":-1}"#, "-2", "minimum", "$ is -2, at least -1"),
            (
                r#"{"maximum":1.5}"#,
                "1.75",
                "maximum",
                "$ is 1.75, at most 1.5",
            ),
            (
                r#"{"minLength":2}"#,
                r#""é""#,
                "min-length",
                "1 characters, at least 2",
            ),
            (
                r#"{"maxLength":1}"#,
                r#""ab""#,
                "max-length",
                "2 characters, at most 1",
            ),
            (
                r#"{"maxProperties":0}"#,
                r#"{"a":1}"#,
                "max-properties",
                "1 properties, at most 0",
            ),
            (
                r#"{"enum":["gold",1]}"#,
                r#""tin""#,
                "enum",
                r#"the string "tin", allowed are"#,
            ),
            (
                r#"{"additionalProperties":false}"#,
                r#"{"a b":1}"#,
                "additional-property",
                r#"$["a b"]"#,
            ),
            (
                r#"{"properties":{"a":{"additionalProperties":{"maximum":9}}}}"#,
                r#"{"a":{"x":1,"y":10}}"#,
                "maximum",
                "$.a.y is 10, at most 9",
            ),
        ];
        for (schema, value, code, part) in cases {
            let (found, message) = fault(schema, value);
            assert_eq!(found, code, "{schema} {value}: {message}");
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_keyword_lets_values_of_other_kinds_pass() {
        assert!(passes(
            r#"{"maximum":1,"minLength":3,"maxProperties":0}"#,
            "null"
        ));
        assert!(passes(r#"{"maximum":1}"#, r#""long""#));
        assert!(passes(r#"{"required":["a"]}"#, "[]"));
    }

    #[test]
    fn bounds_are_inclusive_and_a_whole_float_is_an_integer() {
        assert!(passes(r#"{"type":"integer","minimum":1,"maximum":2}"#, "1"));
        assert!(passes(
            r#"{"type":"integer","minimum":1,"maximum":2}"#,
            "2.0"
        ));
        assert!(passes(r#"{"enum":[{"a":[1]}]}"#, r#"{"a":[1.0]}"#));
    }

    #[test]
    fn keywords_outside_the_subset_are_refused_by_name_at_any_depth() {
        for (schema, name) in [
            (r#"{"pattern":"x"}"#, "$.pattern"),
            (
                r#"{"properties":{"a":{"items":{}}}}"#,
                "$.properties.a.items",
            ),
            (
                r#"{"additionalProperties":{"$ref":"x"}}"#,
                "$.additionalProperties.$ref",
            ),
        ] {
            let refused = Schema::parse(schema.as_bytes()).unwrap_err();
            assert!(
                refused.contains(name) && refused.contains("not supported"),
                "{refused}"
            );
        }
    }

    #[test]
    fn malformed_keywords_are_refused_with_their_place() {
        for schema in [
            "",
            "[]",
            r#"{"type":"thing"}"#,
            r#"{"type":[]}"#,
            r#"{"type":[1]}"#,
            r#"{"required":"a"}"#,
            r#"{"properties":[]}"#,
            r#"{"properties":{"a":true}}"#,
            r#"{"additionalProperties":1}"#,
            r#"{"minimum":"1"}"#,
            r#"{"minLength":-1}"#,
            r#"{"maxLength":1.5}"#,
            r#"{"enum":[]}"#,
            r#"{"minimum":1,"minimum":2}"#,
        ] {
            assert!(Schema::parse(schema.as_bytes()).is_err(), "{schema}");
        }
    }

    #[test]
    fn messages_stay_short_whatever_the_value_holds() {
        let long = "é".repeat(100_000);
        let (_, message) = fault(
            r#"{"additionalProperties":false}"#,
            &format!(r#"{{"{long}":1}}"#),
        );
        assert!(message.chars().count() < 200, "{message}");
        let (_, message) = fault(r#"{"type":"null"}"#, &format!(r#""{long}""#));
        assert!(message.chars().count() < 200, "{message}");
    }

    #[test]
    fn text_that_is_nested_too_deeply_is_refused_and_does_not_overflow() {
        assert_eq!(fault("{}", &"[".repeat(100_000)).0, "not-json");
    }

    #[test]
    fn numbers_are_judged_exactly_and_by_value() {
        let bounds = r#"{"minimum":9007199254740993,"maximum":1e30}"#;
        assert!(passes(bounds, "9007199254740993.0"));
        assert_eq!(fault(bounds, "9007199254740992").0, "minimum");
        assert_eq!(
            fault(bounds, "1000000000000000000000000000001").0,
            "maximum"
        );
        assert!(passes(r#"{"enum":[0,[1,{"a":2}]]}"#, r#"[1.0,{"a":2e0}]"#));
        assert!(passes(r#"{"enum":[0]}"#, "-0.0"));
    }
}
