//! The documents of the samples, as the library writes them. Not part of the plugin: it only needs their bytes.
//!
//! Invariant: no clock and no random number, so every machine writes the same bytes.

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{ActorId, Automerge, AutomergeError, ObjType, ROOT, ReadDoc, ScalarValue};

/// By file name, in the order of the samples.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let start = changed(&Automerge::new(), 1, start);
    let bread = changed(&start, 2, |doc| {
        let list = doc.get(ROOT, "list")?.expect("the list").1;
        doc.insert(&list, 0, "bread")?;
        doc.increment(ROOT, "visits", 2)
    });
    let title = changed(&start, 3, |doc| {
        let note = doc.get(ROOT, "note")?.expect("the note").1;
        doc.splice_text(&note, 5, 0, " fresh")?;
        doc.increment(ROOT, "visits", 1)
    });
    let emptied = changed(&start, 4, |doc| {
        let list = doc.get(ROOT, "list")?.expect("the list").1;
        doc.delete(&list, 0)?;
        doc.put(ROOT, "owner", "anna")
    });
    let later = changed(&bread, 5, |doc| doc.put(ROOT, "owner", "bert"));
    let alone = changed(&Automerge::new(), 6, |doc| doc.put(ROOT, "owner", "carl"));
    [
        ("start", start),
        ("bread", bread),
        ("title", title),
        ("emptied", emptied),
        ("later", later),
        ("alone", alone),
    ]
    .map(|(name, document)| (name, document.save()))
    .into()
}

fn start(doc: &mut Transaction) -> Result<(), AutomergeError> {
    let list = doc.put_object(ROOT, "list", ObjType::List)?;
    doc.insert(&list, 0, "milk")?;
    let note = doc.put_object(ROOT, "note", ObjType::Text)?;
    doc.splice_text(&note, 0, 0, "Buy: milk")?;
    doc.put(ROOT, "visits", ScalarValue::counter(1))
}

/// The document with one more change by this actor.
pub fn changed(
    document: &Automerge,
    actor: u8,
    change: impl FnOnce(&mut Transaction) -> Result<(), AutomergeError>,
) -> Automerge {
    let mut document = document.fork().with_actor(ActorId::from(&[actor; 16][..]));
    let mut transaction = document.transaction();
    change(&mut transaction).expect("a change that fits its document");
    transaction.commit_with(CommitOptions::default().with_time(0));
    document
}
