//! The book that the pages are: all of them are in it, every link leads somewhere, and every block of
//! commands is run by a test or says why not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::markdown::{Markdown, Note};

/// The root of the project.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Pages whose commands are run, and the test that does it.
const RUN: [(&str, &str); 17] = [
    ("alerts.md", "crates/oneport-cli/tests/pages/alerts.rs"),
    ("allstarlink.md", "crates/oneport-cli/tests/pages/asterisk.rs"),
    ("api.md", "crates/oneport-switch/tests/api/examples.rs"),
    ("asterisk.md", "crates/oneport-cli/tests/pages/asterisk.rs"),
    ("capacity.md", "crates/oneport-cli/tests/pages/small.rs"),
    ("carriers.md", "crates/oneport-cli/tests/pages/carriers.rs"),
    ("cluster.md", "crates/oneport-cli/tests/pages/cluster.rs"),
    ("dialer.md", "crates/oneport-cli/tests/pages/asterisk.rs"),
    ("doctor.md", "crates/oneport-cli/tests/pages/small.rs"),
    ("import.md", "crates/oneport-cli/tests/pages/small.rs"),
    ("nat.md", "crates/oneport-cli/tests/pages/small.rs"),
    ("operation.md", "crates/oneport-cli/tests/pages/operation.rs"),
    ("security.md", "crates/oneport-cli/tests/pages/asterisk.rs"),
    ("start.md", "crates/oneport-cli/tests/pages/small.rs"),
    ("switch.md", "crates/oneport-cli/tests/pages/switch.rs"),
    ("tracing.md", "crates/oneport-cli/tests/pages/tracing.rs"),
    ("vicidial.md", "crates/oneport-cli/tests/pages/asterisk.rs"),
];

/// What pieces of Rust are from.
const PROGRAMS: [&str; 4] = [
    "examples/echo_server.rs",
    "examples/place_call.rs",
    "examples/register.rs",
    "crates/oneport/tests/guide.rs",
];

/// Pages at the root, which are no chapters.
const AT_ROOT: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All chapters by their names, and what they are made of.
fn chapters() -> BTreeMap<String, Markdown> {
    let docs = Path::new(ROOT).join("docs");
    let files =
        fs::read_dir(&docs).expect("it is there").map(|file| file.expect("readable").path());
    let pages = files.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let name = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    pages
        .filter(|path| !path.ends_with("SUMMARY.md"))
        .map(|path| (name(&path), Markdown::of(&read(&path))))
        .collect()
}

#[test]
fn every_page_is_a_chapter_of_the_book_and_stands_in_it_once() {
    let summary = Markdown::of(&read(&Path::new(ROOT).join("docs/SUMMARY.md"))).links;
    let listed: BTreeSet<_> = summary.iter().cloned().collect();
    assert_eq!(listed.len(), summary.len(), "one stands there twice");
    assert_eq!(listed, chapters().into_keys().collect());
}

/// A path without `..` and `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut all, part| {
        match part {
            Component::ParentDir => drop(all.pop()),
            Component::CurDir => {}
            part => all.push(part),
        }
        all
    })
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut pages: BTreeMap<PathBuf, Markdown> =
        chapters().into_iter().map(|(name, page)| (Path::new("docs").join(name), page)).collect();
    let root = AT_ROOT.map(|name| (name.into(), Markdown::of(&read(&Path::new(ROOT).join(name)))));
    pages.extend(root);
    let mut wrong = Vec::new();
    for (path, page) in &pages {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let to = match file {
                "" => path.clone(),
                file => plain(&path.parent().expect("a directory").join(file)),
            };
            // In the book there is nothing but what is in its directory.
            let outside = path.starts_with("docs") && !to.starts_with("docs");
            let there = Path::new(ROOT).join(&to).exists();
            let leads = match (heading, pages.get(&to)) {
                ("", _) => true,
                (heading, Some(page)) => page.anchors.contains(heading),
                (_, None) => false,
            };
            if outside || !there || !leads {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "they lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn every_block_of_commands_is_run_by_a_test_or_says_why_not() {
    let run = BTreeMap::from(RUN);
    let mut wrong = Vec::new();
    for (name, page) in &chapters() {
        // Without a word behind its fence nobody knows whether a block is commands.
        if page.blocks.iter().any(|block| block.kind.is_none()) {
            wrong.push(format!("{name}: a block of no kind"));
        }
        let idle = |note: &Option<Note>| matches!(note, Some(Note::NotRun(why)) if why.len() < 10);
        if page.blocks.iter().any(|block| idle(&block.note)) {
            wrong.push(format!("{name}: a reason that is none"));
        }
        let runs = page.blocks.iter().any(|block| block.is_run());
        match (runs, run.get(name.as_str())) {
            (true, None) => wrong.push(format!("{name}: no test runs its commands")),
            (false, Some(_)) => wrong.push(format!("{name}: it has no commands to be run")),
            (true, Some(test)) => {
                if !read(&Path::new(ROOT).join(test)).contains(&format!("docs/{name}")) {
                    wrong.push(format!("{name}: {test} does not read it"));
                }
            }
            (false, None) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A text without what its lines are indented by, and without lines that say nothing.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_piece_of_rust_in_the_book_stands_in_a_program_that_is_compiled() {
    let programs = PROGRAMS.map(|name| read(&Path::new(ROOT).join(name)));
    let programs = programs.each_ref().map(|text| lines(text));
    let mut pieces = 0;
    for (name, page) in &chapters() {
        for block in page.blocks.iter().filter(|block| block.kind.as_deref() == Some("rust")) {
            let piece = lines(&block.text);
            let is_in =
                |program: &Vec<&str>| program.windows(piece.len()).any(|window| window == piece);
            assert!(programs.iter().any(is_in), "{name}: no program has\n{}", block.text);
            pieces += 1;
        }
    }
    assert!(pieces >= 5, "{pieces}");
}
