//! What each request needs, in one table.
//!
//! A request that does not stand here is refused. Where its bucket is found is for `api::access` to say.
//!
//! Invariant: the table is sorted by name and has every request of the client listener once.

use super::audit::shown;
use super::caller::Refusal;
use super::roles::{Rights, Role};

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: a load balancer has no token.
    Nothing,
    /// To be known; what the caller may not see is left out of the answer.
    Known,
    /// Any role in the request's bucket.
    AnyRole,
    /// A role in the request's bucket.
    In(Role),
    /// A role in the bucket of each element of a stream, which is asked for as it is taken up.
    InEach(Role),
    /// A role in any bucket: the request is of none yet.
    Somewhere(Role),
    Admin,
}

impl Need {
    /// Whether these rights are enough for a request to `bucket`, if it is to one.
    pub fn check(self, rights: &Rights, bucket: Option<&str>) -> Result<(), Refusal> {
        let named = || bucket.map(shown);
        let in_bucket = |role: Role| match bucket {
            Some(bucket) if rights.may(role, bucket) => Ok(()),
            _ => Err(Refusal::NoRole {
                role,
                bucket: named(),
            }),
        };
        match (self, bucket) {
            // The elements of the stream are of buckets, not the stream.
            (Need::Nothing | Need::Known, _) | (Need::InEach(_), None) => Ok(()),
            (Need::In(role) | Need::InEach(role), _) => in_bucket(role),
            (Need::AnyRole, Some(bucket)) if rights.may_see(bucket) => Ok(()),
            (Need::AnyRole, _) => Err(Refusal::NoBusiness {
                bucket: named().unwrap_or_default(),
            }),
            (Need::Somewhere(role), _) if rights.may_somewhere(role) => Ok(()),
            (Need::Somewhere(role), _) => Err(Refusal::NoRole { role, bucket: None }),
            (Need::Admin, _) if rights.is_admin => Ok(()),
            (Need::Admin, _) => Err(Refusal::NotAdmin),
        }
    }
}

/// Whether the audit log hears of it before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    Yes,
    No,
}

/// What one request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// As HTTP/2 has it: `/package.Service/Method`.
    pub path: &'static str,
    pub need: Need,
    pub noted: Noted,
}

const fn of(path: &'static str, need: Need, noted: Noted) -> Rule {
    Rule { path, need, noted }
}

use Need::{Admin, AnyRole, In, InEach, Known, Nothing, Somewhere};
use Noted::{No, Yes};
use Role::{Plugin, Read, Write};

/// Every request that there is.
pub const POLICY: &[Rule] = &[
    of("/grpc.health.v1.Health/Check", Nothing, No),
    of("/grpc.health.v1.Health/Watch", Nothing, No),
    of(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Known,
        No,
    ),
    // All that is stored, whatever its bucket.
    of("/rejoin.v1.Backups/Outline", Admin, Yes),
    of("/rejoin.v1.Backups/Read", Admin, Yes),
    of("/rejoin.v1.Backups/ReadPlugin", Admin, Yes),
    of("/rejoin.v1.Backups/Restore", Admin, Yes),
    // N, R, W and plugins of a bucket decide what its cluster has to carry.
    of("/rejoin.v1.Buckets/Create", Admin, Yes),
    of("/rejoin.v1.Buckets/Describe", AnyRole, No),
    // Tries a plugin that is not bound on every value.
    of("/rejoin.v1.Buckets/DryRun", In(Plugin), Yes),
    of("/rejoin.v1.Buckets/List", Known, No),
    of("/rejoin.v1.Buckets/ListConflicts", In(Read), No),
    of("/rejoin.v1.Buckets/Remove", Admin, Yes),
    of("/rejoin.v1.Cluster/AntiEntropy", Admin, Yes),
    of("/rejoin.v1.Cluster/Change", Admin, Yes),
    of("/rejoin.v1.Cluster/Explain", In(Read), No),
    of("/rejoin.v1.Cluster/Hints", Admin, No),
    of("/rejoin.v1.Cluster/LocalRecord", In(Read), No),
    of("/rejoin.v1.Cluster/Members", Known, No),
    // Every client asks it for the N of its bucket.
    of("/rejoin.v1.Cluster/PreferenceList", AnyRole, No),
    of("/rejoin.v1.Cluster/Reap", Admin, Yes),
    of("/rejoin.v1.Cluster/Ring", Known, No),
    of("/rejoin.v1.Cluster/Scrub", Admin, Yes),
    of("/rejoin.v1.Cluster/SetPolicy", Admin, Yes),
    of("/rejoin.v1.Cluster/Status", Known, No),
    of("/rejoin.v1.Cluster/Transfers", Admin, No),
    of("/rejoin.v1.Kv/BatchGet", InEach(Read), No),
    of("/rejoin.v1.Kv/BatchPut", InEach(Write), No),
    of("/rejoin.v1.Kv/Delete", In(Write), No),
    of("/rejoin.v1.Kv/Get", In(Read), No),
    of("/rejoin.v1.Kv/ListKeys", In(Read), No),
    // A conditional put also needs `read`: whether it fails says what is there.
    of("/rejoin.v1.Kv/Put", In(Write), No),
    of("/rejoin.v1.Kv/Watch", In(Read), No),
    of("/rejoin.v1.Plugins/Activate", In(Plugin), Yes),
    of("/rejoin.v1.Plugins/List", Known, No),
    of("/rejoin.v1.Plugins/Logs", Known, No),
    of("/rejoin.v1.Plugins/Pause", In(Plugin), Yes),
    // What is pushed is of no bucket until it is activated in one.
    of("/rejoin.v1.Plugins/Push", Somewhere(Plugin), Yes),
    of("/rejoin.v1.Plugins/Rollback", In(Plugin), Yes),
    of("/rejoin.v1.Plugins/Shadow", In(Plugin), Yes),
    of("/rejoin.v1.Plugins/ShadowReport", In(Plugin), No),
    of("/rejoin.v1.Plugins/Stats", Known, No),
    of("/rejoin.v1.Plugins/Unmerge", In(Plugin), Yes),
    of("/rejoin.v1.Plugins/Upload", Somewhere(Plugin), Yes),
];

/// The rule of a request; none means that nobody may send it.
pub fn rule(path: &str) -> Option<&'static Rule> {
    let found = POLICY.binary_search_by(|rule| rule.path.cmp(path));
    found.ok().map(|place| &POLICY[place])
}

#[cfg(test)]
mod tests {
    use super::super::roles::{Buckets, Grant};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn without_a_grant_nothing_is_allowed_but_what_every_known_caller_may(bucket in ".{0,20}") {
            let other = Grant {
                buckets: Buckets::parse("no-such-bucket").expect("a name"),
                roles: Role::ALL.to_vec(),
            };
            let elsewhere = Rights { is_admin: false, grants: vec![other] };
            for rule in POLICY {
                let is_open = matches!(rule.need, Nothing | Known);
                for bucket in [Some(bucket.as_str()), Some("")] {
                    prop_assert_eq!(rule.need.check(&Rights::default(), bucket).is_ok(), is_open);
                    let is_enough = is_open || matches!(rule.need, Somewhere(_));
                    prop_assert_eq!(rule.need.check(&elsewhere, bucket).is_ok(), is_enough);
                    prop_assert_eq!(rule.need.check(&Rights::of_admin(), bucket), Ok(()));
                }
                // A request whose bucket was not found; a batch has one in each element.
                let is_open = is_open || matches!(rule.need, InEach(_));
                prop_assert_eq!(rule.need.check(&Rights::default(), None).is_ok(), is_open);
            }
        }
    }

    #[test]
    fn every_rule_is_found_and_nothing_else_is() {
        for expected in POLICY {
            assert_eq!(rule(expected.path), Some(expected));
        }
        for unknown in [
            "",
            "/",
            "/rejoin.v1.Kv/get",
            "/rejoin.v1.Kv/Get/",
            "/rejoin.peer.v1.Peer/Exchange",
        ] {
            assert_eq!(rule(unknown), None, "{unknown}");
        }
    }
}
