//! `rejoin plugin test` and `inspect` without a server: fixtures, exit statuses, evidence.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with a plugin and a place for fixtures.
struct Project {
    folder: TempDir,
    plugin: PathBuf,
}

impl Project {
    fn of(file: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
        let plugin = folder.path().join("plugin.wasm");
        std::fs::copy(plugins.join(file), &plugin).expect("the plugin");
        std::fs::create_dir(folder.path().join("fixtures")).expect("a folder");
        Self { folder, plugin }
    }

    fn fixture(self, name: &str, fixture: &Value) -> Self {
        let file = self.folder.path().join("fixtures").join(name);
        std::fs::write(file, fixture.to_string()).expect("the fixture");
        self
    }

    fn test(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_rejoin"))
            .args(["plugin", "test"])
            .arg(&self.plugin)
            .args(more)
            .output()
            .expect("it runs")
    }

    fn json(&self, more: &[&str]) -> (Value, bool) {
        let output = self.test(&[more, &["--json"]].concat());
        let printed = String::from_utf8_lossy(&output.stdout);
        let printed = serde_json::from_str(&printed);
        (printed.unwrap_or(Value::Null), output.status.success())
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_lawful_plugin_whose_fixtures_hold_ends_with_0() {
    let merged = json!({
        "key": "anna",
        "siblings": [{"value": r#"{"items":{"milk":1}}"#}, {"value": r#"{"items":{"bread":2}}"#}],
        "expect": {"merged": r#"{"items":{"bread":2,"milk":1}}"#}
    });
    let kept = json!({
        "siblings": [{"value": "no cart"}, {"value": {"base64": "/w=="}}],
        "expect": {"keep_siblings": true}
    });
    let project = Project::of("bin/shopping-cart.wasm")
        .fixture("merged.json", &merged)
        .fixture("kept.json", &kept);
    let (found, succeeded) = project.json(&[]);
    assert!(succeeded, "{found}");
    assert_eq!(
        (&found["grade"], &found["name"]),
        (&json!(2), &json!("shopping-cart"))
    );
    let names: Vec<&Value> = found["fixtures"]
        .as_array()
        .expect("fixtures")
        .iter()
        .map(|f| &f["name"])
        .collect();
    assert_eq!(names, ["kept", "merged"]);
    let output = project.test(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("laws: grade 2 (lawful)"), "{text}");
    assert!(text.contains("fixture merged: ok"), "{text}");
}

#[test]
fn a_fixture_that_gets_another_answer_fails_and_says_which() {
    let wrong = json!({
        "siblings": [{"value": "1"}, {"value": "2", "written_at_ms": 7}],
        "expect": {"pick": 0}
    });
    let project = Project::of("bin/max.wasm").fixture("wrong.json", &wrong);
    let output = project.test(&[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("fixture wrong: FAILED: expected sibling 0 of the file, got \"2\" at 7"),
        "{text}"
    );
    assert!(
        errors(&output).contains("P053 1 of 1 fixtures"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_fixture_that_expects_nothing_is_an_error() {
    let empty = json!({ "siblings": [{"value": "1"}, {"value": "2"}], "expect": {"ok": false} });
    let output = Project::of("bin/max.wasm")
        .fixture("a.json", &empty)
        .test(&[]);
    assert_eq!(output.status.code(), Some(1));
    let typo = json!({ "sibling": [], "expect": {"pick": 0} });
    let output = Project::of("bin/max.wasm")
        .fixture("b.json", &typo)
        .test(&[]);
    assert!(
        errors(&output).contains("unknown field `sibling`"),
        "{}",
        errors(&output)
    );
}

#[test]
fn fixtures_of_a_validator_name_the_code_of_the_refusal() {
    let good = json!({"incoming": {"value": r#"{"items":{"milk":1}}"#}, "expect": {"ok": true}});
    let bad =
        json!({"incoming": {"value": r#"{"items":{"milk":0}}"#}, "expect": {"refused": "minimum"}});
    let project = Project::of("bin/cart-validator.wasm")
        .fixture("good.json", &good)
        .fixture("bad.json", &bad);
    let (found, succeeded) = project.json(&[]);
    assert!(succeeded, "{found}");
    assert_eq!(found["grade"], Value::Null);
}

#[test]
fn a_plugin_that_breaks_what_it_claims_fails_and_leaves_evidence() {
    let project = Project::of("corpus/bin/average.wasm");
    let evidence = project.folder.path().join("evidence");
    let folder = evidence.to_str().expect("a plain path");
    let output = project.test(&["--evidence", folder]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("P072 the plugin claims the laws of grade 2 and has grade 1"),
        "{}",
        errors(&output)
    );
    let files = std::fs::read_dir(&evidence).expect("the folder");
    let files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let replayed = Command::new(env!("CARGO_BIN_EXE_rejoin"))
            .args(["plugin", "replay"])
            .arg(&file)
            .arg("--plugin")
            .arg(&project.plugin)
            .output()
            .expect("it runs");
        assert_eq!(replayed.status.code(), Some(1));
        let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
        assert!(text.contains("it fails in the same way"), "{text}");
    }
}

#[test]
fn a_plugin_that_no_node_takes_is_refused_with_the_nodes_words() {
    let project = Project::of("bin/max.wasm");
    std::fs::write(&project.plugin, "(module)").expect("a text");
    let output = project.test(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("P003"), "{}", errors(&output));
    let trapping = Project::of("corpus/bin/trap-on-sample.wasm").test(&[]);
    assert!(errors(&trapping).contains("P052"), "{}", errors(&trapping));
}

#[test]
fn too_little_fuel_is_found_before_a_bucket_grants_it() {
    let output = Project::of("bin/shopping-cart.wasm").test(&["--fuel", "1000"]);
    assert!(errors(&output).contains("R002"), "{}", errors(&output));
}

#[test]
fn a_folder_is_tested_by_what_was_built_in_it() {
    let project = Project::of("bin/max.wasm");
    let folder = project.folder.path();
    let test = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
        command.args(["plugin", "test"]).arg(folder);
        command.output().expect("it runs")
    };
    assert!(errors(&test()).contains("rejoin-plugin.toml"));
    std::fs::write(
        folder.join("rejoin-plugin.toml"),
        "name = \"max\"\nlang = \"c\"\n",
    )
    .expect("it");
    assert!(errors(&test()).contains("rejoin plugin build"));
    std::fs::create_dir(folder.join("build")).expect("a folder");
    std::fs::copy(&project.plugin, folder.join("build/max.wasm")).expect("the plugin");
    let tested = test();
    assert!(tested.status.success(), "{}", errors(&tested));
}

#[test]
fn inspect_shows_a_file_without_a_server() {
    let project = Project::of("bin/max.wasm");
    let output = Command::new(env!("CARGO_BIN_EXE_rejoin"))
        .args(["plugin", "inspect", "--json"])
        .arg(&project.plugin)
        .output()
        .expect("it runs");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&found["name"], &found["samples"]),
        (&json!("max"), &json!(4))
    );
}
