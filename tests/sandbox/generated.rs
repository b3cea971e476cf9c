//! Modules that nobody wrote: valid WebAssembly with the contract's exports and random bodies.
//!
//! `REJOIN_GENERATED=<count>` sets how many. A module that does harm prints its seed.
//!
//! Invariant: whatever they are, they are admitted or refused, and the library goes on.

use super::plugins::{PICK_FIRST, Shelf, Text, question, settings};
use arbitrary::Unstructured;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::reconcile::answer::Answer;
use rejoin::limits::{GUEST_MEMORY_BYTES_MAX, PLUGIN_BYTES_DEFAULT};
use rejoin::wasm::inspection::{StructureLimits, inspect};
use rejoin::wasm::library::Settings;
use wasm_smith::{Config, Module};

/// Modules that go through the whole door, compiler and all.
const ADMITTED_DEFAULT: u64 = 60;
/// Modules that are only looked at.
const INSPECTED: u64 = 1_500;
const DICE_BYTES: usize = 4_096;

/// What the contract's own exports look like, with what a plugin may import; the proposals that are on.
fn config() -> Config {
    let shape = Text::resolver(PICK_FIRST).core();
    Config {
        available_imports: Some(shape.clone()),
        exports: Some(shape),
        bulk_memory_enabled: true,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        max_memories: 1,
        max_memory32_bytes: 1 << 20,
        max_tables: 2,
        max_table_elements: 1_000,
        memory64_enabled: false,
        // `externref` is off, which the generator knows only together with the rest.
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        simd_enabled: true,
        tail_call_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

/// Whatever a generator of any kind makes of these dice; proposals that are off included.
fn module(seed: u64, config: Config) -> Option<Vec<u8>> {
    let mut dice = vec![0; DICE_BYTES];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut dice);
    let module = Module::new(config, &mut Unstructured::new(&dice)).ok()?;
    Some(module.to_bytes())
}

#[test]
fn generated_modules_are_let_in_or_refused_with_a_code() {
    let limits = StructureLimits::default();
    let mut refusals = std::collections::BTreeMap::<String, u64>::new();
    for seed in 0..INSPECTED {
        let config = match seed % 2 {
            0 => config(),
            _ => Config::default(),
        };
        let Some(bytes) = module(seed, config) else {
            continue;
        };
        let code = match inspect(&bytes, &limits) {
            Ok(_) => "let in".to_owned(),
            Err(error) => error.to_string()[..4].to_owned(),
        };
        assert!(
            code == "let in" || code.starts_with('P'),
            "seed {seed}: {code}"
        );
        *refusals.entry(code).or_default() += 1;
    }
    println!("{refusals:?}");
    assert!(
        refusals.get("let in").is_some_and(|count| *count > 100),
        "{refusals:?}"
    );
    assert!(refusals.len() > 2, "one kind of refusal only: {refusals:?}");
}

#[tokio::test]
async fn generated_modules_leave_the_library_as_it_was() {
    let given = std::env::var("REJOIN_GENERATED").ok();
    let count = given.map_or(ADMITTED_DEFAULT, |count| count.parse().expect("a number"));
    let shelf = Shelf::with(Settings {
        guest_wall_ms: 1_000,
        ..settings()
    });
    let good = shelf.admit(Text::resolver(PICK_FIRST).component()).await;
    let mut compiled = 0;
    for seed in 0..count {
        let Some(bytes) = module(seed, config()).filter(|bytes| bytes.len() < PLUGIN_BYTES_DEFAULT)
        else {
            continue;
        };
        if inspect(&bytes, &StructureLimits::default()).is_err() {
            continue;
        }
        compiled += 1;
        match shelf.library.admit(bytes.into()).await {
            Ok(admitted) => {
                let report = shelf
                    .library
                    .answer(&question(admitted.digest, &["apple", "pear"]));
                assert!(report.memory_bytes <= GUEST_MEMORY_BYTES_MAX, "seed {seed}");
            }
            Err(error) => assert!(error.to_string().starts_with('P'), "seed {seed}: {error}"),
        }
        let report = shelf.library.answer(&question(good, &["apple", "pear"]));
        assert!(
            matches!(report.answer, Answer::Resolved { .. }),
            "after seed {seed}: {report:?}"
        );
    }
    assert!(
        compiled > count / 10,
        "{compiled} of {count} came as far as the compiler"
    );
}
