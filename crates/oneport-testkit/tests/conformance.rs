//! The table of `docs/conformance.md` names tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
                    Some((_, rest)) if is_test && line.ends_with('{') => {
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

#[test]
fn every_row_of_the_conformance_table_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tests = BTreeSet::new();
    tests_in(&root.join("crates"), &mut tests);
    assert!(tests.len() > 150, "{} tests found", tests.len());
    let table = fs::read_to_string(root.join("docs/conformance.md")).expect("the table");
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| § ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        let name = cells[4].trim_matches('`');
        assert!(tests.contains(name), "no test {name:?}, which this row names:\n{line}");
        rows += 1;
    }
    assert!(rows > 60, "{rows} rows");
}
