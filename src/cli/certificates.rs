//! `rejoin cert`: authorities and certificates into files.
//!
//! Needs no node.
//!
//! Invariant: no file is replaced, a private key is readable by its owner alone from its first byte on, and either all
//! files of a command are there in the end or it says which one was in the way.

use super::authority_files::{
    Holder, REALMS, Register, Signed, certificate, key, list, load, name as called,
};
use super::certificate_arguments::{Certificate, Issue, Trust};
use super::output::print_json;
use super::revocation;
use crate::client::tls::Tls;
use crate::dynamo::names::NodeId;
use crate::limits::transport::CERTIFICATE_HOSTS_MAX;
use crate::security::authority::{Authority, Issued, Realm, found};
use crate::security::files::{read, read_secret};
use crate::security::names::check_client;
use anyhow::Context as _;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub fn run(asked: Certificate, json: bool) -> anyhow::Result<()> {
    match asked {
        Certificate::Authority { out, days } => authority(&out, days, json),
        Certificate::Node { name, hosts, issue } => node(&name, &hosts, &issue, json),
        Certificate::Client { name, issue } => client(&name, &issue, json),
        Certificate::Revoke { which, authority } => revocation::run(&which, &authority, json),
    }
}

fn authority(out: &Path, days: u32, json: bool) -> anyhow::Result<()> {
    let mut files = Files::default();
    for realm in REALMS {
        let issued = found(realm, days)?;
        let loaded = Authority::load(realm, issued.certificate.as_bytes(), &issued.key)?;
        files.pair(out, called(realm), issued);
        // Empty, so that nodes have where to look before there is something to find.
        let list = list(out, called(realm));
        files
            .0
            .push((list, loaded.revoke(None, &[])?.into(), 0o644));
    }
    files.write(out)?;
    let out = out.display();
    match json {
        true => print_json(&json!({ "folder": out.to_string() })),
        false => println!(
            "the authorities are in {out}; keep their keys away from the nodes\n\
             next: rejoin cert node NAME --host HOST --authority {out} --out FOLDER"
        ),
    }
    Ok(())
}

fn node(name: &str, hosts: &[String], issue: &Issue, json: bool) -> anyhow::Result<()> {
    let node = NodeId::new(name)?;
    anyhow::ensure!(
        hosts.len() <= CERTIFICATE_HOSTS_MAX,
        "{} hosts are given; give 1 to {CERTIFICATE_HOSTS_MAX}",
        hosts.len()
    );
    let Issue { out, days, .. } = issue;
    let folder = &issue.authority;
    let clients = load(Realm::Clients, folder)?;
    let peers = load(Realm::Peers, folder)?;
    let peer_name = format!("{name}.peer");
    let server = clients.for_server(&node, hosts, *days)?;
    let peer = peers.for_peer(&node, *days)?;
    let signed = [
        Signed::now(Realm::Clients, Holder::Node, name, &server.certificate)?,
        Signed::now(Realm::Peers, Holder::Node, name, &peer.certificate)?,
    ];
    let mut files = Files::default();
    files.pair(out, name, server);
    files.pair(out, &peer_name, peer);
    for realm in REALMS {
        files.copy(&certificate(folder, called(realm)), out)?;
    }
    let lists = files.lists(folder, out)?;
    Register::open(folder)?.add(&signed)?;
    files.write(out)?;
    let at = |file: PathBuf| std::path::absolute(&file).unwrap_or(file);
    let fields = [
        ("certificate", at(certificate(out, name))),
        ("key", at(key(out, name))),
        ("client_ca", at(certificate(out, called(Realm::Clients)))),
        ("peer_certificate", at(certificate(out, &peer_name))),
        ("peer_key", at(key(out, &peer_name))),
        ("peer_ca", at(certificate(out, called(Realm::Peers)))),
    ];
    let lists = lists.into_iter().map(|(field, file)| (field, at(file)));
    let fields = fields.into_iter().chain(lists);
    let fields = fields.map(|(field, file)| (field, file.display().to_string()));
    match json {
        true => {
            let fields = fields.map(|(field, file)| (field.to_owned(), file.into()));
            let table: serde_json::Map<String, serde_json::Value> = fields.collect();
            print_json(&json!({ "tls": table }));
        }
        false => {
            println!("for the configuration of {name}:\n\n[tls]");
            for (field, file) in fields {
                println!("{field} = {file:?}");
            }
        }
    }
    Ok(())
}

fn client(name: &str, issue: &Issue, json: bool) -> anyhow::Result<()> {
    check_client(name).map_err(anyhow::Error::msg)?;
    let out = &issue.out;
    let authority = called(Realm::Clients);
    let issued = load(Realm::Clients, &issue.authority)?.for_client(name, issue.days)?;
    let signed = Signed::now(Realm::Clients, Holder::Client, name, &issued.certificate)?;
    let mut files = Files::default();
    files.pair(out, name, issued);
    files.copy(&certificate(&issue.authority, authority), out)?;
    Register::open(&issue.authority)?.add(&[signed])?;
    files.write(out)?;
    let ca = certificate(out, authority).display().to_string();
    let shown = certificate(out, name).display().to_string();
    let key = key(out, name).display().to_string();
    match json {
        true => print_json(&json!({ "ca": ca, "cert": shown, "key": key })),
        false => println!("rejoin --server https://HOST:PORT --ca {ca} --cert {shown} --key {key}"),
    }
    Ok(())
}

/// Files that are to be made.
#[derive(Default)]
struct Files(Vec<(PathBuf, Zeroizing<String>, u32)>);

impl Files {
    fn pair(&mut self, out: &Path, name: &str, issued: Issued) {
        self.0.push((key(out, name), issued.key, 0o600));
        let certificate = certificate(out, name);
        self.0.push((certificate, issued.certificate.into(), 0o644));
    }

    /// A file that has to be there too; it may be there already.
    fn copy(&mut self, from: &Path, out: &Path) -> anyhow::Result<()> {
        let text = String::from_utf8(read(from)?)
            .with_context(|| format!("{} is not text", from.display()))?;
        let to = out.join(from.file_name().unwrap_or_default());
        let is_there = std::fs::read_to_string(&to).is_ok_and(|found| found == text);
        if !is_there {
            self.0.push((to, text.into(), 0o644));
        }
        Ok(())
    }

    /// The lists of both authorities, by the fields that name them; an authority of an earlier release has none.
    fn lists(&mut self, from: &Path, out: &Path) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
        let mut lists = Vec::new();
        for (field, realm) in [("client_crl", Realm::Clients), ("peer_crl", Realm::Peers)] {
            let file = list(from, called(realm));
            if file.exists() {
                self.copy(&file, out)?;
                lists.push((field, list(out, called(realm))));
            }
        }
        Ok(lists)
    }

    fn write(self, out: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
        for (file, ..) in &self.0 {
            anyhow::ensure!(
                !file.exists(),
                "{} is there already, and nothing is replaced; choose another --out, or move it away",
                file.display()
            );
        }
        for (file, text, mode) in self.0 {
            let mut options = OpenOptions::new();
            let options = options.write(true).create_new(true).mode(mode);
            let open = options.open(&file);
            let mut open = open.with_context(|| format!("making {}", file.display()))?;
            open.write_all(text.as_bytes())?;
            open.sync_all()?;
        }
        Ok(())
    }
}

impl Trust {
    /// What the command line says; none without an authority.
    pub fn load(&self) -> anyhow::Result<Option<Tls>> {
        let (certificate, key) = (&self.shown_certificate, &self.shown_key);
        anyhow::ensure!(
            certificate.is_some() == key.is_some(),
            "--cert and --key go together; give both or neither"
        );
        let Some(ca) = &self.trusted_ca else {
            anyhow::ensure!(
                certificate.is_none(),
                "--cert is given without --ca; say whose servers may see it"
            );
            return Ok(None);
        };
        let tls = Tls::trusting(read(ca)?).with_context(|| ca.display().to_string())?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let key = read_secret(key)?.into_bytes();
                Ok(Some(tls.showing(read(certificate)?, key)))
            }
            _ => Ok(Some(tls)),
        }
    }
}
