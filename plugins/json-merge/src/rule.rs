//! The rules that an operator may give to the fields of a document, read from the params.
//!
//! Does not merge. Refuses what it does not know, because a rule that is silently not applied loses data.
//!
//! Invariant: every field has a rule, named or default.

use mergeable::json::Json;
use std::collections::BTreeMap;

/// How the values of one field become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The latest by the stamp in `$at`.
    LastWriteWins,
    /// The greatest number or string.
    Max,
    /// The least number or string.
    Min,
    /// An array as a set that only grows.
    Union,
    /// An object as a counter that goes up and down.
    Counter,
    /// An object as a set from which elements can be taken out.
    ObservedRemoveSet,
    /// An object, field by field.
    Document(Schema),
}

/// The rules of the fields of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    fields: BTreeMap<String, Rule>,
    default: Box<Rule>,
}

const NAMED: [(&str, Rule); 6] = [
    ("lww", Rule::LastWriteWins),
    ("max", Rule::Max),
    ("min", Rule::Min),
    ("union", Rule::Union),
    ("counter", Rule::Counter),
    ("observed-remove-set", Rule::ObservedRemoveSet),
];

impl Schema {
    pub fn new(fields: BTreeMap<String, Rule>, default: Rule) -> Schema {
        Schema {
            fields,
            default: Box::new(default),
        }
    }

    /// Reads the params of a bucket; without any, each field is the latest that was written.
    pub fn parse(params: &[u8]) -> Result<Schema, String> {
        if params.is_empty() {
            return Ok(Schema::new(BTreeMap::new(), Rule::LastWriteWins));
        }
        let json =
            Json::parse(params).map_err(|fault| format!("the params are not JSON: {fault}"))?;
        Schema::read(json, "$")
    }

    /// The rule of a field.
    pub fn rule(&self, field: &str) -> &Rule {
        self.fields.get(field).unwrap_or(&self.default)
    }

    fn read(json: Json, at: &str) -> Result<Schema, String> {
        let mut schema = Schema::new(BTreeMap::new(), Rule::LastWriteWins);
        for (name, value) in json
            .into_members()
            .map_err(|why| format!("{at} is {why}"))?
        {
            match name.as_ref() {
                "fields" => {
                    let fields = value
                        .into_members()
                        .map_err(|why| format!("{at}.fields is {why}"))?;
                    for (field, rule) in fields {
                        let rule = Rule::read(rule, &format!("{at}.fields.{field}"))?;
                        schema.fields.insert(field.into_owned(), rule);
                    }
                }
                "default" => *schema.default = Rule::read(value, &format!("{at}.default"))?,
                _ => {
                    return Err(format!(
                        "{at} has the unknown member {name:?}; known are fields and default"
                    ));
                }
            }
        }
        if schema.fields.contains_key(super::document::STAMPS) {
            return Err(format!(
                "{at}.fields names {}, which holds the write times",
                super::document::STAMPS
            ));
        }
        Ok(schema)
    }
}

impl Rule {
    fn read(json: Json, at: &str) -> Result<Rule, String> {
        match json {
            Json::String(name) => {
                let named = NAMED.iter().find(|(known, _)| *known == name);
                named.map(|(_, rule)| rule.clone()).ok_or_else(|| {
                    let known: Vec<&str> = NAMED.iter().map(|(known, _)| *known).collect();
                    format!(
                        "{at} is the unknown rule {name:?}; known are {} and an object of rules",
                        known.join(", ")
                    )
                })
            }
            Json::Object(_) => Schema::read(json, at).map(Rule::Document),
            other => Err(format!(
                "{at} is {}, expected the name of a rule or an object of rules",
                other.kind()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_without_a_rule_has_the_default_and_that_is_the_latest_write() {
        let schema = Schema::parse(br#"{"fields":{"tags":"union"},"default":"max"}"#).unwrap();
        assert_eq!(
            (schema.rule("tags"), schema.rule("views")),
            (&Rule::Union, &Rule::Max)
        );
        for params in ["", "{}", r#"{"fields":{}}"#] {
            let schema = Schema::parse(params.as_bytes()).unwrap();
            assert_eq!(schema.rule("any"), &Rule::LastWriteWins);
        }
    }

    #[test]
    fn objects_of_rules_lie_inside_each_other() {
        let schema =
            Schema::parse(br#"{"fields":{"a":{"fields":{"b":{"default":"counter"}}}}}"#).unwrap();
        let Rule::Document(a) = schema.rule("a") else {
            panic!()
        };
        let Rule::Document(b) = a.rule("b") else {
            panic!()
        };
        assert_eq!(
            (b.rule("c"), a.rule("c")),
            (&Rule::Counter, &Rule::LastWriteWins)
        );
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_place() {
        for (params, part) in [
            ("lww", "not JSON: expected a value at byte 0"),
            ("[]", "$ is an array"),
            (r#"{"feilds":{}}"#, "unknown member \"feilds\""),
            (r#"{"fields":[]}"#, "$.fields is an array"),
            (
                r#"{"fields":{"a":"lwww"}}"#,
                "$.fields.a is the unknown rule \"lwww\"",
            ),
            (
                r#"{"fields":{"a":{"default":1}}}"#,
                "$.fields.a.default is a number",
            ),
            (r#"{"fields":{"$at":"max"}}"#, "$at"),
        ] {
            let refused = Schema::parse(params.as_bytes()).unwrap_err();
            assert!(refused.contains(part), "{params}: {refused}");
        }
    }
}
