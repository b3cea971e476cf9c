//! The page: tables of what was measured, what it means, and the plots beside it.
//!
//! Measures nothing.
//!
//! Invariant: every figure in a table was measured in the same run; what is computed from them says so.

use super::drawing::{Words, bars, lines};
use super::layouts::T;
use super::rings::{Measured, Strategy};
use super::spreading::{Idle, Spread, State, Whole};
use super::town::Telling;
use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

/// A token of strategy 1: 128 bits of position, and two bytes that name its node.
const TOKEN_BYTES: usize = 18;

/// All that was measured.
pub struct Findings {
    pub rings: Vec<Measured>,
    pub states: Vec<State>,
    pub idles: Vec<Idle>,
    pub spreads: Vec<Spread>,
    pub wholes: Vec<Whole>,
    pub seed: u64,
    pub gossip_partitions: u16,
}

pub fn name_of(telling: Telling) -> String {
    match telling {
        Telling::Push { loss: 0.0 } => "push, nothing lost".to_owned(),
        Telling::Push { loss } => format!("push, {:.0} % lost", loss * 100.0),
        Telling::RoundsAlone => "rounds alone".to_owned(),
    }
}

fn row(cells: &[&dyn Display]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!(" {cell} ")).collect();
    format!("|{}|", cells.join("|"))
}

fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

fn percent(value: f64) -> String {
    format!("{:.1} %", value * 100.0)
}

/// Thousands apart, so that long numbers can be read.
fn spaced(value: u64) -> String {
    let digits = value.to_string();
    let mut spaced = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            spaced.push(' ');
        }
        spaced.push(digit);
    }
    spaced
}

pub fn balance_row(measured: &Measured) -> String {
    row(&[
        &measured.nodes,
        &measured.strategy.number(),
        &measured.ranges,
        &ratio(measured.mean.max_over_mean),
        &ratio(measured.worst),
        &percent(measured.mean.off_share),
        &ratio(measured.keys.max_over_mean),
        &percent(measured.keys.off_share),
    ])
}

/// Strategy 2 was a step on the way from 1 to 3 (6.2); what it moves is only plotted.
pub fn has_moves(measured: &Measured) -> bool {
    measured.strategy != Strategy::PartsAndTokens
}

pub fn moves_row(measured: &Measured) -> String {
    let ideal = 1.0 / f64::from(measured.nodes);
    row(&[
        &measured.nodes,
        &measured.strategy.number(),
        &percent(ideal),
        &ratio(measured.join.mean),
        &ratio(measured.join.worst),
        &ratio(measured.leave.mean),
        &ratio(measured.leave.worst),
    ])
}

fn spread_row(spread: &Spread) -> String {
    row(&[
        &spread.nodes,
        &name_of(spread.telling),
        &format!("{:.2}", spread.reached_ms as f64 / 1e3),
        &spread.reached_ms.div_ceil(1_000),
        &spaced(spread.sent.messages),
        &spaced(spread.sent.bytes / 1_000),
        &format!("{:.1}", spread.cpu_ms_per_node),
    ])
}

fn state_row(state: &State) -> String {
    let tokens = usize::from(state.nodes) * T * TOKEN_BYTES;
    row(&[
        &state.nodes,
        &state.partitions,
        &spaced(state.catalog_bytes as u64),
        &spaced(state.change_bytes as u64),
        &spaced(state.members_bytes as u64),
        &spaced(tokens as u64),
        &format!("{:.0}", tokens as f64 / state.members_bytes as f64),
        &format!("{:.1}", state.assign_cpu_ms),
    ])
}

fn idle_row(idle: &Idle) -> String {
    let each = |bytes: u64| spaced(bytes / u64::from(idle.nodes));
    row(&[
        &idle.nodes,
        &spaced(idle.a_second.messages),
        &each(idle.a_second.bytes),
        &spaced(idle.missing_a_second.messages),
        &each(idle.missing_a_second.bytes),
    ])
}

fn whole_row(whole: &Whole) -> String {
    row(&[
        &whole.nodes,
        &whole.movers,
        &format!("{:.1}", whole.took_ms as f64 / 1e3),
        &spaced(whole.sent.messages),
        &spaced(whole.sent.bytes / 1_000),
    ])
}

fn table<T>(head: &str, of: impl IntoIterator<Item = T>, row: impl Fn(T) -> String) -> String {
    let columns = head.split('|').count() - 2;
    let rows: Vec<String> = of.into_iter().map(row).collect();
    format!("{head}\n|{}\n{}\n", "---|".repeat(columns), rows.join("\n"))
}

/// Messages of a change, if everybody with a duty tells all others of two steps, and is answered.
fn told(movers: usize, nodes: u16) -> u64 {
    4 * movers as u64 * u64::from(nodes - 1)
}

/// Days since 1970 as a date (Howard Hinnant's algorithm).
fn date() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let days = now.as_secs() / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year}-{month:02}-{:02}",
        of_year - (153 * shifted + 2) / 5 + 1
    )
}

impl Findings {
    /// Names and contents.
    pub fn files(&self) -> Vec<(&'static str, String)> {
        vec![
            ("scale.md", self.page()),
            ("scale-balance.svg", self.plot_balance()),
            ("scale-moves.svg", self.plot_moves()),
            ("scale-gossip.svg", self.plot_gossip()),
            ("scale-state.svg", self.plot_state()),
        ]
    }

    fn page(&self) -> String {
        let balance = table(
            "| nodes | strategy | ranges | max/mean | worst of all rings | nodes off by > 15 % | max/mean, keys | nodes off, keys |",
            &self.rings,
            balance_row,
        );
        let moves = table(
            "| nodes | strategy | ideal | join, times ideal | worst | leave, times ideal | worst |",
            self.rings.iter().filter(|measured| has_moves(measured)),
            moves_row,
        );
        let spreads = table(
            "| nodes | how | reached all after, s | rounds begun | messages | kB | CPU per node, ms |",
            &self.spreads,
            spread_row,
        );
        let idles = table(
            "| nodes | messages a second, all | bytes a second, each | one node missing: messages a second, all | bytes a second, each |",
            &self.idles,
            idle_row,
        );
        let wholes = table(
            "| nodes | nodes with a duty | s | messages | kB |",
            &self.wholes,
            whole_row,
        );
        let states = table(
            "| nodes | partitions | catalog, bytes | row of a change, bytes | members alone, bytes | strategy 1: tokens, bytes | tokens/members | assignment, CPU ms |",
            &self.states,
            state_row,
        );
        let (date, seed, beyond) = (date(), self.seed, self.beyond());
        format!(
            include_str!("page.md"),
            balance = balance,
            moves = moves,
            spreads = spreads,
            idles = idles,
            wholes = wholes,
            states = states,
            beyond = beyond,
            date = date,
            seed = seed,
            gossip_partitions = self.gossip_partitions,
            token_bytes = TOKEN_BYTES,
            missing_100 = self.missing(100),
            missing_1000 = self.missing(1_000),
            starting = spaced(2 * 1_000 * 999),
        )
    }

    /// What a join among the most nodes would send until it is over, computed from its duties.
    fn beyond(&self) -> String {
        let (Some(state), Some(whole)) = (self.states.last(), self.wholes.last()) else {
            return String::new();
        };
        format!(
            "A join among {} nodes, with {} partitions, moves {} copies of partitions (N = 3) and gives {} nodes a duty (for any N). If each tells \
             everybody twice (copied, released) and is answered, that is {} messages: computed, not run. For {} nodes the same computation gives {}, \
             and {} were counted.",
            state.nodes,
            state.partitions,
            state.copies_moved,
            state.movers,
            spaced(told(state.movers, state.nodes)),
            whole.nodes,
            spaced(told(whole.movers, whole.nodes)),
            spaced(whole.sent.messages),
        )
    }

    fn missing(&self, nodes: u16) -> String {
        let found = self.idles.iter().find(|idle| idle.nodes == nodes);
        found.map_or_else(String::new, |idle| spaced(idle.missing_a_second.messages))
    }

    fn plot_balance(&self) -> String {
        self.plot_rings("Load of the fullest node", "load, max / mean", 3, |m| {
            m.mean.max_over_mean
        })
    }

    fn plot_moves(&self) -> String {
        let y = "copies moved, times the ideal 1/nodes";
        self.plot_rings("Copies that one join moves", y, 3, |measured| {
            measured.join.mean
        })
    }

    fn plot_rings(
        &self,
        title: &str,
        y: &str,
        each: usize,
        of: impl Fn(&Measured) -> f64,
    ) -> String {
        let words = Words {
            title,
            x: "nodes",
            y,
            series: &["strategy 1", "strategy 2", "strategy 3 (ours)"],
        };
        let groups = self.rings.chunks(each);
        let group =
            |group: &[Measured]| (group[0].nodes.to_string(), group.iter().map(&of).collect());
        bars(&words, &groups.map(group).collect::<Vec<_>>())
    }

    fn plot_gossip(&self) -> String {
        let idle = |of: fn(&Idle) -> u64| {
            let points = self
                .idles
                .iter()
                .map(|idle| (f64::from(idle.nodes), of(idle) as f64));
            points.collect::<Vec<_>>()
        };
        let told = self
            .spreads
            .iter()
            .filter(|s| s.telling == Telling::Push { loss: 0.0 });
        let told = told.map(|s| (f64::from(s.nodes), s.sent.messages as f64));
        let whole = self
            .wholes
            .iter()
            .map(|w| (f64::from(w.nodes), w.sent.messages as f64));
        let words = Words {
            title: "Messages of gossip, in the whole cluster",
            x: "nodes",
            y: "messages",
            series: &[
                "idle, per s",
                "a change told",
                "one missing, per s",
                "a whole join",
            ],
        };
        let all = [
            idle(|idle| idle.a_second.messages),
            told.collect(),
            idle(|idle| idle.missing_a_second.messages),
            whole.collect(),
        ];
        lines(&words, &all)
    }

    fn plot_state(&self) -> String {
        let of = |bytes: fn(&State) -> usize| {
            let points = self
                .states
                .iter()
                .map(|s| (f64::from(s.nodes), bytes(s) as f64));
            points.collect::<Vec<_>>()
        };
        let words = Words {
            title: "What every node keeps of the members",
            x: "nodes",
            y: "bytes",
            series: &["tokens of strategy 1", "whole catalog", "members alone"],
        };
        let all = [
            of(|state| usize::from(state.nodes) * T * TOKEN_BYTES),
            of(|state| state.catalog_bytes),
            of(|state| state.members_bytes),
        ];
        lines(&words, &all)
    }
}
