//! Fixtures: calls that the author of a plugin wrote down, with the answers that he expects.
//!
//! One JSON file each: `key`, `params`, and either `siblings` or `incoming`; `expect` says what comes of it. Judges
//! answers only; no law is tried here.
//!
//! Invariant: a fixture that says nothing of what it expects is an error, not a success.

use crate::dynamo::bucket::Binding;
use crate::dynamo::causality::version::Version;
use crate::dynamo::names::{BucketName, Digest, Key};
use crate::dynamo::reconcile::answer::{Answer, Judgement, Resolution};
use crate::dynamo::reconcile::question::{Ask, Question, canonical};
use crate::wasm::laws::bounds::CALL_WALL_MS;
use crate::wasm::laws::outcome::shown;
use crate::wasm::laws::written::{Written, WrittenSibling};
use crate::wasm::library::Library;
use anyhow::Context as _;
use bytes::Bytes;
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: Option<String>,
    key: Option<Written>,
    params: Option<Written>,
    siblings: Option<Vec<WrittenSibling>>,
    incoming: Option<WrittenSibling>,
    expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Merged(Written),
    Deleted(bool),
    /// The place in the file's own list of siblings.
    Pick(usize),
    KeepSiblings(bool),
    Ok(bool),
    Refused(String),
}

/// What became of one fixture.
pub struct Tried {
    pub name: String,
    /// Units of fuel; none if the call failed.
    pub fuel: Option<u64>,
    /// What was expected and what came instead.
    pub failure: Option<String>,
}

/// The files of a folder, by name; none if there is no such folder.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let context = || format!("reading {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Asks what the file asks and compares.
pub fn try_file(library: &Library, plugin: &Binding, file: &Path) -> anyhow::Result<Tried> {
    let context = || format!("the fixture {}", file.display());
    let text = std::fs::read_to_string(file).with_context(context)?;
    let fixture: Fixture = serde_json::from_str(&text).with_context(context)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = fixture.name.clone().unwrap_or_else(|| stem.into_owned());
    let (question, listed) = question(&fixture, plugin).with_context(context)?;
    let answer = library.answer_within(&question, CALL_WALL_MS).answer;
    let fuel = match &answer {
        Answer::Resolved { fuel, .. } | Answer::Judged { fuel, .. } => Some(*fuel),
        Answer::Failed(_) => None,
    };
    let failure = compare(&fixture.expect, &question, &listed, &answer).with_context(context)?;
    Ok(Tried {
        name,
        fuel,
        failure,
    })
}

/// What is asked, and the siblings as the file lists them.
fn question(fixture: &Fixture, plugin: &Binding) -> anyhow::Result<(Question, Vec<Version>)> {
    let bytes = |written: &Written| written.bytes().map_err(anyhow::Error::msg);
    let version = |written: &WrittenSibling| written.version().map_err(anyhow::Error::msg);
    let mut binding = plugin.clone();
    if let Some(params) = &fixture.params {
        binding.params = bytes(params)?;
    }
    let key = match &fixture.key {
        Some(key) => bytes(key)?,
        None => Bytes::from_static(b"key"),
    };
    let (ask, listed) = match (&fixture.siblings, &fixture.incoming) {
        (Some(siblings), None) => {
            let listed: Vec<Version> = siblings.iter().map(version).collect::<Result<_, _>>()?;
            anyhow::ensure!(
                listed.len() >= 2,
                "a resolver is asked about two siblings or more"
            );
            (Ask::Resolve(canonical(listed.clone())), listed)
        }
        (None, Some(incoming)) => (Ask::Validate(version(incoming)?), Vec::new()),
        _ => {
            anyhow::bail!("give either `siblings` (for a resolver) or `incoming` (for a validator)")
        }
    };
    let key = Key::new(BucketName::new("fixture")?, key)?;
    Ok((Question { key, binding, ask }, listed))
}

fn compare(
    expect: &Expect,
    question: &Question,
    listed: &[Version],
    answer: &Answer,
) -> anyhow::Result<Option<String>> {
    let is_as_expected = match (expect, answer) {
        (Expect::Merged(value), Answer::Resolved { resolution, .. }) => {
            let value = value.bytes().map_err(anyhow::Error::msg)?;
            *resolution == Resolution::Merged(value)
        }
        (Expect::Deleted(true), Answer::Resolved { resolution, .. }) => {
            *resolution == Resolution::Deleted
        }
        (Expect::Pick(place), Answer::Resolved { resolution, .. }) => {
            let wanted = listed.get(*place).with_context(|| {
                format!(
                    "it expects sibling {place}, and lists {}, counted from 0",
                    listed.len()
                )
            })?;
            picked(question, resolution) == Some(wanted)
        }
        (Expect::KeepSiblings(true), Answer::Resolved { resolution, .. }) => {
            matches!(resolution, Resolution::KeepSiblings(_))
        }
        (Expect::Ok(true), Answer::Judged { judgement, .. }) => *judgement == Judgement::Accepted,
        (Expect::Refused(wanted), Answer::Judged { judgement, .. }) => {
            matches!(judgement, Judgement::Refused { code, .. } if code == wanted)
        }
        (Expect::Deleted(false) | Expect::KeepSiblings(false) | Expect::Ok(false), _) => {
            anyhow::bail!("`expect` says what does not happen; say what does")
        }
        _ => false,
    };
    let got = got(question, answer);
    Ok((!is_as_expected).then(|| format!("expected {}, got {got}", wanted(expect))))
}

fn picked<'a>(question: &'a Question, resolution: &Resolution) -> Option<&'a Version> {
    match (&question.ask, resolution) {
        (Ask::Resolve(siblings), Resolution::Pick(place)) => siblings.get(*place as usize),
        _ => None,
    }
}

fn wanted(expect: &Expect) -> String {
    let text = |written: &Written| match written.bytes() {
        Ok(bytes) => shown(&Version::value(bytes, 0)),
        Err(error) => error,
    };
    match expect {
        Expect::Merged(value) => format!("merged {}", text(value)),
        Expect::Deleted(_) => "deleted".to_owned(),
        Expect::Pick(place) => format!("sibling {place} of the file"),
        Expect::KeepSiblings(_) => "the siblings to be kept".to_owned(),
        Expect::Ok(_) => "acceptance".to_owned(),
        Expect::Refused(code) => format!("a refusal with the code {code:?}"),
    }
}

fn got(question: &Question, answer: &Answer) -> String {
    match answer {
        Answer::Failed(failure) => failure.to_string(),
        Answer::Judged { judgement, .. } => match judgement {
            Judgement::Accepted => "acceptance".to_owned(),
            Judgement::Refused { code, message } => format!("a refusal, {code}: {message}"),
        },
        Answer::Resolved { resolution, .. } => match resolution {
            Resolution::Merged(bytes) => {
                format!("merged {}", shown(&Version::value(bytes.clone(), 0)))
            }
            Resolution::Deleted => "deleted".to_owned(),
            Resolution::KeepSiblings(reason) => format!("the siblings kept: {reason}"),
            Resolution::Pick(place) => match picked(question, resolution) {
                Some(version) => shown(version),
                None => format!("a place that does not exist: {place}"),
            },
        },
    }
}

/// The plugin with these params and this fuel.
pub fn binding(plugin: Digest, params: Bytes, fuel: Option<u64>) -> Binding {
    let plain = Binding::new(plugin);
    Binding {
        params,
        fuel: fuel.unwrap_or(plain.fuel),
        ..plain
    }
}
