//! Bucket properties, in protobuf: defaults are filled in here, and nowhere else.

use super::proto::v1 as proto;
use crate::dynamo::bucket::{Ack, Binding, Policy, Properties, PropertiesError};
use crate::dynamo::names::Digest;
use crate::limits::FUEL_DEFAULT;

/// Why an operator's properties were refused.
#[derive(Debug, thiserror::Error)]
pub enum PropertiesDecodeError {
    #[error(transparent)]
    Properties(#[from] PropertiesError),
    #[error("{name} is {found}; give a whole number from 1 to 255")]
    Number { name: &'static str, found: u32 },
    #[error("{name} is {found}, which this release does not know; give {fix}")]
    Choice {
        name: &'static str,
        found: i32,
        fix: &'static str,
    },
    #[error(
        "the {role}'s plugin is {found:?}; give the 64 hexadecimal digits that the upload answered"
    )]
    Digest { role: &'static str, found: String },
    #[error("the policy is `resolver`, but no resolver is given; upload one and bind its digest")]
    NoResolver,
    #[error(
        "a resolver is given, but the policy is not `resolver`; leave the policy out, or the resolver"
    )]
    UnusedResolver,
}

/// What an operator asks for, with the defaults of what was left out.
pub fn decode(properties: proto::Properties) -> Result<Properties, PropertiesDecodeError> {
    let defaults = Properties::default();
    let n = number("n", properties.n)?.unwrap_or(defaults.n);
    let policy = decode_policy(&properties)?;
    let decoded = Properties {
        n,
        r: number("r", properties.r)?.unwrap_or(defaults.r.min(n)),
        w: number("w", properties.w)?.unwrap_or(defaults.w.min(n)),
        pr: number("pr", properties.pr)?.unwrap_or(defaults.pr),
        pw: number("pw", properties.pw)?.unwrap_or(defaults.pw),
        ack: decode_ack(properties.ack)?.unwrap_or(defaults.ack),
        dw: number("dw", properties.dw)?,
        merge_on_put: properties
            .merge_on_put
            .unwrap_or(policy == Policy::LastWriteWins),
        policy,
        validator: properties
            .validator
            .as_ref()
            .map(|binding| decode_binding("validator", binding))
            .transpose()?,
        value_bytes_max: properties
            .value_bytes_max
            .map_or(defaults.value_bytes_max, |bytes| {
                usize::try_from(bytes).unwrap_or(usize::MAX)
            }),
        value_bytes_warn: properties
            .value_bytes_warn
            .filter(|bytes| *bytes > 0)
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        ttl_ms: properties.ttl_ms.filter(|ms| *ms > 0),
        generation: defaults.generation,
    };
    decoded.check()?;
    Ok(decoded)
}

/// Every field set, for people and programs that want to know.
pub fn encode(properties: &Properties) -> proto::Properties {
    let (policy, resolver) = match &properties.policy {
        Policy::Siblings => (proto::Policy::Siblings, None),
        Policy::LastWriteWins => (proto::Policy::LastWriteWins, None),
        Policy::Resolver(binding) => (proto::Policy::Resolver, Some(encode_binding(binding))),
    };
    proto::Properties {
        n: Some(u32::from(properties.n)),
        r: Some(u32::from(properties.r)),
        w: Some(u32::from(properties.w)),
        pr: Some(u32::from(properties.pr)),
        pw: Some(u32::from(properties.pw)),
        ack: encode_ack(properties.ack).into(),
        dw: properties.dw.map(u32::from),
        policy: policy.into(),
        resolver,
        validator: properties.validator.as_ref().map(encode_binding),
        merge_on_put: Some(properties.merge_on_put),
        value_bytes_max: Some(properties.value_bytes_max as u64),
        value_bytes_warn: Some(properties.value_bytes_warn.unwrap_or(0) as u64),
        ttl_ms: Some(properties.ttl_ms.unwrap_or(0)),
    }
}

/// None: as the bucket says. What a later release may mean by another number is not guessed.
pub fn decode_ack(ack: i32) -> Result<Option<Ack>, PropertiesDecodeError> {
    match proto::Ack::try_from(ack) {
        Ok(proto::Ack::Unspecified) => Ok(None),
        Ok(proto::Ack::Buffered) => Ok(Some(Ack::Buffered)),
        Ok(proto::Ack::Durable) => Ok(Some(Ack::Durable)),
        Err(_) => Err(PropertiesDecodeError::Choice {
            name: "ack",
            found: ack,
            fix: "1 (buffered), 2 (durable), or none",
        }),
    }
}

fn encode_ack(ack: Ack) -> proto::Ack {
    match ack {
        Ack::Buffered => proto::Ack::Buffered,
        Ack::Durable => proto::Ack::Durable,
    }
}

/// A count of replicas that fits one.
pub fn number(name: &'static str, given: Option<u32>) -> Result<Option<u8>, PropertiesDecodeError> {
    match given {
        None => Ok(None),
        Some(found) => match u8::try_from(found) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(PropertiesDecodeError::Number { name, found }),
        },
    }
}

fn decode_policy(properties: &proto::Properties) -> Result<Policy, PropertiesDecodeError> {
    use proto::Policy as Asked;
    let Ok(policy) = Asked::try_from(properties.policy) else {
        return Err(PropertiesDecodeError::Choice {
            name: "policy",
            found: properties.policy,
            fix: "1 (siblings), 2 (last-write-wins), 3 (resolver), or none",
        });
    };
    match (policy, &properties.resolver) {
        (Asked::Unspecified | Asked::Resolver, Some(binding)) => {
            Ok(Policy::Resolver(decode_binding("resolver", binding)?))
        }
        (Asked::Resolver, None) => Err(PropertiesDecodeError::NoResolver),
        (_, Some(_)) => Err(PropertiesDecodeError::UnusedResolver),
        (Asked::LastWriteWins, None) => Ok(Policy::LastWriteWins),
        (Asked::Unspecified | Asked::Siblings, None) => Ok(Policy::Siblings),
    }
}

fn decode_binding(
    role: &'static str,
    binding: &proto::Binding,
) -> Result<Binding, PropertiesDecodeError> {
    let Some(digest) = Digest::parse(&binding.plugin) else {
        let found = binding.plugin.chars().take(80).collect();
        return Err(PropertiesDecodeError::Digest { role, found });
    };
    Ok(Binding {
        digest,
        params: binding.params.clone(),
        fuel: if binding.fuel == 0 {
            FUEL_DEFAULT
        } else {
            binding.fuel
        },
    })
}

fn encode_binding(binding: &Binding) -> proto::Binding {
    proto::Binding {
        plugin: binding.digest.to_string(),
        params: binding.params.clone(),
        fuel: binding.fuel,
    }
}
