//! Histories by hand, sound ones and one with each kind of violation: what the checker must and must not find.

use super::*;

/// Writes a history as a run would.
#[derive(Default)]
struct Pen {
    lines: Vec<Line>,
    ops: u64,
}

impl Pen {
    fn write(&mut self, record: Record) -> &mut Self {
        let at_us = self.lines.len() as u64 * 10;
        self.lines.push(Line { at_us, record });
        self
    }

    fn begin(&mut self, client: u32, place: Place, action: Action) -> u64 {
        self.ops += 1;
        let op = self.ops;
        self.write(Record::Began {
            op,
            client,
            node: 0,
            bucket: place.0.to_owned(),
            key: place.1.to_owned(),
            action,
        });
        op
    }

    fn end(&mut self, op: u64, outcome: Outcome, seen: &[&str], siblings: usize) -> &mut Self {
        self.write(Record::Ended {
            op,
            outcome,
            seen: owned(seen),
            siblings,
            primaries: 2,
            why: String::new(),
        })
    }

    fn add(&mut self, place: Place, element: &str, outcome: Outcome) -> &mut Self {
        let op = self.begin(1, place, Action::Add(element.to_owned()));
        self.end(op, outcome, &[], 0)
    }

    fn read(&mut self, place: Place, seen: &[&str], siblings: usize) -> &mut Self {
        let op = self.begin(2, place, Action::Read);
        self.end(op, Outcome::Ok, seen, siblings)
    }

    fn delete(&mut self, place: Place, covered: &[&str], outcome: Outcome) -> &mut Self {
        let op = self.begin(1, place, Action::Delete(owned(covered)));
        self.end(op, outcome, &[], 0)
    }

    fn calm(&mut self) -> &mut Self {
        self.write(Record::Calm { after_ms: 0 })
    }

    fn strike(&mut self) -> &mut Self {
        self.write(Record::Strikes {
            window: 0,
            kind: Kind::Kill,
            victims: vec![0],
        })
    }

    /// Equal copies, and what they show.
    fn ends(&mut self, place: Place, seen: &[&str]) -> &mut Self {
        self.copies(place, [7, 7, 7]).shows(place, seen)
    }

    fn shows(&mut self, (bucket, key): Place, seen: &[&str]) -> &mut Self {
        self.write(Record::Final {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            seen: owned(seen),
            siblings: 1,
        })
    }

    fn copies(&mut self, (bucket, key): Place, hashes: [u64; 3]) -> &mut Self {
        for (number, hash) in hashes.into_iter().enumerate() {
            self.write(Record::Copy {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                node: format!("n{number}"),
                hash,
            });
        }
        self
    }

    fn findings(&self) -> Vec<Finding> {
        judge(&self.lines).findings.into_iter().collect()
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

const SET: Place = (UNION, "k");
const REGISTER: Place = (SIBLINGS, "k");
const MORTAL: Place = (DELETES, "k");

fn lost(bucket: &str, element: &str) -> Finding {
    Finding::Lost {
        bucket: bucket.to_owned(),
        element: element.to_owned(),
    }
}

#[test]
fn a_sound_history_has_no_findings() {
    let mut pen = Pen::default();
    pen.calm().add(SET, "a", Outcome::Ok).read(SET, &["a"], 1);
    pen.strike().add(SET, "b", Outcome::Unknown);
    pen.add(SET, "c", Outcome::Refused).read(SET, &["b"], 1); // Sloppy, under a fault.
    pen.ends(SET, &["a"]);
    pen.add(MORTAL, "x", Outcome::Ok)
        .delete(MORTAL, &["x"], Outcome::Ok)
        .ends(MORTAL, &[]);
    assert_eq!(pen.findings(), []);
    assert_eq!(judge(&pen.lines).keys_compared, 2);
}

#[test]
fn an_acknowledged_write_that_is_not_there_is_lost() {
    for place in [SET, REGISTER, MORTAL] {
        let mut pen = Pen::default();
        pen.add(place, "a", Outcome::Ok)
            .add(place, "b", Outcome::Ok);
        pen.ends(place, &["b"]);
        assert_eq!(pen.findings(), [lost(place.0, "a")]);
    }
}

#[test]
fn a_write_of_which_a_client_was_told_nothing_certain_need_not_be_there() {
    let mut pen = Pen::default();
    pen.add(SET, "a", Outcome::Unknown).ends(SET, &[]);
    let op = pen.begin(1, SET, Action::Add("b".to_owned()));
    assert!(op > 0, "it never ends");
    assert_eq!(pen.findings(), []);
}

#[test]
fn what_nobody_asked_for_is_invented_wherever_it_is_shown() {
    let invented = Finding::Invented {
        bucket: UNION.to_owned(),
        element: "z".to_owned(),
    };
    let mut pen = Pen::default();
    pen.read(SET, &["z"], 1).ends(SET, &[]);
    assert_eq!(pen.findings(), std::slice::from_ref(&invented));
    let mut pen = Pen::default();
    pen.add(SET, "a", Outcome::Ok).ends(SET, &["a", "z"]);
    assert_eq!(pen.findings(), [invented]);
}

#[test]
fn a_write_that_was_refused_and_is_there_was_denied() {
    let mut pen = Pen::default();
    pen.add(SET, "a", Outcome::Refused).ends(SET, &["a"]);
    let denied = Finding::Denied {
        bucket: UNION.to_owned(),
        element: "a".to_owned(),
    };
    assert_eq!(pen.findings(), [denied]);
}

#[test]
fn what_an_acknowledged_delete_covered_is_resurrected_if_it_is_there() {
    let mut pen = Pen::default();
    pen.add(MORTAL, "x", Outcome::Ok)
        .delete(MORTAL, &["x"], Outcome::Ok);
    pen.ends(MORTAL, &["x"]);
    let resurrected = Finding::Resurrected {
        key: "k".to_owned(),
        element: "x".to_owned(),
    };
    assert_eq!(pen.findings(), [resurrected]);
}

#[test]
fn an_unknown_delete_may_have_happened_and_may_not() {
    for seen in [&["x"][..], &[]] {
        let mut pen = Pen::default();
        pen.add(MORTAL, "x", Outcome::Ok)
            .delete(MORTAL, &["x"], Outcome::Unknown);
        pen.ends(MORTAL, seen);
        assert_eq!(pen.findings(), []);
    }
}

#[test]
fn a_write_that_a_delete_did_not_see_has_to_survive_it() {
    let mut pen = Pen::default();
    pen.add(MORTAL, "x", Outcome::Ok)
        .add(MORTAL, "y", Outcome::Ok)
        .delete(MORTAL, &["x"], Outcome::Ok);
    pen.ends(MORTAL, &[]);
    assert_eq!(pen.findings(), [lost(DELETES, "y")]);
}

#[test]
fn copies_that_differ_or_are_missing_have_diverged() {
    let diverged = Finding::Diverged {
        bucket: UNION.to_owned(),
        key: "k".to_owned(),
    };
    let mut pen = Pen::default();
    pen.add(SET, "a", Outcome::Ok)
        .copies(SET, [7, 8, 7])
        .shows(SET, &["a"]);
    assert_eq!(pen.findings(), std::slice::from_ref(&diverged));
    let mut pen = Pen::default();
    pen.add(SET, "a", Outcome::Ok).shows(SET, &["a"]);
    assert_eq!(pen.findings(), [diverged]);
}

#[test]
fn more_siblings_than_writers_and_unknown_outcomes_are_an_explosion() {
    let history = |siblings| {
        let mut pen = Pen::default();
        pen.add(REGISTER, "a", Outcome::Unknown).calm();
        pen.add(REGISTER, "b", Outcome::Ok)
            .add(REGISTER, "c", Outcome::Ok);
        pen.read(REGISTER, &["a", "b", "c"], siblings)
            .ends(REGISTER, &["a", "b", "c"]);
        pen
    };
    assert_eq!(history(2).findings(), [], "one writer, one unknown outcome");
    let explosion = Finding::Explosion {
        key: "k".to_owned(),
        found: 3,
        bound: 2,
    };
    assert_eq!(history(3).findings(), [explosion]);
    assert_eq!(judge(&history(3).lines).siblings_most, 3);
}

#[test]
fn a_read_in_calm_that_misses_what_was_acknowledged_goes_backwards() {
    let backwards = Finding::Backwards {
        key: "k".to_owned(),
        element: "a".to_owned(),
    };
    let history = |strikes_between: bool| {
        let mut pen = Pen::default();
        pen.calm().add(SET, "a", Outcome::Ok);
        if strikes_between {
            pen.strike();
        }
        pen.read(SET, &[], 0).ends(SET, &["a"]);
        pen
    };
    assert_eq!(history(false).findings(), std::slice::from_ref(&backwards));
    assert_eq!(history(true).findings(), [], "a sloppy quorum may miss it");
    let mut pen = Pen::default();
    pen.strike().add(SET, "a", Outcome::Ok);
    pen.calm().read(SET, &[], 0).ends(SET, &["a"]);
    assert_eq!(pen.findings(), [backwards], "settled, and still missed");
    assert_eq!(judge(&pen.lines).reads_judged, 1);
}

#[test]
fn a_key_that_nobody_looked_at_and_a_cluster_that_did_not_settle_are_findings() {
    let mut pen = Pen::default();
    pen.add(SET, "a", Outcome::Ok).write(Record::Unsettled {
        why: "3 hints".to_owned(),
    });
    let unread = Finding::Unread {
        bucket: UNION.to_owned(),
        key: "k".to_owned(),
    };
    let unsettled = Finding::Unsettled {
        why: "3 hints".to_owned(),
    };
    assert_eq!(pen.findings(), [unread, unsettled]);
}

#[test]
fn a_node_that_ends_by_itself_has_crashed_unless_its_disk_was_bad() {
    let history = |kind, died| {
        let mut pen = Pen::default();
        pen.write(Record::Strikes {
            window: 4,
            kind,
            victims: vec![2],
        });
        pen.write(Record::Died {
            node: died,
            window: Some(4),
        });
        pen
    };
    let crashed = |node| Finding::Crashed {
        node,
        window: Some(4),
    };
    assert_eq!(history(Kind::Flip, 2).findings(), []);
    assert_eq!(history(Kind::Flip, 3).findings(), [crashed(3)]);
    assert_eq!(history(Kind::Full, 2).findings(), [crashed(2)]);
    assert_eq!(history(Kind::Pause, 2).findings(), [crashed(2)]);
}

#[test]
fn what_last_write_wins_loses_is_counted_and_is_no_finding() {
    let mut pen = Pen::default();
    for bucket in [LAST_WRITE, BLIND] {
        let place = (bucket, "k");
        pen.add(place, "a", Outcome::Ok)
            .add(place, "b", Outcome::Ok);
        pen.add(place, "c", Outcome::Unknown).ends(place, &["b"]);
    }
    assert_eq!(pen.findings(), []);
    let share = judge(&pen.lines).shares[BLIND];
    let expected = Share {
        acknowledged: 2,
        lost: 1,
    };
    assert_eq!(share, expected);
    assert_eq!(share.percent(), 50.0);
}
