//! Who may do what, on a real node: every request by every kind of caller, rotation, and what the audit log says.
//!
//! The callers' tokens are drawn anew for each test.

#[path = "access/callers.rs"]
mod callers;
#[path = "access/raw.rs"]
mod raw;

use super::stage::{bound, error_info, getting, plugin_bytes, putting, rejoin_binary, until};
use callers::{Gate, Kind};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use rejoin::cli::plugin::push;
use rejoin::client::{Client, Options, Token};
use rejoin::security::policy::{Need, POLICY};
use rejoin::security::roles::Role;
use rejoin::wire::proto::DESCRIPTORS;
use rejoin::wire::proto::v1 as proto;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use tokio::process::Command;
use tonic::Code;

/// What a request came to, as far as access is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Whatever else was wrong with it.
    Admitted,
    Unknown,
    Forbidden,
}

fn told(code: Code) -> Told {
    match code {
        Code::Unauthenticated => Told::Unknown,
        Code::PermissionDenied => Told::Forbidden,
        _ => Told::Admitted,
    }
}

/// What the table promises to a caller, worked out apart from the code that reads it.
fn promised(need: Need, kind: Kind) -> Told {
    let (is_known, roles, is_admin) = match kind {
        Kind::Anonymous | Kind::WrongToken | Kind::Expired => (false, &[][..], false),
        Kind::Nothing | Kind::Elsewhere => (true, &[][..], false),
        Kind::Reader => (true, &[Role::Read][..], false),
        Kind::Writer => (true, &[Role::Write][..], false),
        Kind::Author => (true, &[Role::Plugin][..], false),
        Kind::Admin => (true, &Role::ALL[..], true),
    };
    let is_allowed = match need {
        Need::Nothing => return Told::Admitted,
        Need::Known => true,
        Need::AnyRole => !roles.is_empty(),
        Need::In(role) | Need::InEach(role) => roles.contains(&role),
        Need::Somewhere(role) => roles.contains(&role) || kind == Kind::Elsewhere,
        Need::Admin => is_admin,
    };
    match (is_known, is_allowed) {
        (false, _) => Told::Unknown,
        (true, false) => Told::Forbidden,
        (true, true) => Told::Admitted,
    }
}

/// By hand, so that the table cannot only agree with itself: who of those that are known may send what.
const WRITTEN: &[(&str, &[Kind])] = &[
    ("/rejoin.v1.Kv/Get", &[Kind::Reader, Kind::Admin]),
    ("/rejoin.v1.Kv/BatchGet", &[Kind::Reader, Kind::Admin]),
    ("/rejoin.v1.Kv/ListKeys", &[Kind::Reader, Kind::Admin]),
    ("/rejoin.v1.Kv/Watch", &[Kind::Reader, Kind::Admin]),
    (
        "/rejoin.v1.Cluster/LocalRecord",
        &[Kind::Reader, Kind::Admin],
    ),
    ("/rejoin.v1.Cluster/Explain", &[Kind::Reader, Kind::Admin]),
    ("/rejoin.v1.Kv/Put", &[Kind::Writer, Kind::Admin]),
    ("/rejoin.v1.Kv/BatchPut", &[Kind::Writer, Kind::Admin]),
    ("/rejoin.v1.Kv/Delete", &[Kind::Writer, Kind::Admin]),
    ("/rejoin.v1.Plugins/Activate", &[Kind::Author, Kind::Admin]),
    ("/rejoin.v1.Plugins/Rollback", &[Kind::Author, Kind::Admin]),
    (
        "/rejoin.v1.Plugins/Push",
        &[Kind::Author, Kind::Elsewhere, Kind::Admin],
    ),
    (
        "/rejoin.v1.Plugins/Upload",
        &[Kind::Author, Kind::Elsewhere, Kind::Admin],
    ),
    ("/rejoin.v1.Buckets/Create", &[Kind::Admin]),
    ("/rejoin.v1.Buckets/Remove", &[Kind::Admin]),
    ("/rejoin.v1.Cluster/Change", &[Kind::Admin]),
    ("/rejoin.v1.Cluster/SetPolicy", &[Kind::Admin]),
    ("/rejoin.v1.Cluster/Scrub", &[Kind::Admin]),
    ("/rejoin.v1.Backups/Read", &[Kind::Admin]),
    ("/rejoin.v1.Backups/Restore", &[Kind::Admin]),
    (
        "/rejoin.v1.Cluster/Ring",
        &[
            Kind::Nothing,
            Kind::Elsewhere,
            Kind::Reader,
            Kind::Writer,
            Kind::Author,
            Kind::Admin,
        ],
    ),
];

/// Every request of the client listener, with the number of the field `bucket` of what it asks, if it has one.
fn requests() -> BTreeMap<String, Option<u32>> {
    let sets = [
        DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    ];
    let sets = sets.map(|set| FileDescriptorSet::decode(set).expect("descriptors"));
    let files: Vec<_> = sets.iter().flat_map(|set| &set.file).collect();
    let mut bucket_fields = BTreeMap::new();
    for file in &files {
        for message in &file.message_type {
            let name = format!(".{}.{}", file.package(), message.name());
            let field = message.field.iter().find(|field| field.name() == "bucket");
            bucket_fields.insert(name, field.map(|field| field.number() as u32));
        }
    }
    let mut requests = BTreeMap::new();
    for file in files
        .iter()
        .filter(|file| file.package() != "rejoin.peer.v1")
    {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                requests.insert(path, bucket_fields[method.input_type()]);
            }
        }
    }
    requests
}

#[test]
fn every_request_has_a_rule_and_every_rule_has_a_request() {
    let requests = requests();
    let listed: Vec<&str> = POLICY.iter().map(|rule| rule.path).collect();
    assert!(listed.is_sorted(), "the table is searched");
    let listed: BTreeSet<&str> = listed.into_iter().collect();
    assert_eq!(listed.len(), POLICY.len(), "no request has two rules");
    let served: BTreeSet<&str> = requests.keys().map(String::as_str).collect();
    assert_eq!(served, listed);
    for rule in POLICY {
        let has_bucket = requests[rule.path].is_some();
        let needs_bucket = matches!(rule.need, Need::AnyRole | Need::In(_) | Need::InEach(_));
        assert!(
            has_bucket || !needs_bucket,
            "{} has no bucket to look at",
            rule.path
        );
        let shows_only_what_may_be_seen = rule.path == "/rejoin.v1.Plugins/Stats";
        let is_looked_at = needs_bucket || rule.need == Need::Admin || shows_only_what_may_be_seen;
        assert!(
            !has_bucket || is_looked_at,
            "the bucket of {} is not looked at",
            rule.path
        );
    }
}

#[tokio::test]
async fn each_request_is_answered_according_to_the_role_of_its_caller() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    let mut found = BTreeMap::new();
    for (path, field) in requests() {
        for kind in Kind::ALL {
            let asked = raw::naming(field, "mine");
            let code = raw::call(&gate.url(), &path, asked, gate.header(kind)).await;
            found.insert((path.clone(), kind), told(code));
        }
    }
    for rule in POLICY {
        for kind in Kind::ALL {
            let found = found[&(rule.path.to_owned(), kind)];
            assert_eq!(
                found,
                promised(rule.need, kind),
                "{} by {kind:?}",
                rule.path
            );
        }
    }
    for (path, allowed) in WRITTEN {
        for kind in Kind::ALL {
            let expected = match kind {
                Kind::Anonymous | Kind::WrongToken | Kind::Expired => Told::Unknown,
                known if allowed.contains(&known) => Told::Admitted,
                _ => Told::Forbidden,
            };
            assert_eq!(
                found[&((*path).to_owned(), kind)],
                expected,
                "{path} by {kind:?}"
            );
        }
    }
    // Nothing that was refused has happened.
    let admin = gate.node(Kind::Admin).await;
    assert!(admin.properties("mine").await.is_some());
    gate.end().await;
}

#[tokio::test]
async fn a_refusal_says_what_is_missing_and_what_is_not_the_callers_business_is_not_shown() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    gate.fill("other").await;
    gate.fill("third").await;

    let anonymous = gate.node(Kind::Anonymous).await;
    let refused = anonymous.try_get(getting("mine", "k")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(error_info(&refused).0, "NO_CREDENTIAL");
    assert!(refused.message().contains("--token-file"), "{refused}");
    let wrong = gate.node(Kind::WrongToken).await;
    let refused = wrong.try_get(getting("mine", "k")).await.unwrap_err();
    assert_eq!(error_info(&refused).0, "UNKNOWN_TOKEN");
    let expired = gate.node(Kind::Expired).await;
    let refused = expired.try_get(getting("mine", "k")).await.unwrap_err();
    assert_eq!(error_info(&refused).0, "EXPIRED_TOKEN");
    for name in gate.names() {
        assert!(!refused.message().contains(&name), "{refused}");
    }

    let writer = gate.node(Kind::Writer).await;
    let refused = writer.try_get(getting("mine", "k")).await.unwrap_err();
    let (reason, facts) = error_info(&refused);
    assert_eq!(
        (refused.code(), reason.as_str()),
        (Code::PermissionDenied, "NOT_PERMITTED")
    );
    assert_eq!(
        (facts["role"].as_str(), facts["bucket"].as_str()),
        ("read", "mine")
    );
    assert_eq!(facts["outcome"], "not-stored");
    assert!(
        refused.message().contains("`read` in bucket mine"),
        "{refused}"
    );
    // Whether a condition holds would say what is there.
    let conditional = proto::PutRequest {
        condition: proto::Condition::IfAbsent.into(),
        ..putting("mine", "k", "v")
    };
    let refused = writer.try_put(conditional).await.unwrap_err();
    assert_eq!(error_info(&refused).1["role"], "read");
    // A bucket that is not there reads like one that is not the caller's.
    let refused = writer
        .try_put(putting("nowhere", "k", "v"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    // A merge on put shows what others wrote, to readers only.
    let admin = gate.node(Kind::Admin).await;
    let merging = proto::Properties {
        policy: proto::Policy::LastWriteWins.into(),
        merge_on_put: Some(true),
        ..callers::of_one_node()
    };
    admin.create("mine-merged", merging).await;
    let merged = async |node: &super::stage::Node| {
        let reply = node.try_put(putting("mine-merged", "k", "v")).await;
        reply.expect("the put").merged
    };
    merged(&admin).await;
    assert!(merged(&admin).await.is_some());
    assert_eq!(merged(&writer).await, None);

    let buckets = async |kind| {
        let node = gate.node(kind).await;
        let asked = node.connection.request(proto::ListBucketsRequest {});
        let reply = node.connection.buckets().list(asked).await;
        let buckets = reply.expect("a list").into_inner().buckets;
        let names: Vec<String> = buckets.into_iter().map(|bucket| bucket.bucket).collect();
        names
    };
    assert_eq!(buckets(Kind::Reader).await, ["mine", "mine-merged"]);
    assert_eq!(buckets(Kind::Elsewhere).await, ["other"]);
    assert!(buckets(Kind::Nothing).await.is_empty());
    assert_eq!(buckets(Kind::Admin).await.len(), 4);

    let digest = admin.push_file("max.wasm").await;
    assert!(gate.node(Kind::Reader).await.plugins().await.is_empty());
    let seen = gate.node(Kind::Author).await.plugins().await;
    assert_eq!(seen[0].plugin.as_ref().expect("a plugin").digest, digest);
    gate.end().await;
}

#[tokio::test]
async fn each_element_of_a_batch_is_asked_about() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    gate.fill("other").await;
    let node = gate.node(Kind::Writer).await;
    let items = ["mine", "other", "mine"].map(|bucket| putting(bucket, "batched", "v"));
    let asked = node.connection.request(tokio_stream::iter(items));
    let replies = node.connection.kv().batch_put(asked).await;
    let mut replies = replies.expect("a batch").into_inner();
    let mut codes = BTreeMap::new();
    while let Some(reply) = replies.message().await.expect("a reply") {
        let code = match reply.outcome.expect("an outcome") {
            proto::batch_put_reply::Outcome::Response(_) => Code::Ok,
            proto::batch_put_reply::Outcome::Error(error) => Code::from(error.code),
        };
        codes.insert(reply.index, code);
    }
    let codes: Vec<Code> = codes.into_values().collect();
    assert_eq!(codes, [Code::Ok, Code::PermissionDenied, Code::Ok]);
    let admin = gate.node(Kind::Admin).await;
    let there = admin.try_get(getting("other", "batched")).await;
    assert!(there.expect("the get").values.is_empty());
    gate.end().await;
}

#[tokio::test]
async fn a_token_is_rotated_without_a_failed_request_and_a_revoked_one_ends_what_is_open() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    let (old, new) = (gate.token(Kind::Reader), callers::drawn());
    let options = Options {
        token: Some(Token::new(&old).expect("a token")),
        ..Options::default()
    };
    let watching = Client::with_options([gate.url()], options).await;
    let mut watch = watching
        .expect("a client")
        .watch("mine")
        .await
        .expect("a watch");
    let admin = gate.node(Kind::Admin).await;
    admin
        .try_put(putting("mine", "seen", "v"))
        .await
        .expect("the put");
    watch
        .next()
        .await
        .expect("a change while the token is good");

    let before = gate.node_with(&old).await;
    let after = gate.node_with(&new).await;
    gate.edit(|file| file.reader_tokens = vec![old.clone(), new.clone()])
        .await;
    until("the new token is taken, beside the old one", async || {
        before
            .try_get(getting("mine", "k"))
            .await
            .expect("the old token is good");
        after.try_get(getting("mine", "k")).await.is_ok()
    })
    .await;
    gate.edit(|file| file.reader_tokens = vec![new.clone()])
        .await;
    until(
        "the old token is refused, and the new one never is",
        async || {
            after
                .try_get(getting("mine", "k"))
                .await
                .expect("the new token is good");
            let refused = before.try_get(getting("mine", "k")).await.err();
            refused.is_some_and(|refused| error_info(&refused).0 == "UNKNOWN_TOKEN")
        },
    )
    .await;
    admin
        .try_put(putting("mine", "unseen", "v"))
        .await
        .expect("the put");
    let error = watch
        .next()
        .await
        .expect_err("a watcher who was struck off sees nothing more");
    assert!(error.to_string().contains("UNKNOWN_TOKEN"), "{error}");
    gate.end().await;
}

#[tokio::test]
async fn a_broken_access_file_changes_nothing_and_is_told() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    let reader = gate.node(Kind::Reader).await;
    let good = gate.file_text();
    gate.write(&format!(
        "{good}\n[callers.extra]\nadmin = \"{}\"\n",
        gate.token(Kind::Admin)
    ));
    gate.hang_up(); // Which also looks at once.
    until("the metrics say so", async || {
        gate.metric("rejoin_access_file_broken").await == 1.0
    })
    .await;
    reader
        .try_get(getting("mine", "k"))
        .await
        .expect("callers stay as they were");
    assert_eq!(gate.metric("rejoin_access_file_failures_total").await, 1.0);
    gate.write(&good);
    until("it is mended", async || {
        gate.metric("rejoin_access_file_broken").await == 0.0
    })
    .await;

    std::fs::set_permissions(gate.file(), std::fs::Permissions::from_mode(0o666)).expect("chmod");
    until("one that others may write is broken too", async || {
        gate.metric("rejoin_access_file_broken").await == 1.0
    })
    .await;
    std::fs::remove_file(gate.file()).expect("removed");
    until("and so is one that is gone", async || {
        gate.metric("rejoin_access_file_failures_total").await >= 3.0
    })
    .await;
    reader
        .try_get(getting("mine", "k"))
        .await
        .expect("callers stay as they were");
    let anonymous = gate.node(Kind::Anonymous).await;
    anonymous
        .try_get(getting("mine", "k"))
        .await
        .expect_err("a file that is gone opens no door");
    let denied = gate
        .metric("rejoin_access_denied_total{reason=\"no_credential\"}")
        .await;
    assert!(denied >= 1.0);
    let lines = gate.audit();
    let broken = lines.iter().find(|line| line["event"] == "access-broken");
    let detail = broken.expect("a line")["detail"].to_string();
    assert!(detail.contains("line "), "{detail}");
    gate.holds_no_secret(&[]);
    gate.end().await;
}

#[tokio::test]
async fn the_audit_log_tells_of_changes_before_they_begin_and_holds_no_secret() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    let admin = gate.node(Kind::Admin).await;
    let plugin = push(plugin_bytes("max.wasm"), &admin.connection).await;
    let digest = plugin.expect("the upload").plugin.expect("a plugin").digest;
    let author = gate.node(Kind::Author).await;
    let asked = proto::ActivateRequest {
        bucket: "mine".to_owned(),
        plugin: "max".to_owned(),
        ..proto::ActivateRequest::default()
    };
    let mut asked = author.connection.request(asked);
    asked
        .metadata_mut()
        .insert("x-request-id", "ticket-7".parse().expect("ascii"));
    let activated = author.connection.plugins().activate(asked).await;
    activated.expect("activated");
    let wish = proto::change_request::Wish::Leave("n9".to_owned());
    let asked = proto::ChangeRequest {
        wish: Some(wish),
        ..proto::ChangeRequest::default()
    };
    let asked = admin.connection.request(asked);
    admin
        .connection
        .cluster()
        .change(asked)
        .await
        .expect_err("there is no n9");
    admin
        .try_put(putting("mine", "k-secret-key", "v-secret-value"))
        .await
        .expect("the put");
    let removing = proto::RemoveBucketRequest {
        bucket: "mine".to_owned(),
        force: false,
    };
    let removing = admin.connection.request(removing);
    admin
        .connection
        .buckets()
        .remove(removing)
        .await
        .expect_err("it holds keys");
    let writer = gate.node(Kind::Writer).await;
    writer
        .try_get(getting("mine", "k-secret-key"))
        .await
        .expect_err("not permitted");
    let wrong = gate.node(Kind::WrongToken).await;
    wrong
        .try_get(getting("mine", "k-secret-key"))
        .await
        .expect_err("not known");
    gate.edit(|file| file.reader_tokens = vec![callers::drawn()])
        .await;
    until("the change of roles is told", async || {
        gate.audit()
            .iter()
            .filter(|line| line["event"] == "access")
            .count()
            == 2
    })
    .await;

    let lines = gate.audit();
    let find = |facts: &[(&str, &str)]| {
        let place = lines
            .iter()
            .position(|line| facts.iter().all(|(name, fact)| line[*name] == *fact));
        place.unwrap_or_else(|| panic!("no line with {facts:?} in {lines:#?}"))
    };
    assert_eq!(lines[0]["event"], "started");
    assert!(lines.iter().all(
        |line| line["node"] == "n1" && line["at"].as_str().is_some_and(|at| at.ends_with('Z'))
    ));
    let create = ("rpc", "/rejoin.v1.Buckets/Create");
    let begun = find(&[
        create,
        ("stage", "begun"),
        ("who", "admin"),
        ("by", "token"),
        ("bucket", "mine"),
    ]);
    let ended = find(&[create, ("stage", "ended"), ("outcome", "OK")]);
    assert!(begun < ended);
    assert_eq!(lines[begun]["request"], lines[ended]["request"]);
    assert!(
        lines[begun]["remote"]
            .as_str()
            .is_some_and(|remote| remote.starts_with("127.0.0.1:"))
    );
    find(&[
        ("rpc", "/rejoin.v1.Plugins/Upload"),
        ("stage", "ended"),
        ("plugin", digest.as_str()),
    ]);
    let activate = ("rpc", "/rejoin.v1.Plugins/Activate");
    find(&[
        activate,
        ("stage", "begun"),
        ("request", "ticket-7"),
        ("who", "author"),
        ("plugin", "max"),
    ]);
    find(&[
        activate,
        ("stage", "ended"),
        ("request", "ticket-7"),
        ("plugin", digest.as_str()),
    ]);
    find(&[
        ("rpc", "/rejoin.v1.Cluster/Change"),
        ("stage", "begun"),
        ("detail", "plan: leave n9, force=false"),
    ]);
    find(&[
        ("rpc", "/rejoin.v1.Buckets/Remove"),
        ("outcome", "FailedPrecondition BUCKET_NOT_EMPTY"),
    ]);
    find(&[
        ("event", "refused"),
        ("who", "writer"),
        ("bucket", "mine"),
        ("outcome", "NOT_PERMITTED"),
        ("detail", "role read is missing"),
    ]);
    let unknown = find(&[
        ("event", "refused"),
        ("outcome", "UNKNOWN_TOKEN"),
        ("rpc", "/rejoin.v1.Kv/Get"),
    ]);
    assert!(lines[unknown].get("who").is_none());
    find(&[("event", "access"), ("detail", "changed reader")]);
    gate.holds_no_secret(&["k-secret-key", "v-secret-value"]);
    let mode = std::fs::metadata(gate.audit_file())
        .expect("a log")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    gate.end().await;
}

#[tokio::test]
async fn the_audit_log_and_the_caller_call_a_request_by_the_same_name() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    let name = |metadata: &tonic::metadata::MetadataMap| {
        let name = metadata.get("x-request-id").expect("a name");
        name.to_str().expect("ASCII").to_owned()
    };
    let mut refused = Vec::new();
    for kind in [Kind::Anonymous, Kind::WrongToken, Kind::Writer] {
        let node = gate.node(kind).await;
        let status = node.try_get(getting("mine", "k")).await.unwrap_err();
        refused.push(name(status.metadata()));
    }
    let admin = gate.node(Kind::Admin).await;
    let asked = proto::CreateBucketRequest {
        bucket: "new".to_owned(),
        properties: Some(callers::of_one_node()),
        replace: false,
    };
    let asked = admin.connection.request(asked);
    let created = admin.connection.buckets().create(asked).await;
    let created = name(created.expect("the bucket").metadata());
    let removing = proto::RemoveBucketRequest {
        bucket: "mine".to_owned(),
        force: false,
    };
    let removing = admin.connection.request(removing);
    let failed = admin.connection.buckets().remove(removing).await;
    let failed = name(failed.expect_err("it holds keys").metadata());
    until("all of them are in the log", async || {
        let lines = gate.audit();
        let count = |facts: &[(&str, &str)]| {
            let has =
                |line: &&serde_json::Value| facts.iter().all(|(field, fact)| line[*field] == *fact);
            lines.iter().filter(has).count()
        };
        let refusals = refused
            .iter()
            .map(|id| count(&[("event", "refused"), ("request", id)]));
        refusals.eq([1, 1, 1])
            && count(&[("event", "request"), ("request", &created)]) == 2
            && count(&[("event", "request"), ("request", &failed)]) == 2
    })
    .await;
    let names: BTreeSet<&String> = refused.iter().chain([&created, &failed]).collect();
    assert_eq!(names.len(), 5, "each has a name of its own");
    gate.end().await;
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    let admin = gate.node(Kind::Admin).await;
    let moved = gate.audit_file().with_extension("moved");
    std::fs::rename(gate.audit_file(), &moved).expect("moved");
    std::os::unix::fs::symlink("/dev/full", gate.audit_file()).expect("a full disk");
    let asked = || proto::CreateBucketRequest {
        bucket: "late".to_owned(),
        properties: Some(callers::of_one_node()),
        replace: false,
    };
    let refused = admin
        .try_create(asked())
        .await
        .expect_err("nobody could tell");
    assert_eq!(
        (refused.code(), error_info(&refused).0.as_str()),
        (Code::Unavailable, "AUDIT")
    );
    assert!(admin.properties("late").await.is_none());
    admin
        .try_put(putting("mine", "k", "v"))
        .await
        .expect("what needs no line goes on");
    assert!(gate.metric("rejoin_audit_failures_total").await >= 1.0);
    // A revoked token does not go on being taken because a disk is full.
    let reader = gate.node(Kind::Reader).await;
    reader
        .try_get(getting("mine", "k"))
        .await
        .expect("it is good");
    gate.edit(|file| file.reader_tokens.clear()).await;
    until("it is revoked", async || {
        reader.try_get(getting("mine", "k")).await.is_err()
    })
    .await;
    std::fs::remove_file(gate.audit_file()).expect("room is made");
    admin.try_create(asked()).await.expect("now it can be told");
    until("and so can what happened meanwhile", async || {
        gate.audit()
            .iter()
            .any(|line| line["event"] == "access" && line["detail"] == "changed reader")
    })
    .await;
    gate.end().await;
}

#[tokio::test]
async fn a_node_does_not_start_with_a_wrong_access_file_nor_without_its_audit_log() {
    let gate = Gate::open(&[]).await;
    let config = gate.config_file();
    let folder = gate.file().with_extension("elsewhere");
    let fails = async |variables: &[(&str, &str)], part: &str| {
        let output = Command::new(rejoin_binary())
            .args(["serve", "--config"])
            .arg(&config)
            .env("REJOIN_DATA", &folder)
            .env("REJOIN_CLIENT", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .kill_on_drop(true)
            .output()
            .await
            .expect("it ran");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(part), "{said}");
        said
    };
    let wrong = gate.file().with_extension("wrong");
    let secret = gate.token(Kind::Admin);
    std::fs::write(
        &wrong,
        format!("\n[callers.a]\ntokens = [{{ sha256 = \"{secret}\" }}]\n"),
    )
    .expect("written");
    let wrong = wrong.display().to_string();
    let said = fails(
        &[("REJOIN_ACCESS_FILE", &wrong)],
        "line 3: `sha256` has to be",
    )
    .await;
    assert!(!said.contains(&secret), "{said}");
    let good = gate.file().display().to_string();
    let full = [
        ("REJOIN_ACCESS_FILE", good.as_str()),
        ("REJOIN_AUDIT_FILE", "/dev/full"),
    ];
    fails(&full, "the audit log /dev/full cannot be written").await;
    gate.end().await;
}

#[tokio::test]
async fn the_command_line_draws_tokens_and_shows_them_to_nodes_but_to_nobody_else() {
    let gate = Gate::open(&[]).await;
    gate.fill("mine").await;
    let token_file = gate.file().with_extension("token");
    let run = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = Command::new(rejoin_binary())
            .args(arguments)
            .args(["--server", &gate.url()])
            .envs(variables.iter().copied())
            .kill_on_drop(true)
            .output()
            .await
            .expect("it ran");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let out = token_file.display().to_string();
    let (_, drawn, _) = run(
        &[
            "token",
            "new",
            "reader",
            "--expires",
            "90d",
            "--out",
            &out,
            "--json",
        ],
        &[],
    )
    .await;
    let drawn: serde_json::Value = serde_json::from_str(&drawn).expect("JSON");
    let secret = std::fs::read_to_string(&token_file).expect("a token");
    let secret = secret.trim();
    assert!(drawn["token"].is_null() && drawn["expires"].is_string());
    let (done, shown, _) = run(&["token", "new", "anna@example.org"], &[]).await;
    assert!(
        done && shown.matches("rejoin-").count() == 1 && shown.contains("sha256 = \""),
        "{shown}"
    );
    let (done, _, said) = run(&["token", "new", "reader", "--out", &out], &[]).await;
    assert!(
        !done && said.contains("cannot make"),
        "nothing is replaced: {said}"
    );

    gate.edit(|file| file.reader_tokens.push(secret.to_owned()))
        .await;
    let with_file = ["get", "mine", "k", "--token-file", &out];
    until("the node takes it", async || run(&with_file, &[]).await.0).await;
    let (done, value, said) = run(&["get", "mine", "k"], &[("REJOIN_TOKEN", secret)]).await;
    assert!(done && value.contains('v'), "{said}");
    let (done, _, said) = run(&["put", "mine", "k", "x", "--token-file", &out], &[]).await;
    assert!(!done && said.contains("`write` in bucket mine"), "{said}");
    assert!(said.contains("(PermissionDenied, request "), "{said}");
    let (done, _, said) = run(&["get", "mine", "k"], &[]).await;
    assert!(!done && said.contains("REJOIN_TOKEN"), "{said}");
    let (_, help, _) = run(&["get", "--help"], &[("REJOIN_TOKEN", secret)]).await;
    assert!(help.contains("--token-file") && !help.contains(secret));
    std::fs::set_permissions(&token_file, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    let (done, _, said) = run(&with_file, &[]).await;
    assert!(!done && said.contains("chmod 600"), "{said}");

    let file = gate.file().display().to_string();
    let (done, said, _) = run(&["token", "check", &file], &[]).await;
    assert!(done && said.contains("callers"), "{said}");
    gate.holds_no_secret(&[secret]);
    gate.end().await;
}

#[tokio::test]
async fn without_an_access_file_everybody_may_do_everything_and_nothing_is_written_down() {
    let stage = super::stage::Stage::of(1).await;
    let node = stage.node(0).await;
    let properties = proto::Properties {
        validator: None,
        ..callers::of_one_node()
    };
    node.create("mine", properties).await;
    node.try_put(putting("mine", "k", "v"))
        .await
        .expect("the put");
    let unbound = bound("nothing");
    assert!(
        node.try_create(proto::CreateBucketRequest {
            bucket: "bound".to_owned(),
            properties: Some(proto::Properties {
                resolver: Some(unbound),
                ..callers::of_one_node()
            }),
            replace: false,
        })
        .await
        .is_err_and(|status| told(status.code()) == Told::Admitted)
    );
    assert!(!stage.cluster.folder(0).join("audit.log").exists());
    stage.end().await;
}
