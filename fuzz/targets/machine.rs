//! Messages of peers at a shard: whatever is believed of them, the shard goes on and says nothing that cannot be read.
//!
//! The bytes are a list of messages, each behind its length in two bytes, as they come after each other.

use super::bytes_of::{self, bucket, key, members, node, partitions};
use bytes::Bytes;
use prost::Message as _;
use rejoin::dynamo::bucket::{BucketTable, Properties};
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::causality::dot::Incarnation;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::coordinator::request::{GetRequest, PutRequest, Ttl};
use rejoin::dynamo::machine::effect::Effect;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::machine::router::Machine;
use rejoin::dynamo::names::{ClientId, Millis, Now};
use rejoin::dynamo::replica::storage::{Batch, Change, Item, Storage, StorageError};
use rejoin::dynamo::ring::placement::Placement;
use rejoin::dynamo::ring::preference::Ring;
use rejoin::wire::peer::{decode, encode};
use rejoin::wire::proto::peer::Envelope;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// More would only be slower.
const MESSAGES_MAX: usize = 16;

pub fn run(bytes: &[u8]) {
    let mut shard = Shard::new();
    shard.step(Event::Get {
        client: ClientId(1),
        request: GetRequest {
            key: key("k"),
            r: Some(3),
            pr: None,
        },
        timeout_ms: 1_000,
    });
    shard.put(2);
    for message in listed(bytes).take(MESSAGES_MAX) {
        let from = node(["b", "c", "stranger"][usize::from(message.0) % 3]);
        let message = message.1;
        shard.step(Event::Message { from, message });
    }
    shard.put(3);
    shard.step(Event::ExchangeNow);
    for _ in 0..8 {
        shard.step(Event::Tick);
    }
}

/// Each message alone, and a read with its answer.
pub fn seeds() -> Vec<Vec<u8>> {
    let envelopes = bytes_of::envelopes();
    let alone = envelopes.iter().map(|envelope| framed(0, envelope));
    let both = [framed(0, &envelopes[2]), framed(1, &envelopes[0])].concat();
    alone.chain([both]).collect()
}

fn framed(from: u8, envelope: &[u8]) -> Vec<u8> {
    let length = (envelope.len() as u16).to_be_bytes();
    [&[from][..], &length, envelope].concat()
}

/// Which of the peers says it, and what.
fn listed(mut bytes: &[u8]) -> impl Iterator<Item = (u8, Message)> {
    std::iter::from_fn(move || {
        let ([from, high, low], rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (envelope, rest) = rest.split_at(length);
        bytes = rest;
        let envelope = Envelope::decode(envelope).ok();
        Some((*from, envelope.and_then(|envelope| decode(envelope).ok())))
    })
    .filter_map(|(from, message)| Some((from, message?)))
}

/// Worked out once: it is the same for every input.
static PLACEMENT: OnceLock<Arc<Placement>> = OnceLock::new();

struct Shard {
    machine: Machine<Memory>,
    now_ms: u64,
}

impl Shard {
    fn new() -> Self {
        let placement = PLACEMENT.get_or_init(|| {
            let ring = Ring::new(partitions(), members()).expect("distinct members");
            Arc::new(Placement::still(ring))
        });
        let placement = Arc::clone(placement);
        // The messages of the seeds name the actors of this very life, as only a node that lies does.
        let machine = Machine::new(node("a"), Incarnation(1), Memory::default(), placement);
        let mut shard = Self { machine, now_ms: 0 };
        let table = BucketTable::from([(bucket(), Properties::default())]);
        shard.step(Event::Buckets(Arc::new(table)));
        for name in ["b", "c"] {
            shard.step(Event::Peer {
                node: node(name),
                is_connected: true,
            });
        }
        shard
    }

    fn put(&mut self, client: u64) {
        let request = PutRequest {
            key: key("k"),
            context: Context::default(),
            version: Version::value("milk", 0),
            w: Some(1),
            pw: None,
            dw: None,
            ack: None,
            ttl: Ttl::default(),
        };
        self.step(Event::Put {
            client: ClientId(client),
            request: Box::new(request),
            timeout_ms: 1_000,
        });
    }

    fn step(&mut self, event: Event) {
        self.now_ms += 500;
        let now = Now {
            monotonic: Millis(self.now_ms),
            wall_ms: self.now_ms,
        };
        let mut effects = Vec::new();
        self.machine.step(now, event, &mut effects);
        for effect in effects {
            let (Effect::Send { message, .. } | Effect::SendOnceSynced { message, .. }) = effect
            else {
                continue;
            };
            let sent = encode(&message).encode_to_vec();
            let arrived = Envelope::decode(&sent[..]).expect("ours can be read");
            assert!(
                decode(arrived).is_ok(),
                "what is sent is believed: {message:?}"
            );
        }
    }
}

/// A storage that never fails.
#[derive(Debug, Default)]
struct Memory(BTreeMap<Bytes, Bytes>);

impl Storage for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, range: Range<Bytes>, items_max: usize) -> Result<Vec<Item>, StorageError> {
        let items = self.0.range(range).take(items_max);
        Ok(items.map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StorageError> {
        for change in batch.changes {
            match change {
                Change::Put { key, value } => self.0.insert(key, value),
                Change::Delete { key } => self.0.remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
}
