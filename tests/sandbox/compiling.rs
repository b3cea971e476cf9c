//! What compiling may cost: bombs that pass every count still meet the limits of the child process.
//!
//! Invariant: the budgets here are small, so that the tests are quick; the mechanism is the real one.

use super::plugins::{PICK_FIRST, Shelf, Text, compiler, settings};
use rejoin::wasm::compiler::{CompileBudget, Compiler};
use rejoin::wasm::inspection::{StructureLimits, inspect};
use rejoin::wasm::upload_error::UploadError;
use std::path::PathBuf;

/// A plugin within all limits that is expensive to compile: many loops over many live locals.
fn bomb(functions: usize) -> Vec<u8> {
    const LOCALS: usize = 900;
    let mut body = format!(
        "(func (param i64) (result i64) (local {})",
        "i64 ".repeat(LOCALS)
    );
    for i in 0..3_000 {
        let (to, from) = (1 + i % LOCALS, 1 + (i * 7 + 3) % LOCALS);
        body += &format!(
            "(loop (local.set {to} (i64.add (local.get {from}) (local.get 0)))
                   (br_if 0 (i64.eqz (local.get {to}))))"
        );
    }
    body += " (local.get 1))";
    let bytes = Text::resolver(PICK_FIRST)
        .with("more", &body.repeat(functions))
        .component();
    inspect(&bytes, &StructureLimits::default()).expect("a bomb passes the counts");
    bytes
}

async fn compile(component: &[u8], budget: CompileBudget) -> Result<Vec<u8>, UploadError> {
    Compiler::new(compiler(), budget).compile(component).await
}

fn budget_of(error: UploadError) -> String {
    match error {
        UploadError::CompileBudget { budget } => budget,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_plain_plugin_compiles_within_a_tenth_of_the_memory() {
    let mut budget = CompileBudget::default();
    budget.memory_bytes /= 10;
    let component = Text::resolver(PICK_FIRST).component();
    compile(&component, budget)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn a_bomb_meets_the_limit_of_cpu_time() {
    let budget = CompileBudget {
        cpu_s: 1,
        ..CompileBudget::default()
    };
    let error = compile(&bomb(12), budget).await.unwrap_err();
    assert_eq!(error.code(), "P040");
    assert_eq!(budget_of(error), "1 s of CPU time");
}

#[tokio::test]
async fn a_bomb_meets_the_limit_of_memory() {
    let budget = CompileBudget {
        memory_bytes: 120 << 20,
        ..CompileBudget::default()
    };
    let error = compile(&bomb(12), budget).await.unwrap_err();
    assert_eq!(budget_of(error), "120 MiB of memory");
}

#[tokio::test]
async fn a_bomb_meets_the_limit_of_wall_clock() {
    let budget = CompileBudget {
        wall_ms: 100,
        ..CompileBudget::default()
    };
    let error = compile(&bomb(12), budget).await.unwrap_err();
    assert_eq!(budget_of(error), "100 ms of time");
}

#[tokio::test]
async fn a_bomb_costs_the_library_nothing_but_the_wait() {
    let mut tight = settings();
    tight.compile.cpu_s = 1;
    let shelf = Shelf::with(tight);
    let refused = shelf.library.admit(bomb(12).into()).await;
    assert_eq!(refused.unwrap_err().code(), "P040");
    assert_eq!(shelf.library.list(), Ok(vec![]));
    shelf.admit(Text::resolver(PICK_FIRST).component()).await;
}

#[tokio::test]
async fn a_missing_or_foreign_compiler_is_the_nodes_fault() {
    for program in ["/no/such/program", "/bin/false", "/bin/cat"] {
        let compiler = Compiler::new(PathBuf::from(program), CompileBudget::default());
        let error = compiler
            .compile(&Text::resolver(PICK_FIRST).component())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "P042", "{program}: {error}");
        assert!(error.is_hosts_fault(), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_component_is_refused_by_the_child_too() {
    let error = compile(b"\0asm\x0d\0\x01\0\xff", CompileBudget::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "P041", "{error}");
}
