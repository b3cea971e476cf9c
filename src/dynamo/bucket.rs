//! The properties of a bucket: how many replicas, how many answers, who resolves and who validates.
//!
//! Dynamo 4.5 (N, R, W per instance) and 6 (the usage patterns). Knows nothing of where its rows come
//! from; `metadata` spreads them.
//!
//! Invariant: properties that exist satisfy `1 <= R, W <= N <= N_MAX` and `PR, PW <= N`.

use self::guests::Granted;
pub use self::guests::{GuestLimitError, GuestLimits, ValidatorMode};
use super::codec::{DecodeError, Reader, Writer};
use super::names::{BucketName, Digest};
use crate::limits::{FUEL_MAX, N_MAX, PARAMS_BYTES_MAX, TTL_MS_MAX, VALUE_BYTES_MAX};
use std::collections::BTreeMap;

pub mod activation;
pub mod binding;
mod granting;
mod guests;
pub mod history;
pub mod removed;

pub use self::binding::{Binding, Policy};

use self::activation::{Activation, Retention, RetentionError};
use self::binding::decode_flag;

/// When a write counts as accepted by one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// In the engine's memory. A crash of the process may lose it.
    Buffered,
    /// Synced to disk.
    Durable,
}

/// The properties of one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Replicas of each key.
    pub n: u8,
    /// Answers that a read waits for.
    pub r: u8,
    /// Acknowledgements that a write waits for.
    pub w: u8,
    /// Of the R answers, those that must be of primaries; 0: anybody's will do (4.6).
    pub pr: u8,
    /// Of the W acknowledgements, those that must be of primaries.
    pub pw: u8,
    pub ack: Ack,
    /// Of the W acknowledgements, those that must be durable; none: all or none of them, as `ack` says (5).
    pub dw: Option<u8>,
    pub policy: Policy,
    /// Whether a put stores what the policy makes of its value and the siblings it did not cover.
    pub merge_on_put: bool,
    pub validator: Option<Binding>,
    /// What a refusal of the validator means.
    pub validator_mode: ValidatorMode,
    /// Bytes of a value.
    pub value_bytes_max: usize,
    /// Bytes of a value from which on a put's reply warns.
    pub value_bytes_warn: Option<usize>,
    /// How long a value lives whose put does not say so; none: for good.
    pub ttl_ms: Option<u64>,
    /// How many buckets of this name were removed before this one. The catalog counts them; nobody asks for it.
    pub generation: u64,
    /// How much of what merges on put replaced is kept.
    pub retention: Retention,
    /// Which plugins were bound before, and what is tried.
    pub activation: Box<Activation>,
}

impl Default for Properties {
    /// The paper's common (3, 2, 2), durable, with all siblings shown (6).
    fn default() -> Self {
        Self {
            n: 3,
            r: 2,
            w: 2,
            pr: 0,
            pw: 0,
            ack: Ack::Durable,
            dw: None,
            policy: Policy::Siblings,
            merge_on_put: false,
            validator: None,
            validator_mode: ValidatorMode::default(),
            value_bytes_max: VALUE_BYTES_MAX,
            value_bytes_warn: None,
            ttl_ms: None,
            generation: 0,
            retention: Retention::default(),
            activation: Box::default(),
        }
    }
}

/// Why properties were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    #[error("n is {0}; give 1 to {N_MAX} replicas")]
    Replicas(u8),
    #[error("{name} is {found}, but the bucket has n = {n} replicas; give 1 to {n}")]
    Quorum {
        name: &'static str,
        found: u8,
        n: u8,
    },
    #[error("{name} is {found}, but the bucket has n = {n} replicas; give 0 to {n}")]
    Primaries {
        name: &'static str,
        found: u8,
        n: u8,
    },
    #[error("dw is {found}, but only w = {w} acknowledgements are waited for; give 0 to {w}")]
    DurableWrites { found: u8, w: u8 },
    #[error("the value limit is {found} bytes; give 1 to {VALUE_BYTES_MAX}")]
    ValueLimit { found: usize },
    #[error(
        "the value warning is at {found} bytes, the value limit at {limit}; give 1 to {limit}, or 0 for none"
    )]
    ValueWarning { found: usize, limit: usize },
    #[error("the time to live is {found} ms; give 1 to {TTL_MS_MAX}, or 0 for good")]
    TimeToLive { found: u64 },
    #[error("the {role} is granted {found} units of fuel; give 1 to {FUEL_MAX}")]
    Fuel { role: &'static str, found: u64 },
    #[error("the params of the {role} have {found} bytes, the limit is {PARAMS_BYTES_MAX}")]
    Params { role: &'static str, found: usize },
    #[error(transparent)]
    GuestLimit(#[from] GuestLimitError),
    #[error("the validator is to warn, but there is none; bind one, or leave the mode out")]
    NobodyToWarn,
    #[error("merge-on-put needs a policy that merges; bind a resolver or choose last-write-wins")]
    NothingToMerge,
    #[error(transparent)]
    Retention(#[from] RetentionError),
}

/// Bits of the byte that held the acknowledgement alone; what a bit announces stands at the end. None is left.
const TAG_DURABLE: u8 = 1;
const TAG_WARNS: u8 = 2;
const TAG_EXPIRES: u8 = 4;
const TAG_RETAINS: u8 = 16;
const TAG_GRANTS: u8 = 32;
const TAG_GENERATION: u8 = 64;
const TAG_ACTIVATED: u8 = 128;
const TAG_DURABLE_WRITES: u8 = 8;

impl Properties {
    /// Checks what an operator asks for.
    pub fn check(&self) -> Result<(), PropertiesError> {
        if self.n == 0 || self.n > N_MAX {
            return Err(PropertiesError::Replicas(self.n));
        }
        self.check_quorum("r", self.r)?;
        self.check_quorum("w", self.w)?;
        self.check_primaries("pr", self.pr)?;
        self.check_primaries("pw", self.pw)?;
        if let Some(dw) = self.dw {
            check_durable(dw, self.w)?;
        }
        if self.value_bytes_max == 0 || self.value_bytes_max > VALUE_BYTES_MAX {
            let found = self.value_bytes_max;
            return Err(PropertiesError::ValueLimit { found });
        }
        let limit = self.value_bytes_max;
        if let Some(found) = self.value_bytes_warn
            && !(1..=limit).contains(&found)
        {
            return Err(PropertiesError::ValueWarning { found, limit });
        }
        if let Some(found) = self.ttl_ms
            && !(1..=TTL_MS_MAX).contains(&found)
        {
            return Err(PropertiesError::TimeToLive { found });
        }
        if self.merge_on_put && self.policy == Policy::Siblings {
            return Err(PropertiesError::NothingToMerge);
        }
        self.retention.check()?;
        if let Policy::Resolver(binding) = &self.policy {
            check_binding("resolver", binding)?;
        }
        match &self.validator {
            Some(binding) => check_binding("validator", binding),
            None if self.validator_mode == ValidatorMode::Warn => {
                Err(PropertiesError::NobodyToWarn)
            }
            None => Ok(()),
        }
    }

    /// Checks a quorum that a request asks for instead of the bucket's.
    pub fn check_quorum(&self, name: &'static str, found: u8) -> Result<(), PropertiesError> {
        if found == 0 || found > self.n {
            let n = self.n;
            return Err(PropertiesError::Quorum { name, found, n });
        }
        Ok(())
    }

    /// Checks how many primaries a request wants among the answers.
    pub fn check_primaries(&self, name: &'static str, found: u8) -> Result<(), PropertiesError> {
        if found > self.n {
            let n = self.n;
            return Err(PropertiesError::Primaries { name, found, n });
        }
        Ok(())
    }

    /// The plugins that a node must have to serve this bucket.
    pub fn plugins(&self) -> impl Iterator<Item = Digest> {
        let bound = self.policy.resolver().into_iter().chain(&self.validator);
        bound.map(|binding| binding.digest)
    }

    pub fn encode(&self, writer: &mut Writer) {
        writer.byte(self.n);
        writer.byte(self.r);
        writer.byte(self.w);
        writer.byte(self.tag());
        writer.byte(u8::from(self.merge_on_put));
        writer.number(self.value_bytes_max as u64);
        self.policy.encode(writer);
        Binding::encode_optional(self.validator.as_ref(), writer);
        writer.byte(self.pr);
        writer.byte(self.pw);
        if let Some(bytes) = self.value_bytes_warn {
            writer.number(bytes as u64);
        }
        if let Some(ms) = self.ttl_ms {
            writer.number(ms);
        }
        if self.generation > 0 {
            writer.number(self.generation);
        }
        if let Some(dw) = self.dw {
            writer.byte(dw);
        }
        if self.retention != Retention::default() {
            self.retention.encode(writer);
        }
        if *self.activation != Activation::default() {
            self.activation.encode(writer);
        }
        if self.granted() != Granted::default() {
            self.granted().encode(writer);
        }
    }

    fn tag(&self) -> u8 {
        let bit = |is_set: bool, tag: u8| if is_set { tag } else { 0 };
        bit(self.ack == Ack::Durable, TAG_DURABLE)
            | bit(self.value_bytes_warn.is_some(), TAG_WARNS)
            | bit(self.ttl_ms.is_some(), TAG_EXPIRES)
            | bit(self.generation > 0, TAG_GENERATION)
            | bit(self.granted() != Granted::default(), TAG_GRANTS)
            | bit(self.retention != Retention::default(), TAG_RETAINS)
            | bit(*self.activation != Activation::default(), TAG_ACTIVATED)
            | bit(self.dw.is_some(), TAG_DURABLE_WRITES)
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (n, r, w) = (reader.byte()?, reader.byte()?, reader.byte()?);
        let tag = reader.byte()?;
        let ack = match tag & TAG_DURABLE {
            0 => Ack::Buffered,
            _ => Ack::Durable,
        };
        let mut properties = Self {
            n,
            r,
            w,
            ack,
            merge_on_put: decode_flag(reader)?,
            value_bytes_max: reader.number_max("a value limit", VALUE_BYTES_MAX)?,
            policy: Policy::decode(reader)?,
            validator: Binding::decode_optional(reader)?,
            pr: reader.byte()?,
            pw: reader.byte()?,
            value_bytes_warn: match tag & TAG_WARNS {
                0 => None,
                _ => Some(reader.number_max("a value warning", VALUE_BYTES_MAX)?),
            },
            ttl_ms: match tag & TAG_EXPIRES {
                0 => None,
                _ => Some(reader.number()?),
            },
            generation: match tag & TAG_GENERATION {
                0 => 0,
                _ => reader.number()?,
            },
            dw: match tag & TAG_DURABLE_WRITES {
                0 => None,
                _ => Some(reader.byte()?),
            },
            validator_mode: ValidatorMode::default(),
            retention: match tag & TAG_RETAINS {
                0 => Retention::default(),
                _ => Retention::decode(reader)?,
            },
            activation: match tag & TAG_ACTIVATED {
                0 => Box::default(),
                _ => Box::new(Activation::decode(reader)?),
            },
        };
        if tag & TAG_GRANTS != 0 {
            properties.grant(Granted::decode(reader)?);
        }
        match properties.check() {
            Ok(()) => Ok(properties),
            Err(_) => Err(DecodeError::Malformed("a bucket's properties")),
        }
    }
}

/// Checks how many of `w` acknowledgements are to be durable.
pub fn check_durable(found: u8, w: u8) -> Result<(), PropertiesError> {
    match found <= w {
        true => Ok(()),
        false => Err(PropertiesError::DurableWrites { found, w }),
    }
}

fn check_binding(role: &'static str, binding: &Binding) -> Result<(), PropertiesError> {
    if binding.fuel == 0 || binding.fuel > FUEL_MAX {
        let found = binding.fuel;
        return Err(PropertiesError::Fuel { role, found });
    }
    if binding.params.len() > PARAMS_BYTES_MAX {
        let found = binding.params.len();
        return Err(PropertiesError::Params { role, found });
    }
    Ok(binding.limits.check(role)?)
}

/// The buckets that a node knows, each with its generation: an immutable snapshot, handed to its shards.
pub type BucketTable = BTreeMap<BucketName, Properties>;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn encoded(properties: &Properties) -> Bytes {
        let mut writer = Writer::default();
        properties.encode(&mut writer);
        writer.finish()
    }

    #[test]
    fn what_was_stored_before_there_were_warnings_and_expiry_is_still_read() {
        // n, r, w, durable, no merge on put, 1 MiB, siblings, no validator, pr, pw.
        let old = Bytes::from_static(b"\x03\x02\x02\x01\x00\x80\x80\x40\x00\x00\x00\x00");
        assert_eq!(encoded(&Properties::default()), old);
        let mut reader = Reader::new(old);
        assert_eq!(Properties::decode(&mut reader), Ok(Properties::default()));
    }

    #[test]
    fn what_is_tagged_survives_the_trip() {
        let properties = Properties {
            ack: Ack::Buffered,
            value_bytes_warn: Some(1_000),
            ttl_ms: Some(86_400_000),
            generation: 3,
            dw: Some(1),
            ..Properties::default()
        };
        let mut reader = Reader::new(encoded(&properties));
        assert_eq!(Properties::decode(&mut reader), Ok(properties));
        assert_eq!(reader.finish(), Ok(()));
    }
}
