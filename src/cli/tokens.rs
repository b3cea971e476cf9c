//! `rejoin token`, and the token that the other commands show.
//!
//! Asks no node: the access file is edited by whoever may edit it.
//!
//! Invariant: a token is shown once, or written once into a file that only its owner can read.

use super::output::print_json;
use super::token_arguments::{Credential, Token};
use crate::client::token::Token as Shown;
use crate::limits::access::{ACCESS_FILE_BYTES_MAX, CREDENTIAL_BYTES_MAX};
use crate::security::book::{Book, check_name};
use crate::security::moment;
use crate::security::secret::Secret;
use crate::security::tokens::Token as Drawn;
use anyhow::Context as _;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

const VARIABLE: &str = "REJOIN_TOKEN";

pub fn run(token: Token, json: bool) -> anyhow::Result<()> {
    match token {
        Token::New { name, expires, out } => new(&name, expires, out.as_deref(), json),
        Token::Check { file } => check(&file, json),
    }
}

fn new(name: &str, life: Option<Duration>, out: Option<&Path>, json: bool) -> anyhow::Result<()> {
    check_name(name).map_err(anyhow::Error::msg)?;
    let token = Drawn::draw().context("the operating system gave no random bytes")?;
    let expires = life.map(|life| {
        let at_ms = moment::now_ms() + life.as_millis() as u64;
        moment::written_to_the_second(at_ms)
    });
    if let Some(out) = out {
        write(out, &token)?;
    }
    let shown = out.is_none().then(|| token.text());
    let hash = token.hash().to_string();
    if json {
        print_json(&json!({"name": name, "token": shown, "sha256": hash, "expires": expires}));
        return Ok(());
    }
    match shown {
        Some(text) => println!("the token of {name}, shown only now:\n\n  {text}\n"),
        None => println!("the token of {name} was written"),
    }
    let expires = expires.map_or(String::new(), |at| format!(", expires = {at}"));
    println!("for the access file of every node:\n");
    println!("  [callers.\"{name}\"]");
    println!("  tokens = [{{ sha256 = \"{hash}\"{expires} }}]");
    println!("  grants = [{{ bucket = \"...\", may = [\"read\", \"write\"] }}]");
    Ok(())
}

fn write(out: &Path, token: &Drawn) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let file = options.open(out);
    let mut file = file.with_context(|| format!("cannot make {}", out.display()))?;
    writeln!(file, "{}", token.text())?;
    file.sync_all()?;
    Ok(())
}

fn check(file: &Path, json: bool) -> anyhow::Result<()> {
    let bytes = read(file, ACCESS_FILE_BYTES_MAX)?;
    let book = Book::parse(&bytes).with_context(|| file.display().to_string())?;
    let callers = book.callers();
    match json {
        true => print_json(&json!({"callers": callers})),
        false => println!("{callers} callers; a node would take it"),
    }
    Ok(())
}

/// At most one byte more than the limit.
fn read(path: &Path, limit: usize) -> anyhow::Result<Secret> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    Ok(Secret::read(file, limit)?)
}

impl Credential {
    /// The token of the file, or of the environment; none if there is neither.
    pub fn load(&self) -> anyhow::Result<Option<Shown>> {
        if let Some(path) = &self.token_file {
            return from_file(path).map(Some);
        }
        match std::env::var(VARIABLE) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Shown::new(&Zeroizing::new(text))
                .with_context(|| VARIABLE.to_owned())
                .map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => anyhow::bail!("{VARIABLE} is no text"),
        }
    }
}

fn from_file(path: &Path) -> anyhow::Result<Shown> {
    let name = || format!("the token file {}", path.display());
    let facts = std::fs::metadata(path).with_context(name)?;
    anyhow::ensure!(
        facts.permissions().mode() & 0o077 == 0,
        "{}: others than its owner may read it; use `chmod 600`",
        name()
    );
    let secret = read(path, CREDENTIAL_BYTES_MAX)?;
    let text = std::str::from_utf8(&secret).ok();
    let text = text.with_context(|| format!("{}: it is no text", name()))?;
    Shown::new(text).with_context(name)
}
