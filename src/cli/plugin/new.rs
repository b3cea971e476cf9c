//! `rejoin plugin new`: a small project that works as it is.
//!
//! Asks no server and starts no tool.
//!
//! Invariant: nothing that is there is written to; a refused name or folder leaves nothing behind.

use super::super::author_arguments::NewPlugin;
use super::super::output::print_json;
use super::template::Template;
use crate::limits::PLUGIN_NAME_BYTES_MAX;
use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

pub fn run(new: &NewPlugin, json: bool) -> anyhow::Result<()> {
    check_name(&new.name)?;
    let template = Template::of(new.lang);
    let files = template.files(new.lang, &new.name);
    let folder = match &new.into {
        Some(parent) => parent.join(&new.name),
        None => PathBuf::from(&new.name),
    };
    write(&folder, &files)?;
    if json {
        let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
        print_json(&json!({"folder": folder, "lang": new.lang.word(), "files": paths}));
        return Ok(());
    }
    let shown = folder.display();
    println!(
        "{shown} has a resolver in {}: the union of lines",
        template.language
    );
    println!("  {}  the rule", folder.join(template.source).display());
    println!("  {shown}/fixtures  what is asked, and what has to come out");
    println!("the build needs {}", template.needs);
    let name = &new.name;
    eprintln!(
        "next: rejoin plugin build {shown} && rejoin plugin push {shown}/build/{name}.wasm && rejoin bucket create NAME --resolver {name}"
    );
    Ok(())
}

/// Names become folders, crates and rows of listings.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase();
    let fits = |byte: u8| is_letter(byte) || byte.is_ascii_digit() || byte == b'-';
    let bytes = name.as_bytes();
    let good = bytes.first().is_some_and(|first| is_letter(*first))
        && bytes.iter().all(|byte| fits(*byte))
        && !name.ends_with('-')
        && !name.contains("--");
    ensure!(
        good && bytes.len() <= PLUGIN_NAME_BYTES_MAX,
        "{name:?} is not a name for a plugin; take 1 to {PLUGIN_NAME_BYTES_MAX} lower-case letters, digits and single `-`, a letter first"
    );
    Ok(())
}

fn write(folder: &Path, files: &[(&str, String)]) -> anyhow::Result<()> {
    let shown = folder.display();
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    // Not `create_dir_all`: whoever was here first keeps the folder.
    match fs::create_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{shown} is there already; take another name, or remove it first")
        }
        made => made.with_context(|| format!("making {shown}"))?,
    }
    for (path, text) in files {
        let path = folder.join(path);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, text)
        };
        write().with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_single_dashes() {
        for good in ["a", "cart", "shopping-cart-2", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in [
            "", "Cart", "2cart", "-cart", "cart-", "a--b", "a_b", "a/b", "../a", "ä", &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
