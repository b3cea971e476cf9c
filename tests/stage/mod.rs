//! A scripted cluster for golden transcripts: what is asked, what the nodes say to each other, what comes back.
//!
//! No dice and no delays: messages arrive in the order in which they were sent, time moves when the script
//! says so. Runs the real machines over any storage.
//!
//! A script is a file of steps: command lines, `----`, and what they led to, up to a blank line.
//!
//! Invariant: the same script gives the same transcript on every correct storage.

mod cast;
mod memory;
mod telling;

use cast::Cast;
use memory::Memory;
use rejoin::dynamo::replica::storage::Storage;
use std::collections::BTreeMap;

/// One command line, taken apart: a verb, plain words, and `name=value` pairs.
pub struct Command<'a> {
    pub verb: &'a str,
    pub words: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Command<'a> {
    fn parse(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let verb = words.next().expect("a command has a verb");
        let (named, plain): (Vec<_>, Vec<_>) = words.partition(|word| word.contains('='));
        let named = named.into_iter().filter_map(|word| word.split_once('='));
        Self {
            verb,
            words: plain,
            named: named.collect(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.named.get(name).copied()
    }

    pub fn text(&self, name: &str) -> &'a str {
        let found = self.get(name);
        found.unwrap_or_else(|| panic!("`{}` needs {name}=", self.verb))
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        let parsed = self.get(name)?.parse();
        Some(parsed.unwrap_or_else(|_| panic!("`{name}` is a number")))
    }

    pub fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }
}

/// Plays a script on storages in memory and returns it with what really happened.
pub fn play(script: &str) -> String {
    play_on(script, |_| Memory::default())
}

/// Plays a script on storages that `open` makes, one for each node's name.
pub fn play_on<S: Storage>(script: &str, mut open: impl FnMut(&str) -> S) -> String {
    let mut cast: Option<Cast<S>> = None;
    let mut transcript = Vec::new();
    let mut told = Vec::new();
    let mut is_output = false;
    for line in script.lines() {
        match line {
            "----" => {
                is_output = true;
                transcript.push(line.to_owned());
                transcript.append(&mut told);
            }
            "" => {
                assert!(told.is_empty(), "a step without `----`: {told:?}");
                is_output = false;
                transcript.push(String::new());
            }
            _ if is_output => {}
            comment if comment.starts_with('#') => transcript.push(comment.to_owned()),
            _ => {
                transcript.push(line.to_owned());
                let command = Command::parse(line);
                match &mut cast {
                    None => cast = Some(Cast::of(&command, &mut open)),
                    Some(cast) => told.extend(cast.obey(&command)),
                }
            }
        }
    }
    transcript.join("\n") + "\n"
}
