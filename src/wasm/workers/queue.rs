//! The questions that wait for a thread, by bucket and plugin, so that one bucket does not take all threads.
//!
//! Takes turns among those who wait. Knows no threads and no time.
//!
//! Invariant: whoever has the most waiting gives way first, and no lane runs on more threads than it may.

use super::lanes::Lane;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

/// Questions in the order in which they came, lane by lane.
pub struct FairQueue<J> {
    waiting: BTreeMap<Lane, VecDeque<J>>,
    running: BTreeMap<Lane, usize>,
    /// Who had the last turn.
    last: Option<Lane>,
    total: usize,
    waiting_max: usize,
    running_max: usize,
}

/// What became of a question that was to wait.
pub enum Pushed<J> {
    In,
    /// It is in, and this one, the latest of the longest lane, is out.
    Instead(J),
    Full(J),
}

impl<J> FairQueue<J> {
    /// At most so many wait, and so many of one lane run.
    pub fn new(waiting_max: usize, running_max: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            last: None,
            total: 0,
            waiting_max,
            running_max: running_max.max(1),
        }
    }

    pub fn push(&mut self, lane: &Lane, job: J) -> Pushed<J> {
        if self.total < self.waiting_max {
            self.total += 1;
            self.waiting.entry(lane.clone()).or_default().push_back(job);
            return Pushed::In;
        }
        let mine = self.waiting.get(lane).map_or(0, VecDeque::len);
        let longest = self.waiting.values_mut().max_by_key(|jobs| jobs.len());
        let Some(longest) = longest.filter(|jobs| jobs.len() > mine + 1) else {
            return Pushed::Full(job);
        };
        let Some(out) = longest.pop_back() else {
            return Pushed::Full(job);
        };
        self.waiting.entry(lane.clone()).or_default().push_back(job);
        Pushed::Instead(out)
    }

    /// The next question that may run. Whoever takes it says `on_done` afterwards.
    pub fn pop(&mut self) -> Option<(Lane, J)> {
        let lane = self.next_lane()?.clone();
        let jobs = self.waiting.get_mut(&lane)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.waiting.remove(&lane);
        }
        self.total -= 1;
        *self.running.entry(lane.clone()).or_insert(0) += 1;
        self.last = Some(lane.clone());
        Some((lane, job))
    }

    fn next_lane(&self) -> Option<&Lane> {
        let may_run = |lane: &&Lane| {
            let running = self.running.get(*lane);
            running.is_none_or(|running| *running < self.running_max)
        };
        let behind = match &self.last {
            Some(last) => self.waiting.range((Excluded(last), Unbounded)),
            None => self.waiting.range::<Lane, _>(..),
        };
        let all = behind.chain(self.waiting.iter());
        all.map(|(lane, _)| lane).find(may_run)
    }

    /// A question of this lane has been answered.
    pub fn on_done(&mut self, lane: &Lane) {
        if let Some(running) = self.running.get_mut(lane) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(lane);
            }
        }
    }

    /// Whether there is anything for a thread to do.
    pub fn is_ready(&self) -> bool {
        self.next_lane().is_some()
    }

    pub fn waiting(&self) -> usize {
        self.total
    }

    /// Everything that waits, in no order that matters.
    pub fn drain(&mut self) -> Vec<J> {
        self.total = 0;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamo::names::{BucketName, Digest};

    fn lane(bucket: &str) -> Lane {
        Lane {
            bucket: BucketName::new(bucket).unwrap(),
            digest: Digest([1; 32]),
        }
    }

    #[test]
    fn lanes_take_turns_however_much_one_of_them_wants() {
        let mut queue = FairQueue::new(100, 8);
        for number in 0..50 {
            queue.push(&lane("noisy"), number);
        }
        queue.push(&lane("quiet"), 100);
        queue.push(&lane("quiet"), 101);
        let served: Vec<i32> = (0..4)
            .filter_map(|_| queue.pop())
            .map(|(_, job)| job)
            .collect();
        assert_eq!(served, [0, 100, 1, 101]);
    }

    #[test]
    fn a_full_queue_makes_room_at_the_cost_of_the_longest_lane() {
        let mut queue = FairQueue::new(4, 8);
        for number in 0..4 {
            queue.push(&lane("noisy"), number);
        }
        assert!(matches!(queue.push(&lane("quiet"), 9), Pushed::Instead(3)));
        assert!(matches!(queue.push(&lane("noisy"), 5), Pushed::Full(5)));
        assert!(matches!(queue.push(&lane("quiet"), 8), Pushed::Instead(2)));
        assert!(matches!(queue.push(&lane("quiet"), 7), Pushed::Full(7)));
        assert_eq!(queue.waiting(), 4);
        assert_eq!(queue.drain().len(), 4);
    }

    #[test]
    fn a_lane_leaves_a_thread_to_the_others() {
        let mut queue = FairQueue::new(10, 1);
        queue.push(&lane("noisy"), 1);
        queue.push(&lane("noisy"), 2);
        assert!(queue.pop().is_some());
        assert!(!queue.is_ready() && queue.pop().is_none());
        queue.push(&lane("quiet"), 3);
        assert_eq!(queue.pop().map(|(_, job)| job), Some(3));
        queue.on_done(&lane("noisy"));
        assert_eq!(queue.pop().map(|(_, job)| job), Some(2));
    }
}
