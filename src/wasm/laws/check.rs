//! The check itself: cases, laws, and the counterexamples that are left.
//!
//! Decides nothing about uploads or buckets; `gate` does.
//!
//! Invariant: cases come in a fixed order, the author's and the operator's first, so a spent budget cuts the same cases
//! off everywhere.

use super::bounds::{CHECK_CALLS_MAX, CHECK_FUEL_MAX, ORDERS_MAX};
use super::case::{Case, Origin};
use super::dice::Dice;
use super::examiner::{Charge, Examiner, Frame, Guests, Halt};
use super::law::Law;
use super::outcome::Finding;
use super::report::{Counterexample, LawReport};
use super::shrinking::{Broken, shrink};
use super::trial::try_law;
use crate::dynamo::causality::version::Version;
use crate::dynamo::metadata::grade::Grade;
use crate::dynamo::reconcile::question::canonical;
use std::collections::BTreeMap;

/// Tries the laws on these cases, in their order, and makes what breaks one small.
pub(super) fn check(
    guests: &dyn Guests,
    charge: &Charge,
    cases: Vec<Case>,
) -> Result<LawReport, Halt> {
    let mut check = Check::new(guests, charge, cases.len());
    for case in &cases {
        match check.run(case) {
            Ok(()) => check.report.cases_run += 1,
            Err(Halt::Spent) => {
                let own = matches!(case.origin, Origin::Sample(_));
                check.report.is_too_dear = own;
                break;
            }
            Err(halt) => return Err(halt),
        }
        if check.is_settled() {
            break;
        }
    }
    let mut report = check.report;
    report.fuels = check.examiner.fuels;
    report.fuels.sort_unstable();
    Ok(report)
}

struct Check<'a> {
    examiner: Examiner<'a>,
    report: LawReport,
}

impl<'a> Check<'a> {
    fn new(guests: &'a dyn Guests, charge: &Charge, cases: usize) -> Self {
        let mut examiner = Examiner::new(guests, charge.clone());
        examiner.grant(CHECK_CALLS_MAX, CHECK_FUEL_MAX);
        let report = LawReport {
            digest: charge.digest,
            is_resolver: charge.is_resolver,
            failures: Vec::new(),
            checked: BTreeMap::new(),
            cases_run: 0,
            cases_total: cases as u64,
            is_too_dear: false,
            fuels: Vec::new(),
        };
        Self { examiner, report }
    }

    /// Nothing that could still be found would lower the grade.
    fn is_settled(&self) -> bool {
        let lowest = |law: Law| law.cap().is_none_or(|cap| cap == Grade::Deterministic);
        let mut failures = self.report.failures.iter();
        failures.any(|failure| lowest(failure.law) || failure.is_refusal())
    }

    fn run(&mut self, case: &Case) -> Result<(), Halt> {
        self.examiner.forget();
        let list = canonical(case.siblings.clone());
        if self.examiner.charge.is_validator {
            self.attempt(case, Law::Judging, &list)?;
        }
        if !self.examiner.charge.is_resolver {
            return Ok(());
        }
        self.attempt(case, Law::Total, &list)?;
        self.attempt(case, Law::Deterministic, &list)?;
        for order in orders(&list) {
            self.attempt(case, Law::Total, &order)?;
            self.attempt(
                case,
                Law::Total,
                &canonical(order[..order.len().min(2)].to_vec()),
            )?;
            self.attempt(case, Law::Commutative, &order)?;
            self.attempt(case, Law::Absorbing, &order)?;
            self.attempt(case, Law::Associative, &order)?;
        }
        for sibling in &list {
            self.attempt(case, Law::Total, &[sibling.clone(), sibling.clone()])?;
            self.attempt(case, Law::Idempotent, std::slice::from_ref(sibling))?;
        }
        self.attempt(case, Law::Acceptable, &list)?;
        if matches!(case.origin, Origin::Sample(_)) {
            self.attempt(case, Law::Convergent, &list)?;
        }
        Ok(())
    }

    /// Tries a law that has not been broken yet.
    fn attempt(&mut self, case: &Case, law: Law, siblings: &[Version]) -> Result<(), Halt> {
        if self
            .report
            .failures
            .iter()
            .any(|failure| failure.law == law)
            || self.is_settled()
        {
            return Ok(());
        }
        let frame = Frame {
            key: case.key.clone(),
            params: case.params.clone(),
        };
        match try_law(&mut self.examiner, law, &frame, siblings)? {
            Finding::Unchecked => Ok(()),
            Finding::Holds => {
                *self.report.checked.entry(law).or_default() += 1;
                Ok(())
            }
            Finding::Broken { expected, got } => {
                *self.report.checked.entry(law).or_default() += 1;
                let siblings = siblings.to_vec();
                let broken = Broken {
                    siblings,
                    expected,
                    got,
                };
                self.keep(case, frame, law, broken)
            }
        }
    }

    fn keep(&mut self, case: &Case, frame: Frame, law: Law, broken: Broken) -> Result<(), Halt> {
        // The list is the author's only in the order in which a node hands it over.
        let is_own = law != Law::Total || broken.siblings == canonical(case.siblings.clone());
        let origin = match case.origin {
            Origin::Sample(_) if !is_own => Origin::Mutated,
            origin => origin,
        };
        let small = shrink(&mut self.examiner, law, &frame, broken)?;
        self.report.failures.push(Counterexample {
            law,
            charge: self.examiner.charge.clone(),
            origin,
            frame,
            siblings: small.siblings,
            expected: small.expected,
            got: small.got,
        });
        Ok(())
    }
}

/// The list itself and other orders of it: all of three, and of more its reverse, and some by dice.
fn orders(list: &[Version]) -> Vec<Vec<Version>> {
    let mut orders = vec![list.to_vec()];
    match list {
        [a, b] => orders.push(vec![b.clone(), a.clone()]),
        [a, b, c] => {
            for [x, y, z] in [[a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
                orders.push(vec![x.clone(), y.clone(), z.clone()]);
            }
        }
        _ => {
            orders.push(list.iter().rev().cloned().collect());
            let mut dice = Dice::new(list.len() as u64);
            for _ in 1..ORDERS_MAX {
                let mut order = list.to_vec();
                dice.shuffle(&mut order);
                orders.push(order);
            }
        }
    }
    orders
}

#[cfg(test)]
mod tests {
    use super::super::gate::refused;
    use super::*;
    use crate::dynamo::names::Digest;
    use crate::dynamo::reconcile::answer::{Answer, GuestFailure, Resolution};
    use crate::dynamo::reconcile::question::{Ask, Question};
    use crate::limits::FUEL_DEFAULT;
    use bytes::Bytes;
    use std::cell::Cell;

    const DIGEST: Digest = Digest([7; 32]);

    /// A plugin that is a function, for what WebAssembly in a fresh instance does not do.
    struct Function<F>(F);

    impl<F: Fn(&[Version]) -> Answer> Guests for Function<F> {
        fn ask(&self, question: &Question) -> Answer {
            match &question.ask {
                Ask::Resolve(siblings) => (self.0)(siblings),
                Ask::Validate(_) => panic!("nothing is validated here"),
            }
        }
    }

    fn charge() -> Charge {
        Charge {
            digest: DIGEST,
            fuel: FUEL_DEFAULT,
            value_bytes_max: 1_000,
            validator: None,
            is_resolver: true,
            is_validator: false,
        }
    }

    fn sample() -> Vec<Case> {
        let siblings = ["a", "b", "c"].map(|value| Version::value(value, 1));
        let (key, params) = (Bytes::from_static(b"key"), Bytes::new());
        let case = Case::new(Origin::Sample(0), key, params, siblings.to_vec());
        case.into_iter().collect()
    }

    /// The place of the greatest sibling.
    fn greatest(siblings: &[Version]) -> u32 {
        let places = siblings.iter().enumerate();
        places
            .max_by_key(|(_, version)| *version)
            .map_or(0, |(place, _)| place as u32)
    }

    fn picked(place: u32, fuel: u64) -> Answer {
        Answer::Resolved {
            resolution: Resolution::Pick(place),
            fuel,
        }
    }

    #[test]
    fn a_lawful_function_has_the_highest_grade() {
        let guest = Function(|siblings: &[Version]| picked(greatest(siblings), 100));
        let report = check(&guest, &charge(), sample()).expect("a report");
        assert_eq!(report.failures, []);
        assert_eq!(report.grade(), Some(Grade::Lawful));
        assert_eq!((report.fuel_median(), report.fuel_most()), (100, 100));
    }

    #[test]
    fn another_answer_to_the_same_question_is_a_refusal() {
        let calls = Cell::new(0);
        let guest = Function(|siblings: &[Version]| {
            calls.set(calls.get() + 1);
            picked(calls.get() % siblings.len() as u32, 100)
        });
        let report = check(&guest, &charge(), sample()).expect("a report");
        assert_eq!(report.grade(), None);
        let refusal = refused(&report).expect("a refusal");
        assert_eq!(refusal.code(), "P070");
        assert!(
            refusal.to_string().contains("not deterministic"),
            "{refusal}"
        );
    }

    #[test]
    fn other_fuel_for_the_same_question_is_a_refusal_too() {
        let calls = Cell::new(0);
        let guest = Function(|siblings: &[Version]| {
            calls.set(calls.get() + 1);
            picked(greatest(siblings), calls.get())
        });
        let report = check(&guest, &charge(), sample()).expect("a report");
        assert_eq!(
            report.decisive().map(|found| found.law),
            Some(Law::Deterministic)
        );
    }

    #[test]
    fn what_is_too_dear_to_be_checked_is_only_shown() {
        let fuel = CHECK_FUEL_MAX / 3;
        let guest = Function(move |siblings: &[Version]| picked(greatest(siblings), fuel));
        let report = check(&guest, &charge(), sample()).expect("a report");
        assert!(report.is_too_dear);
        assert_eq!(report.grade(), Some(Grade::Deterministic));
        assert!(report.finding().expect("why").contains("too much fuel"));
    }

    #[test]
    fn a_failure_of_this_node_is_no_verdict() {
        let guest = Function(|_: &[Version]| Answer::Failed(GuestFailure::Busy));
        let halted = check(&guest, &charge(), sample());
        assert_eq!(halted, Err(Halt::Host(GuestFailure::Busy)));
    }
}
