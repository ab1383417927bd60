//! The page about carriers: from nothing to a call out and one in, as it is written, in a network of its
//! own, with Asterisk in the carrier's place.

use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;

use crate::markdown::Markdown;
use crate::network::{Network, PATIENCE};

const PAGE: &str = include_str!("../../../../docs/carriers.md");

/// The block of the page that begins so, of those behind this word.
fn block(kind: &str, beginning: &str) -> String {
    let fence = format!("```{kind}\n");
    let blocks = PAGE.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    let found = blocks.into_iter().find(|block| block.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no block {kind} begins with {beginning}")).to_string()
}

#[test]
fn the_page_about_carriers_leads_to_a_call_out_and_one_in() {
    let network = Network::new();
    let pjsip = block("ini", "[transport]");
    let files: [(&str, &[u8]); 1] = [("etc/pjsip.conf", pjsip.as_bytes())];
    let asterisk = Asterisk::start_in_with(network.name(), "", &block("ini", "[carrier]"), &files);
    let directory = tempfile::tempdir().expect("a directory");
    let own = directory.path();
    std::fs::write(own.join("oneport.toml"), block("toml", "[carriers.acme]")).expect("writable");
    let said = network.run(own, &block("sh", "oneport check"));
    assert!(said.contains("carriers: 1, SIP on UDP 0.0.0.0:5060"), "{said}");
    let serve = network.serve(own, &block("sh", "oneport serve"));
    for line in ["carrier acme answers", "carrier acme: registered"] {
        assert!(PAGE.contains(line), "the page says so");
        wait_for(line, PATIENCE, || serve.log().contains(line));
    }
    let said = network.run(own, &block("sh", "oneport show carriers"));
    assert!(
        said.contains("udp 127.0.0.1:5070") && said.contains(" OK "),
        "{said}\n{}",
        serve.log()
    );
    let said = network.run(own, &block("sh", "ONEPORT_SECRET"));
    for there in ["in ulaw", "2125550100"] {
        assert!(said.contains(there), "no {there}: {said}\n{}", serve.log());
    }
    let console = block("sh", "asterisk -rx \"channel");
    let (_, console) = console.split_once('"').expect("what it is told");
    let _ = asterisk.cli(console.trim_end().trim_end_matches('"'));
    let calls = block("sh", "oneport show calls");
    wait_for("a call from the carrier", PATIENCE, || {
        network.run(own, &calls).contains("12125550199")
    });
    let all = Markdown::of(PAGE).blocks.into_iter().filter(|block| block.is_run()).count();
    assert_eq!(all, 6, "each block of commands is run here");
}
