//! Finds a plugin by what people call it: `name@version`, a name, or the beginning of its digest.
//!
//! Invariant: an answer is the only plugin that the words fit; of several, all are named.

use super::super::names::Digest;
use super::catalog::Catalog;
use crate::limits::versions::DIGEST_PREFIX_MIN;

/// Why no plugin was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    #[error(
        "there is no plugin {0:?}; see `rejoin plugin list`, or upload it with `rejoin plugin push FILE`"
    )]
    Nothing(String),
    #[error("{wanted:?} fits several plugins; name one of {fitting} by its version or digest")]
    Several { wanted: String, fitting: String },
}

impl Catalog {
    /// The plugin that people call so.
    pub fn find_plugin(&self, wanted: &str) -> Result<Digest, FindError> {
        let fits = |digest: Digest, name: &str, version: &str| match wanted.split_once('@') {
            Some(named) => named == (name, version),
            None => {
                let is_prefix =
                    wanted.len() >= DIGEST_PREFIX_MIN && digest.to_string().starts_with(wanted);
                name == wanted || is_prefix
            }
        };
        let plugins = self.plugins();
        let found: Vec<_> = plugins
            .filter(|(digest, facts)| fits(*digest, &facts.name, &facts.version))
            .collect();
        match found.as_slice() {
            [(digest, _)] => Ok(*digest),
            [] => Err(FindError::Nothing(wanted.chars().take(80).collect())),
            several => {
                let named = several.iter().map(|(digest, facts)| {
                    format!("{}@{} ({digest:?})", facts.name, facts.version)
                });
                Err(FindError::Several {
                    wanted: wanted.to_owned(),
                    fitting: named.collect::<Vec<_>>().join(", "),
                })
            }
        }
    }

    /// The other plugin that has a name and version already.
    pub fn holder_of(&self, name: &str, version: &str, besides: Digest) -> Option<Digest> {
        let mut plugins = self.plugins();
        let taken = plugins.find(|(digest, facts)| {
            *digest != besides && facts.name == name && facts.version == version
        });
        taken.map(|(digest, _)| digest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::names::NodeId;
    use super::super::row::{Fact, PluginFacts, Subject};
    use super::*;

    fn catalog(plugins: &[(u8, &str, &str)]) -> Catalog {
        let mut catalog = Catalog::default();
        for (digest, name, version) in plugins {
            let facts = PluginFacts {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                size_bytes: 1,
                is_resolver: true,
                is_validator: false,
                laws: Vec::new(),
                graded: None,
            };
            let subject = Subject::Plugin(Digest([*digest; 32]));
            let by = NodeId::new("a").expect("a good name");
            let edited = catalog.edit(subject, Fact::Plugin(facts), by);
            edited.expect("in bounds");
        }
        catalog
    }

    #[test]
    fn a_plugin_is_found_by_version_by_its_only_name_and_by_the_beginning_of_its_digest() {
        let catalog = catalog(&[
            (1, "cart", "1.0.0"),
            (2, "cart", "1.1.0"),
            (3, "max", "1.0.0"),
        ]);
        assert_eq!(catalog.find_plugin("cart@1.1.0"), Ok(Digest([2; 32])));
        assert_eq!(catalog.find_plugin("max"), Ok(Digest([3; 32])));
        assert_eq!(catalog.find_plugin("010101"), Ok(Digest([1; 32])));
        let whole = Digest([2; 32]).to_string();
        assert_eq!(catalog.find_plugin(&whole), Ok(Digest([2; 32])));
        let several = catalog
            .find_plugin("cart")
            .expect_err("two versions")
            .to_string();
        assert!(
            several.contains("cart@1.0.0") && several.contains("cart@1.1.0"),
            "{several}"
        );
        for nothing in ["cart@2.0.0", "01010", "nobody", "@", ""] {
            let found = catalog.find_plugin(nothing);
            assert!(matches!(found, Err(FindError::Nothing(_))), "{nothing:?}");
        }
    }

    #[test]
    fn a_name_and_version_has_one_holder() {
        let catalog = catalog(&[(1, "cart", "1.0.0")]);
        let taken = |version, besides| catalog.holder_of("cart", version, Digest([besides; 32]));
        assert_eq!(taken("1.0.0", 2), Some(Digest([1; 32])));
        assert_eq!((taken("1.0.0", 1), taken("1.0.1", 2)), (None, None));
    }
}
