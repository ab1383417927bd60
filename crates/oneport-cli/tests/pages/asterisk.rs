//! Pages on which Oneport stands beside Asterisk: what they configure comes up, and their calls arrive.

use oneport_testkit::peers::wait_for;

use crate::boxes::Boxes;
use crate::network::PATIENCE;

const TWO_BOXES: &str = include_str!("../../../../docs/asterisk.md");
const DIALER: &str = include_str!("../../../../docs/dialer.md");
const VICIDIAL: &str = include_str!("../../../../docs/vicidial.md");
const ALLSTARLINK: &str = include_str!("../../../../docs/allstarlink.md");
const SECURITY: &str = include_str!("../../../../docs/security.md");

/// An Asterisk configuration to be imported.
const IMPORTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/asterisk/dialer");

/// Waits until so many peers are registered, or otherwise there.
fn peers_are_there(boxes: &Boxes, count: usize) {
    wait_for("the boxes to register", PATIENCE, || {
        boxes.run("oneport show peers --json").matches("\"state\": \"ok\"").count() == count
    });
}

/// Waits until a box has begun this extension.
fn arrives(boxes: &Boxes, name: &str, extension: &str) {
    let line = format!("Executing [{extension}:1]");
    wait_for(&format!("{name} to be called: {line}"), PATIENCE, || {
        boxes.log_of(name).contains(&line)
    });
}

#[test]
fn the_page_about_two_asterisk_boxes_links_them_both_ways() {
    let boxes = Boxes::start(TWO_BOXES);
    peers_are_there(&boxes, 2);
    for name in ["berlin", "paris"] {
        wait_for("Asterisk to find Oneport", PATIENCE, || {
            boxes.asks(name, "iax2 show peers").contains("OK (")
        });
    }
    let said = boxes.run_commands();
    assert!(said.contains("Registered"), "Berlin says where it is registered:\n{said}");
    arrives(&boxes, "paris", "201@from-oneport");
    arrives(&boxes, "berlin", "101@from-oneport");
    let answered = said.lines().filter(|line| line.contains(",201,")).count();
    assert_eq!(answered, 2, "both legs are on record:\n{said}");
}

#[test]
fn the_page_about_a_dialer_leads_to_its_carrier_and_back() {
    let boxes = Boxes::start(DIALER);
    for line in ["carrier acme: registered", "carrier spare does not answer"] {
        wait_for(line, PATIENCE, || boxes.log().contains(line));
    }
    // The carrier is a peer, too.
    peers_are_there(&boxes, 2);
    let said = boxes.run_commands();
    arrives(&boxes, "acme", "+13125550100@carrier");
    arrives(&boxes, "dialer", "12125550199@from-oneport");
    assert!(said.contains("carrier:acme") && said.contains("UNREACHABLE"), "{said}");
    for called in [",13125550100,", ",12125550199,"] {
        assert!(said.contains(called), "{called} is on record:\n{said}");
    }
}

#[test]
fn the_page_about_vicidial_s_link_leads_to_the_gateway_and_back() {
    // What answers there is VICIdial's own.
    let page = VICIDIAL.replace("AGI(agi://127.0.0.1:4577/call_log)", "NoOp(call_log)");
    let page = page.replace("/etc/asterisk", IMPORTED);
    let boxes = Boxes::start(&page);
    peers_are_there(&boxes, 2);
    let said = boxes.run_commands();
    arrives(&boxes, "gateway", "13125550100@to-carrier");
    arrives(&boxes, "vicidial", "2125550199@trunkinbound");
    assert!(said.contains("gateway"), "{said}");
}

#[test]
fn the_page_about_allstarlink_lets_nodes_call_each_other_and_nobody_encrypt() {
    let boxes = Boxes::start(ALLSTARLINK);
    peers_are_there(&boxes, 2);
    let said = boxes.run_commands();
    arrives(&boxes, "node2001", "2001@radio-secure");
    arrives(&boxes, "node2000", "2000@radio-secure");
    assert!(!said.contains(", encrypted"), "{said}");
    let row = |node: &str| {
        let mut lines = said.lines();
        lines.find(|line| line.starts_with(node)).unwrap_or_else(|| panic!("no {node}:\n{said}"))
    };
    assert!(row("2001 ").contains("2000,2002,2003"), "{said}");
    assert!(row("2001 ").contains("node 2001 to all: net at eight"), "{said}");
    assert!(row("2002 ").contains("KEYED"), "{said}");
    assert!(said.contains("4 nodes, 3 links, 0 keyed"), "{said}");
    // Node 2000 to 1998, that to the switch itself, and from there to 2001.
    let looked_up = said.lines().filter(|line| line.contains(",1998,")).count();
    assert!(looked_up >= 1, "{said}");
    let came_back = said.lines().any(|line| line.contains(",in,radio,"));
    assert!(came_back, "the call comes in as one of node 2000:\n{said}");
    assert!(said.contains("encryption     off, by profile amateur-radio"), "{said}");
    assert!(said.contains("[radio-in-the-clear]"), "{said}");
    let command = "oneport call iax:mobile@127.0.0.1/2000 --encryption required --duration 1s";
    let refused = boxes.run(&format!(
        "export ONEPORT_SECRET=horsestaplecorrect\n{command} --json || echo \"code $?\""
    ));
    assert!(refused.contains("code ") && !refused.contains("\"ok\""), "{refused}");
}

#[test]
fn the_page_about_security_keeps_strangers_out_and_encrypts() {
    let boxes = Boxes::start(SECURITY);
    peers_are_there(&boxes, 1);
    let said = boxes.run_commands();
    wait_for("the call to be on record", PATIENCE, || {
        boxes.run("oneport cdr export --format json").contains("2125550100")
    });
    let records = boxes.run("oneport cdr export --format json");
    let call = records.lines().find(|line| line.contains("2125550100")).expect("as above");
    assert!(call.contains("\"encrypted\":true"), "{call}\n{said}");
    let guest = boxes.run("oneport call 127.0.0.1/echo --duration 1s --json || echo \"code $?\"");
    assert!(guest.contains("code "), "no guest is let in:\n{guest}");
}
