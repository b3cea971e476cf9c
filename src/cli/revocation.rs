//! `rejoin cert revoke`: certificates onto the lists of their authorities.
//!
//! Needs no node, and reaches none: whoever runs the cluster copies the lists to its nodes.
//!
//! Invariant: what is on a list stays there.

use super::authority_files::{
    Holder, REALMS, Register, Signed, certificate, list, load, name, replace,
};
use super::certificate_arguments::Which;
use super::output::print_json;
use crate::security::authority::Realm;
use crate::security::files::{certificates, read};
use crate::security::revocation::{Shown, number};
use anyhow::Context as _;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

/// An authority and a serial number, hexadecimal.
type Revoked = BTreeSet<(Realm, String)>;

pub fn run(which: &Which, folder: &Path, json: bool) -> anyhow::Result<()> {
    // Both have to be there before anything is written.
    for realm in REALMS {
        let file = certificate(folder, name(realm));
        anyhow::ensure!(
            file.exists(),
            "{} is not there; give the folder that `rejoin cert authority` made",
            file.display()
        );
    }
    let mut register = Register::open(folder)?;
    let revoked = found(which, folder, &mut register)?;
    let mut lists = Vec::new();
    for realm in REALMS {
        let of_this = revoked.iter().filter(|(of, _)| *of == realm);
        let serials: Result<Vec<_>, _> = of_this.map(|(_, serial)| hex::decode(serial)).collect();
        let serials = serials.context("a serial number")?;
        let serials: Vec<&[u8]> = serials.iter().map(Vec::as_slice).collect();
        let file = list(folder, name(realm));
        // An authority of an earlier release has no list yet; from now on nodes are given both.
        if serials.is_empty() && file.exists() {
            continue;
        }
        let before = file.exists().then(|| read(&file)).transpose()?;
        let before = before.as_ref().map(|bytes| &bytes[..]);
        let text = load(realm, folder)?.revoke(before, &serials);
        let text = text.with_context(|| file.display().to_string())?;
        replace(&file, &text)?;
        lists.push(file.display().to_string());
    }
    let shown: Vec<_> = revoked
        .iter()
        .map(|(realm, serial)| json!({ "authority": name(*realm), "serial": serial }))
        .collect();
    match json {
        true => print_json(&json!({ "revoked": shown, "lists": lists })),
        false => {
            for (realm, serial) in &revoked {
                println!("revoked {serial} of {}", name(*realm));
            }
            println!(
                "next: copy {} to every node, where `client_crl` and `peer_crl` say",
                lists.join(" and ")
            );
        }
    }
    Ok(())
}

fn found(which: &Which, folder: &Path, register: &mut Register) -> anyhow::Result<Revoked> {
    if let Some(file) = &which.certificate {
        return of_file(file, folder);
    }
    if let Some(digits) = &which.serial {
        let serial = hex::decode(digits.replace(':', "")).ok();
        let serial = serial.filter(|serial| (1..=20).contains(&number(serial).len()));
        let serial = serial.with_context(|| {
            format!("{digits:?} is no serial number; give up to 40 hexadecimal digits")
        })?;
        // The other authority gave this number to nobody.
        let serial = hex::encode(number(&serial));
        return Ok(REALMS.map(|realm| (realm, serial.clone())).into());
    }
    let (holder, holder_name, command) = match (&which.client, &which.node) {
        (Some(client), _) => (Holder::Client, client, "client"),
        (None, Some(node)) => (Holder::Node, node, "node"),
        (None, None) => anyhow::bail!("give --client, --node, --certificate or --serial"),
    };
    let signed = register.read()?;
    let of_theirs = |signed: &&Signed| signed.holder == holder && signed.name == *holder_name;
    let realm_of = |authority: &str| REALMS.into_iter().find(|realm| name(*realm) == authority);
    let found: Revoked = signed
        .iter()
        .filter(of_theirs)
        .filter_map(|signed| Some((realm_of(&signed.authority)?, signed.serial.clone())))
        .collect();
    anyhow::ensure!(
        !found.is_empty(),
        "`issued.jsonl` in {} knows no certificate of {command} {holder_name}; if an earlier release made it, give --certificate FILE or --serial",
        folder.display()
    );
    Ok(found)
}

/// The certificate of a file, without its chain.
fn of_file(file: &Path, folder: &Path) -> anyhow::Result<Revoked> {
    let chain = certificates(file, &read(file)?)?;
    let shown =
        Shown::of(&chain[0]).with_context(|| format!("{} is unreadable", file.display()))?;
    for realm in REALMS {
        if load(realm, folder)?.has_issued(&shown) {
            return Ok([(realm, hex::encode(shown.serial()))].into());
        }
    }
    anyhow::bail!(
        "{} was not signed by an authority in {}",
        file.display(),
        folder.display()
    )
}
