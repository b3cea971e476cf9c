//! From upload to library: what is kept, what is left behind, what survives a restart and bit rot.
//!
//! Invariant: each test has a folder and a library of its own, and looks into the folder.

use super::plugins::{CONCATENATE, Shelf, Text, open, question, settings};
use rejoin::dynamo::names::Digest;
use rejoin::dynamo::reconcile::answer::{Answer, Resolution};
use rejoin::limits::GUEST_HANDLES_MAX;
use rejoin::wasm::library::digest_of;
use rejoin::wasm::upload_error::UploadError;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn good() -> Text {
    Text::resolver(CONCATENATE)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).collect()
}

impl Shelf {
    fn native(&self) -> PathBuf {
        self.folder.path().join("plugins/native")
    }

    fn resolves(&self, digest: Digest) -> bool {
        let report = self.library.answer(&question(digest, &["apple", "pear"]));
        let expected = Resolution::Merged("applepear".into());
        matches!(report.answer, Answer::Resolved { resolution, .. } if resolution == expected)
    }

    async fn refusal(&self, bytes: Vec<u8>) -> UploadError {
        let refused = self.library.admit(bytes.into()).await;
        refused.map(|admitted| panic!("{admitted:?}")).unwrap_err()
    }
}

#[tokio::test]
async fn a_plugin_is_kept_under_the_digest_of_what_was_uploaded() {
    let shelf = Shelf::open();
    let (core, component) = (good().core(), good().with("sampled", "").component());
    for bytes in [core, component] {
        let admitted = shelf.library.admit(bytes.clone().into()).await.unwrap();
        assert_eq!(admitted.digest, digest_of(&bytes));
        assert_eq!(admitted.size_bytes, bytes.len());
        assert_eq!(shelf.library.bytes(admitted.digest).unwrap(), bytes);
        assert!(shelf.resolves(admitted.digest));
        assert!(admitted.roles.resolver && !admitted.roles.validator);
        let again = shelf.library.admit(bytes.into()).await.unwrap();
        assert_eq!(again, admitted);
    }
    assert_eq!(shelf.library.list().unwrap().len(), 2);
    let mode = fs::metadata(shelf.native()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_plugin_says_who_it_is_and_what_is_typical() {
    let shelf = Shelf::open();
    let bytes = good().with("sampled", "").component();
    let description = shelf.library.admit(bytes.into()).await.unwrap().description;
    assert_eq!(
        (description.name.as_str(), description.version.as_str()),
        ("tester", "1.2.3")
    );
    assert!(
        description.laws.commutative && description.laws.associative && description.laws.idempotent
    );
    let sample = &description.samples[0];
    assert_eq!((&sample.key[..], sample.siblings.len()), (&b"h"[..], 1));
    assert_eq!(sample.siblings[0].bytes().unwrap()[..], b"m"[..]);
    assert_eq!(sample.siblings[0].written_at_ms, 42);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let shelf = Shelf::open();
    let loops = good().with("more", "(func $never (loop $l (br $l))) (start $never)");
    let traps = good().with("describe", "unreachable");
    let cases = [
        (b"text".to_vec(), "P003"),
        (loops.component(), "P050"),
        (traps.component(), "P050"),
        (good().with("name", "Not A Name").component(), "P051"),
        (good().with("name", "").component(), "P051"),
        (
            good().component_of_changed(
                "        deleted,\n",
                "        deleted,\n        undecided,\n",
            ),
            "P025",
        ),
        (
            good().component_of_changed("        warn,\n", "        warn,\n        fatal,\n"),
            "P025",
        ),
    ];
    for (bytes, code) in cases {
        let error = shelf.refusal(bytes).await;
        assert_eq!(error.code(), code, "{error}");
    }
    assert_eq!(
        files(&shelf.folder.path().join("plugins")),
        Vec::<PathBuf>::new()
    );
    assert_eq!(files(&shelf.native()), Vec::<PathBuf>::new());
    assert_eq!(shelf.library.list(), Ok(vec![]));
}

#[tokio::test]
async fn a_patch_of_the_contract_is_the_same_contract() {
    let shelf = Shelf::open();
    let patched = good().component_for("plugin@1.0.7", "resolver-plugin");
    let digest = shelf.admit(patched).await;
    assert!(shelf.resolves(digest));
}

/// Instances that no count at the door sees, because a component multiplies them.
#[tokio::test]
async fn more_instances_than_a_call_may_have_are_the_plugins_fault() {
    let many = (0..100).map(|i| format!("(core instance $i{i} (instantiate $empty))"));
    let many: String = many.collect();
    let bytes = embedding(&format!("(component (core module $empty) {many})"));
    let error = Shelf::open().refusal(bytes).await;
    assert_eq!(error.code(), "P041", "{error}");
    assert!(
        !error.is_hosts_fault() && error.to_string().contains("instances"),
        "{error}"
    );
}

/// Stubs of WASI make resources for the component beside them; the host holds them, so they are counted.
#[tokio::test]
async fn resources_within_a_plugin_are_let_in_and_bounded() {
    let making = |handles: u32| {
        embedding(&format!(
            r#"(component
                (type $stub (resource (rep i32)))
                (core func $make (canon resource.new $stub))
                (core module $maker
                  (import "stub" "make" (func $make (param i32) (result i32)))
                  (func $start (local $i i32)
                    (loop $more
                      (drop (call $make (i32.const 0)))
                      (br_if $more (i32.lt_u
                        (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                        (i32.const {handles})))))
                  (start $start))
                (core instance (instantiate $maker (with "stub" (instance (export "make" (func $make)))))))"#
        ))
    };
    let shelf = Shelf::open();
    let digest = shelf.admit(making(GUEST_HANDLES_MAX as u32)).await;
    assert!(shelf.resolves(digest));
    let error = shelf.refusal(making(GUEST_HANDLES_MAX as u32 + 1)).await;
    assert_eq!(error.code(), "P050", "{error}");
    assert!(
        !error.is_hosts_fault() && error.to_string().contains("handle"),
        "{error}"
    );
}

/// A good component with one more within it, which is instantiated without arguments.
fn embedding(text: &str) -> Vec<u8> {
    let extra = wat::parse_str(text).unwrap();
    let good = good().component();
    let (header, rest) = good.split_at(8);
    // Section 4 of a component is a component within it; instantiating it needs one more section.
    let mut size = extra.len();
    let mut bytes = [header, rest, &[4]].concat();
    while size >= 0x80 {
        bytes.push(size as u8 & 0x7f | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes.extend(extra);
    // A section of instances: one, of the last component, without arguments.
    let components = 1 + inner_components(&good);
    bytes.extend([5, 4, 1, 0, components - 1, 0]);
    bytes
}

/// Components directly within a component.
fn inner_components(component: &[u8]) -> u8 {
    use wasmparser::{Parser, Payload};
    let (mut depth, mut count) = (0, 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentSection { .. } if depth == 1 => count += 1,
            _ => {}
        }
    }
    count
}

#[tokio::test]
async fn a_restart_needs_no_compiler_as_long_as_the_native_code_is_sound() {
    let shelf = Shelf::open();
    let digest = shelf.admit(good().component()).await;
    let Shelf { folder, library } = shelf;
    drop(library);
    let mut without_compiler = settings();
    without_compiler.compiler = "/no/such/program".into();
    let library = open(folder.path(), without_compiler);
    let shelf = Shelf { folder, library };
    assert!(shelf.resolves(digest));
    assert_eq!(
        shelf.library.admitted(digest).unwrap().description.name,
        "tester"
    );
}

#[tokio::test]
async fn native_code_that_was_touched_is_compiled_again() {
    let mut shelf = Shelf::open();
    let digest = shelf.admit(good().component()).await;
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(50),
        |bytes: &mut Vec<u8>| bytes[5_000] ^= 1,
    ] {
        let path = files(&shelf.native()).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        shelf = shelf.reopen();
        assert!(!shelf.resolves(digest), "damaged code was run");
        shelf.library.prepare(digest).await.unwrap();
        assert!(shelf.resolves(digest));
        assert_eq!(files(&shelf.native()).len(), 1);
    }
}

#[tokio::test]
async fn an_upload_that_rotted_on_disk_is_forgotten_and_welcome_again() {
    let shelf = Shelf::open();
    let digest = shelf.admit(good().component()).await;
    let path = shelf.folder.path().join(format!("plugins/{digest}.wasm"));
    fs::write(&path, b"rot").unwrap();
    assert_eq!(
        shelf.library.bytes(digest),
        Err(UploadError::Missing { digest })
    );
    assert!(!shelf.library.contains(digest));
    assert_eq!(shelf.admit(good().component()).await, digest);
    assert!(shelf.resolves(digest));
}

#[tokio::test]
async fn a_removed_plugin_is_gone() {
    let shelf = Shelf::open();
    let digest = shelf.admit(good().component()).await;
    shelf.library.remove(digest).unwrap();
    assert!(!shelf.library.contains(digest) && !shelf.resolves(digest));
    assert_eq!(files(&shelf.native()), Vec::<PathBuf>::new());
    shelf.library.remove(digest).unwrap();
}

#[tokio::test]
async fn half_written_files_and_orphans_are_swept_at_open() {
    let shelf = Shelf::open();
    let leftover = shelf.native().join("half.tmp");
    fs::write(&leftover, b"half").unwrap();
    let shelf = shelf.reopen();
    assert!(!leftover.exists());
    let orphan = shelf
        .native()
        .join(format!("{}.0.native", digest_of(b"gone")));
    fs::write(&orphan, b"code").unwrap();
    let shelf = shelf.reopen();
    assert!(!orphan.exists());
    assert_eq!(shelf.library.list(), Ok(vec![]));
}

/// The plugins that are committed with their sources must be welcome on a plain node.
#[tokio::test]
async fn committed_plugins_are_admitted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/bin");
    let shelf = Shelf::open();
    let Ok(entries) = fs::read_dir(folder) else {
        return; // A checkout without the plugins; with them, at least one must be there.
    };
    let mut admitted = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            let outcome = shelf.library.admit(fs::read(&path).unwrap().into()).await;
            assert!(
                outcome.is_ok(),
                "{}: {}",
                path.display(),
                outcome.unwrap_err()
            );
            admitted += 1;
        }
    }
    assert!(admitted > 0, "no plugin in plugins/bin");
}
