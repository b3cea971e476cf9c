//! `rejoin plugin test`: what an upload would say, without a server, and the author's own fixtures.
//!
//! Form, compilation, description, samples and laws are checked by the code of the node (`wasm::laws::gate`).
//!
//! Invariant: exit status 0 means that a node takes the plugin, that it keeps the laws that it claims, and that every
//! fixture gave what it expects.

use super::fixtures::{self, Tried, binding};
use super::offline::{Bench, read};
use crate::cli::arguments::TestPlugin;
use crate::cli::output::{print_json, short};
use crate::dynamo::metadata::grade::Grade;
use crate::limits::{FUEL_DEFAULT, PLUGIN_BYTES_DEFAULT, VALUE_BYTES_MAX};
use crate::wasm::guest::Laws;
use crate::wasm::laws::evidence::Evidence;
use crate::wasm::laws::gate::{Terms, examine_binding, examine_upload, refused};
use crate::wasm::laws::report::LawReport;
use crate::wasm::library::Admitted;
use anyhow::Context as _;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Everything that was found.
struct Findings {
    admitted: Admitted,
    compiled_in: Duration,
    laws: LawReport,
    fixtures: Vec<Tried>,
    fuel: u64,
}

pub async fn run(test: TestPlugin, json: bool) -> anyhow::Result<()> {
    let (file, beside) = locate(&test.path)?;
    let bench = Bench::open(test.plugin_bytes_max.unwrap_or(PLUGIN_BYTES_DEFAULT))?;
    let started = Instant::now();
    let admitted = bench.admit(&file).await?;
    let compiled_in = started.elapsed();
    let params = match &test.params_file {
        Some(file) => read(file)?,
        None => Bytes::new(),
    };
    let laws = examine(&bench, &admitted, &test, &params)?;
    let folder = test.fixtures.clone().unwrap_or(beside);
    if test.fixtures.is_some() {
        anyhow::ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    }
    let plugin = binding(admitted.digest, params, test.fuel);
    let tried = fixtures::files(&folder)?;
    let tried = tried.iter();
    let tried = tried.map(|file| fixtures::try_file(&bench.library, &plugin, file));
    let findings = Findings {
        fixtures: tried.collect::<Result<_, _>>()?,
        admitted,
        compiled_in,
        laws,
        fuel: test.fuel.unwrap_or(FUEL_DEFAULT),
    };
    keep_evidence(&findings.laws, test.evidence.as_deref())?;
    match json {
        true => print_json(&findings.as_json()),
        false => findings.print(),
    }
    findings.verdict()
}

/// As for an upload; with params or fuel of its own, as for a bucket that grants them.
fn examine(
    bench: &Bench,
    admitted: &Admitted,
    test: &TestPlugin,
    params: &Bytes,
) -> anyhow::Result<LawReport> {
    let report = examine_upload(&bench.library, admitted)?;
    let is_plain = test.params_file.is_none() && test.fuel.is_none();
    if is_plain || !admitted.roles.resolver || refused(&report).is_some() {
        return Ok(report);
    }
    bench.library.check_params(admitted.digest, params)?;
    let terms = Terms {
        resolver: binding(admitted.digest, params.clone(), test.fuel),
        validator: None,
        value_bytes_max: VALUE_BYTES_MAX,
    };
    Ok(examine_binding(&bench.library, &terms, Vec::new())?)
}

/// The plugin's file, and the folder of its fixtures.
fn locate(path: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    if !path.is_dir() {
        let folder = path.parent().unwrap_or(Path::new(""));
        return Ok((path.to_owned(), folder.join("fixtures")));
    }
    let file = path.join("rejoin-plugin.toml");
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "{} is no plugin's folder: reading {}",
            path.display(),
            file.display()
        )
    })?;
    #[derive(Deserialize)]
    struct Project {
        name: String,
    }
    let project: Project = toml::from_str(&text).with_context(|| file.display().to_string())?;
    let built = path.join("build").join(format!("{}.wasm", project.name));
    anyhow::ensure!(
        built.is_file(),
        "there is no {}; build it first with `rejoin plugin build {}`",
        built.display(),
        path.display()
    );
    Ok((built, path.join("fixtures")))
}

fn keep_evidence(report: &LawReport, folder: Option<&Path>) -> anyhow::Result<()> {
    let Some(folder) = folder else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for failure in &report.failures {
        let evidence = Evidence::of(failure);
        let file = folder.join(evidence.file_name());
        std::fs::write(&file, evidence.to_json())
            .with_context(|| format!("writing {}", file.display()))?;
        eprintln!("evidence: {}", file.display());
    }
    Ok(())
}

impl Findings {
    fn print(&self) {
        let Admitted {
            digest,
            description,
            roles,
            size_bytes,
            ..
        } = &self.admitted;
        let roles = [(roles.resolver, "resolver"), (roles.validator, "validator")];
        let roles = roles
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, name)| name);
        let roles: Vec<&str> = roles.collect();
        println!(
            "{}  {} {}  {}  {size_bytes} bytes, compiled in {} ms",
            short(&digest.to_string()),
            description.name,
            description.version,
            roles.join("+"),
            self.compiled_in.as_millis()
        );
        for tried in &self.fixtures {
            match &tried.failure {
                None => println!("fixture {}: ok", tried.name),
                Some(failure) => println!("fixture {}: FAILED: {failure}", tried.name),
            }
        }
        let report = &self.laws;
        for failure in &report.failures {
            println!("laws: {failure}");
        }
        let grade = report.grade().filter(|_| report.is_resolver);
        if let Some(grade) = grade {
            println!(
                "laws: grade {} ({}) on {} of {} cases",
                grade.number(),
                grade.name(),
                report.cases_run,
                report.cases_total
            );
            if report.failures.is_empty() && grade < Grade::Lawful {
                println!("laws: {}", report.finding().unwrap_or_default());
            }
        }
        println!(
            "fuel: {} of {} in the middle, {} at most",
            report.fuel_median(),
            self.fuel,
            report.fuel_most()
        );
    }

    fn as_json(&self) -> Value {
        let report = &self.laws;
        let failures = report.failures.iter().map(|failure| {
            json!({
                "law": failure.law.name(),
                "message": failure.to_string(),
                "evidence": Evidence::of(failure),
            })
        });
        let fixtures = self.fixtures.iter().map(
            |tried| json!({ "name": tried.name, "fuel": tried.fuel, "failure": tried.failure }),
        );
        json!({
            "digest": self.admitted.digest.to_string(),
            "name": self.admitted.description.name,
            "version": self.admitted.description.version,
            "is_resolver": self.admitted.roles.resolver,
            "is_validator": self.admitted.roles.validator,
            "size_bytes": self.admitted.size_bytes,
            "native_bytes": self.admitted.native_bytes,
            "compiled_in_ms": self.compiled_in.as_millis() as u64,
            "grade": report.grade().filter(|_| report.is_resolver).map(Grade::number),
            "refused": refused(report).map(|error| error.to_string()),
            "finding": report.finding(),
            "cases_run": report.cases_run,
            "cases_total": report.cases_total,
            "fuel_median": report.fuel_median(),
            "fuel_most": report.fuel_most(),
            "failures": failures.collect::<Vec<_>>(),
            "fixtures": fixtures.collect::<Vec<_>>(),
        })
    }

    fn verdict(&self) -> anyhow::Result<()> {
        if let Some(error) = refused(&self.laws) {
            return Err(error.into());
        }
        let failed = self.fixtures.iter().filter(|tried| tried.failure.is_some());
        let failed = failed.count();
        anyhow::ensure!(
            failed == 0,
            "P053 {failed} of {} fixtures got another answer; mend the plugin, or the fixtures",
            self.fixtures.len()
        );
        let claimed = claimed(self.admitted.description.laws);
        let found = self.laws.grade().filter(|_| self.laws.is_resolver);
        match found {
            Some(found) if found < claimed => anyhow::bail!(
                "P072 the plugin claims the laws of grade {} and has grade {}: {}",
                claimed.number(),
                found.number(),
                self.laws.finding().unwrap_or_default()
            ),
            _ => Ok(()),
        }
    }
}

/// The grade that a plugin's own claims amount to.
fn claimed(laws: Laws) -> Grade {
    match (laws.commutative, laws.associative && laws.idempotent) {
        (true, true) => Grade::Lawful,
        (true, false) => Grade::Commutative,
        (false, _) => Grade::Deterministic,
    }
}
