//! A newcomer's way, by the command line alone: new, build, push, a conflict, the merged read; in three languages.
//!
//! What needs a toolchain is committed or translated here; the way with the tools themselves is `.ci/run languages`.

use super::stage::{PATIENCE, Stage, rejoin_binary};
use serde_json::Value;
use std::path::Path;
use tokio::process::Command;
use tokio::time::timeout;

/// `rejoin` in a folder, against one node.
struct Author<'a> {
    folder: &'a Path,
    url: String,
}

impl Author<'_> {
    /// The JSON lines of a command that succeeds.
    async fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let mut rejoin = Command::new(rejoin_binary());
        rejoin
            .args(arguments)
            .args(["--json", "--timeout-ms", "8000", "--server", &self.url])
            .current_dir(self.folder)
            .kill_on_drop(true);
        let output = timeout(PATIENCE, rejoin.output()).await;
        let output = output.expect("it ends").expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        let text = String::from_utf8_lossy(&output.stdout);
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        text.lines().map(parse).collect()
    }

    async fn line(&self, arguments: &[&str]) -> Value {
        self.lines(arguments).await.remove(0)
    }

    /// A project in WebAssembly text, built by copying what `wasm-tools parse` would make of it.
    async fn build_from_text(&self) {
        self.line(&["plugin", "new", "wat", "--lang", "wat"]).await;
        let project = self.folder.join("wat");
        let module = wat::parse_file(project.join("resolver.wat")).expect("well formed");
        std::fs::write(project.join("translated.wasm"), module).expect("a writable folder");
        let manifest = project.join("rejoin-plugin.toml");
        let own = "[build]\ncommand = [\"cp\", \"translated.wasm\", \"build/copied.wasm\"]\noutput = \"build/copied.wasm\"\n";
        let there = std::fs::read_to_string(&manifest).expect("it is there");
        std::fs::write(manifest, there + own).expect("a writable folder");
        self.line(&["plugin", "build", "wat", "--out", "wat.wasm"])
            .await;
    }

    /// What the template's compiler left, built again as a file.
    async fn build_from_committed(&self, lang: &str) {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/templates/bin");
        let component = format!("{committed}/{lang}.wasm");
        let out = format!("{lang}.wasm");
        self.line(&["plugin", "build", &component, "--out", &out])
            .await;
    }
}

#[tokio::test]
async fn a_newcomers_plugin_merges_a_conflict_in_each_of_three_languages() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    for lang in ["wat", "assemblyscript", "c"] {
        // One plugin in three languages is one name and version, which a cluster takes once.
        let stage = Stage::of(3).await;
        let url = stage.cluster.url(1);
        let author = Author { folder, url };
        match lang {
            "wat" => author.build_from_text().await,
            _ => author.build_from_committed(lang).await,
        }
        let file = format!("{lang}.wasm");
        let pushed = author.line(&["plugin", "push", &file]).await;
        assert_eq!(pushed["nodes_ready"], 3, "{lang}");
        let digest = pushed["digest"].as_str().expect("a digest").to_owned();
        let create = ["bucket", "create", lang, "--resolver", &digest];
        author
            .line(&[&create[..], &["--merge-on-put", "false"]].concat())
            .await;
        for value in ["pear\napple", "quince\npear"] {
            author
                .line(&["put", lang, "fruit", value, "--w", "3"])
                .await;
        }
        let get = ["get", lang, "fruit", "--r", "3", "--siblings"];
        let seen = author.line(&get).await;
        assert_eq!(
            seen["values"][0]["value"], "apple\npear\nquince",
            "{lang}: {seen}"
        );
        assert_eq!(
            seen["siblings"].as_array().map(Vec::len),
            Some(2),
            "{lang}: {seen}"
        );
        stage.end().await;
    }
}
