//! How transcripts put things: short stable names for actors, objects as `{clock}=versions`.
//!
//! Invariant: what differs in a way that a reader must see differs in its line.

use super::cast::{RESOLVER, VALIDATOR};
use rejoin::dynamo::causality::context::Context;
use rejoin::dynamo::causality::dot::{Actor, Dot, Incarnation};
use rejoin::dynamo::causality::object::Object;
use rejoin::dynamo::causality::version::Version;
use rejoin::dynamo::coordinator::listing::Keys;
use rejoin::dynamo::coordinator::request::{GetError, GetReply, PutError, PutReply, Resolved};
use rejoin::dynamo::machine::message::Message;
use rejoin::dynamo::names::{Key, NodeId};
use rejoin::dynamo::reconcile::question::{Ask, Question};
use rejoin::dynamo::repair::inquiry::{Answer as Finding, Ask as Inquiry};
use rejoin::dynamo::replica::stretch::ListedKey;

/// Nodes by the number of their incarnation, from 1; a node that was started again has several.
pub struct Names {
    nodes: Vec<NodeId>,
}

impl Names {
    pub fn of(nodes: &[NodeId]) -> Self {
        let nodes = nodes.to_vec();
        Self { nodes }
    }

    /// The incarnation of a node that starts again.
    pub fn born(&mut self, node: &NodeId) -> Incarnation {
        self.nodes.push(node.clone());
        Incarnation(self.nodes.len() as u64)
    }

    fn actor(&self, actor: Actor) -> String {
        let number = actor.incarnation.0 as usize;
        let lives = self.nodes[..number].iter();
        let node = &self.nodes[number - 1];
        let earlier = lives.filter(|other| *other == node).count() - 1;
        let node = format!("{node}{}", "'".repeat(earlier));
        match actor.epoch {
            1 => node,
            epoch => format!("{node}.{epoch}"),
        }
    }

    fn dot(&self, dot: Dot) -> String {
        format!("{}:{}", self.actor(dot.actor), dot.counter)
    }

    fn clock(&self, context: &Context) -> String {
        let dot = |(actor, counter)| self.dot(Dot { actor, counter });
        let dots: Vec<String> = context.clock().map(dot).collect();
        format!("{{{}}}", dots.join(","))
    }

    pub fn object(&self, object: &Object) -> String {
        if object.is_empty() {
            return "nothing".to_owned();
        }
        let versions: Vec<String> = object.versions().map(|(_, v)| version(v)).collect();
        format!("{}={}", self.clock(&object.context()), versions.join("|"))
    }

    pub fn versions(&self, versions: &[Version]) -> String {
        let shown: Vec<String> = versions.iter().map(version).collect();
        shown.join("|")
    }

    pub fn question(&self, question: &Question) -> String {
        match &question.ask {
            Ask::Resolve(siblings) => format!("the resolver about {}", self.versions(siblings)),
            Ask::Validate(value) => format!("the validator about {}", version(value)),
        }
    }

    fn inquiry(&self, ask: &Inquiry) -> String {
        match ask {
            Inquiry::Root => "what is your root".to_owned(),
            Inquiry::Leaves => "what are your leaves".to_owned(),
            Inquiry::Keys { .. } => "what are your keys in the leaves that differ".to_owned(),
            Inquiry::Copy { key } => format!("what have you of {}", name(key)),
            Inquiry::Give { key, object, .. } => {
                format!("give {} {}", name(key), self.object(object))
            }
            Inquiry::Sync => "is it on your disk".to_owned(),
            Inquiry::Doubt => "is your tree right".to_owned(),
            Inquiry::Vouch {
                standing_ms, keys, ..
            } => {
                let names: Vec<String> = keys.iter().map(|(key, _)| name(key)).collect();
                let since = match standing_ms {
                    0 => String::new(),
                    ms => format!(", for {ms} ms"),
                };
                format!("do you vouch for {}{since}", names.join(","))
            }
            Inquiry::Reap { keys } => {
                let names: Vec<String> = keys.iter().map(|(key, _)| name(key)).collect();
                format!("let go of {}", names.join(","))
            }
        }
    }

    fn finding(&self, answer: &Finding) -> String {
        match answer {
            Finding::Root(_) => "root".to_owned(),
            Finding::Building { records } => format!("tree is built, at {records} records"),
            Finding::Leaves(_) => "leaves".to_owned(),
            Finding::Keys { keys, .. } => {
                let names: Vec<String> = keys.iter().map(|(key, _)| name(key)).collect();
                format!("keys {}", names.join(","))
            }
            Finding::Copy { object, .. } => format!("has {}", self.object(object)),
            Finding::Done { is_changed: true } => "done, changed".to_owned(),
            Finding::Done { is_changed: false } => "done, nothing new".to_owned(),
            Finding::Granted(granted) => {
                let words = granted
                    .iter()
                    .map(|granted| if *granted { "yes" } else { "no" });
                let words: Vec<&str> = words.collect();
                words.join(",")
            }
            Finding::Refused(refusal) => format!("refused: {refusal}"),
        }
    }

    pub fn message(&self, message: &Message) -> String {
        match message {
            Message::Repair { n, ask, .. } => format!("n={n}: {}", self.inquiry(ask)),
            Message::Repaired { answer, .. } => self.finding(answer),
            Message::Read { key, hint_for, .. } => {
                format!("read {}{}", name(key), in_place_of(hint_for))
            }
            Message::ReadReply { outcome, .. } => match outcome {
                Ok(object) => format!("has {}", self.object(object)),
                Err(failure) => format!("failed: {failure}"),
            },
            Message::Write {
                key,
                object,
                replaced,
                hint_for,
                ..
            } => {
                let kept = replaced.iter().map(|merge| self.versions(&merge.inputs));
                let kept: String = kept.map(|inputs| format!("  replacing {inputs}")).collect();
                let hint = in_place_of(hint_for);
                format!("write {} {}{kept}{hint}", name(key), self.object(object))
            }
            Message::WriteReply { outcome, .. } => match outcome {
                Ok(()) => "wrote".to_owned(),
                Err(failure) => format!("failed: {failure}"),
            },
            Message::Forward {
                request, stands_in, ..
            } => {
                let context = self.clock(&request.context);
                let value = version(&request.version);
                let role = match stands_in {
                    true => " in the place of a primary",
                    false => "",
                };
                format!(
                    "forward {} {value} context={context}{role}",
                    name(&request.key)
                )
            }
            Message::List {
                stretch, hint_for, ..
            } => {
                let after = match stretch.after.is_empty() {
                    true => String::new(),
                    false => format!(" after {}", stretch.after.escape_ascii()),
                };
                let prefix = stretch.prefix.escape_ascii();
                let hint = in_place_of(hint_for);
                format!("list {prefix}*{after} items={}{hint}", stretch.items_max)
            }
            Message::ListReply { outcome, .. } => match outcome {
                Ok(found) => {
                    let more = if found.more { " ..." } else { "" };
                    let keys: Vec<String> = found.keys.iter().map(listed_key).collect();
                    format!("lists {}{more}", keys.join(","))
                }
                Err(failure) => format!("failed: {failure}"),
            },
            Message::ForwardReply { outcome, .. } => match outcome {
                Ok(reply) => format!("done {}", self.dot(reply.dot)),
                Err(error) => format!("not done: {}", without_digests(&error.to_string())),
            },
            Message::Ping { .. } => "ping".to_owned(),
            Message::Pong { .. } => "pong".to_owned(),
        }
    }

    pub fn got(&self, outcome: &Result<Box<GetReply>, GetError>) -> String {
        match outcome {
            Ok(reply) => {
                let values = match reply.versions.is_empty() {
                    true => "nothing".to_owned(),
                    false => self.versions(&reply.versions),
                };
                let context = self.clock(&reply.context);
                let from = counted(reply.replicas_answered, reply.primaries_answered);
                let how = resolved(&reply.resolved);
                format!("answer {values} context={context} from={from}{how}")
            }
            Err(error) => format!("answer error: {error}"),
        }
    }

    pub fn put(&self, outcome: &Result<Box<PutReply>, PutError>) -> String {
        match outcome {
            Ok(reply) => {
                let context = self.clock(&reply.context);
                let after = counted(reply.replicas_answered, reply.primaries_answered);
                let siblings = match reply.siblings {
                    0 | 1 => String::new(),
                    many => format!(" siblings={many}"),
                };
                let merged = reply.merged.iter().map(version);
                let merged: String = merged.map(|value| format!(" stored={value}")).collect();
                let how = resolved(&reply.resolved);
                format!("answer ok context={context} after={after}{siblings}{merged}{how}")
            }
            Err(error) => format!("answer error: {}", without_digests(&error.to_string())),
        }
    }
}

fn in_place_of(home: &Option<NodeId>) -> String {
    let told = home.as_ref().map(|home| format!("  hint-for={home}"));
    told.unwrap_or_default()
}

/// Answers, and how many of them are primaries' if not all.
fn counted(replicas: usize, primaries: usize) -> String {
    match replicas == primaries {
        true => replicas.to_string(),
        false => format!("{replicas} primaries={primaries}"),
    }
}

fn listed_key(listed: &ListedKey) -> String {
    let gone = if listed.is_live { "" } else { "(gone)" };
    format!("{}{gone}", listed.key.escape_ascii())
}

/// The reply to a step of a listing.
pub fn listed(outcome: &Result<Box<Keys>, GetError>) -> String {
    match outcome {
        Ok(keys) => {
            let live: Vec<String> = keys
                .live
                .iter()
                .map(|key| key.escape_ascii().to_string())
                .collect();
            let next = match &keys.next {
                Some(after) => format!(" next after {}", after.escape_ascii()),
                None => ", the end".to_owned(),
            };
            format!("answer keys {}{next}", live.join(","))
        }
        Err(error) => format!("answer error: {error}"),
    }
}

fn name(key: &Key) -> String {
    key.bytes().escape_ascii().to_string()
}

fn version(version: &Version) -> String {
    let value = version
        .bytes()
        .map(|bytes| bytes.escape_ascii().to_string());
    let value = value.unwrap_or_else(|| "deleted".to_owned());
    match version.expires_at_ms {
        Some(at) => format!("{value}(until {at})"),
        None => value,
    }
}

fn resolved(how: &Resolved) -> String {
    match how {
        Resolved::Single => String::new(),
        Resolved::Merged { by: Some(_), .. } => "  merged by the resolver".to_owned(),
        Resolved::Merged { by: None, .. } => "  the last write".to_owned(),
        Resolved::Siblings { reason } => format!("  siblings: {}", without_digests(reason)),
    }
}

/// Sixty-four digits say less than what they stand for.
fn without_digests(text: &str) -> String {
    text.replace(&RESOLVER.to_string(), "R")
        .replace(&VALIDATOR.to_string(), "V")
}
