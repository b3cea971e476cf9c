use bytes::Bytes;
use rejoin::dynamo::bucket::Binding;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::names::{BucketName, Key};
use rejoin::dynamo::reconcile::question::{Ask, Question, canonical};
use rejoin::wasm::library::{Library, Settings};
use std::sync::Arc;
use std::time::Instant;

#[tokio::test]
async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_rejoin").into(), 1, 32 << 20);
    settings.guest_wall_ms = 20_000;
    settings.compile.wall_ms = 600_000;
    let library = Arc::new(Library::open(folder.path(), settings).unwrap());
    for file in std::env::var("FILES").unwrap().split(' ') {
        let bytes = std::fs::read(file).unwrap();
        let size = bytes.len();
        let begun = Instant::now();
        let admitted = match library.admit(bytes.into()).await {
            Ok(a) => a,
            Err(e) => {
                println!("{file}: {e}");
                continue;
            }
        };
        let admit = begun.elapsed().as_millis();
        let value = |s: &str| {
            Version::value(
                Bytes::from(
                    (0..40)
                        .map(|i| format!("{s}-line-number-{i:03}-abc"))
                        .collect::<Vec<_>>()
                        .join("\n"),
                ),
                7,
            )
        };
        let siblings = canonical(vec![value("a"), value("b")]);
        let q = Question {
            key: Key::new(BucketName::new("b").unwrap(), Bytes::from_static(b"k")).unwrap(),
            binding: Binding::new(admitted.digest),
            ask: Ask::Resolve(siblings),
        };
        let first = library.answer(&q);
        let text = format!("{:?}", first.answer);
        let mut best = u128::MAX;
        for _ in 0..9 {
            let t = Instant::now();
            for _ in 0..50 {
                library.answer(&q);
            }
            best = best.min(t.elapsed().as_micros() / 50);
        }
        let fuel: std::collections::BTreeSet<String> = (0..20)
            .map(|_| {
                let t = format!("{:?}", library.answer(&q).answer);
                t[t.len().saturating_sub(60)..].to_owned()
            })
            .collect();
        println!(
            "{file}: {size} bytes, admit {admit} ms, native {}, best {best} us/call, {} distinct; {} ... {fuel:?}",
            admitted.native_bytes,
            fuel.len(),
            &text[..text.len().min(300)]
        );
    }
}
