//! `docs/decode.md`: what stands there as printed is what is printed.

use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use oneport_decode::FaultKind;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn page() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("docs/decode.md")).expect("the page")
}

/// What a command of the page prints.
fn printed(line: &str) -> String {
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("oneport"));
    let output = Command::new(cargo_bin("oneport"))
        .args(words)
        .current_dir(ROOT)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("COLUMNS")
        .env_remove("ONEPORT_SECRET")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn what_the_page_shows_is_what_is_printed() {
    let page = page();
    let blocks: Vec<&str> = page
        .split("```console\n$ ")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect();
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
    for block in blocks {
        let (command, shown) = block.split_once('\n').expect("a command");
        assert_eq!(printed(command).trim_end(), shown.trim_end(), "{command}");
    }
}

#[test]
fn the_page_names_every_fault() {
    let page = page();
    for kind in FaultKind::ALL {
        let row = format!("| `{}` | {} |", kind.name(), kind.sentence());
        assert!(page.contains(&row), "{row}");
    }
}
