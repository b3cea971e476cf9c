//! What an access file says, checked as a whole: callers, the hashes of their tokens, and what each may do.
//!
//! ```toml
//! [callers.shop]
//! tokens = [{ sha256 = "9f86d0...", expires = 2027-01-31T00:00:00Z }]
//! grants = [{ bucket = "carts", may = ["read", "write"] }]
//! ```
//!
//! Reads no file and keeps no time.
//!
//! Invariant: a token belongs to one caller, and whoever does not stand in the book may do nothing.

use super::caller::Refusal;
use super::roles::Rights;
pub use super::tables::check_name;
use super::tables::{CallerTable, File};
use super::tokens::{TokenHash, without_tokens};
use crate::limits::access::{
    ACCESS_FILE_BYTES_MAX, CALLERS_MAX, GRANTS_PER_CALLER_MAX, TOKENS_PER_CALLER_MAX,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The callers of a node.
#[derive(Debug, Default)]
pub struct Book {
    callers: BTreeMap<Arc<str>, Entry>,
    /// By the beginnings of their hashes; only a whole hash, compared in constant time, is believed.
    tokens: BTreeMap<u64, Vec<Known>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    rights: Rights,
    /// As they are written, to see what an edit changed.
    tokens: BTreeSet<(String, Option<u64>)>,
}

#[derive(Debug)]
struct Known {
    hash: TokenHash,
    name: Arc<str>,
    expires_ms: Option<u64>,
}

/// Why an access file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    #[error(
        "it has {found} bytes, the limit is {ACCESS_FILE_BYTES_MAX}; grant by prefix (`team-*`)"
    )]
    TooLarge { found: usize },
    #[error("line {line}: {what}")]
    Wrong { line: usize, what: String },
}

/// What an edit of the file changed, by the names of callers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

impl Book {
    /// Reads what stands in an access file.
    pub fn parse(bytes: &[u8]) -> Result<Self, BookError> {
        if bytes.len() > ACCESS_FILE_BYTES_MAX {
            let found = bytes.len();
            return Err(BookError::TooLarge { found });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| BookError::Wrong {
            line: line_of(bytes, error.valid_up_to()),
            what: "this is no UTF-8 text; save the file as UTF-8".to_owned(),
        })?;
        let file: File = toml::from_str(text).map_err(|error| BookError::Wrong {
            line: error.span().map_or(1, |span| line_of(bytes, span.start)),
            // The parser may quote what stands there, which may be a token by mistake.
            what: without_tokens(error.message()).replace('\n', " "),
        })?;
        let mut book = Self::default();
        for (name, table) in file.callers {
            let at = table.span().start;
            let entered = book.enter(&name, table.into_inner(), at);
            entered.map_err(|(at, what)| BookError::Wrong {
                line: line_of(bytes, at),
                what: without_tokens(&what),
            })?;
        }
        Ok(book)
    }

    fn enter(&mut self, name: &str, table: CallerTable, at: usize) -> Result<(), (usize, String)> {
        check_name(name).map_err(|what| (at, what))?;
        let counts = [
            ("callers", self.callers.len() + 1, CALLERS_MAX),
            (
                "tokens of one caller",
                table.tokens.len(),
                TOKENS_PER_CALLER_MAX,
            ),
            (
                "grants of one caller",
                table.grants.len(),
                GRANTS_PER_CALLER_MAX,
            ),
        ];
        for (what, found, limit) in counts {
            if found > limit {
                return Err((at, format!("{found} {what}; the limit is {limit}")));
            }
        }
        let name: Arc<str> = name.into();
        let mut entry = Entry {
            rights: Rights {
                is_admin: table.admin,
                grants: Vec::new(),
            },
            tokens: BTreeSet::new(),
        };
        for token in table.tokens {
            let at = token.span().start;
            let (hash, expires_ms) = token.into_inner().check().map_err(|what| (at, what))?;
            let known = Known {
                hash,
                name: Arc::clone(&name),
                expires_ms,
            };
            entry
                .tokens
                .insert((known.hash.to_string(), known.expires_ms));
            let shelf = self.tokens.entry(known.hash.shelf()).or_default();
            if let Some(other) = shelf.iter().find(|other| other.hash == known.hash) {
                let what = format!(
                    "this token is {}'s already; a token is for one caller, once",
                    other.name
                );
                return Err((at, what));
            }
            shelf.push(known);
        }
        for grant in table.grants {
            let at = grant.span().start;
            let grant = grant.into_inner().check().map_err(|what| (at, what))?;
            entry.rights.grants.push(grant);
        }
        self.callers.insert(name, entry);
        Ok(())
    }

    /// Whose token this is.
    pub fn holder(&self, hash: &TokenHash, now_ms: u64) -> Result<Arc<str>, Refusal> {
        let shelf = self.tokens.get(&hash.shelf());
        let known = shelf.and_then(|shelf| shelf.iter().find(|known| known.hash == *hash));
        let known = known.ok_or(Refusal::UnknownToken)?;
        match known.expires_ms {
            Some(expires_ms) if expires_ms <= now_ms => Err(Refusal::ExpiredToken),
            _ => Ok(Arc::clone(&known.name)),
        }
    }

    /// What a caller may do; none if nobody of this name is known.
    pub fn rights(&self, name: &str) -> Option<&Rights> {
        self.callers.get(name).map(|entry| &entry.rights)
    }

    /// How many callers are known.
    pub fn callers(&self) -> usize {
        self.callers.len()
    }

    /// What is different from an earlier book.
    pub fn changes_since(&self, before: &Self) -> Changes {
        let names = |here: &Self, is_wanted: &dyn Fn(&Arc<str>, &Entry) -> bool| {
            let wanted = here
                .callers
                .iter()
                .filter(|(name, entry)| is_wanted(name, entry));
            wanted.map(|(name, _)| name.to_string()).collect()
        };
        Changes {
            added: names(self, &|name, _| !before.callers.contains_key(name)),
            removed: names(before, &|name, _| !self.callers.contains_key(name)),
            changed: names(self, &|name, entry| {
                before
                    .callers
                    .get(name)
                    .is_some_and(|before| before != entry)
            }),
        }
    }
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    let before = &bytes[..at.min(bytes.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::super::moment;
    use super::super::roles::Role;
    use super::super::tokens::Token;
    use super::*;
    use proptest::prelude::*;

    fn file(token: &Token) -> String {
        let hash = token.hash();
        format!(
            "# who may do what\n[callers.shop]\ntokens = [\n  {{ sha256 = \"{hash}\", expires = 2027-01-31T00:00:00+01:00 }},\n]\n\
             grants = [{{ bucket = \"carts\", may = [\"read\", \"write\"] }}]\n\n[callers.root]\nadmin = true\n"
        )
    }

    fn wrong(text: &str) -> (usize, String) {
        match Book::parse(text.as_bytes()) {
            Err(BookError::Wrong { line, what }) => (line, what),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_token_leads_to_its_caller_until_it_expires() {
        let token = Token::draw().expect("dice");
        let book = Book::parse(file(&token).as_bytes()).expect("a book");
        let expires_ms = moment::parse("2027-01-30T23:00:00Z").expect("a moment");
        assert_eq!(
            book.holder(&token.hash(), expires_ms - 1).as_deref(),
            Ok("shop")
        );
        assert_eq!(
            book.holder(&token.hash(), expires_ms),
            Err(Refusal::ExpiredToken)
        );
        let other = Token::draw().expect("dice");
        assert_eq!(book.holder(&other.hash(), 0), Err(Refusal::UnknownToken));
        assert!(
            book.rights("shop")
                .expect("known")
                .may(Role::Write, "carts")
        );
        assert!(book.rights("root").expect("known").is_admin);
        assert!(book.rights("nobody").is_none());
        assert_eq!(book.callers(), 2);
    }

    #[test]
    fn an_error_names_the_line_and_the_fix_and_shows_no_token() {
        let token = Token::draw().expect("dice");
        let secret = token.text();
        let hash = token.hash();
        let cases = [
            (
                format!("[callers.a]\n\ntokens = [{{ sha256 = \"{secret}\" }}]"),
                3,
                "rejoin token new",
            ),
            (
                format!("[callers.a]\ntokens = [\"{secret}\"]"),
                2,
                "expected",
            ),
            (format!("[callers.a]\n{secret} = 1"), 2, "unknown field"),
            (
                format!("[callers.a]\ntokens = [{{ sha256 = \"{hash}\", expires = 2027-01-31 }}]"),
                2,
                "zone",
            ),
            (
                "[callers.a]\ngrants = [{ bucket = \"Carts\", may = [\"read\"] }]".to_owned(),
                2,
                "`bucket`",
            ),
            (
                "[callers.a]\n\ngrants = [{ bucket = \"c\", may = [\"admin\"] }]".to_owned(),
                3,
                "admin = true",
            ),
            (
                "[callers.a]\ngrants = [{ bucket = \"c\", may = [\"own\"] }]".to_owned(),
                2,
                "no role \"own\"",
            ),
            (
                "[callers.a]\ngrants = [{ bucket = \"c\", may = [] }]".to_owned(),
                2,
                "`may` is empty",
            ),
            (
                "\n[callers.\"a b\"]\nadmin = true".to_owned(),
                2,
                "a caller's name",
            ),
            ("[callers.a]\nadmin = \"yes\"".to_owned(), 2, "boolean"),
            (
                "[callers.a]\nadmin = true\nadmin = true".to_owned(),
                3,
                "duplicate",
            ),
            (
                format!(
                    "[callers.a]\ntokens = [{{ sha256 = \"{hash}\" }}]\n[callers.b]\ntokens = [{{ sha256 = \"{hash}\" }}]"
                ),
                4,
                "a's already",
            ),
        ];
        for (text, line, part) in cases {
            let (found, what) = wrong(&text);
            assert_eq!(found, line, "{text}\n{what}");
            assert!(what.contains(part), "{text}\n{what}");
            assert!(!what.contains(&secret[7..]), "{what}");
            assert!(!what.contains('\n'), "{what}");
        }
    }

    #[test]
    fn a_book_is_bounded() {
        let many = (0..=TOKENS_PER_CALLER_MAX).map(|n| format!("{{ sha256 = \"{n:064x}\" }}"));
        let many: Vec<String> = many.collect();
        let (line, what) = wrong(&format!("[callers.a]\ntokens = [{}]", many.join(", ")));
        assert_eq!(line, 1);
        assert!(what.contains("the limit is 8"), "{what}");
        let long = vec![b'#'; ACCESS_FILE_BYTES_MAX + 1];
        assert!(matches!(
            Book::parse(&long),
            Err(BookError::TooLarge { .. })
        ));
        assert!(Book::parse(&long[1..]).is_ok());
        assert_eq!(Book::parse(b"").expect("an empty book").callers(), 0);
        assert!(matches!(
            Book::parse(b"a\n\xff"),
            Err(BookError::Wrong { line: 2, .. })
        ));
    }

    #[test]
    fn what_an_edit_changed_is_told_by_name() {
        let token = Token::draw().expect("dice");
        let before = Book::parse(file(&token).as_bytes()).expect("a book");
        let after =
            "[callers.shop]\ngrants = [{ bucket = \"carts\", may = [\"read\"] }]\n[callers.new]\n";
        let after = Book::parse(after.as_bytes()).expect("a book");
        let changes = after.changes_since(&before);
        assert_eq!(changes.added, ["new"]);
        assert_eq!(changes.removed, ["root"]);
        assert_eq!(changes.changed, ["shop"]);
        assert_eq!(before.changes_since(&before), Changes::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_book_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Book::parse(&bytes);
        }
    }
}
