//! What the reply to a put warns of: large values and many siblings. The write stands all the same.

use super::stage::{Stage, putting, texts};
use rejoin::limits::SIBLINGS_WARN;
use rejoin::wire::proto::v1 as proto;

#[tokio::test]
async fn a_large_value_is_stored_and_its_put_warned_whoever_was_asked() {
    let stage = Stage::of(4).await;
    let nodes = stage.nodes().await;
    let properties = proto::Properties {
        value_bytes_warn: Some(10),
        ..proto::Properties::default()
    };
    nodes[0].create("notes", properties).await;
    let fits = nodes[0].put("notes", "fits", "ten bytes!").await;
    assert!(fits.warnings.is_empty(), "{:?}", fits.warnings);
    let mut counted = 0;
    for node in &nodes {
        let stored = node.put("notes", "large", "eleven byte").await;
        let [warning] = &stored.warnings[..] else {
            panic!("one warning, not {:?}", stored.warnings);
        };
        assert!(
            warning.contains("11 bytes") && warning.contains("above 10"),
            "{warning}"
        );
        counted += 1;
    }
    let mut warnings = 0;
    for node in &nodes {
        warnings += node.counter("put_warnings").await;
    }
    assert_eq!(warnings, counted, "each by the node that coordinated");
    let found = nodes[1].get("notes", "large").await;
    assert!(texts(&found).iter().all(|text| text == "eleven byte"));
    stage.end().await;
}

#[tokio::test]
async fn a_key_with_many_siblings_is_written_and_its_put_warned() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    node.create("notes", proto::Properties::default()).await;
    for number in 1..=SIBLINGS_WARN {
        let stored = node.put("notes", "key", &number.to_string()).await;
        assert!(stored.warnings.is_empty(), "{number} siblings are not many");
    }
    let asked = proto::PutRequest {
        w: Some(3),
        ..putting("notes", "key", "one more")
    };
    let stored = node.try_put(asked).await.expect("no write is refused");
    assert_eq!(stored.siblings as usize, SIBLINGS_WARN + 1);
    assert!(
        stored.warnings[0].contains("17 siblings"),
        "{:?}",
        stored.warnings
    );
    stage.end().await;
}
