//! One call of one guest: a fresh store and instance, bounded in everything, thrown away afterwards.
//!
//! Fuel decides whether a call ends, since it is the same on every node; the clock is a backstop. Does
//! not believe the answer: `dynamo::reconcile::verdict` does that.
//!
//! Invariant: the same question to the same plugin gives the same answer and the same fuel, or a failure
//! that says that it is this node's own (law 7).

mod failure;
mod host;
mod report;
mod words;

pub use host::{GuestLog, LogLine};
pub use report::{Description, Laws, ParamsError, Report, Sample, Source};
pub use words::Level;

pub(super) use host::{Host, link};
pub(super) use words::{
    DescriptionTaken, RefusalTaken, ResolutionTaken, ResolveGiven, SiblingGiven, ValidateGiven,
};

use super::engine::{GuestEngine, TICK_MS};
use super::plugin::Plugin;
use super::upload_error::UploadError;
use crate::dynamo::bucket::Binding;
use crate::dynamo::causality::version::Version;
use crate::dynamo::reconcile::answer::{Answer, GuestFailure, shown};
use crate::dynamo::reconcile::question::{Ask, Question};
use crate::dynamo::reconcile::verdict::output_bytes_max;
use crate::limits::{
    DESCRIPTION_BYTES_MAX, FUEL_DEFAULT, GUEST_HANDLES_MAX, GUEST_INIT_FUEL, GUEST_LOG_LINES_MAX,
    GUEST_MEMORY_BYTES_MAX, RESOLVED_SLACK_BYTES, VALUE_BYTES_MAX,
};
use std::time::Instant;
use wasmtime::Store;
use wasmtime::component::Instance;
use words::judgement;

/// Asks one plugin, on this thread.
pub(super) struct Caller<'a> {
    pub(super) engine: &'a GuestEngine,
    pub(super) plugin: &'a Plugin,
    pub(super) wall_ms: u64,
}

/// What one call may use.
struct Budget {
    fuel: u64,
    wall_ms: u64,
    /// Bytes that the guest may hand over at a time, checked before they are copied.
    output_bytes: usize,
    memory_bytes: usize,
    log_lines: usize,
}

/// How far a call got.
#[derive(Clone, Copy)]
enum Phase {
    Start,
    Call,
}

/// A guest's result, with the fuel that it took.
struct Ran<R> {
    result: Result<(R, u64), GuestFailure>,
    log: GuestLog,
    wall_us: u64,
    fuel: u64,
    memory_bytes: usize,
}

impl Caller<'_> {
    /// Puts a question of the core.
    pub(super) fn answer(&self, question: &Question) -> Report {
        let answered = match &question.ask {
            Ask::Resolve(siblings) => self.resolve(question, siblings),
            Ask::Validate(incoming) => self.validate(question, incoming),
        };
        let digest = self.plugin.digest;
        answered.unwrap_or_else(|role| Report::failed(GuestFailure::WrongRole { digest, role }))
    }

    fn resolve(&self, question: &Question, siblings: &[Version]) -> Result<Report, &'static str> {
        let function = self.plugin.resolve.as_ref().ok_or("resolver")?;
        let Binding { params, limits, .. } = &question.binding;
        let output_bytes = output_bytes_max(siblings, limits.output_bytes);
        let budget = self.granted(&question.binding, output_bytes);
        let given: Vec<SiblingGiven> = siblings.iter().map(SiblingGiven::of).collect();
        let ran = self.run(&budget, |store, instance| {
            let resolve = instance
                .get_typed_func::<ResolveGiven, (ResolutionTaken,)>(&mut *store, function)?;
            let given = (&question.key.bytes()[..], &given[..], &[][..], &params[..]);
            Ok(resolve.call(store, given)?.0)
        });
        Ok(ran.report(|taken, fuel| Answer::Resolved {
            resolution: taken.into(),
            fuel,
        }))
    }

    fn validate(&self, question: &Question, incoming: &Version) -> Result<Report, &'static str> {
        let function = self.plugin.validate.as_ref().ok_or("validator")?;
        let params = &question.binding.params;
        let budget = self.granted(&question.binding, RESOLVED_SLACK_BYTES);
        let ran = self.run(&budget, |store, instance| {
            let validate = instance.get_typed_func::<ValidateGiven, (Result<(), RefusalTaken>,)>(
                &mut *store,
                function,
            )?;
            let incoming = SiblingGiven::of(incoming);
            let given = (&question.key.bytes()[..], incoming, &[][..], &params[..]);
            Ok(validate.call(store, given)?.0)
        });
        Ok(ran.report(|taken, fuel| Answer::Judged {
            judgement: judgement(taken),
            fuel,
        }))
    }

    /// Compares the plugin's functions with the contract, and asks it what it is. Run once per load.
    pub(super) fn describe(&self) -> Result<Description, UploadError> {
        let plugin = self.plugin;
        let budget = self.budget(FUEL_DEFAULT, DESCRIPTION_BYTES_MAX);
        let ran = self.run(&budget, |store, instance| {
            if let Err(error) = plugin.check_shapes(store, instance) {
                return Ok(Err(error));
            }
            let describe = instance
                .get_typed_func::<(), (DescriptionTaken,)>(&mut *store, &plugin.describe)?;
            Ok(Ok(describe.call(store, ())?.0))
        });
        match ran.result {
            Ok((taken, _)) => Ok(taken?.into()),
            Err(failure) => Err(UploadError::Describe { failure }),
        }
    }

    /// Asks the plugin whether it can work with these params.
    pub(super) fn check_params(&self, params: &[u8]) -> Result<(), ParamsError> {
        let function = &self.plugin.check_params;
        let budget = self.budget(FUEL_DEFAULT, RESOLVED_SLACK_BYTES);
        let ran = self.run(&budget, |store, instance| {
            let check = instance
                .get_typed_func::<(&[u8],), (Result<(), String>,)>(&mut *store, function)?;
            Ok(check.call(store, (params,))?.0)
        });
        let digest = self.plugin.digest;
        let (said, _) = ran.result?;
        said.map_err(|message| {
            let message = shown(&message);
            ParamsError::Refused { digest, message }
        })
    }

    /// What a bucket grants, on this node's clock.
    fn granted(&self, binding: &Binding, output_bytes: usize) -> Budget {
        let limits = &binding.limits;
        Budget {
            wall_ms: self.wall_ms.min(limits.wall_ms),
            memory_bytes: limits.memory_bytes,
            log_lines: limits.log_lines,
            ..self.budget(binding.fuel, output_bytes)
        }
    }

    fn budget(&self, fuel: u64, output_bytes: usize) -> Budget {
        let wall_ms = self.wall_ms;
        Budget {
            fuel,
            wall_ms,
            output_bytes,
            memory_bytes: GUEST_MEMORY_BYTES_MAX,
            log_lines: GUEST_LOG_LINES_MAX,
        }
    }

    fn run<R>(
        &self,
        budget: &Budget,
        call: impl FnOnce(&mut Store<Host>, &Instance) -> wasmtime::Result<R>,
    ) -> Ran<R> {
        let _slot = self.engine.slot();
        let started = Instant::now();
        let host = Host::new(budget.memory_bytes, budget.log_lines);
        let mut store = Store::new(self.engine.wasmtime(), host);
        store.limiter(|host| host);
        store.set_hostcall_fuel(budget.output_bytes);
        store.set_max_component_handles(GUEST_HANDLES_MAX);
        store.set_epoch_deadline(budget.wall_ms.div_ceil(TICK_MS) + 1);
        let mut phase = Phase::Start;
        let result = self.start(&mut store).and_then(|instance| {
            phase = Phase::Call;
            store.set_fuel(budget.fuel)?;
            let taken = call(&mut store, &instance)?;
            Ok((taken, budget.fuel.saturating_sub(store.get_fuel()?)))
        });
        let wall_us = started.elapsed().as_micros() as u64;
        let fuel = match phase {
            Phase::Start => 0,
            Phase::Call => budget.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
        };
        let (host, digest) = (store.data_mut(), self.plugin.digest);
        Ran {
            result: result.map_err(|error| failure::failure(digest, &error, host, phase, budget)),
            log: std::mem::take(&mut host.log),
            wall_us,
            fuel,
            memory_bytes: host.memory_bytes(),
        }
    }

    /// Brings an instance up on fuel of its own, so that the call itself has exactly the bucket's.
    fn start(&self, store: &mut Store<Host>) -> wasmtime::Result<Instance> {
        store.set_fuel(GUEST_INIT_FUEL)?;
        self.plugin.pre.instantiate(store)
    }
}

impl<R> Ran<R> {
    fn report(self, answer: impl FnOnce(R, u64) -> Answer) -> Report {
        Report {
            answer: match self.result {
                Ok((taken, fuel)) => answer(taken, fuel),
                Err(failure) => Answer::Failed(failure),
            },
            log: self.log,
            wall_us: self.wall_us,
            fuel: self.fuel,
            memory_bytes: self.memory_bytes,
            source: Source::Call,
        }
    }
}
