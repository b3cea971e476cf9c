//! The clients: who asks what of whom, with which context, and who still waits.
//!
//! A client has one request under way at a time. It remembers the contexts that it was given, the latest
//! and a few old ones, and what it had seen with each.
//!
//! Invariant: a context is used as bytes that went through the codec, like a real client's.

use super::marks::Marks;
use super::plan::{Manners, Plan};
use bytes::Bytes;
use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand_chacha::ChaCha8Rng;
use rejoin::dynamo::bucket::Ack;
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::names::{ClientId, Key};
use std::collections::BTreeMap;

/// Contexts that a client keeps of one key.
const TOKENS_MAX: usize = 4;

/// What a client was handed, and what it had seen with it.
#[derive(Debug, Clone, Default)]
pub struct Token {
    context: Bytes,
    pub seen: Marks,
}

impl Token {
    pub fn new(context: &Context, key: &Key, seen: Marks) -> Self {
        let context = context.encode(key);
        Self { context, seen }
    }

    pub fn context(&self, key: &Key) -> Context {
        Context::decode(self.context.clone(), key).expect("our own context is good")
    }
}

#[derive(Debug, Default)]
pub struct Client {
    pub left: usize,
    tokens: BTreeMap<usize, Vec<Token>>,
    /// A polite client has just read this key.
    read: Option<usize>,
}

impl Client {
    pub fn remember(&mut self, key: usize, token: Token) {
        let tokens = self.tokens.entry(key).or_default();
        tokens.push(token);
        if tokens.len() > TOKENS_MAX {
            tokens.remove(0);
        }
    }
}

/// Someone waits for a reply.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    /// None: the auditor, who reads everything at the end.
    pub client: Option<usize>,
    pub node: usize,
    pub key: usize,
    pub due_ms: u64,
    /// None: a get.
    pub attempt: Option<usize>,
    /// What a strict get has to see.
    pub must_see: Option<Marks>,
}

#[derive(Debug, Default)]
pub struct Clients {
    pub all: Vec<Client>,
    pub pending: BTreeMap<ClientId, Pending>,
    requests: u64,
}

/// What a client is about to ask.
#[derive(Debug, Clone)]
pub enum Wish {
    Get {
        key: usize,
        r: Option<u8>,
        pr: Option<u8>,
        timeout_ms: u64,
    },
    Put {
        key: usize,
        token: Token,
        delete: bool,
        w: Option<u8>,
        pw: Option<u8>,
        ack: Option<Ack>,
        timeout_ms: u64,
    },
}

impl Clients {
    pub fn new(plan: &Plan) -> Self {
        let client = |_| Client {
            left: plan.requests_per_client,
            ..Client::default()
        };
        Self {
            all: (0..plan.clients).map(client).collect(),
            ..Self::default()
        }
    }

    pub fn open(&mut self, pending: Pending) -> ClientId {
        self.requests += 1;
        let id = ClientId(self.requests);
        self.pending.insert(id, pending);
        id
    }

    pub fn are_done(&self) -> bool {
        self.pending.is_empty() && self.all.iter().all(|client| client.left == 0)
    }

    /// What this client does next.
    pub fn wish(&mut self, client: usize, plan: &Plan, dice: &mut ChaCha8Rng) -> Wish {
        let key = dice.random_range(0..plan.keys.len());
        match plan.manners {
            Manners::Any => self.any_wish(client, key, plan, dice),
            Manners::Polite => self.polite_wish(client, key),
        }
    }

    fn polite_wish(&mut self, client: usize, key: usize) -> Wish {
        let client = &mut self.all[client];
        let timeout_ms = 10_000;
        match client.read.take() {
            None => {
                client.read = Some(key);
                Wish::Get {
                    key,
                    r: None,
                    pr: None,
                    timeout_ms,
                }
            }
            Some(key) => Wish::Put {
                key,
                token: latest(&client.tokens, key),
                delete: false,
                w: None,
                pw: None,
                ack: None,
                timeout_ms,
            },
        }
    }

    fn any_wish(&self, client: usize, key: usize, plan: &Plan, dice: &mut ChaCha8Rng) -> Wish {
        let timeout_ms = *[150, 1_000, 5_000].choose(dice).expect("not empty");
        let n = plan.properties(key).n;
        let is_strict = plan.is_strict();
        let quorum = |dice: &mut ChaCha8Rng| match dice.random_range(0..20) {
            _ if is_strict => None,
            0..3 => Some(dice.random_range(1..=n)),
            3 => Some(n + 1),
            _ => None,
        };
        if dice.random_bool(0.45) {
            return Wish::Get {
                key,
                r: quorum(dice),
                pr: quorum(dice),
                timeout_ms,
            };
        }
        let tokens = &self.all[client].tokens;
        let token = match dice.random_range(0..10) {
            0..3 => Token::default(),
            3..8 => latest(tokens, key),
            _ => any(tokens, key, dice),
        };
        Wish::Put {
            key,
            token,
            delete: dice.random_bool(0.15),
            w: quorum(dice),
            pw: quorum(dice),
            ack: [Ack::Durable, Ack::Buffered]
                .into_iter()
                .filter(|_| dice.random_bool(0.05))
                .last(),
            timeout_ms,
        }
    }
}

fn latest(tokens: &BTreeMap<usize, Vec<Token>>, key: usize) -> Token {
    let kept = tokens.get(&key).and_then(|tokens| tokens.last());
    kept.cloned().unwrap_or_default()
}

fn any(tokens: &BTreeMap<usize, Vec<Token>>, key: usize, dice: &mut ChaCha8Rng) -> Token {
    let kept = tokens.get(&key).into_iter().flatten().choose(dice);
    kept.cloned().unwrap_or_default()
}
