//! Machines, the links between them, and the plugins that they all have, but for some.
//!
//! Everything is answered at once; a cut link refuses.
//!
//! Invariant: a request has its reply when the call returns.

use super::memory::Memory;
use bytes::Bytes;
use rejoin::dynamo::bucket::activation::Blame;
use rejoin::dynamo::bucket::{Ack, Binding, BucketTable, Policy, Properties};
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::causality::dot::{Dot, Incarnation};
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::coordinator::request::{
    GetError, GetReply, GetRequest, PutError, PutReply, PutRequest, Ttl,
};
use rejoin::dynamo::coordinator::unmerge::{Effort, UnmergeError, UnmergeRequest, Unmerged};
use rejoin::dynamo::machine::effect::Effect;
use rejoin::dynamo::machine::event::Event;
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::machine::router::Machine;
use rejoin::dynamo::names::{BucketName, ClientId, Digest, Key, Millis, NodeId, Now};
use rejoin::dynamo::reconcile::answer::{Answer, GuestFailure, Resolution};
use rejoin::dynamo::reconcile::question::{Ask, Question};
use rejoin::dynamo::reconcile::verdict::{Verdict, believe};
use rejoin::dynamo::repair::settings::Settings;
use rejoin::dynamo::replica::record::Replaced;
use rejoin::dynamo::ring::member::Member;
use rejoin::dynamo::ring::partition::Partitions;
use rejoin::dynamo::ring::placement::Placement;
use rejoin::dynamo::ring::preference::Ring;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

const TIMEOUT_MS: u64 = 1_000;

/// A plugin, named by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest(u8);

/// The union of comma-separated words, and what is to follow it: the same, by another name.
pub const FIRST: Guest = Guest(1);
pub const NEXT: Guest = Guest(2);
/// Keeps the words of the least sibling, and drops the others'.
pub const POOR: Guest = Guest(3);
pub const KEEPER: Guest = Guest(4);
pub const TRAPPING: Guest = Guest(5);

impl Guest {
    pub fn digest(self) -> Digest {
        Digest([self.0; 32])
    }
}

pub fn bound(guest: Guest, merge_on_put: bool) -> Properties {
    Properties {
        policy: Policy::Resolver(Binding::new(guest.digest())),
        merge_on_put,
        ack: Ack::Buffered,
        ..Properties::default()
    }
}

fn bucket() -> BucketName {
    BucketName::new("b").expect("a good name")
}

pub fn key(at: usize) -> Key {
    Key::new(bucket(), Bytes::from(format!("k{at}"))).expect("a good key")
}

pub fn words(version: &Version) -> BTreeSet<String> {
    let bytes = version.bytes().map_or(&[][..], |bytes| bytes);
    let text = String::from_utf8_lossy(bytes).into_owned();
    let words = text.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// Whether two gets show the same values.
pub fn shows(found: &GetReply, wanted: &GetReply) -> bool {
    let values = |reply: &GetReply| -> Vec<Option<Bytes>> {
        reply.versions.iter().map(|v| v.bytes().cloned()).collect()
    };
    values(found) == values(wanted)
}

fn answer(question: &Question) -> Answer {
    let digest = question.binding.digest;
    let Ask::Resolve(siblings) = &question.ask else {
        panic!("no validator is bound");
    };
    let all: BTreeSet<String> = match Guest(digest.0[0]) {
        POOR => siblings.iter().take(1).flat_map(words).collect(),
        _ => siblings.iter().flat_map(words).collect(),
    };
    let all: Vec<String> = all.into_iter().collect();
    let resolution = match Guest(digest.0[0]) {
        KEEPER => Resolution::KeepSiblings("I cannot choose".to_owned()),
        TRAPPING => {
            let message = "unreachable".to_owned();
            return Answer::Failed(GuestFailure::Trap { digest, message });
        }
        _ => Resolution::Merged(all.join(",").into()),
    };
    let fuel = siblings.len() as u64;
    Answer::Resolved { resolution, fuel }
}

/// The version that a merge makes of its inputs.
pub fn again(key: &Key, replaced: &Replaced, binding: &Binding) -> Version {
    let shown = replaced.provenance.as_ref().map_or(0, |noted| noted.shown);
    let siblings = replaced.inputs[..shown].to_vec();
    let question = Question {
        key: key.clone(),
        binding: binding.clone(),
        ask: Ask::Resolve(siblings.clone()),
    };
    match believe(answer(&question), binding, &siblings, 1_000_000) {
        Verdict::One { version, fuel } => {
            assert_eq!(
                replaced.provenance.as_ref().map(|noted| noted.fuel),
                Some(fuel)
            );
            version
        }
        Verdict::Siblings { reason } => panic!("it was merged once: {reason}"),
    }
}

pub struct Town {
    ids: Vec<NodeId>,
    machines: Vec<Machine<Memory>>,
    /// What each node knows of the bucket, and how often that was edited.
    known: Vec<(u64, usize, Properties)>,
    /// Every binding that ever was, by epoch and digest.
    bindings: BTreeMap<(u64, Digest), Binding>,
    /// Nodes on different sides do not reach each other.
    side: Vec<usize>,
    pub lacks: BTreeSet<(usize, Digest)>,
    /// Questions that a plugin was asked.
    pub asked: usize,
    now_ms: u64,
    clients: u64,
    mail: VecDeque<(usize, usize, Message)>,
    gets: BTreeMap<ClientId, Result<Box<GetReply>, GetError>>,
    puts: BTreeMap<ClientId, Result<Box<PutReply>, PutError>>,
    unmerges: BTreeMap<ClientId, Result<Unmerged, UnmergeError>>,
}

impl Town {
    pub fn of(nodes: usize, properties: &Properties) -> Self {
        let ids: Vec<NodeId> = (0..nodes)
            .map(|place| NodeId::new(&format!("n{place}")).expect("a good name"))
            .collect();
        let members = ids.iter().cloned().map(Member::new).collect();
        let ring = Ring::new(Partitions::new(8).expect("in bounds"), members).expect("distinct");
        let placement = Arc::new(Placement::still(ring));
        let machines = ids.iter().zip(1..).map(|(id, life)| {
            let memory = Memory::default();
            Machine::new(
                id.clone(),
                Incarnation(life),
                memory,
                Arc::clone(&placement),
            )
        });
        let mut town = Self {
            machines: machines.collect(),
            known: vec![(0, 0, properties.clone()); nodes],
            bindings: BTreeMap::new(),
            side: vec![0; nodes],
            lacks: BTreeSet::new(),
            asked: 0,
            now_ms: 1_000,
            clients: 0,
            mail: VecDeque::new(),
            gets: BTreeMap::new(),
            puts: BTreeMap::new(),
            unmerges: BTreeMap::new(),
            ids,
        };
        let settings = Settings {
            anti_entropy_interval_ms: 0,
            reap_interval_ms: 0,
            converge_quiet_ms: 0, // Every merge here is one of a put.
            ..Settings::default()
        };
        for node in 0..nodes {
            town.step(node, Event::Settings(settings));
            town.learn(node);
        }
        town
    }

    pub fn properties(&self, node: usize) -> &Properties {
        &self.known[node].2
    }

    /// Edits the bucket's row at a node, and tells whoever can be reached.
    pub fn edit(&mut self, node: usize, properties: Properties) {
        let count = self.known[node].0 + 1;
        self.known[node] = (count, node, properties);
        self.learn(node);
        self.gossip();
    }

    /// As the catalog does: the higher count wins, then the greater node.
    fn gossip(&mut self) {
        for from in 0..self.ids.len() {
            for to in 0..self.ids.len() {
                let (mine, theirs) = (self.known[from].clone(), &self.known[to]);
                if self.side[from] == self.side[to] && (mine.0, mine.1) > (theirs.0, theirs.1) {
                    self.known[to] = mine;
                    self.learn(to);
                }
            }
        }
    }

    fn learn(&mut self, node: usize) {
        let properties = self.known[node].2.clone();
        properties.check().expect("good properties");
        if let Some(binding) = properties.policy.resolver() {
            let of = (properties.activation.epoch, binding.digest);
            self.bindings.insert(of, binding.clone());
        }
        let table = BucketTable::from([(bucket(), properties)]);
        self.step(node, Event::Buckets(Arc::new(table)));
    }

    /// What was bound in an epoch under which a merge was made.
    pub fn bound_at(&self, epoch: u64, digest: Option<Digest>) -> Binding {
        let digest = digest.expect("a plugin merged it");
        self.bindings[&(epoch, digest)].clone()
    }

    /// The first so many nodes no longer reach the others.
    pub fn part(&mut self, first: usize) {
        for (place, side) in self.side.iter_mut().enumerate() {
            *side = usize::from(place >= first);
        }
    }

    pub fn part_alone(&mut self, node: usize) {
        for (place, side) in self.side.iter_mut().enumerate() {
            *side = usize::from(place == node);
        }
    }

    /// Everybody is reached again, and has had the time to notice.
    pub fn heal(&mut self) {
        self.side.fill(0);
        self.gossip();
        for _ in 0..8 {
            self.pass(1_000);
        }
    }

    fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        loop {
            let due = self.machines.iter().enumerate();
            let due = due.filter_map(|(node, machine)| Some((machine.next_deadline()?.0, node)));
            let Some((at_ms, node)) = due.min().filter(|(at_ms, _)| *at_ms <= end_ms) else {
                break;
            };
            self.now_ms = self.now_ms.max(at_ms);
            self.step(node, Event::Tick);
            self.settle();
        }
        self.now_ms = end_ms;
    }

    /// Each request has its own time.
    fn client(&mut self) -> ClientId {
        self.pass(1);
        self.clients += 1;
        ClientId(self.clients)
    }

    pub fn get(&mut self, node: usize, key: &Key) -> Result<GetReply, GetError> {
        let client = self.client();
        // All that can be reached, so that what they lack is repaired.
        let side = self.side[node];
        let reached = self.side.iter().filter(|other| **other == side).count() as u8;
        let request = GetRequest {
            key: key.clone(),
            r: Some(reached.min(3)),
            pr: None,
        };
        let event = Event::Get {
            client,
            request,
            timeout_ms: TIMEOUT_MS,
        };
        self.step(node, event);
        self.settle();
        self.wait(|town| town.gets.contains_key(&client));
        let outcome = self.gets.remove(&client).expect("it ends by its deadline");
        outcome.map(|reply| *reply)
    }

    pub fn put(
        &mut self,
        node: usize,
        key: &Key,
        value: &str,
        context: Context,
    ) -> Result<PutReply, PutError> {
        self.put_as(node, key, value, context, None)
    }

    pub fn put_with_w(
        &mut self,
        node: usize,
        key: &Key,
        value: &str,
        w: u8,
    ) -> Result<PutReply, PutError> {
        self.put_as(node, key, value, Context::default(), Some(w))
    }

    fn put_as(
        &mut self,
        node: usize,
        key: &Key,
        value: &str,
        context: Context,
        w: Option<u8>,
    ) -> Result<PutReply, PutError> {
        let client = self.client();
        let request = PutRequest {
            key: key.clone(),
            context,
            version: Version::value(value.to_owned(), 0),
            w,
            pw: None,
            ack: None,
            dw: None,
            ttl: Ttl::default(),
        };
        let event = Event::Put {
            client,
            request: Box::new(request),
            timeout_ms: TIMEOUT_MS,
        };
        self.step(node, event);
        self.settle();
        self.wait(|town| town.puts.contains_key(&client));
        let outcome = self.puts.remove(&client).expect("it ends by its deadline");
        outcome.map(|reply| *reply)
    }

    /// Asks the nodes in turn, as an operator's command does, until one has the whole.
    pub fn unmerge(
        &mut self,
        key: &Key,
        blame: &Blame,
        effort: Effort,
    ) -> Result<Unmerged, UnmergeError> {
        let mut best = Ok(Unmerged::Absent);
        for node in 0..self.ids.len() {
            let outcome = loop {
                match self.unmerge_at(node, key, blame, effort) {
                    Ok(Unmerged::Later { ms }) => self.pass(ms),
                    other => break other,
                }
            };
            match outcome {
                Ok(Unmerged::Elsewhere | Unmerged::Absent) => {}
                Ok(Unmerged::NotRetained) => best = outcome,
                decided => return decided,
            }
        }
        best
    }

    fn unmerge_at(
        &mut self,
        node: usize,
        key: &Key,
        blame: &Blame,
        effort: Effort,
    ) -> Result<Unmerged, UnmergeError> {
        let client = self.client();
        let request = UnmergeRequest {
            key: key.clone(),
            blame: blame.clone(),
            effort,
        };
        let event = Event::Unmerge {
            client,
            request: Box::new(request),
            timeout_ms: TIMEOUT_MS,
        };
        self.step(node, event);
        self.settle();
        self.wait(|town| town.unmerges.contains_key(&client));
        let outcome = self.unmerges.remove(&client);
        outcome.expect("it ends by its deadline")
    }

    fn wait(&mut self, is_over: impl Fn(&Self) -> bool) {
        for _ in 0..30 {
            if is_over(self) {
                return;
            }
            self.pass(100);
        }
    }

    /// Every version of a key that stands anywhere.
    pub fn standing(&mut self, key: &Key) -> Vec<(Dot, Version)> {
        let mut found = Vec::new();
        for machine in &mut self.machines {
            let (record, _) = machine.inspect(key).expect("memory does not fail");
            let versions = record.object.versions();
            found.extend(versions.map(|(dot, version)| (dot, version.clone())));
        }
        found
    }

    /// What is retained of a key, and where.
    pub fn retained(&mut self, key: &Key) -> Vec<(usize, Replaced)> {
        let mut found = Vec::new();
        for (node, machine) in self.machines.iter_mut().enumerate() {
            let (_, retained) = machine.inspect(key).expect("memory does not fail");
            found.extend(retained.into_iter().map(|replaced| (node, replaced)));
        }
        found
    }

    fn step(&mut self, node: usize, event: Event) {
        let now = Now {
            monotonic: Millis(self.now_ms),
            wall_ms: self.now_ms,
        };
        let mut effects = Vec::new();
        self.machines[node].step(now, event, &mut effects);
        for effect in effects {
            self.carry_out(node, effect);
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Send { to, message } | Effect::SendOnceSynced { to, message } => {
                let to = self.ids.iter().position(|id| *id == to).expect("a member");
                match self.side[node] == self.side[to] {
                    true => self.mail.push_back((node, to, message)),
                    false => {
                        let refusal = message.undelivered();
                        let refusal = refusal.map(|message| (to, node, message));
                        self.mail.extend(refusal);
                    }
                }
            }
            Effect::Ask {
                ticket, question, ..
            } => {
                self.asked += 1;
                let digest = question.binding.digest;
                let answer = match self.lacks.contains(&(node, digest)) {
                    true => Answer::Failed(GuestFailure::Missing { digest }),
                    false => answer(&question),
                };
                self.step(node, Event::Answered { ticket, answer });
            }
            Effect::ReplyGet { client, outcome } => drop(self.gets.insert(client, outcome)),
            Effect::ReplyPut { client, outcome } => drop(self.puts.insert(client, outcome)),
            Effect::ReplyUnmerge { client, outcome } => {
                self.unmerges.insert(client, outcome);
            }
            Effect::ReplyList { .. } | Effect::ReplyRestore { .. } => {
                unreachable!("nobody lists or restores keys here")
            }
            Effect::Progress { .. } | Effect::Changed(_) => {}
        }
    }

    fn settle(&mut self) {
        while let Some((from, to, message)) = self.mail.pop_front() {
            let from = self.ids[from].clone();
            self.step(to, Event::Message { from, message });
        }
    }
}
