//! Writes a value as its canonical text.
//!
//! Invariant: what is written is read back as the same value, and any other text of that value gives the same bytes.

use super::Json;

pub(super) fn write(value: &Json, text: &mut Vec<u8>) {
    match value {
        Json::Null => text.extend_from_slice(b"null"),
        Json::Bool(true) => text.extend_from_slice(b"true"),
        Json::Bool(false) => text.extend_from_slice(b"false"),
        Json::Number(number) => text.extend_from_slice(number.text().as_bytes()),
        Json::String(string) => write_string(string, text),
        Json::Array(elements) => {
            text.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write(element, text);
            }
            text.push(b']');
        }
        Json::Object(members) => {
            text.push(b'{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write_string(name, text);
                text.push(b':');
                write(member, text);
            }
            text.push(b'}');
        }
    }
}

fn write_string(string: &str, text: &mut Vec<u8>) {
    text.push(b'"');
    let mut rest = string.as_bytes();
    // Most strings have nothing to escape and are copied whole.
    while let Some(at) = rest.iter().position(needs_escape) {
        text.extend_from_slice(&rest[..at]);
        write_escape(rest[at], text);
        rest = &rest[at + 1..];
    }
    text.extend_from_slice(rest);
    text.push(b'"');
}

fn needs_escape(byte: &u8) -> bool {
    *byte == b'"' || *byte == b'\\' || *byte < b' '
}

fn write_escape(byte: u8, text: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            text.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return;
        }
    };
    text.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        let value = Json::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        String::from_utf8(value.to_bytes()).unwrap()
    }

    #[test]
    fn every_spelling_of_a_value_becomes_the_same_text() {
        for (text, expected) in [
            (
                " { \"b\" : [ 1.0 , true ] ,\n\"a\":null } ",
                r#"{"a":null,"b":[1,true]}"#,
            ),
            (
                r#""\u006dilk \/ \ud83c\udf5e \u001f\u000a""#,
                "\"milk / 🍞 \\u001f\\n\"",
            ),
            ("\"\u{7f}é\"", "\"\u{7f}é\""),
            ("[ ]", "[]"),
            ("{ }", "{}"),
        ] {
            assert_eq!(canonical(text), expected);
            assert_eq!(canonical(expected), expected);
        }
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for (text, fault) in [
            ("", "expected a value at byte 0"),
            ("milk", "expected a value at byte 0"),
            ("[1,]", "expected a value at byte 3"),
            (
                "[1 2]",
                "expected a comma or the end of the array at byte 3",
            ),
            ("{\"a\" 1}", "expected a colon at byte 5"),
            ("{a:1}", "expected a name in double quotes at byte 1"),
            ("1 1", "expected the end of the text at byte 2"),
            ("01", "expected the end of the text at byte 1"),
            ("-", "expected a digit at byte 1"),
            ("1.", "expected a digit at byte 2"),
            ("1e+", "expected a digit at byte 3"),
            ("\"a", "expected the end of the string at byte 2"),
            ("\"\\", "expected an escape at byte 2"),
            ("\"\\u12\"", "expected four hexadecimal digits at byte 2"),
            ("\"\\u\"", "expected four hexadecimal digits at byte 2"),
            ("\"\\ud800\"", "half of a surrogate pair at byte 7"),
            ("\"\\udc00\"", "half of a surrogate pair at byte 7"),
            ("\"\n\"", "a control character inside a string at byte 1"),
            (
                "{\"a\":1,\"\\u0061\":2}",
                "the name \"a\" twice in the object that ends at byte 18",
            ),
            ("nul", "expected a value at byte 0"),
        ] {
            let refused = Json::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refused.to_string(), fault, "{text}");
        }
        let refused = Json::parse(b"\"\xff\"").unwrap_err();
        assert_eq!(refused.to_string(), "not UTF-8 at byte 1");
        let deep = "[".repeat(100_000);
        let refused = Json::parse(deep.as_bytes()).unwrap_err();
        assert!(refused.to_string().contains("more than 128"), "{refused}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Json::parse(&bytes);
        }

        #[test]
        fn json_like_bytes_are_read_as_what_is_written_of_them(text in r#"[ \[\]{},:"\\u0-9a-dentrulsE.+-]{0,40}"#) {
            if let Ok(value) = Json::parse(text.as_bytes()) {
                let written = value.to_bytes();
                prop_assert_eq!(Json::parse(&written).unwrap(), value);
            }
        }

        #[test]
        fn any_string_survives(string in any::<String>()) {
            let written = Json::string(string.as_str()).to_bytes();
            prop_assert_eq!(Json::parse(&written).unwrap(), Json::string(string));
        }
    }
}
