//! What the ring and the gossip promise as clusters grow (Dynamo 6.2, 6.6), at sizes that take seconds.
//!
//! Measures with the code of `examples/scale.rs`, which does the same for a thousand nodes and writes `docs/scale.md`.
//! Runs no processes and moves no data.
//!
//! Invariant: bounds only; no number here depends on how fast the machine is.

#[path = "../examples/scale/layouts.rs"]
mod layouts;
#[allow(dead_code, reason = "sizes and names are for the example's page")]
#[path = "../examples/scale/rings.rs"]
mod rings;
#[allow(dead_code, reason = "plans and states are for the example's page")]
#[path = "../examples/scale/town.rs"]
mod town;

use rejoin::dynamo::membership::plan::Wish;
use rejoin::dynamo::ring::partition::Partitions;
use rings::{STRATEGIES, Strategy, measure, positions};
use std::path::Path;
use town::{Telling, Town};

/// So many that chance alone puts a node of a hundred 2 % off its mean.
const KEYS: u32 = 60_000;

fn few_partitions() -> Partitions {
    Partitions::new(64).expect("in bounds")
}

#[test]
fn s6_2_d36_at_most_a_fifth_of_the_nodes_is_15_percent_off_the_mean() {
    let positions = positions(KEYS);
    for nodes in [10, 30, 100] {
        let rings = if nodes < 100 { 4 } else { 1 };
        let parts = measure(Strategy::Parts, nodes, rings, &positions);
        let (lengths, keys) = (parts.mean.off_share, parts.keys.off_share);
        assert!(
            lengths <= 0.2 && keys <= 0.2,
            "{nodes} nodes: {lengths} {keys}"
        );
    }
}

#[test]
fn s6_2_d37_random_tokens_load_the_fullest_node_the_more_the_more_nodes_there_are() {
    let [small, large] = [10, 1_000].map(|nodes| measure(Strategy::Tokens, nodes, 1, &[1]));
    let (few, many) = (small.mean.max_over_mean, large.mean.max_over_mean);
    assert!(many > few && many > 1.3, "{few} with 10, {many} with 1000");
}

#[test]
fn s6_2_d38_equal_partitions_with_random_tokens_are_no_better_balanced() {
    for nodes in [10, 30] {
        let tokens = measure(Strategy::Tokens, nodes, 4, &[1]);
        let both = measure(Strategy::PartsAndTokens, nodes, 4, &[1]);
        let difference = both.mean.max_over_mean - tokens.mean.max_over_mean;
        assert!(difference.abs() < 0.1, "{nodes} nodes: {difference}");
    }
}

#[test]
fn s6_2_d39_no_node_holds_more_than_1_3_times_the_mean() {
    let positions = positions(KEYS);
    for nodes in [10, 30, 100] {
        let rings = if nodes < 100 { 4 } else { 1 };
        let parts = measure(Strategy::Parts, nodes, rings, &positions);
        assert!(parts.worst <= 1.3, "{nodes} nodes: {}", parts.worst);
    }
}

#[test]
fn s6_2_d39_a_join_and_a_leave_move_at_most_half_more_than_the_share_of_one_node() {
    for nodes in [10, 30, 100] {
        let rings = if nodes < 100 { 4 } else { 1 };
        let parts = measure(Strategy::Parts, nodes, rings, &[1]);
        assert!(
            parts.join.worst <= 1.5,
            "{nodes} nodes: {}",
            parts.join.worst
        );
        assert!(
            parts.leave.worst <= 1.5,
            "{nodes} nodes: {}",
            parts.leave.worst
        );
    }
}

#[test]
fn s6_2_d39_keys_lie_as_the_lengths_of_the_ranges_say() {
    let positions = positions(KEYS);
    for strategy in STRATEGIES {
        let measured = measure(strategy, 10, 1, &positions);
        let difference = measured.mean.max_over_mean - measured.keys.max_over_mean;
        assert!(difference.abs() < 0.06, "{strategy:?}: {difference}");
    }
}

#[test]
fn s6_6_d46_a_change_reaches_every_node_in_a_few_rounds_whatever_is_lost() {
    let nodes = 40;
    // A push; a push and what it has lost; as many rounds as an epidemic takes, and a few.
    let cases = [
        (Telling::Push { loss: 0.0 }, 1_000),
        (Telling::Push { loss: 0.2 }, 6_000),
        (Telling::RoundsAlone, 12_000),
    ];
    let mut town = Town::new(nodes, few_partitions(), 1);
    let wishes = [town.joining(), Wish::Cancel, town.joining()];
    for (wish, (telling, limit_ms)) in wishes.iter().zip(cases) {
        town.run_for(1_000);
        let (version, start_ms) = (town.commit(wish, telling), town.now_ms);
        let all_know = town.run_until_all_know(version, start_ms + limit_ms);
        assert!(all_know && town.all_agree(), "{telling:?}");
    }
}

#[test]
fn s6_6_d46_an_idle_cluster_says_two_short_messages_a_second_for_each_node() {
    let mut town = Town::new(40, few_partitions(), 2);
    town.run_for(10_000);
    let each = town.sent.over(10);
    assert!((76..=80).contains(&each.messages), "{each:?}");
    assert!(each.bytes <= 80 * 16, "{each:?}");
}

#[test]
fn s6_6_d46_all_see_the_end_of_a_change() {
    let mut town = Town::new(12, few_partitions(), 3);
    town.work();
    let version = town.commit(&town.joining(), Telling::Push { loss: 0.2 });
    assert!(town.run_until_all_know(version, 20_000));
    assert!(town.run_until_all_are_settled(40_000));
    town.run_for(5_000);
    assert!(town.all_agree());
}

#[test]
fn the_page_and_its_plots_are_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = std::fs::read_to_string(docs.join("scale.md")).expect("docs/scale.md is there");
    for plot in ["balance", "moves", "gossip", "state"] {
        let name = format!("scale-{plot}.svg");
        assert!(page.contains(&name), "{name} is not shown");
        let text = std::fs::read_to_string(docs.join(&name)).expect("the plot is there");
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
    }
}
