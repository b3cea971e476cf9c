//! The oracle: every write ever made, with the writes that it had seen, and the laws it is held to.
//!
//! Kept as explicit sets, with no vector and no dot arithmetic, so that it shares no mistake with the
//! code it judges. It watches what disks apply and what clients are told, nothing in between.
//!
//! Invariant: the past of a write holds the past of everything in it.

use super::marks::Marks;
use rejoin::dynamo::bucket::Ack;
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::causality::dot::{Actor, Dot};
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::replica::record::Replaced;
use std::collections::BTreeMap;

/// The law that a violation is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// (a) An acknowledged write is gone.
    Lost,
    /// (b) Replicas differ after everything was healed and read.
    Diverged,
    /// (c) One dot, two values.
    DotReused,
    /// (d) A read stored something although nothing was stale.
    ReadWrote,
    /// (e) A request without a reply, with two, or with one after its deadline.
    Replies,
    /// (e) A conversation that outlives its cause.
    Leaked,
    /// (f) More siblings than concurrent writers.
    Siblings,
    /// (f) The reply says something else than what happened.
    Dishonest,
    /// (g) A context covers something else than what was shown.
    Context,
    /// One client put, several dots.
    Coordinated,
    /// A lawful resolver's result lacks one of its inputs.
    Resolved,
    /// What was kept for a node that is back is not handed over.
    Hints,
    /// A value that an acknowledged delete had covered is there again.
    Resurrected,
    /// Tombstones are left although everybody is done with them.
    Unreaped,
    /// A view in which a key does not have its owners, all different.
    Owners,
    /// Views that differ after everything was healed.
    Views,
    /// A change of the members that does not end.
    Unsettled,
    /// A copy that stays where it does not belong.
    Strays,
    /// A strict read that does not see what was acknowledged before it was asked.
    Missed,
    /// A cluster that nobody uses writes, or repairs.
    Restless,
    /// A node that was told that its disk has no room wrote on it.
    Overfull,
    /// A conflict that stays although its bucket merges on put.
    Conflicted,
}

#[derive(Debug, Clone)]
pub struct Violation {
    pub check: Check,
    pub what: String,
}

/// What a client was told of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Open,
    Acknowledged {
        replicas: usize,
        /// Of those, by the disk, where so many were asked for by number.
        durable: usize,
    },
    NotStored,
    Unknown,
}

/// By whom, and how, a put is to be acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Meant {
    pub w: usize,
    /// Of those, primaries.
    pub pw: usize,
    pub ack: Ack,
    /// Of those, durable ones, where the bucket wants so many by number; else 0.
    pub dw: usize,
}

/// One client put or delete.
#[derive(Debug)]
pub struct Attempt {
    pub key: usize,
    pub seen: Marks,
    /// A delete without a context: it deletes whatever its coordinator holds.
    pub sweeps: bool,
    pub meant: Meant,
    pub fate: Fate,
    dots: Vec<usize>,
}

/// One dot.
#[derive(Debug)]
struct Written {
    dot: Dot,
    version: Version,
    past: Marks,
}

/// How far a node's copy has ever known each actor.
type Known = BTreeMap<Actor, u64>;

#[derive(Debug, Default)]
struct KeyHistory {
    places: BTreeMap<Dot, usize>,
    writes: Vec<Written>,
    /// Per node.
    applied: Vec<Known>,
    synced: Vec<Known>,
    /// Tombstones that were removed, with all that they had seen.
    reaped: Marks,
    /// For each tombstone what was dead in the record that it came with. A delete may have been sent by somebody who knew
    /// more than its context could say.
    buried: BTreeMap<usize, Marks>,
}

/// One record that a disk took.
pub struct Stored<'a> {
    pub node: usize,
    pub key: usize,
    pub before: &'a Object,
    pub after: &'a Object,
    pub replaced: Option<&'a Replaced>,
    /// The put that the node was carrying out, if it was one.
    pub attempt: Option<usize>,
    /// A merge in the background.
    pub is_unasked: bool,
}

/// What the client of a put was told, and who keeps the key.
pub struct Told<'a> {
    pub replicas: usize,
    pub primaries: usize,
    pub durable: usize,
    pub homes: &'a [usize],
}

pub struct History {
    keys: Vec<KeyHistory>,
    pub attempts: Vec<Attempt>,
    pub violations: Vec<Violation>,
    /// Whether a merge has to keep all its inputs, per key.
    lawful: Vec<bool>,
}

impl History {
    pub fn new(nodes: usize, lawful: Vec<bool>) -> Self {
        let key = || KeyHistory {
            applied: vec![Known::new(); nodes],
            synced: vec![Known::new(); nodes],
            ..KeyHistory::default()
        };
        Self {
            keys: lawful.iter().map(|_| key()).collect(),
            attempts: Vec::new(),
            violations: Vec::new(),
            lawful,
        }
    }

    pub fn accuse(&mut self, check: Check, what: impl Into<String>) {
        let what = what.into();
        self.violations.push(Violation { check, what });
    }

    pub fn begin(&mut self, key: usize, seen: Marks, sweeps: bool, meant: Meant) -> usize {
        self.attempts.push(Attempt {
            key,
            seen,
            sweeps,
            meant,
            fate: Fate::Open,
            dots: Vec::new(),
        });
        self.attempts.len() - 1
    }

    /// Whether nothing has been stored for a put yet.
    pub fn is_unstored(&self, attempt: usize) -> bool {
        let put = self.attempts.get(attempt);
        put.is_some_and(|put| put.dots.is_empty())
    }

    /// A disk took a record: its new dot is a write, and what vanished must have been seen by what stays.
    pub fn on_stored(&mut self, stored: &Stored<'_>) {
        learn(
            &mut self.keys[stored.key].applied[stored.node],
            stored.after,
        );
        let mut made = 0;
        for (dot, version) in stored.after.versions() {
            match self.place(stored.key, dot) {
                Some(place) => self.check_value(stored.key, place, version),
                None => {
                    made += 1;
                    self.register(stored, dot, version);
                }
            }
        }
        if made > 1 {
            self.accuse(Check::Coordinated, format!("{made} new dots in one record"));
        }
        self.check_dropped(stored);
    }

    /// The disk of a node has synced a record.
    pub fn on_synced(&mut self, node: usize, key: usize, object: &Object) {
        learn(&mut self.keys[key].synced[node], object);
    }

    /// A disk has let go of a record: of tombstones alone, and of what those had seen.
    pub fn on_reaped(&mut self, node: usize, key: usize, gone: &Object) {
        for (dot, version) in gone.versions() {
            let place = self.place(key, dot);
            match place.filter(|_| version.is_tombstone()) {
                Some(place) => {
                    let history = &mut self.keys[key];
                    let buried = history.buried.get(&place).cloned();
                    history.reaped.insert(place);
                    history.reaped.join(&buried.unwrap_or_default());
                }
                None => {
                    let what = format!("node {node} let go of key {key}: {dot} {version:?}");
                    self.accuse(Check::Lost, what);
                }
            }
        }
    }

    /// What an acknowledged delete had seen is dead. `finals` and `destroyed` are as for `judge`.
    pub fn check_resurrected(
        &mut self,
        finals: &[Vec<Object>],
        destroyed: impl Fn(usize, Ack) -> usize,
    ) {
        for attempt in 0..self.attempts.len() {
            let put = &self.attempts[attempt];
            let history = &self.keys[put.key];
            let Some(place) = put.dots.first().copied() else {
                continue;
            };
            let delete = &history.writes[place];
            let is_delete = delete.version.is_tombstone();
            let is_kept = match put.fate {
                Fate::Acknowledged { replicas, durable } => {
                    replicas > destroyed(put.key, put.meant.ack)
                        || durable > destroyed(put.key, Ack::Durable)
                }
                _ => false,
            };
            let all = finals[put.key].iter().flat_map(Object::versions);
            let mut live = all.filter(|(_, version)| !version.is_tombstone());
            let buried = history.buried.get(&place);
            let dead = |dot: Dot| {
                let place = history.places.get(&dot);
                let is_in = |buried: &Marks| place.is_some_and(|place| buried.contains(*place));
                buried.is_some_and(is_in)
            };
            if is_delete
                && is_kept
                && let Some((dot, version)) = live.find(|(dot, _)| dead(*dot))
            {
                let what = format!("delete {attempt} had seen {dot} {version:?}, and it lives");
                self.accuse(Check::Resurrected, what);
            }
        }
    }

    pub fn knows(&self, key: usize, dot: Dot) -> bool {
        self.place(key, dot).is_some()
    }

    fn place(&self, key: usize, dot: Dot) -> Option<usize> {
        self.keys[key].places.get(&dot).copied()
    }

    fn check_value(&mut self, key: usize, place: usize, version: &Version) {
        let written = &self.keys[key].writes[place];
        if written.version != *version {
            let (dot, first) = (written.dot, &written.version);
            let what = format!("{dot} is {first:?} and {version:?}");
            self.accuse(Check::DotReused, what);
        }
    }

    fn register(&mut self, stored: &Stored<'_>, dot: Dot, version: &Version) {
        let attempt = stored.attempt.filter(|_| !stored.is_unasked);
        if attempt.is_none() && !stored.is_unasked {
            let what = format!("{dot} was stored without a put");
            return self.accuse(Check::Coordinated, what);
        }
        let past = self.past_of_new(stored, attempt);
        self.check_merge(stored, version);
        let history = &mut self.keys[stored.key];
        let place = history.writes.len();
        if version.is_tombstone() {
            let clock = stored.after.context();
            let mut buried = Marks::default();
            for (other, written) in history.writes.iter().enumerate() {
                let is_known = count(&clock, written.dot.actor) >= written.dot.counter;
                if is_known && stored.after.version(written.dot).is_none() {
                    buried.insert(other);
                }
            }
            history.buried.insert(place, buried);
        }
        history.places.insert(dot, place);
        let version = version.clone();
        history.writes.push(Written { dot, version, past });
        let Some(attempt) = attempt else {
            return; // No client is told of it.
        };
        let dots = &mut self.attempts[attempt].dots;
        dots.push(place);
        if dots.len() > 1 {
            let what = format!("put {attempt} made {} dots", dots.len());
            self.accuse(Check::Coordinated, what);
        }
    }

    /// What the client had seen, and what a merge or a sweeping delete took in.
    fn past_of_new(&self, stored: &Stored<'_>, attempt: Option<usize>) -> Marks {
        let attempt = attempt.map(|attempt| &self.attempts[attempt]);
        let mut past = attempt.map(|put| put.seen.clone()).unwrap_or_default();
        let mut take = |place: usize| {
            past.insert(place);
            past.join(&self.keys[stored.key].writes[place].past);
        };
        let inputs = stored.replaced.iter().flat_map(|replaced| &replaced.inputs);
        inputs.for_each(|input| {
            self.places_of(stored, input)
                .into_iter()
                .for_each(&mut take)
        });
        if attempt.is_some_and(|put| put.sweeps) {
            let swept = dropped(stored).filter_map(|(dot, _)| self.place(stored.key, dot));
            swept.for_each(take);
        }
        past
    }

    /// The writes that an input of a merge stands for: those that it takes away from this very record, or,
    /// if the record was forgotten while the guest ran, all that are like it.
    fn places_of(&self, stored: &Stored<'_>, input: &Version) -> Vec<usize> {
        let here = dropped(stored).filter(|(_, version)| *version == input);
        let here: Vec<usize> = here
            .filter_map(|(dot, _)| self.place(stored.key, dot))
            .collect();
        if !here.is_empty() {
            return here;
        }
        let writes = self.keys[stored.key].writes.iter().enumerate();
        let alike = writes.filter(|(_, written)| written.version == *input);
        alike.map(|(place, _)| place).collect()
    }

    fn check_merge(&mut self, stored: &Stored<'_>, version: &Version) {
        let Some(replaced) = stored.replaced.filter(|_| self.lawful[stored.key]) else {
            return;
        };
        let wanted = super::guests::union(&replaced.inputs);
        if version.bytes() != Some(&wanted) {
            let what = format!("merged {version:?} from {:?}", replaced.inputs);
            self.accuse(Check::Resolved, what);
        }
    }

    fn check_dropped(&mut self, stored: &Stored<'_>) {
        let history = &self.keys[stored.key];
        let stays: Vec<usize> = stored
            .after
            .versions()
            .filter_map(|(dot, _)| history.places.get(&dot).copied())
            .collect();
        let orphan = dropped(stored).find(|(dot, _)| {
            let place = history.places.get(dot).copied();
            let seen = |place: usize| {
                stays
                    .iter()
                    .any(|stay| history.writes[*stay].past.contains(place))
            };
            !place.is_some_and(seen)
        });
        if let Some((dot, version)) = orphan {
            let what = format!(
                "node {} key {}: {dot} {version:?} was dropped by what had not seen it",
                stored.node, stored.key
            );
            self.accuse(Check::Lost, what);
        }
    }

    /// What a get showed: its context must cover exactly that. Returns what the client has now seen.
    pub fn on_shown(&mut self, key: usize, shown: &[(Dot, Version)], context: &Context) -> Marks {
        let mut seen = Marks::default();
        for (dot, version) in shown {
            match self.place(key, *dot) {
                Some(place) => {
                    self.check_value(key, place, version);
                    seen.insert(place);
                    seen.join(&self.keys[key].writes[place].past);
                }
                None => self.accuse(Check::DotReused, format!("{dot} was never stored")),
            }
            if count(context, dot.actor) < dot.counter {
                let what = format!("a get showed {dot} and its context does not cover it");
                self.accuse(Check::Context, what);
            }
        }
        self.check_covered(key, context, &seen);
        seen
    }

    fn check_covered(&mut self, key: usize, context: &Context, seen: &Marks) {
        let unseen = self.keys[key]
            .writes
            .iter()
            .enumerate()
            .find(|(place, written)| {
                count(context, written.dot.actor) >= written.dot.counter && !seen.contains(*place)
            });
        if let Some((_, written)) = unseen {
            let what = format!(
                "a context covers {} {:?}, which its client has not seen",
                written.dot, written.version
            );
            self.accuse(Check::Context, what);
        }
    }

    /// A put was acknowledged. Returns what the client has seen by its reply's context.
    pub fn on_acknowledged(
        &mut self,
        attempt: usize,
        dot: Dot,
        context: &Context,
        told: &Told<'_>,
    ) -> Marks {
        let replicas = told.replicas;
        let put = &mut self.attempts[attempt];
        let Meant { w, pw, ack, dw } = put.meant;
        let durable = if dw > 0 { told.durable } else { 0 };
        put.fate = Fate::Acknowledged { replicas, durable };
        let (key, mut seen, sweeps) = (put.key, put.seen.clone(), put.sweeps);
        let Some(place) = self.place(key, dot) else {
            let what = format!("put {attempt} was acknowledged as {dot}, which nobody stored");
            self.accuse(Check::Dishonest, what);
            return seen;
        };
        if !self.attempts[attempt].dots.contains(&place) {
            let what = format!("put {attempt} was acknowledged as {dot}, another's write");
            self.accuse(Check::Dishonest, what);
        }
        let holders = self.holders(key, dot, ack, |_| true);
        let homes = self.holders(key, dot, ack, |node| told.homes.contains(&node));
        if homes < pw || homes < told.primaries || told.primaries < pw {
            let primaries = told.primaries;
            let what = format!(
                "put {attempt} {dot} was acknowledged by {primaries} primaries, {homes} hold it, pw is {pw}"
            );
            self.accuse(Check::Dishonest, what);
        }
        if holders < w || replicas < w {
            let what = format!(
                "put {attempt} {dot} was acknowledged {ack:?} by {replicas}, {holders} hold it, w is {w}"
            );
            self.accuse(Check::Dishonest, what);
        }
        let synced = self.holders(key, dot, Ack::Durable, |_| true);
        if durable < dw || synced < durable {
            let what = format!(
                "put {attempt} {dot} was acknowledged by {durable} disks, {synced} have it, dw is {dw}"
            );
            self.accuse(Check::Dishonest, what);
        }
        self.see_own(key, place, sweeps, &mut seen);
        self.check_covered(key, context, &seen);
        seen
    }

    /// The writes of a key that were acknowledged so far.
    pub fn acknowledged(&self, key: usize) -> Marks {
        let mut marks = Marks::default();
        let puts = self.attempts.iter().filter(|put| put.key == key);
        let puts = puts.filter(|put| matches!(put.fate, Fate::Acknowledged { .. }));
        puts.filter_map(|put| put.dots.first())
            .for_each(|place| marks.insert(*place));
        marks
    }

    /// A client knows its own value, unless it was merged with what the client has not seen.
    fn see_own(&self, key: usize, place: usize, sweeps: bool, seen: &mut Marks) {
        let past = &self.keys[key].writes[place].past;
        if sweeps {
            seen.join(past);
        }
        if past.is_within(seen) {
            seen.insert(place);
        }
    }

    fn holders(&self, key: usize, dot: Dot, ack: Ack, which: impl Fn(usize) -> bool) -> usize {
        let history = &self.keys[key];
        let known = match ack {
            Ack::Durable => &history.synced,
            Ack::Buffered => &history.applied,
        };
        let knows = |known: &&Known| known.get(&dot.actor).is_some_and(|n| *n >= dot.counter);
        let nodes = known.iter().enumerate().filter(|(node, _)| which(*node));
        nodes.map(|(_, known)| known).filter(knows).count()
    }

    /// Judges the end: `finals` are what the replicas of each key hold, `destroyed` says how many of its
    /// nodes may have lost a write that was acknowledged in a given way.
    pub fn judge(&mut self, finals: &[Vec<Object>], destroyed: impl Fn(usize, Ack) -> usize) {
        for attempt in 0..self.attempts.len() {
            let put = &self.attempts[attempt];
            match put.fate {
                Fate::NotStored if !put.dots.is_empty() => {
                    let what = format!("put {attempt} was told \"not stored\", and it is");
                    self.accuse(Check::Dishonest, what);
                }
                Fate::Acknowledged { replicas, durable }
                    if replicas > destroyed(put.key, put.meant.ack)
                        || durable > destroyed(put.key, Ack::Durable) =>
                {
                    self.check_survives(attempt, &finals[put.key]);
                }
                _ => {}
            }
        }
    }

    fn check_survives(&mut self, attempt: usize, finals: &[Object]) {
        let history = &self.keys[self.attempts[attempt].key];
        let Some(place) = self.attempts[attempt].dots.first().copied() else {
            return; // Reported when it was acknowledged.
        };
        let survives = finals.iter().flat_map(Object::versions).any(|(dot, _)| {
            let end = history.places.get(&dot).copied();
            end.is_some_and(|end| end == place || history.writes[end].past.contains(place))
        });
        if !survives && !history.reaped.contains(place) {
            let written = &history.writes[place];
            let what = format!(
                "acknowledged put {attempt}, {} {:?}, is gone; left: {finals:?}",
                written.dot, written.version
            );
            self.accuse(Check::Lost, what);
        }
    }
}

fn dropped<'a>(stored: &'a Stored<'_>) -> impl Iterator<Item = (Dot, &'a Version)> {
    let stays = |dot: Dot| stored.after.versions().any(|(other, _)| other == dot);
    stored
        .before
        .versions()
        .filter(move |(dot, _)| !stays(*dot))
}

fn count(context: &Context, actor: Actor) -> u64 {
    let found = context.clock().find(|(other, _)| *other == actor);
    found.map_or(0, |(_, n)| n)
}

fn learn(known: &mut Known, object: &Object) {
    for (actor, n) in object.context().clock() {
        let mine = known.entry(actor).or_insert(0);
        *mine = n.max(*mine);
    }
}
