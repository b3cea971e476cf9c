//! Plugins written as text, for what no honest plugin does: trap, loop, answer nonsense.
//!
//! The text is the sandbox tests' own; a core module, which the nodes wrap on arrival.

use bytes::Bytes;

const TEXT: &str = include_str!("../sandbox/plugin.wat");

/// Instructions that trap.
pub const TRAP: &str = "unreachable";
/// Instructions that never leave.
pub const LOOP: &str = "(loop $l (br $l)) unreachable";
/// Picks a sibling that is not there.
pub const PICK_TENTH: &str = "(call $answer (i32.const 2) (i32.const 9) (i32.const 0))";
/// Keeps siblings, and says `help me`.
pub const KEEP: &str = "(call $answer (i32.const 3) (i32.const 352) (i32.const 7))";

/// A resolver with these instructions as its body.
pub fn resolver(name: &str, body: &str) -> Bytes {
    translate(name, &[("resolver", &resolve(body))])
}

/// A resolver that behaves until the first value that it is given begins with `!`; then it does this.
pub fn sleeper(name: &str, body: &str) -> Bytes {
    let body = format!(
        "(if (i32.eq (i32.load8_u (i32.load (local.get $siblings))) (i32.const 33))
           (then (return (block (result i32) {body})))) {KEEP}"
    );
    let table = r#"(table $table 1 funcref)
        (func $grow-table (param $elements i32) (result i32) (table.grow $table (ref.null func) (local.get $elements)))"#;
    translate(name, &[("resolver", &resolve(&body)), ("more", table)])
}

fn resolve(body: &str) -> String {
    format!(
        r#"(func (export "cm32p2|rejoin:plugin/resolver@1|resolve")
             (param $key i32) (param $key-length i32) (param $siblings i32) (param $count i32)
             (param $extras i32) (param $extras-count i32) (param $params i32) (param $params-length i32)
             (result i32) {body})"#
    )
}

/// A resolver with these instructions as its body, and with these functions beside it.
pub fn resolver_with(name: &str, body: &str, functions: &str) -> Bytes {
    translate(name, &[("resolver", &resolve(body)), ("more", functions)])
}

/// A validator with these instructions as its body.
pub fn validator(name: &str, body: &str) -> Bytes {
    let function = format!(
        r#"(func (export "cm32p2|rejoin:plugin/validator@1|validate")
             (param i32 i32) (param i32 i32 i32 i32 i32 i32 i64 i32 i32) (param i32 i32 i32 i32)
             (result i32) {body})"#
    );
    translate(name, &[("validator", &function)])
}

/// A resolver that traps when it is asked who it is.
pub fn mute() -> Vec<u8> {
    translate("mute", &[("describe", TRAP), ("resolver", &resolve(TRAP))]).to_vec()
}

fn translate(name: &str, functions: &[(&str, &str)]) -> Bytes {
    let name_length = format!(r"\{:02x}\00\00\00", name.len());
    let plain = [
        ("memory", "2"),
        ("describe", "(i32.const 128)"),
        ("name", name),
        ("name-length", &name_length),
        ("samples", r"\00\00\00\00\00\00\00\00"),
    ];
    let empty = [("resolver", ""), ("validator", ""), ("more", "")];
    let places = functions.iter().chain(&plain).chain(&empty);
    let text = places.fold(TEXT.to_owned(), |text, (place, put)| {
        text.replace(&format!("{{{place}}}"), put)
    });
    wat::parse_str(text).expect("the text is a module").into()
}
