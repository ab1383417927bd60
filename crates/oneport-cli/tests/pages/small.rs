//! Pages with some few commands, which need no other system.

use std::fs;

use oneport::media::wav;
use oneport_testkit::peers::program_of;

use crate::markdown::Markdown;
use crate::network::Network;
use crate::page::Page;

const START: &str = include_str!("../../../../docs/start.md");
const CAPACITY: &str = include_str!("../../../../docs/capacity.md");
const DOCTOR: &str = include_str!("../../../../docs/doctor.md");
const IMPORT: &str = include_str!("../../../../docs/import.md");
const NAT: &str = include_str!("../../../../docs/nat.md");

/// An Asterisk configuration to be imported and looked at.
const ASTERISK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/asterisk/dialer");

/// A page that has no configuration, with a small one.
fn with_configuration(page: &str) -> String {
    format!("```toml\n[server]\nlisten = [\"127.0.0.1:4569\"]\n```\n\n{page}")
}

#[test]
fn five_minutes_lead_to_a_tone_its_echo_and_a_call_of_ones_own() {
    let network = Network::new();
    let directory = tempfile::tempdir().expect("a directory");
    let own = directory.path();
    let page = Markdown::of(START);
    let blocks: Vec<_> = page.blocks.iter().filter(|block| block.is_run()).collect();
    let [serve, calls, check, own_call] = &blocks[..] else { panic!("{blocks:?}") };
    {
        let _serve = network.serve(own, serve.text.trim());
        network.run(own, &calls.text);
    }
    for name in ["first.wav", "back.wav"] {
        let heard = wav::read(&own.join(name), 8_000).expect("recorded");
        let loud = heard.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
        assert!(loud > 8_000, "{name}: {loud} samples of the tone");
    }
    let config = page.blocks.iter().find(|block| block.kind.as_deref() == Some("toml"));
    fs::write(own.join("oneport.toml"), &config.expect("a configuration").text).expect("writable");
    let (check, serve) = check.text.trim().split_once('\n').expect("two commands");
    network.run(own, check);
    let _serve = network.serve(own, serve);
    let said = network.run(own, &own_call.text);
    assert!(said.contains("conference") || said.contains("100"), "{said}");
}

#[test]
fn the_command_of_the_page_about_capacity_runs() {
    let page = Page::serve(&with_configuration(CAPACITY), &["4569"], |_| {});
    page.run_commands(1);
}

#[test]
fn the_commands_of_the_page_about_the_doctor_find_what_is_weak() {
    let text = with_configuration(&DOCTOR.replace("/etc/asterisk", ASTERISK));
    let said = Page::serve(&text, &["4569"], |_| {}).run_commands(3);
    assert!(said.contains("danger"), "{said}");
}

#[test]
fn the_commands_of_the_page_about_importing_make_a_file_that_is_good() {
    let text = with_configuration(&IMPORT.replace("/etc/asterisk", ASTERISK));
    let page = Page::serve(&text, &["4569"], |_| {});
    page.run_commands(2);
    assert!(page.file("imported.toml").exists());
}

#[test]
fn the_page_about_firewalls_has_rules_that_nftables_takes() {
    program_of("nft", "nftables").unwrap_or_else(|missing| panic!("{missing}"));
    let network = Network::new();
    let directory = tempfile::tempdir().expect("a directory");
    let own = directory.path();
    let page = Markdown::of(NAT);
    let rules = page.blocks.iter().find(|block| block.kind.as_deref() == Some("nft"));
    fs::write(own.join("oneport.nft"), &rules.expect("rules").text).expect("writable");
    let _serve = network.serve(own, "oneport serve");
    let run: Vec<_> = page.blocks.iter().filter(|block| block.is_run()).collect();
    assert_eq!(run.len(), 2);
    let said = run.iter().map(|block| network.run(own, &block.text)).collect::<String>();
    assert!(said.contains("3 sent"), "{said}");
}
