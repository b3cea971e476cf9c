//! Bad input of every kind to every RPC of `rejoin.v1`: its own code, its own reason, the numbers, and the fix.
//!
//! One table, because that is what it is. What a plugin can do wrong beyond its upload is in `tests/sandbox`;
//! a `grpc-timeout` of zero never leaves a client of ours, so `api::deadline` tests it.
//!
//! Invariant: after the whole table the cluster is as it was: same metadata, no write, no file more.

#[allow(
    dead_code,
    reason = "this test needs only some of what the stage offers"
)]
#[path = "cluster/stage.rs"]
mod stage;
#[allow(dead_code, reason = "this test needs only some of these plugins")]
#[path = "cluster/written_plugins.rs"]
mod written_plugins;

use bytes::Bytes;
use proto::push_request::Part;
use rejoin::limits::FUEL_MAX;
use rejoin::wire::proto::v1 as proto;
use stage::{Node, Stage, bound, getting, plugin_bytes, putting};
use std::path::{Path, PathBuf};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;
const INVALID: Code = Code::InvalidArgument;

/// Collects the rows that did not come out as they should.
struct Table {
    node: Node,
    wrong: Vec<String>,
    rows: usize,
}

impl Table {
    /// A row: what was sent, what came back, and what should have.
    fn row<T>(
        &mut self,
        sent: &str,
        came: Result<T, Status>,
        code: Code,
        reason: &str,
        hint: &str,
    ) {
        self.rows += 1;
        let Err(status) = came else {
            self.wrong.push(format!("{sent}: was accepted"));
            return;
        };
        let info = status.get_error_details().error_info().cloned();
        let found = info.map(|info| info.reason).unwrap_or_default();
        let fits = status.message().contains(hint);
        if status.code() != code || found != reason || !fits {
            let message = status.message();
            self.wrong.push(format!(
                "{sent}: {:?} {found:?} {message:?}, not {code:?} {reason:?} {hint:?}",
                status.code()
            ));
        }
    }
}

/// Names that are none, with what is said of them.
fn bad_buckets() -> [(String, &'static str); 4] {
    [
        (
            String::new(),
            "the bucket name is empty; give it 1 to 64 bytes",
        ),
        (
            "b".repeat(65),
            "the bucket name has 65 bytes, the limit is 64",
        ),
        ("Notes".to_owned(), "has 'N'; use lower-case letters"),
        ("a/b".to_owned(), "has '/'; use lower-case letters"),
    ]
}

fn bad_keys() -> [(String, &'static str); 2] {
    [
        (String::new(), "the key is empty; give it 1 to 4096 bytes"),
        (
            "k".repeat(4097),
            "the key has 4097 bytes, the limit is 4096",
        ),
    ]
}

/// Buckets and keys that every RPC with a key has to refuse: bucket, key, hint.
fn bad_names() -> Vec<(String, String, &'static str)> {
    let buckets = bad_buckets().map(|(bucket, hint)| (bucket, "key".to_owned(), hint));
    let keys = bad_keys().map(|(key, hint)| ("notes".to_owned(), key, hint));
    buckets.into_iter().chain(keys).collect()
}

/// Quorums that a bucket with n = 3 has not.
fn bad_quorums(name: &str) -> [(u32, String); 3] {
    [
        (
            0,
            format!("{name} is 0, but the bucket has n = 3 replicas; give 1 to 3"),
        ),
        (
            4,
            format!("{name} is 4, but the bucket has n = 3 replicas; give 1 to 3"),
        ),
        (
            256,
            format!("{name} is 256; give a whole number from 1 to 255"),
        ),
    ]
}

async fn gets(table: &mut Table) {
    let node = table.node.clone();
    for (bucket, key, hint) in bad_names() {
        let came = node.try_get(getting(&bucket, &key)).await;
        table.row("get by a bad name", came, INVALID, "BAD_NAME", hint);
    }
    let came = node.try_get(getting("nowhere", "key")).await;
    let hint = "create it with `rejoin bucket create nowhere`";
    table.row(
        "get from no bucket",
        came,
        Code::NotFound,
        "NO_SUCH_BUCKET",
        hint,
    );
    for (r, hint) in bad_quorums("r") {
        let asked = proto::GetRequest {
            r: Some(r),
            ..getting("notes", "key")
        };
        let came = node.try_get(asked).await;
        table.row("get with a bad r", came, INVALID, "BAD_QUORUM", &hint);
    }
    for header in ["soon", "5", "-1S", "123456789S"] {
        let mut asked = Request::new(getting("notes", "key"));
        asked
            .metadata_mut()
            .insert("grpc-timeout", header.parse().expect("ascii"));
        let came = node.connection.kv().get(asked).await;
        let hint = "gRPC writes it as `5S`";
        table.row(
            "get with a bad deadline",
            came,
            INVALID,
            "BAD_DEADLINE",
            hint,
        );
    }
}

async fn puts(table: &mut Table, contexts: &[(Bytes, &str)]) {
    let node = table.node.clone();
    for (bucket, key, hint) in bad_names() {
        let came = node.try_put(putting(&bucket, &key, "value")).await;
        table.row("put by a bad name", came, INVALID, "BAD_NAME", hint);
    }
    let came = node.try_put(putting("nowhere", "key", "value")).await;
    let hint = "create it with `rejoin bucket create nowhere`";
    table.row(
        "put into no bucket",
        came,
        Code::NotFound,
        "NO_SUCH_BUCKET",
        hint,
    );
    for (w, hint) in bad_quorums("w") {
        let asked = proto::PutRequest {
            w: Some(w),
            ..putting("notes", "key", "value")
        };
        let came = node.try_put(asked).await;
        table.row("put with a bad w", came, INVALID, "BAD_QUORUM", &hint);
    }
    for (context, hint) in contexts {
        let asked = proto::PutRequest {
            context: context.clone(),
            ..putting("notes", "key", "value")
        };
        let came = node.try_put(asked).await;
        table.row("put with a bad context", came, INVALID, "BAD_CONTEXT", hint);
    }
    let asked = proto::PutRequest {
        ack: 77,
        ..putting("notes", "key", "value")
    };
    let hint = "ack is 77, which this release does not know; give 1 (buffered)";
    table.row(
        "put with a bad ack",
        node.try_put(asked).await,
        INVALID,
        "BAD_ACK",
        hint,
    );
    let asked = proto::PutRequest {
        ttl_ms: Some(u64::MAX),
        ..putting("notes", "key", "value")
    };
    let hint = "18446744073709551615 ms; give 1 to 315360000000, 0 for good";
    let came = node.try_put(asked).await;
    table.row(
        "put with a bad time to live",
        came,
        INVALID,
        "BAD_TTL",
        hint,
    );
    let asked = proto::PutRequest {
        condition: 9,
        ..putting("notes", "key", "value")
    };
    let hint = "condition is 9, which this release does not know; give 1 (if absent)";
    let came = node.try_put(asked).await;
    table.row(
        "put with a bad condition",
        came,
        INVALID,
        "BAD_CONDITION",
        hint,
    );
    let asked = proto::PutRequest {
        condition: proto::Condition::IfAbsent.into(),
        ..putting("notes", "key", "value")
    };
    let hint = "nothing was stored: the key was to be absent, but 1 versions were in the way";
    table.row(
        "put if absent what is there",
        node.try_put(asked).await,
        Code::FailedPrecondition,
        "CONDITION_FAILED",
        hint,
    );
    let asked = proto::PutRequest {
        condition: proto::Condition::IfContext.into(),
        ..putting("nowhere", "key", "value")
    };
    let hint = "create it with `rejoin bucket create nowhere`";
    table.row(
        "put if context into no bucket",
        node.try_put(asked).await,
        Code::NotFound,
        "NO_SUCH_BUCKET",
        hint,
    );
    values(table).await;
}

async fn values(table: &mut Table) {
    let node = table.node.clone();
    let large = "v".repeat(MIB + 1);
    let too_large = "1048577 bytes, the limit is 1048576; split it";
    let came = node.try_put(putting("notes", "key", &large)).await;
    table.row("a large value", came, INVALID, "BAD_VALUE", too_large);
    let came = node.try_put(putting("small", "key", "eleven byte")).await;
    let hint = "11 bytes, the limit is 10; split it";
    table.row(
        "a value too large for its bucket",
        came,
        INVALID,
        "BAD_VALUE",
        hint,
    );
    let giant = "v".repeat(3 * MIB);
    let came = node.try_put(putting("notes", "key", &giant)).await;
    // Refused before it is read, by gRPC itself.
    table.row(
        "a giant value",
        came,
        Code::OutOfRange,
        "",
        "the limit is: 2097152 bytes",
    );
    let long_type = proto::PutRequest {
        content_type: "t".repeat(129),
        ..putting("notes", "key", "value")
    };
    let hint = "the content type has 129 bytes, the limit is 128";
    table.row(
        "a long type",
        node.try_put(long_type).await,
        INVALID,
        "BAD_VALUE",
        hint,
    );
    let entries = (0..33).map(|number| (number.to_string(), String::new()));
    let many = proto::PutRequest {
        metadata: entries.collect(),
        ..putting("notes", "key", "value")
    };
    let hint = "the metadata has 33 entries, the limit is 32";
    table.row(
        "many entries",
        node.try_put(many).await,
        INVALID,
        "BAD_VALUE",
        hint,
    );
    let long = proto::PutRequest {
        metadata: [("n".to_owned(), "m".repeat(4 * KIB))].into(),
        ..putting("notes", "key", "value")
    };
    let hint = "the metadata has 4097 bytes, the limit is 4096";
    table.row(
        "long metadata",
        node.try_put(long).await,
        INVALID,
        "BAD_VALUE",
        hint,
    );
}

async fn deletes(table: &mut Table, contexts: &[(Bytes, &str)]) {
    let node = table.node.clone();
    let delete = async |asked: proto::DeleteRequest| {
        let asked = node.connection.request(asked);
        node.connection.kv().delete(asked).await
    };
    let plain = proto::DeleteRequest {
        bucket: "notes".to_owned(),
        key: "key".into(),
        ..proto::DeleteRequest::default()
    };
    for (bucket, key, hint) in bad_names() {
        let key = key.into();
        let came = delete(proto::DeleteRequest {
            bucket,
            key,
            ..plain.clone()
        })
        .await;
        table.row("delete by a bad name", came, INVALID, "BAD_NAME", hint);
    }
    let bucket = "nowhere".to_owned();
    let came = delete(proto::DeleteRequest {
        bucket,
        ..plain.clone()
    })
    .await;
    let hint = "create it with `rejoin bucket create nowhere`";
    table.row(
        "delete from no bucket",
        came,
        Code::NotFound,
        "NO_SUCH_BUCKET",
        hint,
    );
    for (w, hint) in bad_quorums("w") {
        let w = Some(w);
        let came = delete(proto::DeleteRequest { w, ..plain.clone() }).await;
        table.row("delete with a bad w", came, INVALID, "BAD_QUORUM", &hint);
    }
    for (context, hint) in contexts {
        let context = context.clone();
        let came = delete(proto::DeleteRequest {
            context,
            ..plain.clone()
        })
        .await;
        table.row(
            "delete with a bad context",
            came,
            INVALID,
            "BAD_CONTEXT",
            hint,
        );
    }
    let came = delete(proto::DeleteRequest { ack: -1, ..plain }).await;
    table.row(
        "delete with a bad ack",
        came,
        INVALID,
        "BAD_ACK",
        "ack is -1",
    );
}

async fn listings(table: &mut Table) {
    let connection = table.node.connection.clone();
    let list = async |asked: proto::ListKeysRequest| {
        let asked = connection.request(asked);
        connection.kv().list_keys(asked).await
    };
    let plain = proto::ListKeysRequest {
        bucket: "notes".to_owned(),
        page_size: Some(1),
        ..proto::ListKeysRequest::default()
    };
    for (bucket, hint) in bad_buckets() {
        let came = list(proto::ListKeysRequest {
            bucket,
            ..plain.clone()
        })
        .await;
        table.row("list a bad name", came, INVALID, "BAD_NAME", hint);
    }
    let asked = proto::ListKeysRequest {
        bucket: "nowhere".to_owned(),
        ..plain.clone()
    };
    let hint = "create it with `rejoin bucket create nowhere`";
    let came = list(asked).await;
    table.row(
        "list no bucket",
        came,
        Code::NotFound,
        "NO_SUCH_BUCKET",
        hint,
    );
    let asked = proto::ListKeysRequest {
        prefix: vec![b'p'; 4097].into(),
        ..plain.clone()
    };
    let hint = "the prefix has 4097 bytes, the limit is 4096";
    let came = list(asked).await;
    table.row("list a long prefix", came, INVALID, "BAD_PREFIX", hint);
    for page_size in [0, 1001] {
        let asked = proto::ListKeysRequest {
            page_size: Some(page_size),
            ..plain.clone()
        };
        let hint = format!("the page size is {page_size}; give 1 to 1000 keys");
        let came = list(asked).await;
        table.row("list a bad page", came, INVALID, "BAD_PAGE_SIZE", &hint);
    }
    let page = list(plain.clone()).await.expect("a page").into_inner();
    let own = page.next_page_token;
    assert!(!own.is_empty(), "two keys, and one on the page");
    let tokens = [
        (own.slice(..own.len() - 1), "is not one of this listing"),
        (Bytes::from(vec![7; 4]), "is damaged"),
        (Bytes::from(vec![7; 20]), "is not one of this listing"),
        (
            Bytes::from(vec![7; 5 * KIB]),
            "is longer than any that was given",
        ),
    ];
    for (page_token, hint) in tokens {
        let asked = proto::ListKeysRequest {
            page_token,
            ..plain.clone()
        };
        let came = list(asked).await;
        table.row("list by a bad token", came, INVALID, "BAD_PAGE_TOKEN", hint);
    }
    let asked = proto::ListKeysRequest {
        page_token: own,
        prefix: "k".into(),
        ..plain
    };
    let hint = "unchanged, with the same bucket and prefix";
    let came = list(asked).await;
    table.row(
        "list by a foreign token",
        came,
        INVALID,
        "BAD_PAGE_TOKEN",
        hint,
    );
}

async fn inspections(table: &mut Table) {
    let connection = table.node.connection.clone();
    for (bucket, key, hint) in bad_names() {
        let key: Bytes = key.into();
        let asked = proto::PreferenceListRequest {
            bucket: bucket.clone(),
            key: key.clone(),
        };
        let came = connection
            .cluster()
            .preference_list(connection.request(asked))
            .await;
        table.row(
            "a preference list by a bad name",
            came,
            INVALID,
            "BAD_NAME",
            hint,
        );
        let asked = connection.request(proto::LocalRecordRequest { bucket, key });
        let came = connection.cluster().local_record(asked).await;
        table.row("a record by a bad name", came, INVALID, "BAD_NAME", hint);
    }
    let asked = connection.request(proto::PreferenceListRequest {
        bucket: "nowhere".to_owned(),
        key: "key".into(),
    });
    let came = connection.cluster().preference_list(asked).await;
    let hint = "there is no bucket nowhere";
    table.row(
        "a preference list of no bucket",
        came,
        Code::NotFound,
        "NO_SUCH_BUCKET",
        hint,
    );
    for (bucket, hint) in bad_buckets() {
        let asked = connection.request(proto::DescribeBucketRequest { bucket });
        let came = connection.buckets().describe(asked).await;
        table.row("describe by a bad name", came, INVALID, "BAD_NAME", hint);
    }
    let bucket = "nowhere".to_owned();
    let asked = connection.request(proto::DescribeBucketRequest { bucket });
    let came = connection.buckets().describe(asked).await;
    let hint = "create it with `rejoin bucket create nowhere`";
    table.row(
        "describe no bucket",
        came,
        Code::NotFound,
        "NO_SUCH_BUCKET",
        hint,
    );
    deadlines(table).await;
}

/// The RPCs without arguments still have a deadline to get wrong.
async fn deadlines(table: &mut Table) {
    fn late<T>(message: T) -> Request<T> {
        let mut asked = Request::new(message);
        asked
            .metadata_mut()
            .insert("grpc-timeout", "later".parse().expect("ascii"));
        asked
    }
    let connection = table.node.connection.clone();
    let hint = "the deadline \"later\" is not one";
    let gets = tokio_stream::empty::<proto::GetRequest>();
    let came = connection.kv().batch_get(late(gets)).await;
    table.row("batch get", came, INVALID, "BAD_DEADLINE", hint);
    let puts = tokio_stream::empty::<proto::PutRequest>();
    let came = connection.kv().batch_put(late(puts)).await;
    table.row("batch put", came, INVALID, "BAD_DEADLINE", hint);
    let came = connection
        .cluster()
        .status(late(proto::StatusRequest {}))
        .await;
    table.row("status", came, INVALID, "BAD_DEADLINE", hint);
    let came = connection.cluster().ring(late(proto::RingRequest {})).await;
    table.row("ring", came, INVALID, "BAD_DEADLINE", hint);
    let came = connection
        .buckets()
        .list(late(proto::ListBucketsRequest {}))
        .await;
    table.row("list buckets", came, INVALID, "BAD_DEADLINE", hint);
    let came = connection
        .plugins()
        .list(late(proto::ListPluginsRequest {}))
        .await;
    table.row("list plugins", came, INVALID, "BAD_DEADLINE", hint);
}

async fn create(node: &Node, bucket: &str, properties: proto::Properties) -> Result<(), Status> {
    let asked = proto::CreateBucketRequest {
        bucket: bucket.to_owned(),
        properties: Some(properties),
        replace: false,
    };
    node.try_create(asked).await.map(|_| ())
}

async fn creates(table: &mut Table, resolver: &str, validator: &str) {
    let node = table.node.clone();
    for (bucket, hint) in bad_buckets() {
        let came = create(&node, &bucket, proto::Properties::default()).await;
        table.row("create by a bad name", came, INVALID, "BAD_NAME", hint);
    }
    let came = create(&node, "notes", proto::Properties::default()).await;
    let hint = "exists already; pass `replace`";
    table.row(
        "create again",
        came,
        Code::AlreadyExists,
        "BUCKET_EXISTS",
        hint,
    );
    for (properties, hint) in bad_properties(resolver) {
        let came = create(&node, "new", properties).await;
        table.row(
            "create with bad properties",
            came,
            INVALID,
            "BAD_PROPERTIES",
            hint,
        );
    }
    for (properties, code, reason, hint) in bad_bindings(resolver, validator) {
        let came = create(&node, "new", properties).await;
        table.row("create with a bad binding", came, code, reason, &hint);
    }
}

fn bad_properties(resolver: &str) -> Vec<(proto::Properties, &'static str)> {
    type P = proto::Properties;
    let fine = P::default;
    let policy = |policy: proto::Policy| policy.into();
    let bind = |plugin: &str| Some(bound(plugin));
    let fuel = Some(proto::Binding {
        fuel: FUEL_MAX + 1,
        ..bound(resolver)
    });
    let params = Bytes::from(vec![b'p'; 64 * KIB + 1]);
    let params = Some(proto::Binding {
        params,
        ..bound(resolver)
    });
    vec![
        (
            P {
                n: Some(0),
                ..fine()
            },
            "n is 0; give 1 to 9",
        ),
        (
            P {
                n: Some(4),
                ..fine()
            },
            "n is 4, but the cluster has 3 nodes; give 1 to 3",
        ),
        (
            P {
                n: Some(10),
                ..fine()
            },
            "n is 10; give 1 to 9",
        ),
        (
            P {
                n: Some(256),
                ..fine()
            },
            "n is 256; give a whole number from 1 to 255",
        ),
        (
            P {
                r: Some(0),
                ..fine()
            },
            "r is 0, but the bucket has n = 3 replicas; give 1 to 3",
        ),
        (
            P {
                r: Some(999),
                ..fine()
            },
            "r is 999; give a whole number from 1 to 255",
        ),
        (
            P {
                w: Some(4),
                ..fine()
            },
            "w is 4, but the bucket has n = 3 replicas; give 1 to 3",
        ),
        (
            P {
                n: Some(1),
                w: Some(2),
                ..fine()
            },
            "w is 2, but the bucket has n = 1 replicas",
        ),
        (
            P { ack: 9, ..fine() },
            "ack is 9, which this release does not know",
        ),
        (
            P {
                policy: 9,
                ..fine()
            },
            "policy is 9, which this release does not know",
        ),
        (
            P {
                value_bytes_max: Some(0),
                ..fine()
            },
            "the value limit is 0 bytes; give 1 to 1048576",
        ),
        (
            P {
                value_bytes_max: Some(u64::MAX),
                ..fine()
            },
            "give 1 to 1048576",
        ),
        (
            P {
                value_bytes_max: Some(100),
                value_bytes_warn: Some(101),
                ..fine()
            },
            "the value warning is at 101 bytes, the value limit at 100; give 1 to 100, or 0 for none",
        ),
        (
            P {
                ttl_ms: Some(315_360_000_001),
                ..fine()
            },
            "the time to live is 315360000001 ms; give 1 to 315360000000, or 0 for good",
        ),
        (
            P {
                merge_on_put: Some(true),
                ..fine()
            },
            "bind a resolver or choose last-write-wins",
        ),
        (
            P {
                policy: policy(proto::Policy::Resolver),
                ..fine()
            },
            "upload one and bind its digest",
        ),
        (
            P {
                policy: policy(proto::Policy::LastWriteWins),
                resolver: bind(resolver),
                ..fine()
            },
            "leave the policy out, or the resolver",
        ),
        (
            P {
                resolver: bind("xyz"),
                ..fine()
            },
            "the resolver's plugin is \"xyz\"; give the 64",
        ),
        (
            P {
                validator: bind(&resolver[1..]),
                ..fine()
            },
            "give the 64 hexadecimal digits",
        ),
        (
            P {
                resolver: fuel,
                ..fine()
            },
            "10000000001 units of fuel; give 1 to 10000000000",
        ),
        (
            P {
                resolver: params,
                ..fine()
            },
            "have 65537 bytes, the limit is 65536",
        ),
    ]
}

type BadBinding = (proto::Properties, Code, &'static str, String);

fn bad_bindings(resolver: &str, validator: &str) -> Vec<BadBinding> {
    let resolving = |binding| proto::Properties {
        resolver: Some(binding),
        ..proto::Properties::default()
    };
    let validating = |binding| proto::Properties {
        validator: Some(binding),
        ..proto::Properties::default()
    };
    let unknown = "ab".repeat(32);
    let missing = format!("there is no plugin {unknown}; upload it");
    let params = proto::Binding {
        params: "params".into(),
        ..bound(resolver)
    };
    let schema = proto::Binding {
        params: r#"{"title":"a cart"}"#.into(),
        ..bound(validator)
    };
    vec![
        (
            resolving(bound(&unknown)),
            Code::NotFound,
            "NO_SUCH_PLUGIN",
            missing.clone(),
        ),
        (
            validating(bound(&unknown)),
            Code::NotFound,
            "NO_SUCH_PLUGIN",
            missing,
        ),
        (
            resolving(bound(validator)),
            INVALID,
            "WRONG_ROLE",
            "exports no resolver".to_owned(),
        ),
        (
            validating(bound(resolver)),
            INVALID,
            "WRONG_ROLE",
            "exports no validator".to_owned(),
        ),
        (
            resolving(params),
            INVALID,
            "BAD_PARAMS",
            "the params of the resolver".to_owned(),
        ),
        (
            validating(schema),
            INVALID,
            "BAD_PARAMS",
            "title".to_owned(),
        ),
    ]
}

async fn send(node: &Node, parts: Vec<Option<Part>>) -> Result<(), Status> {
    let parts = parts.into_iter().map(|part| proto::PushRequest { part });
    let asked = Request::new(tokio_stream::iter(parts.collect::<Vec<_>>()));
    node.connection.plugins().push(asked).await.map(|_| ())
}

fn start(size_bytes: usize, sha256: &str) -> Option<Part> {
    Some(Part::Start(proto::PushStart {
        size_bytes: size_bytes as u64,
        sha256: sha256.to_owned(),
    }))
}

fn chunk(bytes: &[u8]) -> Option<Part> {
    Some(Part::Chunk(Bytes::copy_from_slice(bytes)))
}

async fn uploads(table: &mut Table) {
    let node = table.node.clone();
    let plugin = plugin_bytes("max.wasm");
    let other = "ab".repeat(32);
    let rows: Vec<(Vec<Option<Part>>, &str, &str)> = vec![
        (vec![], "NO_START", "the first message has to be `start`"),
        (
            vec![chunk(&plugin)],
            "NO_START",
            "the first message has to be `start`",
        ),
        (vec![None], "EMPTY_PART", "neither `start` nor `chunk`"),
        (
            vec![start(1, ""), None],
            "EMPTY_PART",
            "neither `start` nor `chunk`",
        ),
        (
            vec![start(5, ""), start(5, "")],
            "TWO_STARTS",
            "send it once",
        ),
        (
            vec![start(10, ""), chunk(b"abc")],
            "TRUNCATED",
            "after 3 of 10 bytes; push it again",
        ),
        (
            vec![start(2, ""), chunk(b"abc")],
            "TOO_MANY_BYTES",
            "the announced 2 bytes",
        ),
        (
            vec![start(3, &other), chunk(b"abc")],
            "WRONG_DIGEST",
            "SHA-256 ba7816bf8f01cfea",
        ),
        (
            vec![start(3, "no hex"), chunk(b"abc")],
            "WRONG_DIGEST",
            "SHA-256 ba7816bf8f01cfea",
        ),
        (
            vec![start(MIB + 1, "")],
            "P002",
            "1048577 bytes or more, this node takes 1048576; its author can strip it",
        ),
    ];
    for (parts, reason, hint) in rows {
        let came = send(&node, parts).await;
        table.row("an upload out of order", came, INVALID, reason, hint);
    }
    for (bytes, reason, hint) in bad_plugins() {
        let came = send(&node, vec![start(bytes.len(), ""), chunk(&bytes)]).await;
        table.row("a bad plugin", came, INVALID, reason, hint);
    }
}

fn bad_plugins() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let wat = |text: &str| wat::parse_str(text).expect("a module");
    let plugin = plugin_bytes("max.wasm");
    let wasi = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#;
    let random = r#"(component (import "wasi:random/random@0.2.0"
                      (instance (export "get-random-bytes" (func)))))"#;
    vec![
        (vec![], "P001", "send the bytes of a .wasm file"),
        (b"(module)".to_vec(), "P003", "wasm-tools parse"),
        (
            b"\x7fELF\x02\x01\x01\0".to_vec(),
            "P004",
            "wasm32-unknown-unknown",
        ),
        (b"\x1f\x8b\x08\0\0\0".to_vec(), "P006", "unpack it"),
        (vec![1, 2, 3], "P007", "send the .wasm file"),
        (
            plugin[..plugin.len() / 2].to_vec(),
            "P008",
            "check that the whole file was sent",
        ),
        (wat("(module)"), "P030", "send a component"),
        (wat(wasi), "P030", "send a component"),
        (
            wat(random),
            "P020",
            "asks for wasi:random/random (get-random-bytes). Plugins must be pure",
        ),
        (
            wat("(component)"),
            "P023",
            "implement `describe` and `check-params`",
        ),
        (
            written_plugins::mute(),
            "P050",
            "was asked to describe itself and failed",
        ),
    ]
}

/// All that must not change: per node, metadata, writes, and the files under `plugins`.
async fn state(stage: &Stage) -> Vec<(u64, u64, Vec<PathBuf>)> {
    let mut state = Vec::new();
    for place in 0..3 {
        let status = stage.node(place).await.status().await;
        let writes = status.counters["storage_writes"];
        let mut files = Vec::new();
        collect(&stage.cluster.folder(place).join("plugins"), &mut files);
        files.sort();
        state.push((status.metadata_hash, writes, files));
    }
    state
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// Contexts that are none of `notes/key`.
fn bad_contexts(foreign: Bytes, own: Bytes) -> Vec<(Bytes, &'static str)> {
    let not_one = "not one of this key";
    vec![
        (foreign, not_one),
        (own.slice(..own.len() - 1), not_one),
        (Bytes::from(vec![7; 20]), not_one),
        (Bytes::from(vec![7; 4]), "the context ends after 4 bytes"),
        (
            Bytes::from(vec![7; 16 * KIB + 1]),
            "16385 bytes, the limit is 16384",
        ),
    ]
}

#[tokio::test]
async fn bad_input_has_its_own_error_and_leaves_nothing_behind() {
    let stage = Stage::of(3).await;
    let node = stage.node(0).await;
    let resolver = node.push_file("shopping-cart.wasm").await;
    let validator = node.push_file("cart-validator.wasm").await;
    node.create("notes", proto::Properties::default()).await;
    let small = proto::Properties {
        value_bytes_max: Some(10),
        ..proto::Properties::default()
    };
    node.create("small", small).await;
    let own = node.put("notes", "key", "value").await.context;
    let foreign = node.put("notes", "other", "value").await.context;
    let contexts = bad_contexts(foreign, own);
    let before = state(&stage).await;

    let mut table = Table {
        node,
        wrong: Vec::new(),
        rows: 0,
    };
    gets(&mut table).await;
    puts(&mut table, &contexts).await;
    deletes(&mut table, &contexts).await;
    listings(&mut table).await;
    inspections(&mut table).await;
    creates(&mut table, &resolver, &validator).await;
    uploads(&mut table).await;
    let wrong = table.wrong.join("\n");
    assert!(wrong.is_empty(), "of {} rows:\n{wrong}", table.rows);
    assert_eq!(state(&stage).await, before);
    assert_eq!(
        stage::texts(&table.node.get("notes", "key").await),
        ["value"]
    );
    stage.end().await;
}
