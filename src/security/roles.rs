//! What a caller may do: roles in buckets, and being an administrator.
//!
//! `write` implies neither `read` nor `plugin`. An administrator may do everything: whoever may back up and restore
//! all that is stored could do so anyway, and a rule that says otherwise would only look like one.
//!
//! Invariant: what no grant allows is refused.

use crate::dynamo::names::{BucketName, NameError};

/// What may be done in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// See keys and values.
    Read,
    /// Put and delete.
    Write,
    /// Bind plugins, which see every value of the bucket and decide what becomes of it.
    Plugin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Plugin];

    /// As access files and messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Plugin => "plugin",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// The buckets that a grant is for: one by its name, or all whose names begin alike (`team-*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Buckets {
    Named(String),
    Beginning(String),
}

impl Buckets {
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match text.strip_suffix('*') {
            Some("") => Ok(Self::Beginning(String::new())),
            Some(start) => {
                BucketName::new(start)?;
                Ok(Self::Beginning(start.to_owned()))
            }
            None => {
                BucketName::new(text)?;
                Ok(Self::Named(text.to_owned()))
            }
        }
    }

    pub fn cover(&self, bucket: &str) -> bool {
        match self {
            Self::Named(name) => name == bucket,
            Self::Beginning(start) => bucket.starts_with(start.as_str()),
        }
    }
}

/// Roles in some buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub buckets: Buckets,
    pub roles: Vec<Role>,
}

/// All that one caller may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    pub is_admin: bool,
    pub grants: Vec<Grant>,
}

impl Rights {
    /// Everything.
    pub fn of_admin() -> Self {
        Self {
            is_admin: true,
            grants: Vec::new(),
        }
    }

    pub fn may(&self, role: Role, bucket: &str) -> bool {
        let allows = |grant: &Grant| grant.buckets.cover(bucket) && grant.roles.contains(&role);
        self.is_admin || self.grants.iter().any(allows)
    }

    /// Whether the bucket is any of this caller's business.
    pub fn may_see(&self, bucket: &str) -> bool {
        Role::ALL.into_iter().any(|role| self.may(role, bucket))
    }

    /// Whether there may be a bucket in which the caller has the role.
    pub fn may_somewhere(&self, role: Role) -> bool {
        self.is_admin || self.grants.iter().any(|grant| grant.roles.contains(&role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grant(buckets: &str, roles: &[Role]) -> Grant {
        Grant {
            buckets: Buckets::parse(buckets).expect("a pattern"),
            roles: roles.to_vec(),
        }
    }

    #[test]
    fn a_grant_is_for_its_bucket_or_for_all_that_begin_alike() {
        let rights = Rights {
            is_admin: false,
            grants: vec![
                grant("carts", &[Role::Read]),
                grant("team-*", &[Role::Write]),
            ],
        };
        assert!(rights.may(Role::Read, "carts"));
        assert!(!rights.may(Role::Write, "carts"));
        assert!(!rights.may(Role::Read, "carts2"));
        assert!(rights.may(Role::Write, "team-a"));
        assert!(!rights.may(Role::Write, "team"));
        assert!(!rights.may(Role::Read, "team-a"));
        assert!(rights.may_see("team-a") && !rights.may_see("other"));
        assert!(rights.may_somewhere(Role::Write) && !rights.may_somewhere(Role::Plugin));
    }

    #[test]
    fn patterns_that_no_bucket_could_match_are_refused() {
        for bad in ["", "**", "a*b", "Carts", "team-*-x", "a b"] {
            assert!(Buckets::parse(bad).is_err(), "{bad}");
        }
        assert!(Buckets::parse("*").expect("all").cover("anything"));
    }

    fn any_grant() -> impl Strategy<Value = Grant> {
        let roles = proptest::collection::vec(0..3usize, 0..3);
        ("[a-c]{1,3}\\*?", roles).prop_map(|(buckets, roles)| Grant {
            buckets: Buckets::parse(&buckets).expect("a pattern"),
            roles: roles.into_iter().map(|role| Role::ALL[role]).collect(),
        })
    }

    proptest! {
        #[test]
        fn nothing_is_allowed_that_no_single_grant_allows(
            grants in proptest::collection::vec(any_grant(), 0..5),
            bucket in "[a-c]{0,4}",
        ) {
            let rights = Rights { is_admin: false, grants: grants.clone() };
            for role in Role::ALL {
                let expected = grants.iter().any(|grant| {
                    let is_for_it = match &grant.buckets {
                        Buckets::Named(name) => *name == bucket,
                        Buckets::Beginning(start) => bucket.get(..start.len()) == Some(start),
                    };
                    is_for_it && grant.roles.contains(&role)
                });
                prop_assert_eq!(rights.may(role, &bucket), expected);
            }
            prop_assert!(!Rights::default().may_see(&bucket));
        }
    }
}
