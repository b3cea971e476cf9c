//! Things of every kind, as the seeds are made of them.

use bytes::Bytes;
use prost::Message as _;
use rejoin::dynamo::bucket::{Ack, Binding, Policy, Properties};
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::causality::dot::{Actor, Dot, Incarnation};
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::coordinator::request::{PutError, PutReply, PutRequest, Resolved, Ttl};
use rejoin::dynamo::coordinator::warning::Warning;
use rejoin::dynamo::machine::message::{Message, ReplicaFailure};
use rejoin::dynamo::metadata::catalog::Catalog;
use rejoin::dynamo::metadata::facts::{MembershipPolicy, NodeFacts, Speaks};
use rejoin::dynamo::metadata::row::{Fact, PluginFacts, Subject};
use rejoin::dynamo::names::{BucketName, Digest, Key, NodeId, Ticket};
use rejoin::dynamo::repair::hash_tree::Tree;
use rejoin::dynamo::repair::inquiry::{Answer, Ask, Refusal};
use rejoin::dynamo::replica::record::{Provenance, Replaced, fingerprint};
use rejoin::dynamo::replica::stretch::{Listed, ListedKey, Stretch, Wanted};
use rejoin::dynamo::ring::change::{Change, Progress};
use rejoin::dynamo::ring::member::Member;
use rejoin::dynamo::ring::partition::{PartitionId, Partitions};
use rejoin::wire::peer::encode;

const TICKET: Ticket = Ticket { life: 7, count: 9 };

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("a good name")
}

pub fn bucket() -> BucketName {
    BucketName::new("carts").expect("a good name")
}

pub fn key(name: &str) -> Key {
    Key::new(bucket(), Bytes::copy_from_slice(name.as_bytes())).expect("a good key")
}

pub fn partitions() -> Partitions {
    Partitions::new(8).expect("a good number")
}

pub fn members() -> Vec<Member> {
    ["a", "b", "c"].map(|name| Member::new(node(name))).into()
}

pub fn actor(incarnation: u64) -> Actor {
    Actor {
        incarnation: Incarnation(incarnation),
        epoch: 1,
    }
}

pub fn version() -> Version {
    Version {
        content_type: "text/plain".to_owned(),
        metadata: [("colour".to_owned(), "red".to_owned())].into(),
        merged_by: Some(Digest([5; 32])),
        expires_at_ms: Some(9_000),
        ..Version::value("milk", 5)
    }
}

/// Siblings of two actors, a tombstone, and an actor of whom nothing stands.
pub fn object() -> Object {
    let mut object = Object::default();
    object.event(actor(1), version());
    object.event(actor(1), Version::value("tea", 6));
    object.event(actor(2), Version::tombstone(7));
    let covered = object.context();
    object.discard(&Context::from_clock(covered.clock().take(1)));
    object.event(actor(3), Version::value("", 8));
    object
}

pub fn replaced() -> Replaced {
    Replaced {
        dot: Dot {
            actor: actor(1),
            counter: 2,
        },
        merged_by: Some(Digest([5; 32])),
        merged_at_ms: 12,
        inputs: vec![version(), Version::value("tea", 6)],
        provenance: Some(Provenance {
            dots: vec![
                Some(Dot {
                    actor: actor(1),
                    counter: 1,
                }),
                None,
            ],
            shown: 2,
            epoch: 3,
            fuel: 12_345,
            node: node("a"),
            result: fingerprint(&version()),
        }),
    }
}

/// As releases wrote it that did not note how a merge came about.
pub fn plain_replaced() -> Replaced {
    Replaced {
        merged_by: None,
        provenance: None,
        ..replaced()
    }
}

pub fn context() -> Context {
    let mut context = object().context();
    context.fastest = Some(node("a"));
    context
}

pub fn facts() -> NodeFacts {
    NodeFacts {
        peer_address: "127.0.0.1:7401".to_owned(),
        client_address: "127.0.0.1:7400".to_owned(),
        weight: 2,
        zone: "east".to_owned(),
        wants_to_join: true,
        speaks: Speaks::default(),
    }
}

/// A row of each kind.
pub fn catalog() -> Catalog {
    let digest = Digest([5; 32]);
    let change = Change::first(partitions(), members()).expect("distinct members");
    let progress = Progress::none(change.id(), partitions());
    let properties = Properties {
        policy: Policy::Resolver(Binding::new(digest)),
        validator: Some(Binding::new(digest)),
        merge_on_put: true,
        ttl_ms: Some(1_000),
        dw: Some(1),
        ..Properties::default()
    };
    let plugin = PluginFacts {
        name: "cart".to_owned(),
        version: "1.0.0".to_owned(),
        size_bytes: 900,
        is_resolver: true,
        is_validator: true,
        laws: vec!["commutative".to_owned()],
        graded: None,
    };
    let gone = BucketName::new("gone").expect("a good name");
    let rows = [
        (Subject::Bucket(bucket()), Fact::Bucket(properties)),
        (Subject::Bucket(gone), Fact::Removed { generation: 2 }),
        (Subject::Plugin(digest), Fact::Plugin(plugin)),
        (Subject::Node(node("a")), Fact::Node(facts())),
        (Subject::Node(node("b")), Fact::Node(facts())),
        (Subject::Progress(node("a")), Fact::Progress(progress)),
        (Subject::Change, Fact::Change(Box::new(change))),
        (Subject::Policy, Fact::Policy(MembershipPolicy::default())),
    ];
    let mut catalog = Catalog::default();
    for (subject, fact) in rows {
        catalog.edit(subject, fact, node("a")).expect("in bounds");
    }
    catalog
}

/// One message of each kind, with what it may carry.
pub fn messages() -> Vec<Message> {
    let ticket = TICKET;
    let (hint_for, placement_version) = (Some(node("b")), 4);
    let request = PutRequest {
        key: key("k"),
        context: context(),
        version: version(),
        w: Some(2),
        pw: Some(1),
        dw: Some(1),
        ack: Some(Ack::Durable),
        ttl: Ttl::of(Some(1_000)).expect("in bounds"),
    };
    let reply = PutReply {
        dot: replaced().dot,
        context: context(),
        siblings: 1,
        resolved: Resolved::Merged {
            by: Some(Digest([5; 32])),
            fuel: 77,
        },
        merged: Some(version()),
        replicas_answered: 3,
        primaries_answered: 2,
        durable_answered: 1,
        coordinator: node("a"),
        warnings: vec![Warning::ManySiblings { found: 9 }],
    };
    let stretch = Stretch {
        bucket: bucket(),
        partition: PartitionId(3),
        prefix: Bytes::from("p"),
        after: Bytes::from("pa"),
        items_max: 10,
        wanted: Wanted::InConflict,
    };
    let listed = Listed {
        keys: vec![ListedKey {
            key: Bytes::from("pb"),
            is_live: true,
        }],
        more: true,
    };
    let mut messages = vec![
        Message::Read {
            ticket,
            key: key("k"),
            hint_for: hint_for.clone(),
            placement_version,
        },
        Message::ReadReply {
            ticket,
            outcome: Ok(object()),
        },
        Message::Write {
            ticket,
            key: key("k"),
            object: object(),
            replaced: vec![replaced(), plain_replaced()],
            ack: Ack::Durable,
            hint_for: hint_for.clone(),
            placement_version,
            is_new: true,
        },
        Message::WriteReply {
            ticket,
            outcome: Err(ReplicaFailure::Storage("it is full".to_owned())),
        },
        Message::Forward {
            ticket,
            request: Box::new(request),
            timeout_ms: 900,
            stands_in: true,
        },
        Message::ForwardReply {
            ticket,
            outcome: Ok(Box::new(reply)),
        },
        Message::ForwardReply {
            ticket,
            outcome: Err(PutError::Overloaded { limit: 4 }),
        },
        Message::WriteReply {
            ticket,
            outcome: Err(ReplicaFailure::Full),
        },
        Message::ForwardReply {
            ticket,
            outcome: Err(PutError::DiskFull("the disk of n1 is full".to_owned())),
        },
        Message::List {
            ticket,
            stretch,
            hint_for,
            placement_version,
        },
        Message::ListReply {
            ticket,
            outcome: Ok(listed),
        },
        Message::Ping { ticket },
        Message::Pong { ticket },
    ];
    messages.extend(asks().into_iter().map(|ask| Message::Repair {
        ticket,
        partition: PartitionId(3),
        n: 3,
        ask: Box::new(ask),
    }));
    messages.extend(answers().into_iter().map(|answer| Message::Repaired {
        ticket,
        answer: Box::new(answer),
    }));
    messages
}

fn asks() -> Vec<Ask> {
    let mut tree = Tree::default();
    tree.replace(&key("a"), 0, 5);
    let keys = vec![(key("a"), 1), (key("b"), u128::MAX)];
    vec![
        Ask::Root,
        Ask::Leaves,
        Ask::Keys {
            leaves: tree.differing(Tree::default().leaves()),
            after: Some(key("a")),
            upto: Some(key("z")),
        },
        Ask::Copy { key: key("k") },
        Ask::Give {
            key: key("k"),
            object: object(),
            replaced: vec![replaced()],
        },
        Ask::Sync,
        Ask::Doubt,
        Ask::Vouch {
            placement_version: 4,
            standing_ms: 30_000,
            keys: keys.clone(),
        },
        Ask::Reap { keys },
    ]
}

fn answers() -> Vec<Answer> {
    vec![
        Answer::Root(u128::MAX - 5),
        Answer::Building { records: 12 },
        Answer::Leaves(Box::new(*Tree::default().leaves())),
        Answer::Keys {
            keys: vec![(key("a"), 1)],
            covered: Some(key("b")),
        },
        Answer::Copy {
            object: object(),
            replaced: vec![replaced()],
        },
        Answer::Done { is_changed: true },
        Answer::Granted(vec![true, false]),
        Answer::Refused(Refusal::Storage("it is full".to_owned())),
    ]
}

/// The messages as they travel.
pub fn envelopes() -> Vec<Vec<u8>> {
    let encoded = |message: &Message| encode(message).encode_to_vec();
    messages().iter().map(encoded).collect()
}
