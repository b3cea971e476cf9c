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

/// The same under another version: three numbers of one digit.
pub fn versioned(name: &str, version: &str, body: &str) -> Bytes {
    let text = TEXT.replace("1.2.3", version);
    translated(&text, name, &[("resolver", &resolve(body))])
}

/// A lawful resolver: the greatest of all values, by their bytes, or the least.
pub fn chooser(name: &str, version: &str, least: bool) -> Bytes {
    let body = format!(
        "(call $extreme (local.get $siblings) (local.get $count) (i32.const {}))",
        i32::from(least)
    );
    let text = TEXT.replace("1.2.3", version);
    translated(
        &text,
        name,
        &[("resolver", &resolve(&body)), ("more", EXTREME)],
    )
}

/// Whether one sibling's bytes come before another's, and the first or last of all.
const EXTREME: &str = r#"
  (func $is-less (param $a i32) (param $b i32) (result i32)
    (local $i i32) (local $x i32) (local $y i32)
    (loop $bytes
      (if (i32.ge_u (local.get $i) (i32.load offset=4 (local.get $b))) (then (return (i32.const 0))))
      (if (i32.ge_u (local.get $i) (i32.load offset=4 (local.get $a))) (then (return (i32.const 1))))
      (local.set $x (i32.load8_u (i32.add (i32.load (local.get $a)) (local.get $i))))
      (local.set $y (i32.load8_u (i32.add (i32.load (local.get $b)) (local.get $i))))
      (if (i32.ne (local.get $x) (local.get $y)) (then (return (i32.lt_u (local.get $x) (local.get $y)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $bytes))
    unreachable)
  (func $extreme (param $siblings i32) (param $count i32) (param $least i32) (result i32)
    (local $best i32) (local $at i32) (local $i i32)
    (local.set $best (local.get $siblings))
    (block $done
      (loop $all
        (br_if $done (i32.ge_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $count)))
        (local.set $at (i32.add (local.get $siblings) (i32.mul (local.get $i) (i32.const 40))))
        (if (call $is-less
              (select (local.get $at) (local.get $best) (local.get $least))
              (select (local.get $best) (local.get $at) (local.get $least)))
          (then (local.set $best (local.get $at))))
        (br $all)))
    (call $answer (i32.const 0) (i32.load (local.get $best)) (i32.load offset=4 (local.get $best))))"#;

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

/// A plugin that introduces itself and has no role.
pub fn without_role() -> Bytes {
    translate("roleless", &[])
}

/// A resolver for another version of the contract.
pub fn of_contract(version: &str) -> Bytes {
    let text = TEXT.replace("@1|", &format!("@{version}|"));
    translated(
        &text,
        "newer",
        &[(
            "resolver",
            &resolve(KEEP).replace("@1|", &format!("@{version}|")),
        )],
    )
}

fn translate(name: &str, functions: &[(&str, &str)]) -> Bytes {
    translated(TEXT, name, functions)
}

fn translated(text: &str, name: &str, functions: &[(&str, &str)]) -> Bytes {
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
    let text = places.fold(text.to_owned(), |text, (place, put)| {
        text.replace(&format!("{{{place}}}"), put)
    });
    wat::parse_str(text).expect("the text is a module").into()
}
