//! What an upload, a binding and `rejoin plugin test` call: the cases, the check, the verdict.
//!
//! One verifier: the same bytes get the same verdict offline and at every node. Keeps nothing.
//!
//! Invariant: a plugin that is refused here has broken determinism, or has failed on a sample of its own author.

use super::super::guest::{ParamsError, Sample};
use super::super::library::{Admitted, Library};
use super::super::upload_error::UploadError;
use super::bounds::{CALL_WALL_MS, CHECK_WALL_MS, LIVE_CASES_MAX, MUTATED_CASES};
use super::case::{Case, Origin};
use super::check::check;
use super::dice::Dice;
use super::examiner::{Charge, Guests, Halt};
use super::report::LawReport;
use super::{generic, mutation};
use crate::dynamo::bucket::Binding;
use crate::dynamo::causality::version::Version;
use crate::dynamo::names::Digest;
use crate::dynamo::reconcile::answer::Answer;
use crate::dynamo::reconcile::question::Question;
use crate::limits::{FUEL_DEFAULT, VALUE_BYTES_MAX};
use bytes::Bytes;

/// Siblings that stand beside each other in a bucket: a key, and its values.
pub type LiveSet = (Bytes, Vec<Version>);

/// How a bucket is going to use a resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub resolver: Binding,
    pub validator: Option<Binding>,
    pub value_bytes_max: usize,
}

impl Guests for Library {
    fn ask(&self, question: &Question) -> Answer {
        self.answer_within(question, CALL_WALL_MS).answer
    }
}

/// Grades a plugin that has just been admitted, on its author's samples and on cases of ours. Takes up to
/// `CHECK_WALL_MS` of this thread.
pub fn examine_upload(library: &Library, admitted: &Admitted) -> Result<LawReport, UploadError> {
    let digest = admitted.digest;
    let samples = &admitted.description.samples;
    for (place, sample) in samples.iter().enumerate() {
        if let Some(message) = refusal(library, digest, &sample.params)? {
            let message = format!("sample {} has params that it refuses: {message}", place + 1);
            return Err(UploadError::Sample { message });
        }
    }
    let own = sampled(samples, |sample| sample.params.clone().into());
    let params = params_for_generic(library, digest, samples)?;
    let cases = all_cases(digest, own, Vec::new(), params);
    let validator = admitted.roles.validator.then(|| Binding::new(digest));
    let charge = Charge {
        digest,
        fuel: FUEL_DEFAULT,
        value_bytes_max: VALUE_BYTES_MAX,
        validator,
        is_resolver: admitted.roles.resolver,
        is_validator: admitted.roles.validator,
    };
    judged(library, &charge, cases)
}

/// Grades a resolver under the terms of a bucket, also on siblings that stand there. Takes up to `CHECK_WALL_MS` of
/// this thread.
pub fn examine_binding(
    library: &Library,
    terms: &Terms,
    live: Vec<LiveSet>,
) -> Result<LawReport, UploadError> {
    let digest = terms.resolver.digest;
    let admitted = library.admitted(digest);
    let admitted = admitted.map_err(|failure| unchecked(failure.to_string()))?;
    let params = terms.resolver.params.clone();
    // What its author tried with other params is a case of ours here.
    let mut own = sampled(&admitted.description.samples, |_| params.clone());
    for case in &mut own {
        if let Origin::Sample(place) = case.origin
            && admitted.description.samples[place].params != params
        {
            case.origin = Origin::Mutated;
        }
    }
    let live = live.into_iter().take(LIVE_CASES_MAX);
    let live =
        live.filter_map(|(key, siblings)| Case::new(Origin::Live, key, params.clone(), siblings));
    let cases = all_cases(digest, own, live.collect(), Some(params.clone()));
    let charge = Charge {
        digest,
        fuel: terms.resolver.fuel,
        value_bytes_max: terms.value_bytes_max,
        validator: terms.validator.clone(),
        is_resolver: true,
        is_validator: false,
    };
    judged(library, &charge, cases)
}

fn sampled(samples: &[Sample], params: impl Fn(&Sample) -> Bytes) -> Vec<Case> {
    let case = |(place, sample): (usize, &Sample)| {
        let (key, siblings) = (sample.key.clone().into(), sample.siblings.clone());
        Case::new(Origin::Sample(place), key, params(sample), siblings)
    };
    samples.iter().enumerate().filter_map(case).collect()
}

/// The author's first, then the operator's, then ours.
fn all_cases(
    digest: Digest,
    own: Vec<Case>,
    live: Vec<Case>,
    generic_params: Option<Bytes>,
) -> Vec<Case> {
    let mut dice = Dice::of(digest);
    let mutated = mutation::cases(&own, MUTATED_CASES, &mut dice);
    let generic = generic_params.map(|params| generic::cases(&params));
    own.into_iter()
        .chain(live)
        .chain(mutated)
        .chain(generic.unwrap_or_default())
        .collect()
}

/// None if possible, else those of a sample: a plugin may need some.
fn params_for_generic(
    library: &Library,
    digest: Digest,
    samples: &[Sample],
) -> Result<Option<Bytes>, UploadError> {
    if refusal(library, digest, b"")?.is_none() {
        return Ok(Some(Bytes::new()));
    }
    Ok(samples.first().map(|sample| sample.params.clone().into()))
}

/// Why a plugin does not take these params.
fn refusal(
    library: &Library,
    digest: Digest,
    params: &[u8],
) -> Result<Option<String>, UploadError> {
    match library.check_params(digest, params) {
        Ok(()) => Ok(None),
        Err(ParamsError::Refused { message, .. }) => Ok(Some(message)),
        Err(ParamsError::Failed(failure)) if failure.is_deterministic() => {
            Ok(Some(failure.to_string()))
        }
        Err(ParamsError::Failed(failure)) => Err(unchecked(failure.to_string())),
    }
}

fn judged(library: &Library, charge: &Charge, cases: Vec<Case>) -> Result<LawReport, UploadError> {
    check(library, charge, cases).map_err(|halt| match halt {
        Halt::Host(failure) => unchecked(failure.to_string()),
        Halt::Late => unchecked(format!("the check took more than {CHECK_WALL_MS} ms")),
        Halt::Spent => unchecked("the budget was spent".to_owned()),
    })
}

fn unchecked(message: String) -> UploadError {
    UploadError::LawsUnchecked { message }
}

/// The refusal of a plugin without a grade; none for every other.
pub fn refused(report: &LawReport) -> Option<UploadError> {
    if report.grade().is_some() {
        return None;
    }
    let failure = report.decisive()?;
    let message = failure.to_string();
    Some(match super::law::Law::Deterministic == failure.law {
        true => UploadError::Unlawful { message },
        false => UploadError::Sample { message },
    })
}
