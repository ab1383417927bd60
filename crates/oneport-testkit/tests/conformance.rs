//! The table of `docs/conformance.md`: five cells in each row, none of them empty; sections that
//! the RFC has, tests that exist, no rule twice. And that of `docs/known-failures.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many parts each chapter of RFC 5456 has: `("6.1", 6)` is 6.1 to 6.1.6.
const SECTIONS: [(&str, u32); 34] = [
    ("1", 2),
    ("2", 0),
    ("3", 0),
    ("4", 0),
    ("5", 2),
    ("6", 10),
    ("6.1", 6),
    ("6.2", 7),
    ("6.3", 4),
    ("6.4", 6),
    ("6.5", 7),
    ("6.6", 0),
    ("6.7", 5),
    ("6.8", 3),
    ("6.9", 5),
    ("6.10", 7),
    ("7", 4),
    ("7.1", 0),
    ("7.2", 2),
    ("7.3", 0),
    ("7.4", 0),
    ("8", 7),
    ("8.1", 4),
    ("8.1.3", 2),
    ("8.2", 10),
    ("8.3", 0),
    ("8.4", 0),
    ("8.5", 0),
    ("8.6", 42),
    ("8.7", 0),
    ("9", 7),
    ("10", 0),
    ("11", 0),
    ("12", 0),
];

/// All sections of the RFC that say what an implementation does.
fn sections() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (chapter, parts) in SECTIONS {
        all.insert(chapter.to_string());
        all.extend((1..=parts).map(|part| format!("{chapter}.{part}")));
    }
    all
}

/// Where a row is counted: its chapter, and in chapters 6 and 8 the part of it.
fn chapter(section: &str) -> String {
    let parts = if section.starts_with("6.") || section.starts_with("8.") { 2 } else { 1 };
    section.split('.').take(parts).collect::<Vec<_>>().join(".")
}

/// Names of all test functions below a directory.
fn tests_in(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                match line.split_once("fn ") {
                    Some((_, rest)) if is_test && line.ends_with(['{', '(']) => {
                        found.extend(rest.split_once('(').map(|(name, _)| name.to_string()));
                        is_test = false;
                    }
                    _ => {
                        is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test")
                    }
                }
            }
        }
    }
}

/// The cells of the table's rows.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().filter(|line| line.starts_with('|'));
    let rows = lines.map(|line| {
        let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
        let inner = inner.unwrap_or_else(|| panic!("no bar at the end of {line}"));
        inner.split('|').map(str::trim).collect::<Vec<_>>()
    });
    rows.filter(|cells| cells[0] != "§" && !cells[0].starts_with("---")).collect()
}

#[test]
fn every_row_of_the_conformance_table_is_whole_and_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tests = BTreeSet::new();
    tests_in(&root.join("crates"), &mut tests);
    assert!(tests.len() > 150, "{} tests found", tests.len());
    let table = fs::read_to_string(root.join("docs/conformance.md")).expect("the table");
    let sections = sections();
    let mut rules = BTreeSet::new();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for cells in rows(&table) {
        let [section, rule, ours, asterisk, test] = cells[..] else {
            panic!("not five cells: {cells:?}")
        };
        assert!(!section.is_empty() && !rule.is_empty() && !ours.is_empty(), "{cells:?}");
        assert!(!asterisk.is_empty(), "{cells:?}");
        let name = test.strip_prefix('`').and_then(|test| test.strip_suffix('`'));
        let name = name.unwrap_or_else(|| panic!("no test in {cells:?}"));
        assert!(tests.contains(name), "no test {name:?}, which this row names: {cells:?}");
        // What came after the RFC has no section.
        assert!(section == "–" || sections.contains(section), "the RFC has no §{section}: {rule}");
        assert!(rules.insert((section, rule)), "twice: §{section} {rule}");
        *counts.entry(chapter(section)).or_default() += 1;
    }
    for (chapter, count) in &counts {
        println!("§{chapter}: {count} rows");
    }
    let total: u32 = counts.values().sum();
    println!("{total} rows");
    assert!(total > 60, "{total} rows");
}

#[test]
fn each_of_the_known_failures_has_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tests = BTreeSet::new();
    tests_in(&root.join("crates"), &mut tests);
    let table = fs::read_to_string(root.join("docs/known-failures.md")).expect("the table");
    let mut numbers = BTreeSet::new();
    for cells in rows(&table).into_iter().filter(|cells| cells[0] != "#") {
        let [number, claim, named] = cells[..] else { panic!("not three cells: {cells:?}") };
        assert!(!claim.is_empty(), "{cells:?}");
        for name in named.split(", ") {
            let name = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
            let name = name.unwrap_or_else(|| panic!("no test in {cells:?}"));
            assert!(tests.contains(name), "no test {name:?}, which row {number} names");
        }
        numbers.insert(number.parse::<u32>().expect("a number"));
    }
    assert_eq!(numbers, (1..=34).collect());
}
