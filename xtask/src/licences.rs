//! The licences of all that is in the program: what each part is under, and the texts that come with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::root;

/// What cargo says of the packages, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    /// None for our own.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// A report for this package and what it is linked with on a platform.
pub(crate) fn report(package: &str, platform: &str) -> Result<String, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", platform]);
    let output = cargo.current_dir(root()).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let linked = linked(&metadata, package);
    let mut list = String::new();
    let mut texts = BTreeMap::<String, BTreeSet<String>>::new();
    for package in metadata.packages.iter().filter(|package| linked.contains(package.id.as_str())) {
        let Package { name, version, source, .. } = package;
        let under = package.license.as_deref().unwrap_or("see its text");
        let _ = writeln!(list, "{name} {version}: {under}");
        let directory = match source {
            Some(_) => {
                package.manifest_path.parent().unwrap_or_else(|| Path::new("")).to_path_buf()
            }
            None => root(),
        };
        for text in texts_in(&directory)? {
            texts.entry(text).or_default().insert(format!("{name} {version}"));
        }
    }
    let mut report = format!("What is in the program, and under which licence.\n\n{list}");
    for (text, of) in texts {
        let of = of.into_iter().collect::<Vec<_>>().join(", ");
        let _ = write!(report, "\n{}\n{of}\n\n{}\n", "-".repeat(72), text.trim_end());
    }
    Ok(report)
}

/// This package and all that it depends on, but for what only builds or tests.
fn linked<'a>(metadata: &'a Metadata, package: &str) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<_, _> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let first = metadata.packages.iter().filter(|found| found.name == package);
    let mut waiting: Vec<_> = first.map(|found| found.id.as_str()).collect();
    let mut linked = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !linked.insert(id) {
            continue;
        }
        let depends = nodes.get(id).map_or(&[][..], |node| &node.deps);
        let runs = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|k| k.kind.is_none());
        waiting.extend(depends.iter().filter(runs).map(|dependency| dependency.pkg.as_str()));
    }
    linked
}

/// The texts of licences in a package's directory.
fn texts_in(directory: &Path) -> Result<Vec<String>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let is = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|beginning| name.starts_with(beginning));
        if is && path.is_file() {
            texts.push(String::from_utf8_lossy(&fs::read(&path).map_err(failed)?).into_owned());
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_what_is_linked_with_its_text_and_nothing_that_only_tests() {
        let report = report("xtask", "x86_64-unknown-linux-gnu").expect("cargo knows");
        assert!(report.contains("\nserde_json "), "{report}");
        assert!(report.contains("Permission is hereby granted"), "a text of the MIT licence");
        assert!(!report.contains("\nproptest "), "nothing of it is in xtask");
    }
}
