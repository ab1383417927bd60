//! The page for operators: its commands run, and show what they are there for.

use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::program_of;

use crate::markdown::Markdown;
use crate::page::Page;

const PAGE: &str = include_str!("../../../../docs/operation.md");

/// The port of the switch, and that of a peer which is not there.
const PORTS: [&str; 2] = ["4570", "4571"];

/// The unit, where systemd would have it from.
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/systemd/oneport.service");
const USERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/systemd/oneport.sysusers");

#[test]
fn the_commands_of_the_page_for_operators_run_as_they_are_written() {
    let page = Page::serve(PAGE, &PORTS, |_| {});
    let said = page.run_commands(15);
    // The call that was refused is told of, with the limit that decided.
    assert!(said.contains("limit carrier"), "{said}");
    let records = std::fs::read_to_string(page.file("cdrs.csv")).expect("written");
    assert!(records.lines().count() >= 3, "{records}");
}

/// The block of the page that begins so.
fn block(page: &str, beginning: &str) -> String {
    let blocks = Markdown::of(page).blocks.into_iter().map(|block| block.text);
    let block = blocks.into_iter().find(|block| block.starts_with(beginning));
    block.unwrap_or_else(|| panic!("no block begins with {beginning}"))
}

#[test]
fn a_copy_that_sqlite3_makes_while_the_switch_runs_has_its_records() {
    program_of("sqlite3", "sqlite3").unwrap_or_else(|missing| panic!("{missing}"));
    let page = Page::serve(PAGE, &PORTS, |_| {});
    let call = "ONEPORT_SECRET=\"correct horse\" \
                oneport call iax:ann@127.0.0.1:4570/9100 --duration 1s || true";
    let at = page.text().split("127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next());
    page.run(&call.replace("4570", at.expect("a port")));
    let copy = block(page.text(), "sqlite3 /var/lib/oneport/oneport.db");
    let copy = copy.replace("/var/lib/oneport/", "").replace("/backup/", "copy-");
    let said = page.run(&format!(
        "{copy}\nsqlite3 copy-oneport.db 'PRAGMA integrity_check'\n\
         oneport cdr export --database copy-oneport.db"
    ));
    assert!(said.starts_with("ok\n"), "{said}");
    let refused = said.lines().filter(|line| line.contains(",ann,")).count();
    assert_eq!(refused, 1, "{said}");
}

fn analyze(arguments: &[&str], file: &Path) -> (bool, String) {
    let done = Command::new("systemd-analyze").args(arguments).arg(file).output().expect("it runs");
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn systemd_takes_the_unit_and_rates_it_as_the_page_says() {
    program_of("systemd-analyze", "systemd").unwrap_or_else(|missing| panic!("{missing}"));
    let directory = tempfile::tempdir().expect("a directory");
    let unit = directory.path().join("oneport.service");
    let text = std::fs::read_to_string(UNIT).expect("it is there");
    // It is not installed here.
    let here = text.replace("/usr/bin/oneport", &cargo_bin("oneport").display().to_string());
    std::fs::write(&unit, here).expect("writable");
    let (good, said) = analyze(&["verify", "--man=no"], &unit);
    assert!(good && said.is_empty(), "{said}");
    let (good, said) = analyze(&["security", "--offline=true", "--no-pager"], &unit);
    let exposure = said.split("Overall exposure level for oneport.service: ").nth(1);
    let exposure = exposure.and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    let exposure = exposure.unwrap_or_else(|| panic!("no level\n{said}"));
    // Each version of systemd rates a little otherwise.
    assert!(good && exposure < 2.0, "{said}");
    assert!(PAGE.contains("`systemd-analyze security` rates it 1.3 (OK)"), "{exposure}");
    let users = Path::new(USERS).canonicalize().expect("it is there");
    let done = Command::new("systemd-sysusers").arg("--dry-run").arg(&users).output();
    let done = done.expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Files that the page installs are where it says.
    let installed = block(PAGE, "install -m 755 oneport");
    let files = installed.split_whitespace().filter(|word| word.starts_with("contrib/"));
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        assert!(path.exists(), "{file}");
    }
}
