//! The records and variants of `wit/v1`, as they are handed to a guest and taken from it.
//!
//! Only shapes and translations to and from the core's types; calls nothing.
//!
//! Invariant: field order and names are those of the frozen contract; a test loads every one of them.

use crate::dynamo::causality::version::Version;
use crate::dynamo::reconcile::answer::{Judgement, Resolution, shown};
use std::collections::BTreeMap;
use wasmtime::component::{ComponentType, Lift, Lower, flags};

#[derive(ComponentType, Lower)]
#[component(record)]
pub(in crate::wasm) struct ExtraGiven<'a> {
    name: &'a str,
    value: &'a [u8],
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(in crate::wasm) struct SiblingGiven<'a> {
    value: &'a [u8],
    #[component(name = "content-type")]
    content_type: &'a str,
    metadata: Vec<(&'a str, &'a str)>,
    #[component(name = "written-at-ms")]
    written_at_ms: u64,
    extras: &'a [ExtraGiven<'a>],
}

impl<'a> SiblingGiven<'a> {
    /// The core asks about values only.
    pub(super) fn of(version: &'a Version) -> Self {
        let value = version.bytes();
        assert!(
            value.is_some(),
            "a guest is asked about values, never about deletes"
        );
        let metadata = version.metadata.iter();
        Self {
            value: value.map_or(&[], |bytes| bytes),
            content_type: &version.content_type,
            metadata: metadata.map(|(n, v)| (n.as_str(), v.as_str())).collect(),
            written_at_ms: version.written_at_ms,
            extras: &[],
        }
    }
}

/// `resolver.resolve`: key, siblings, extras, params.
pub(in crate::wasm) type ResolveGiven<'a> = (
    &'a [u8],
    &'a [SiblingGiven<'a>],
    &'a [ExtraGiven<'a>],
    &'a [u8],
);

/// `validator.validate`: key, incoming, extras, params.
pub(in crate::wasm) type ValidateGiven<'a> =
    (&'a [u8], SiblingGiven<'a>, &'a [ExtraGiven<'a>], &'a [u8]);

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in crate::wasm) enum ResolutionTaken {
    #[component(name = "merged")]
    Merged(Vec<u8>),
    #[component(name = "deleted")]
    Deleted,
    #[component(name = "pick")]
    Pick(u32),
    #[component(name = "keep-siblings")]
    KeepSiblings(String),
}

impl From<ResolutionTaken> for Resolution {
    fn from(taken: ResolutionTaken) -> Self {
        match taken {
            ResolutionTaken::Merged(bytes) => Self::Merged(bytes.into()),
            ResolutionTaken::Deleted => Self::Deleted,
            ResolutionTaken::Pick(place) => Self::Pick(place),
            ResolutionTaken::KeepSiblings(reason) => Self::KeepSiblings(shown(&reason)),
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::wasm) struct RefusalTaken {
    code: String,
    message: String,
}

pub(super) fn judgement(taken: Result<(), RefusalTaken>) -> Judgement {
    match taken {
        Ok(()) => Judgement::Accepted,
        Err(refusal) => Judgement::Refused {
            code: shown(&refusal.code),
            message: shown(&refusal.message),
        },
    }
}

flags! {
    LawsTaken {
        #[component(name = "commutative")]
        const COMMUTATIVE;
        #[component(name = "associative")]
        const ASSOCIATIVE;
        #[component(name = "idempotent")]
        const IDEMPOTENT;
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::wasm) struct ExtraTaken {
    #[expect(dead_code, reason = "no extra is known yet")]
    name: String,
    #[expect(dead_code, reason = "no extra is known yet")]
    value: Vec<u8>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::wasm) struct SiblingTaken {
    value: Vec<u8>,
    #[component(name = "content-type")]
    content_type: String,
    metadata: Vec<(String, String)>,
    #[component(name = "written-at-ms")]
    written_at_ms: u64,
    #[expect(dead_code, reason = "no extra is known yet")]
    extras: Vec<ExtraTaken>,
}

impl From<SiblingTaken> for Version {
    fn from(taken: SiblingTaken) -> Self {
        Self {
            content_type: taken.content_type,
            metadata: BTreeMap::from_iter(taken.metadata),
            ..Self::value(taken.value, taken.written_at_ms)
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::wasm) struct SampleTaken {
    pub(super) key: Vec<u8>,
    pub(super) siblings: Vec<SiblingTaken>,
    pub(super) params: Vec<u8>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::wasm) struct DescriptionTaken {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) laws: LawsTaken,
    pub(super) samples: Vec<SampleTaken>,
    #[expect(dead_code, reason = "no extra is known yet")]
    extras: Vec<ExtraTaken>,
}

#[derive(ComponentType, Lift, Lower, Debug, Clone, Copy, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
pub enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}
