//! The machine of one shard: finds the conversation that an event belongs to and carries out its steps.
//!
//! Dynamo 5. Decides nothing about quorums, siblings or dots: the coordinators and the copies do.
//!
//! Invariant: a conversation is in the map exactly as long as it has a timer (law 12).

use super::super::causality::dot::Incarnation;
use super::super::coordinator::pressure::Pressure;
use super::super::names::{Key, Millis, NodeId, Now, Ticket};
use super::super::reconcile::answer::Answer;
use super::super::repair::detector::Detector;
use super::super::repair::hints::{Arming, Offers};
use super::super::repair::settings::Settings;
use super::super::replica::copy::Copies;
use super::super::replica::record::{Record, Replaced};
use super::super::replica::storage::{Storage, StorageError};
use super::super::ring::placement::Placement;
use super::activity::Activity;
use super::background::Background;
use super::desk::{Conversation, Desk, View};
use super::effect::Effect;
use super::event::Event;
use super::lines::Lines;
use super::message::{Message, ReplicaFailure};
use super::passed::Passed;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// One shard.
#[derive(Debug)]
pub struct Machine<S> {
    pub(super) me: NodeId,
    pub(super) copies: Copies<S>,
    pub(super) view: View,
    pub(super) desk: Desk,
    pub(super) activity: Activity,
    pub(super) background: Background,
    pub(super) settings: Settings,
    pub(super) detector: Detector,
    pub(super) offers: Offers,
    pub(super) arming: Arming,
    pub(super) lines: Lines,
    pub(super) pressure: Pressure,
}

impl<S: Storage> Machine<S> {
    /// A shard that serves all partitions and knows no buckets; `Event::Settings` and `Event::Buckets` say otherwise.
    pub fn new(
        me: NodeId,
        incarnation: Incarnation,
        storage: S,
        placement: Arc<Placement>,
    ) -> Self {
        let settings = Settings::default();
        Self {
            detector: Detector::new(settings.suspect_ms, settings.probe_ms),
            settings,
            offers: Offers::default(),
            arming: Arming::default(),
            lines: Lines::default(),
            pressure: Pressure::default(),
            me,
            copies: Copies::new(storage, incarnation),
            view: View {
                placement,
                buckets: Arc::default(),
            },
            desk: Desk {
                now: Now {
                    monotonic: Millis(0),
                    wall_ms: 0,
                },
                life: incarnation.0,
                tickets_used: 0,
                conversations: BTreeMap::new(),
                timers: BTreeSet::new(),
                to_self: VecDeque::new(),
                passed: Passed::default(),
                waiting: 0,
            },
            activity: Activity::default(),
            background: Background::new(incarnation.0),
        }
    }

    /// Takes one event and appends what is to be done about it.
    pub fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        self.desk.now = now;
        self.copies.vouches().on_time(now);
        self.background.rounds.arm(now.monotonic);
        self.arm(&event);
        if let Event::Get { client, .. } | Event::Put { client, .. } = &event {
            self.background.work.on_asked(*client, now.monotonic);
        }
        let before = effects.len();
        self.take(event, effects);
        while let Some(message) = self.desk.to_self.pop_front() {
            let from = self.me.clone();
            self.on_message(from, message, effects);
        }
        for effect in &effects[before..] {
            self.background.on_effect(effect, now.monotonic);
        }
        self.note_changes();
        let changes = self.copies.take_changes().into_iter();
        effects.extend(changes.map(Effect::Changed));
    }

    /// When `Event::Tick` is due, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Millis> {
        let conversations = self.desk.timers.first().map(|(at, _)| *at);
        let others = [
            self.detector.next_at(),
            self.next_offer(),
            self.background.wakes_at().filter(|_| !self.is_at_rest()),
            self.copies.wakes_at(),
        ];
        let others = others.into_iter().flatten();
        conversations.into_iter().chain(others).min()
    }

    /// The incarnation that stands in this shard's tickets and dots.
    pub fn incarnation(&self) -> Incarnation {
        self.copies.incarnation()
    }

    pub fn activity(&self) -> Activity {
        Activity {
            copies: self.copies.counters(),
            anti_entropy_repairs: self.anti_entropy().keys_repaired,
            keys_transferred: self.background.transfers.keys_moved(),
            strays_handed_over: self.background.strays.handed_over(),
            background_rate: self.background.admission.rate(),
            conflicts_open: self.converged().open,
            background_merges: self.converged().merged,
            background_merges_failed: self.converged().failed,
            reaps_refused: self.reaping().refused,
            hints_pending: self.copies.ledger().total().count as u64,
            hint_bytes: self.copies.ledger().total().bytes as u64,
            ..self.activity
        }
    }

    /// Requests that are being coordinated, and hints on their way.
    pub fn conversations(&self) -> usize {
        self.desk.conversations.len()
    }

    /// This node's own record of a key, for operators and tests, and what merges on put replaced.
    pub fn inspect(&mut self, key: &Key) -> Result<(Record, Vec<Replaced>), StorageError> {
        let key = &self.living(key.clone());
        let partition = self.view.placement.partition_of(key);
        let record = self.copies.record(partition, key)?;
        Ok((record, self.copies.retained(partition, key)?))
    }

    pub fn storage(&self) -> &S {
        self.copies.storage()
    }

    fn take(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Get {
                client,
                mut request,
                timeout_ms,
            } => {
                request.key = self.living(request.key);
                self.on_get(client, request, timeout_ms, effects);
            }
            Event::Put {
                client,
                mut request,
                timeout_ms,
            } => {
                request.key = self.living(request.key);
                self.on_put(client, *request, timeout_ms, effects);
            }
            Event::List {
                client,
                mut stretch,
                timeout_ms,
            } => {
                if let Some(bucket) = self.view.living(&stretch.bucket) {
                    stretch.bucket = bucket;
                }
                self.on_list(client, stretch, timeout_ms, effects);
            }
            Event::Restore {
                client,
                mut saved,
                timeout_ms,
            } => {
                let named = saved.key.bucket().of(0); // Which generation it was elsewhere says nothing here.
                saved.key = self.living(saved.key.within(named));
                self.on_restore(client, *saved, timeout_ms, effects);
            }
            Event::Unmerge {
                client,
                mut request,
                timeout_ms,
            } => {
                request.key = self.living(request.key);
                self.on_unmerge(client, *request, timeout_ms, effects);
            }
            Event::Message { from, message } => self.on_message(from, message, effects),
            Event::Answered { ticket, answer } => self.on_answered(ticket, answer, effects),
            Event::Buckets(buckets) => {
                self.note_changes();
                if !self.background.is_told() {
                    self.walk_over_conflicts();
                }
                let now = self.desk.now.monotonic;
                self.background.convergence.rearm(now);
                self.background.on_buckets(&self.view.buckets, &buckets);
                self.copies.keep_merges(&buckets);
                self.view.buckets = buckets;
                self.look_around(effects);
            }
            Event::Removed(removed) => self.on_removed(removed, effects),
            Event::Placement(placement) => {
                self.on_placement(placement);
                self.look_around(effects);
            }
            Event::ExchangeNow => {
                let background = &mut self.background;
                background.begin_round(&self.me, &self.view.placement, true);
                self.background_turn(effects);
            }
            Event::ReapNow => {
                self.begin_walk();
                self.background_turn(effects);
            }
            Event::Pause(is_paused) => {
                self.background.pause(self.desk.now.monotonic, is_paused);
                self.background_turn(effects);
            }
            Event::Peer { node, is_connected } => self.on_peer(&node, is_connected),
            Event::Room(room) => self.on_room(room, effects),
            Event::Waiting(waiting) => self.desk.waiting = waiting,
            Event::Settings(settings) => self.set(settings),
            Event::Tick => self.on_tick(effects),
        }
    }

    pub(super) fn on_message(&mut self, from: NodeId, message: Message, effects: &mut Vec<Effect>) {
        self.weigh(&from, &message);
        match message {
            Message::Read {
                ticket,
                key,
                hint_for,
                placement_version,
            } => {
                self.serve_read(from, ticket, (&key, hint_for), placement_version, effects);
            }
            Message::Write {
                ticket,
                key,
                object,
                replaced,
                ack,
                hint_for,
                placement_version,
                is_new,
            } => {
                let outcome = match (self.turns_away(&from), self.lacks_room(is_new)) {
                    (true, _) => Err(ReplicaFailure::Overloaded),
                    (_, true) => Err(ReplicaFailure::Full),
                    _ => self.serve_write((&key, hint_for), object, &replaced, placement_version),
                };
                self.acknowledge(from, ticket, outcome, ack, effects);
            }
            Message::Forward {
                ticket,
                request,
                timeout_ms,
                stands_in,
            } => self.on_forwarded((from, ticket), *request, (timeout_ms, stands_in), effects),
            Message::List {
                ticket,
                stretch,
                hint_for,
                placement_version,
            } => {
                let asked = (&stretch, hint_for);
                self.serve_list(from, ticket, asked, placement_version, effects);
            }
            Message::ListReply { ticket, outcome } => {
                self.with_listing(ticket, effects, |listing| match outcome {
                    Ok(listed) => listing.on_reply(&from, listed),
                    Err(ReplicaFailure::Overloaded) => listing.on_overloaded(&from),
                    Err(_) => listing.on_failure(&from),
                });
            }
            Message::ReadReply { ticket, outcome } => {
                self.with_get(ticket, effects, |get| match outcome {
                    Ok(object) => get.on_reply(from, object),
                    Err(ReplicaFailure::Overloaded) => get.on_overloaded(&from),
                    Err(_) => get.on_failure(&from),
                });
            }
            Message::WriteReply { ticket, outcome } => {
                self.on_written(&from, ticket, outcome, effects);
            }
            Message::Repair {
                ticket,
                partition,
                n,
                ask,
            } => self.on_repair(from, ticket, (partition, n), *ask, effects),
            Message::Repaired { ticket, answer } => {
                self.on_repaired(&from, ticket, *answer, effects);
            }
            Message::ForwardReply { ticket, outcome } => {
                let outcome = outcome.map(|reply| *reply);
                self.with_forward(ticket, effects, |forward| forward.on_reply(&from, outcome));
            }
            Message::Ping { ticket } => self.send(from, Message::Pong { ticket }, effects),
            Message::Pong { .. } => {} // Weighed above.
        }
    }

    fn on_written(
        &mut self,
        from: &NodeId,
        ticket: Ticket,
        outcome: Result<(), ReplicaFailure>,
        effects: &mut Vec<Effect>,
    ) {
        match self.desk.conversation(ticket) {
            Some(Conversation::Delivery(_)) => return self.on_hint_answered(from, ticket, outcome),
            Some(Conversation::Restore(_)) => {
                return self.on_restore_answered(from, ticket, outcome, effects);
            }
            _ => {}
        }
        self.with_put(ticket, effects, |put| match outcome {
            Ok(()) => put.on_ack(from),
            Err(ReplicaFailure::Overloaded) => put.on_overloaded(from),
            Err(ReplicaFailure::Full) => put.on_full(from),
            Err(_) => put.on_failure(from),
        });
    }

    pub(super) fn on_answered(
        &mut self,
        ticket: Ticket,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        if let Answer::Failed(_) = answer {
            self.activity.guest_failures += 1;
        }
        match self.desk.conversation(ticket) {
            Some(Conversation::Get(_)) => {
                self.with_get(ticket, effects, |get| get.on_resolved(answer));
            }
            Some(Conversation::Put(_)) => {
                self.with_put(ticket, effects, |put| put.on_answer(answer));
            }
            // It ended before its guest did.
            Some(
                Conversation::Forward(_)
                | Conversation::List(_)
                | Conversation::Delivery(_)
                | Conversation::Restore(_),
            )
            | None => {}
        }
    }

    /// The buckets or the partitions are others: what is to be moved, and what is no longer taken here.
    fn look_around(&mut self, effects: &mut Vec<Effect>) {
        self.background.on_placement(&self.me, &self.view);
        self.freeze();
        self.background_turn(effects);
    }

    fn on_tick(&mut self, effects: &mut Vec<Effect>) {
        if self.background.is_due(self.desk.now.monotonic) {
            self.background_turn(effects);
        }
        while let Some(ticket) = self.desk.due() {
            match self.desk.conversation(ticket) {
                Some(Conversation::Get(_)) => self.on_get_timer(ticket, effects),
                Some(Conversation::Put(_)) => self.on_put_timer(ticket, effects),
                Some(Conversation::Forward(_)) => self.on_forward_timer(ticket, effects),
                Some(Conversation::Delivery(_)) => self.on_delivery_timer(ticket),
                Some(Conversation::List(_)) => self.on_listing_timer(ticket, effects),
                Some(Conversation::Restore(_)) => self.on_restore_timer(ticket, effects),
                None => {}
            }
        }
        self.on_probe_timer(effects);
        self.offer_hints(effects);
    }
}
