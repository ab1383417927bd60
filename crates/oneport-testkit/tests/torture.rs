//! The set of `testdata/torture/`, and ten thousand cases more that a seed makes up.

use std::collections::BTreeSet;
use std::path::Path;

use oneport_testkit::torture::{Case, Chapter, generate, read_all, run};

fn chapters() -> Vec<Chapter> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/torture");
    read_all(&directory).unwrap_or_else(|what| panic!("{what}"))
}

fn failures<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Vec<String> {
    let fails = |case: &Case| run(case, 1).err().map(|what| format!("{}: {what}", case.name));
    cases.into_iter().filter_map(fails).collect()
}

#[test]
fn every_case_of_the_torture_set_gets_its_right_answer() {
    let chapters = chapters();
    let cases: Vec<&Case> = chapters.iter().flat_map(|chapter| &chapter.case).collect();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "names are unique");
    let failures = failures(cases);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_frame_that_decrypts_to_a_negative_or_short_length_harms_no_call() {
    let lies = [
        "ciphertext-of-nothing",
        "ciphertext-that-is-not-a-multiple-of-16",
        "padding-that-says-more-than-there-is",
        "padding-of-31",
    ];
    let chapters = chapters();
    let cases = chapters.iter().flat_map(|chapter| &chapter.case);
    let cases: Vec<&Case> = cases.filter(|case| lies.contains(&case.name.as_str())).collect();
    assert_eq!(cases.len(), lies.len());
    let failures = failures(cases);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs generated cases on all processors; each keeps to what holds for every case.
#[test]
fn ten_thousand_generated_cases_keep_to_the_bounds() {
    let cases = generate(5456, 10_000);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let parts = cases.chunks(cases.len().div_ceil(threads));
        let workers: Vec<_> = parts.map(|part| scope.spawn(move || failures(part))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn generated_cases_survive_being_written_and_read() {
    let case = generate(2, 200);
    let chapter = Chapter { chapter: "some".into(), case };
    let written = chapter.to_toml().expect("TOML");
    let read: Chapter = toml::from_str(&written).expect("the same");
    assert_eq!(format!("{read:?}"), format!("{chapter:?}"));
}

#[test]
fn the_same_seed_generates_the_same_cases() {
    let written = |count| format!("{:?}", generate(1, count));
    assert_eq!(written(100), written(100));
    assert!(written(100).starts_with(written(50).trim_end_matches(']')));
}
