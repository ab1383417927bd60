//! Who calls, and what a carrier and a peer tell each other beside: sipp sees the headers.

use oneport_interop::{PATIENCE, phone};
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use tokio::time::timeout;

use crate::shared::{ann, callee, gateway, loopback};

const ANSWERS: &str = include_str!("scenarios/uas_answers.xml");
const CALLS: &str = include_str!("scenarios/uac_calls.xml");

/// What a carrier with these keys sees of a call of Ann's with a number that is not to be shown, which was
/// redirected, and with two variables.
async fn seen_by_carrier(keys: &str) -> String {
    let mut sipp = callee(ANSWERS, 1);
    let system = gateway(&format!(
        "[carriers.acme]\nhost = \"{}\"\noptions_seconds = 0\n{keys}\n\
         [[routes]]\npattern = \"_X.\"\nto = [\"carrier:acme\"]\n",
        sipp.address()
    ));
    let (phone, _) = phone();
    let mut new = ann("12125550100");
    new.calling_number = Some("2125550177".into());
    new.calling_name = Some("Ann".into());
    new.calling_presentation = 0x20;
    new.rdnis = Some("2125550188".into());
    new.variables = vec![
        ("ACCOUNT".into(), "42\r\nX-Evil: 1".into()),
        ("OTHER".into(), "nobody's business".into()),
    ];
    let mut call = phone.call(system.iax, new).await.expect("placed");
    timeout(PATIENCE, call.answered()).await.expect("in time").expect("answered");
    drop(call);
    sipp.finished();
    sipp.messages()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_is_trusted_sees_who_calls_and_its_own_headers_and_nothing_else() {
    let seen = seen_by_carrier("identity = \"both\"\nheaders = [\"X-Account = ACCOUNT\"]").await;
    for line in [
        "Privacy: id\r\n",
        "P-Asserted-Identity: \"Ann\" <sip:2125550177@127.0.0.1>\r\n",
        "Remote-Party-ID: \"Ann\" <sip:2125550177@127.0.0.1>;party=calling;screen=no;privacy=full\r\n",
        "Diversion: <sip:2125550188@127.0.0.1>;reason=unknown\r\n",
        "X-Account: 42X-Evil: 1\r\n",
        "<sip:anonymous@anonymous.invalid>",
    ] {
        assert!(seen.contains(line), "{line} in {seen}");
    }
    assert!(!seen.contains("nobody's business"), "{seen}");
    assert!(!seen.contains("\nX-Evil"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_is_not_trusted_learns_nothing_of_a_hidden_number() {
    let seen = seen_by_carrier("").await;
    assert!(seen.contains("Privacy: id\r\n"), "{seen}");
    for secret in ["2125550177", "\"Ann\"", "X-Account", "X-Evil"] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_name_is_quoted_once_in_all_that_a_carrier_gets() {
    for (name, quoted) in [
        ("Alice", r#""Alice""#),
        (r#"Ann "A" Lee"#, r#""Ann \"A\" Lee""#),
        // The blank keeps its last mark from being taken for that which ends the text.
        (r#"Ann "A""#, r#""Ann \"A\" ""#),
        (r"a\b <c>", r#""a\\b 'c'""#),
    ] {
        let mut sipp = callee(ANSWERS, 1);
        let system = gateway(&format!(
            "[carriers.acme]\nhost = \"{}\"\noptions_seconds = 0\n\
             [[routes]]\npattern = \"_X.\"\nto = [\"carrier:acme\"]\n",
            sipp.address()
        ));
        let (phone, _) = phone();
        let mut new = ann("12125550100");
        new.calling_number = Some("2125550177".into());
        new.calling_name = Some(name.into());
        let mut call = phone.call(system.iax, new).await.expect("placed");
        timeout(PATIENCE, call.answered()).await.expect("in time").expect("answered");
        drop(call);
        sipp.finished();
        let seen = sipp.messages();
        let from: Vec<&str> = seen.lines().filter(|line| line.starts_with("From:")).collect();
        let expected = format!("From: {quoted} <sip:2125550177@127.0.0.1>;tag=");
        assert!(seen.contains("\nACK ") && seen.contains("\nBYE "), "{seen}");
        assert!(from.iter().all(|line| line.starts_with(&expected)), "{expected}: {from:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_carrier_are_variables_of_its_call() {
    let from = loopback();
    let (bob, address) = phone();
    let system = gateway(&format!(
        "[peers.bob]\naddress = \"{address}\"\nqualify = false\n\
         [carriers.acme]\nhost = \"{from}\"\noptions_seconds = 0\n\
         headers = [\"X-Account = ACCOUNT\", \"X-Missing = MISSING\"]\n\
         [[routes]]\nnumber = \"2125550199\"\nto = [\"peer:bob\"]\n"
    ));
    let own = "Max-Forwards: 70\nX-Account: 4711\nX-Other: 1\nContent-Type";
    let xml = CALLS.replacen("Max-Forwards: 70\nContent-Type", own, 1);
    assert_ne!(xml, CALLS, "the scenario has other lines");
    let arguments = ["-s", "2125550199"];
    let (calls, to) = ((1, 1), Some(system.sip));
    let scenario = Scenario { xml: &xml, calls, listen: from, to, arguments: &arguments };
    let mut sipp = Sipp::start(&scenario);
    let incoming = timeout(PATIENCE, bob.incoming()).await.expect("in time").expect("a call");
    let variables = incoming.offer().variables.clone();
    let of = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    assert_eq!(of("ACCOUNT").map(String::as_str), Some("4711"), "{variables:?}");
    assert_eq!(of("MISSING"), None);
    let _call = incoming.answer().await.expect("answered");
    sipp.finished();
}
