//! One libFuzzer binary for all targets: `REJOIN_FUZZ_TARGET` says which. `fuzz/run` drives it.
//!
//! With `REJOIN_FUZZ_SEEDS=FOLDER` it writes the seeds of all targets, one folder each, and ends.
#![no_main]

mod targets;

use std::path::Path;
use std::sync::OnceLock;
use targets::{TARGETS, Target};

static TARGET: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        (target.run)(bytes);
    }
});

fn choose() {
    if let Ok(folder) = std::env::var("REJOIN_FUZZ_SEEDS") {
        TARGETS
            .iter()
            .for_each(|target| write_seeds(target, Path::new(&folder)));
        std::process::exit(0);
    }
    let name = std::env::var("REJOIN_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("set REJOIN_FUZZ_TARGET to one of: {}", names.join(" "));
        std::process::exit(2);
    };
    let _ = TARGET.set(target);
}

fn write_seeds(target: &Target, folder: &Path) {
    let folder = folder.join(target.name);
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    for (place, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{place}")), seed).expect("a seed");
    }
}
