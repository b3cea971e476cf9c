//! What is bound to buckets changes while clients write and nodes cannot hear of it: activation, rollback, pause.
//!
//! Each node hears of the latest row when it does, or starts with it. Only versions that are lawful follow each other,
//! so the oracle goes on to hold them to that.
//!
//! Invariant: at peace every node works by the latest row.

use super::guests::Guest;
use super::world::{Happening, World};
use rand::RngExt;
use rejoin::dynamo::bucket::{Policy, Properties};
use rejoin::dynamo::machine::event::Event;
use std::sync::Arc;

/// Between two changes.
const PAUSE_MS_MAX: u64 = 4_000;
/// Until a node hears of one; longer than partitions last.
const NEWS_MS_MAX: u64 = 6_000;

impl World {
    pub fn rebind(&mut self) {
        let mut buckets = (*self.stage.buckets).clone();
        for properties in buckets.values_mut() {
            let choice = self.dice.random_range(0..3);
            *properties = changed(properties, choice);
        }
        self.stage.buckets = Arc::new(buckets);
        for node in 0..self.nodes.len() {
            let news_ms = self.dice.random_range(0..NEWS_MS_MAX);
            self.queue
                .push(self.now_ms + news_ms, Happening::Hear { node });
        }
        let pause_ms = self.dice.random_range(0..PAUSE_MS_MAX);
        // Clients that are done are followed by nothing.
        if !self.clients.are_done() {
            self.queue.push(self.now_ms + pause_ms, Happening::Rebind);
        }
    }

    pub fn hear(&mut self, node: usize) {
        if self.nodes[node].is_up() {
            let buckets = Arc::clone(&self.stage.buckets);
            self.step(node, Event::Buckets(buckets), None);
        }
    }
}

fn changed(now: &Properties, choice: u64) -> Properties {
    let versions = [Guest::Union, Guest::NextUnion].map(|guest| guest.binding());
    let Some(bound) = now.policy.resolver().filter(|b| versions.contains(b)) else {
        return now.clone();
    };
    match choice {
        0 => {
            let other = versions.iter().find(|version| *version != bound);
            let next = Properties {
                policy: Policy::Resolver(other.unwrap_or(bound).clone()),
                ..now.clone()
            };
            next.after(now)
        }
        1 => now.rolled_back(None).unwrap_or(now.clone()),
        _ => {
            let mut paused = now.clone();
            paused.activation.is_paused = !now.activation.is_paused;
            paused
        }
    }
}
