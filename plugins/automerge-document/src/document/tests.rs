//! What a merged document holds, and the laws over random histories of documents.

use super::*;
use crate::samples::{self, changed};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, ObjType, ROOT};
use proptest::collection::vec;
use proptest::prelude::*;

fn sample(name: &str) -> Vec<u8> {
    let found = samples::all().into_iter().find(|(known, _)| *known == name);
    found.unwrap().1
}

fn merged(values: &[&[u8]]) -> Vec<u8> {
    merge(values).unwrap_or_else(|unfit| panic!("{unfit}"))
}

fn shown(bytes: &[u8]) -> Shown {
    Shown::of(&Automerge::load(bytes).unwrap())
}

/// What a reader sees of the sample documents.
#[derive(Debug, PartialEq)]
struct Shown {
    list: Vec<String>,
    note: String,
    owner: Option<String>,
    visits: Option<i64>,
}

impl Shown {
    fn of(document: &Automerge) -> Shown {
        let object = |name| document.get(ROOT, name).unwrap().map(|(_, id)| id);
        let list = object("list").map(|list| {
            document
                .list_range(&list, ..)
                .map(|item| item.value.into_value().into_string().unwrap())
                .collect()
        });
        let scalar = |name| document.get(ROOT, name).unwrap().map(|(value, _)| value);
        Shown {
            list: list.unwrap_or_default(),
            note: object("note")
                .map(|note| document.text(&note).unwrap())
                .unwrap_or_default(),
            owner: scalar("owner").map(|value| value.into_string().unwrap()),
            visits: scalar("visits").and_then(|value| value.to_i64()),
        }
    }
}

#[test]
fn edits_of_list_text_and_counter_are_all_in_the_merged_document() {
    let all = merged(&[&sample("bread"), &sample("title"), &sample("emptied")]);
    let expected = Shown {
        list: vec!["bread".into()],
        note: "Buy:  freshmilk".into(),
        owner: Some("anna".into()),
        visits: Some(4),
    };
    assert_eq!(shown(&all), expected);
}

#[test]
fn no_change_of_any_sibling_is_missing() {
    let names = ["start", "bread", "title", "emptied", "later", "alone"];
    let files = names.map(sample);
    let values: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let all = Automerge::load(&merged(&values)).unwrap();
    for file in &files {
        for change in Automerge::load(file).unwrap().get_changes(&[]) {
            assert!(all.get_change_by_hash(&change.hash()).is_some());
        }
    }
    assert_eq!(all.get_changes(&[]).len(), 6);
}

#[test]
fn a_save_with_incremental_saves_behind_it_is_a_document() {
    let start = Automerge::load(&sample("start")).unwrap();
    let mut document = start.fork();
    document
        .apply_changes(Automerge::load(&sample("bread")).unwrap().get_changes(&[]))
        .unwrap();
    let appended = [sample("start"), document.save_after(&start.get_heads())].concat();
    assert_eq!(
        merged(&[&appended, &sample("title")]),
        merged(&[&sample("bread"), &sample("title")])
    );
}

#[test]
fn what_is_no_whole_document_is_named_with_its_place() {
    let start = Automerge::load(&sample("start")).unwrap();
    let later = Automerge::load(&sample("later")).unwrap();
    let with_a_hole = {
        let changes = later.get_changes(&[]);
        [sample("alone"), changes[2].raw_bytes().to_vec()].concat()
    };
    let mut broken = sample("bread");
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let tail_alone = later.save_after(&start.get_heads());
    for (value, part) in [
        (b"".to_vec(), "it is empty"),
        (b"milk".to_vec(), "is not an Automerge document: "),
        (broken, "is not an Automerge document: "),
        (with_a_hole, "1 changes are missing"),
        (tail_alone, "is not an Automerge document: "),
    ] {
        let refused = merge(&[&sample("start"), &value]).unwrap_err().to_string();
        assert!(refused.starts_with("sibling 2 of 2 "), "{refused}");
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn one_author_in_two_places_is_told_and_nothing_is_dropped() {
    let start = Automerge::load(&sample("start")).unwrap();
    let one = changed(&start, 9, |doc| doc.put(ROOT, "owner", "one")).save();
    let two = changed(&start, 9, |doc| doc.put(ROOT, "owner", "two")).save();
    let refused = merge(&[&one, &two]).unwrap_err().to_string();
    assert!(refused.contains("duplicate seq"), "{refused}");
}

#[test]
fn a_merge_that_the_library_cannot_read_back_is_not_answered() {
    let start = Automerge::load(&sample("start")).unwrap();
    let edited = changed(&start, 8, |doc| doc.put(ROOT, "owner", "dora")).save();
    let mut acknowledged = start.fork().with_actor(ActorId::from(&[9; 16][..]));
    acknowledged.empty_commit(CommitOptions::default().with_time(0));
    match merge(&[&edited, &acknowledged.save()]) {
        Ok(merged) => assert!(Automerge::load(&merged).is_ok()),
        Err(refused) => assert!(
            refused.to_string().contains("could not read it back"),
            "{refused}"
        ),
    }
}

/// A change to one of the documents, or a merge of one into another as a client would do it.
#[derive(Clone, Debug)]
enum Event {
    Put {
        at: usize,
        key: u8,
        value: i64,
    },
    Insert {
        at: usize,
        value: i64,
    },
    Delete {
        at: usize,
        place: usize,
    },
    Type {
        at: usize,
        place: usize,
        text: String,
    },
    Merge {
        from: usize,
        to: usize,
    },
}

fn any_event() -> impl Strategy<Value = Event> {
    let at = 0..4usize;
    prop_oneof![
        (at.clone(), 0..3u8, 0..9i64).prop_map(|(at, key, value)| Event::Put { at, key, value }),
        (at.clone(), 0..9i64).prop_map(|(at, value)| Event::Insert { at, value }),
        (at.clone(), 0..9usize).prop_map(|(at, place)| Event::Delete { at, place }),
        (at.clone(), 0..9usize, "[a-z]{1,3}").prop_map(|(at, place, text)| Event::Type {
            at,
            place,
            text
        }),
        (at.clone(), at).prop_map(|(from, to)| Event::Merge { from, to }),
    ]
}

/// Four documents with a past in common, after these events.
fn replay(events: &[Event]) -> Vec<Automerge> {
    let start = changed(&Automerge::new(), 1, |doc| {
        doc.put_object(ROOT, "list", ObjType::List)?;
        doc.put_object(ROOT, "note", ObjType::Text)?;
        Ok(())
    });
    let author = |at: usize| ActorId::from(&[at as u8 + 10; 16][..]);
    let mut documents: Vec<Automerge> = (0..4)
        .map(|at| start.fork().with_actor(author(at)))
        .collect();
    for event in events {
        let at = match event {
            Event::Merge { from, to } => {
                let mut other = documents[*from].fork();
                documents[*to].merge(&mut other).unwrap();
                continue;
            }
            Event::Put { at, .. }
            | Event::Insert { at, .. }
            | Event::Delete { at, .. }
            | Event::Type { at, .. } => *at,
        };
        let document = &documents[at];
        let list = document.get(ROOT, "list").unwrap().unwrap().1;
        let note = document.get(ROOT, "note").unwrap().unwrap().1;
        let (items, letters) = (document.length(&list), document.length(&note));
        let mut transaction = documents[at].transaction();
        match event {
            Event::Put { key, value, .. } => {
                transaction.put(ROOT, format!("key-{key}"), *value).unwrap()
            }
            Event::Insert { value, .. } => transaction.insert(&list, items / 2, *value).unwrap(),
            Event::Delete { place, .. } if items > 0 => {
                transaction.delete(&list, place % items).unwrap()
            }
            Event::Type { place, text, .. } => transaction
                .splice_text(&note, place % (letters + 1), 0, text)
                .unwrap(),
            _ => {}
        }
        transaction.commit();
    }
    documents
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn documents_of_random_histories_merge_lawfully(events in vec(any_event(), 0..30)) {
        let documents = replay(&events);
        let saved: Vec<Vec<u8>> = documents.iter().map(Automerge::save).collect();
        let [a, b, c, d] = [0, 1, 2, 3].map(|place| saved[place].as_slice());
        let all = merged(&[a, b, c, d]);
        for order in [[d, c, b, a], [b, a, d, c], [c, d, a, b], [b, c, d, a]] {
            prop_assert_eq!(&merged(&order), &all);
        }
        prop_assert_eq!(&merged(&[&merged(&[a, b]), &merged(&[c, d])]), &all);
        prop_assert_eq!(&merged(&[&merged(&[d, &merged(&[c, b])]), a]), &all);
        prop_assert_eq!(&merged(&[a, &merged(&[b, &merged(&[c, d])])]), &all);
        for one in [a, d, &all] {
            prop_assert_eq!(merged(&[one, one]), one);
        }
        prop_assert_eq!(&merged(&[&all, a, c]), &all);
    }
}
