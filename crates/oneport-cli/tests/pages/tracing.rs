//! The page about traces: its configuration sends them, and OpenTelemetry's own decoder says what came, at once
//! or through a collector.

use std::collections::BTreeSet;
use std::time::Duration;

use oneport_testkit::audio::tone::{tone, write_wav};
use oneport_testkit::peers::certificates::Authority;
use oneport_testkit::peers::collector::{Collector, Rotel};
use oneport_testkit::peers::{free_port, wait_for};
use serde_json::Value;

use crate::markdown::Markdown;
use crate::page::Page;

const PAGE: &str = include_str!("../../../../docs/tracing.md");

/// The file with the secret, beside the configuration.
const SECRET: &str = "traces.secret";

/// The port of the switch.
const PORTS: [&str; 1] = ["4570"];

/// Whom the switch of the page has beside it.
const PEERS: &str = r#"
[server]
listen = ["127.0.0.1:4570"]

[peers.ann]
secret = "correct horse"

[peers.branch]
secret = "battery staple"

[peers.away]
address = "127.0.0.1:9"
secret = "nobody is there"

[[routes]]
prefix = "7"
to = ["peer:away/{number}", "peer:branch/{number}"]

[[routes]]
number = "1"
to = ["hangup:34"]
"#;

/// How long spans may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A switch with the configuration of the page and more, which sends there, and so many words changed.
fn switch(to: &str, changes: &[(&str, &str)]) -> Page {
    let blocks = Markdown::of(PAGE).blocks;
    let block = blocks.into_iter().find(|block| block.kind.as_deref() == Some("toml"));
    let mut config = block.expect("a configuration").text;
    let own = [("http://127.0.0.1:4318", to), ("/etc/oneport/traces", SECRET)];
    for (before, after) in own.iter().chain(changes) {
        assert!(config.contains(before), "{before}: {config}");
        config = config.replace(before, after);
    }
    Page::serve(&format!("```toml\n{config}{PEERS}\n```"), &PORTS, |directory| {
        let secret = "Authorization: Bearer purple monkey\n";
        std::fs::write(directory.join(SECRET), secret).expect("writable");
    })
}

/// Where a switch listens.
fn address_of(page: &Page) -> String {
    let listens = page.text().split("listen = [\"").nth(1).and_then(|rest| rest.split('"').next());
    listens.expect("an address").to_string()
}

/// A telephone of the peer `branch`, which answers one call.
fn telephone(page: &Page) -> String {
    let own = address_of(page);
    format!(
        "ONEPORT_SECRET='battery staple' oneport answer --calls 1 --listen 127.0.0.1:0 \
             --register iax:branch@{own} > /dev/null &
        until oneport show peers | grep -q '^branch *OK'; do sleep 0.2; done"
    )
}

/// Ann calls a number and says a tone for a second, when what is `before` is done; whether that succeeds is
/// nothing here.
fn call(page: &Page, number: &str, before: &str) {
    let own = address_of(page);
    write_wav(&page.file("tone.wav"), &tone(500.0, 8_000));
    page.run(&format!(
        "{before}
        ONEPORT_SECRET='correct horse' oneport call iax:ann@{own}/{number} --play tone.wav || true"
    ));
}

/// The ids of all calls, in the order in which they ended.
fn calls(page: &Page) -> Vec<String> {
    let records = page.run("oneport cdr export --config oneport.toml --format json");
    let id = |line: &str| Some(line.split("\"call\":\"").nth(1)?.split('"').next()?.to_string());
    let mut calls: Vec<String> = records.lines().filter_map(id).collect();
    calls.dedup();
    calls
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Spans that a collector is sent, until the call itself is among those of a trace so many times; and a request
/// that brought some.
fn spans(collector: &Collector, calls: usize) -> (Vec<Value>, Value) {
    let mut spans: Vec<Value> = Vec::new();
    loop {
        let request = collector.next(PATIENCE).unwrap_or_else(|| panic!("only {spans:#?}"));
        let request: Value = serde_json::from_str(&request).expect("a request");
        if request["answer"] == 200 {
            spans.extend(request["spans"].as_array().expect("a list").iter().cloned());
        }
        if spans.iter().filter(|span| text(span, "name") == "call").count() == calls {
            return (spans, request);
        }
    }
}

fn metrics(page: &Page) -> String {
    let token = std::fs::read_to_string(page.token()).expect("a token");
    page.run(&format!(
        "curl --silent --fail -H 'Authorization: Bearer {}' http://{}/metrics",
        token.trim(),
        page.api()
    ))
}

fn events(span: &Value) -> Vec<&str> {
    let events = span["events"].as_array().expect("a list");
    events.iter().map(|event| text(event, "name")).collect()
}

fn event<'a>(span: &'a Value, name: &str) -> &'a Value {
    let mut events = span["events"].as_array().expect("a list").iter();
    events.find(|event| text(event, "name") == name).unwrap_or_else(|| panic!("{name}: {span:#}"))
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    spans.iter().find(|span| text(span, "name") == name).unwrap_or_else(|| panic!("no {name}"))
}

/// Every attribute and event is on the page.
fn assert_told_of(spans: &[Value]) {
    let attributes = |value: &Value| {
        let attributes = value["attributes"].as_object().expect("a table");
        attributes.keys().cloned().collect::<Vec<String>>()
    };
    let mut names = BTreeSet::new();
    for span in spans {
        names.insert(text(span, "name").to_string());
        names.extend(attributes(span));
        for event in span["events"].as_array().expect("a list") {
            names.insert(text(event, "name").to_string());
            names.extend(attributes(event));
        }
    }
    let untold: Vec<&String> =
        names.iter().filter(|name| !PAGE.contains(&format!("`{name}`"))).collect();
    assert!(untold.is_empty(), "docs/tracing.md says nothing of {untold:?}");
}

#[test]
fn a_call_is_one_trace_with_a_span_for_each_leg_and_the_id_of_its_records() {
    // The collector is busy at first.
    let collector = Collector::start(&["503", "429"]);
    let page = switch(&collector.url(), &[]);
    call(&page, "700", &telephone(&page));
    let (spans, request) = spans(&collector, 1);
    assert_told_of(&spans);
    assert_eq!(text(&request, "path"), "/v1/traces");
    assert_eq!(text(&request["headers"], "authorization"), "Bearer purple monkey");
    assert_eq!(text(&request["headers"], "x-scope-orgid"), "telephony");
    assert_eq!(text(&request["resources"][0], "service.name"), "oneport");
    let ids = calls(&page);
    let [id] = ids.as_slice() else { panic!("{ids:?}") };
    let trace = id.replace('-', "");
    assert!(spans.iter().all(|span| text(span, "trace") == trace), "{spans:#?}");
    let (whole, caller) = (named(&spans, "call"), named(&spans, "leg in"));
    let said: Vec<&str> = events(whole);
    let milestones = ["offered", "authenticated", "routed", "refused", "answered", "ended"];
    let of_call: Vec<&str> =
        said.iter().copied().filter(|name| milestones.contains(name)).collect();
    assert_eq!(of_call, milestones, "{said:?}");
    assert_eq!(text(&event(whole, "routed")["attributes"], "oneport.to"), "700");
    assert_eq!(
        text(&event(whole, "refused")["attributes"], "oneport.destination"),
        "peer:away/700"
    );
    assert_eq!(text(&event(whole, "answered")["attributes"], "oneport.by"), "peer:branch/700");
    assert_eq!((text(whole, "parent"), text(whole, "kind")), ("", "SPAN_KIND_INTERNAL"));
    assert_eq!(text(caller, "kind"), "SPAN_KIND_SERVER");
    assert_eq!(text(&caller["attributes"], "oneport.peer"), "ann");
    assert_eq!(text(&caller["attributes"], "network.protocol.name"), "iax2");
    assert!(caller["attributes"]["oneport.mos"].as_f64().is_some_and(|mos| mos > 3.0));
    assert_eq!(whole["attributes"]["oneport.answered"], true);
    assert_eq!(text(whole, "status"), "STATUS_CODE_UNSET");
    let legs: Vec<&Value> = spans.iter().filter(|span| text(span, "name") == "leg out").collect();
    let peers: BTreeSet<&str> =
        legs.iter().map(|leg| text(&leg["attributes"], "oneport.peer")).collect();
    assert_eq!(peers, BTreeSet::from(["away", "branch"]));
    for leg in legs.iter().copied().chain([caller]) {
        assert_eq!(text(leg, "parent"), text(whole, "span"));
        assert!(leg["from"].as_u64() >= whole["from"].as_u64(), "{leg:#}");
        assert!(leg["to"].as_u64() <= whole["to"].as_u64(), "{leg:#}");
        let away = text(&leg["attributes"], "oneport.peer") == "away";
        let status = if away { "STATUS_CODE_ERROR" } else { "STATUS_CODE_UNSET" };
        assert_eq!(text(leg, "status"), status, "{leg:#}");
    }
    for span in &spans {
        let moments = span["events"].as_array().expect("a list").iter();
        let moments: Vec<u64> = moments.filter_map(|event| event["at"].as_u64()).collect();
        assert!(moments.is_sorted(), "{span:#}");
    }
}

#[test]
fn a_collector_takes_what_is_sent_and_hands_it_on_as_it_was() {
    let collector = Collector::start(&[]);
    let rotel = Rotel::start(&collector.url());
    let page = switch(&rotel.url(), &[]);
    call(&page, "1", "");
    let (spans, _) = spans(&collector, 1);
    let whole = named(&spans, "call");
    let refused = &event(whole, "refused")["attributes"];
    assert_eq!(text(refused, "oneport.refusal.stage"), "route");
    assert_eq!(refused["oneport.cause"], 34);
    assert_eq!(text(whole, "status"), "STATUS_CODE_ERROR");
    assert_eq!(whole["attributes"]["oneport.answered"], false);
    let ids = calls(&page);
    assert_eq!(
        ids.iter().map(|id| id.replace('-', "")).collect::<Vec<_>>(),
        [text(whole, "trace")]
    );
    assert_told_of(&spans);
    wait_for("the count of spans", PATIENCE, || {
        metrics(&page).contains("oneport_trace_spans_total 2\n")
    });
    assert!(metrics(&page).contains("oneport_trace_spans_left_out_total 0\n"));
}

#[test]
fn spans_that_a_collector_does_not_take_are_counted_and_not_sent_again() {
    let collector = Collector::start(&["400", "200:1"]);
    let page = switch(&collector.url(), &[]);
    // Of two spans none is taken, and then one.
    for (left_out, taken) in [(2, 0), (3, 1)] {
        call(&page, "1", "");
        collector.next(PATIENCE).expect("a request");
        wait_for("the count of spans", PATIENCE, || {
            metrics(&page).contains(&format!("oneport_trace_spans_left_out_total {left_out}\n"))
        });
        assert!(metrics(&page).contains(&format!("oneport_trace_spans_total {taken}\n")));
    }
    assert_eq!(collector.next(Duration::from_secs(3)), None);
}

#[test]
fn a_collector_by_tls_has_to_prove_who_it_is() {
    let authority = Authority::new();
    let collector = Collector::start_secure(&authority.certificate("own", "IP:127.0.0.1"));
    let page = switch(&collector.url(), &[]);
    call(&page, "1", "");
    // The switch of the page does not know the authority; one that does gets through.
    assert_eq!(collector.next(Duration::from_secs(5)), None);
    let (own, ca) = (free_port(), authority.file());
    page.run(&format!(
        "SSL_CERT_FILE='{}' oneport serve --no-api --config oneport.toml --listen 127.0.0.1:{own} \
            > /dev/null 2>&1 &
        sleep 2
        ONEPORT_SECRET='correct horse' oneport call iax:ann@127.0.0.1:{own}/1 || true
        kill $!; wait $! || true",
        ca.display()
    ));
    let (spans, _) = spans(&collector, 1);
    assert_eq!(text(named(&spans, "call"), "status"), "STATUS_CODE_ERROR");
}

#[test]
fn the_commands_of_the_page_work_and_a_call_that_a_program_places_is_part_of_its_trace() {
    let collector = Collector::start(&[]);
    // One of so many that none is chosen by chance.
    let page = switch(&collector.url(), &[("one_in = 1 ", "one_in = 1000000000000000")]);
    let commands = Markdown::of(PAGE).blocks.into_iter().filter(|block| block.is_run());
    let commands: Vec<String> = commands.map(|block| block.text).collect();
    let commands = commands.join("\n");
    assert_eq!(commands.matches("oneport ").count(), 2, "{commands}");
    let hang_up = r#"oneport hangup $(oneport show calls --json | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' | head -n 1)"#;
    // The telephone answers what rings, and ends with the call.
    page.run(&format!("{}\n{commands}\n{hang_up}", telephone(&page)));
    wait_for("the end of the first call", PATIENCE, || calls(&page).len() == 1);
    let token = std::fs::read_to_string(page.token()).expect("a token");
    let post = |parent: &str| {
        let telephone = telephone(&page);
        page.run(&format!(
            "{telephone}
            curl --silent --fail -X POST -H 'Authorization: Bearer {}' \
                -H 'Content-Type: application/json' -H 'traceparent: {parent}' \
                -d '{{\"ring\": \"peer:branch\", \"to\": \"builtin:echo\"}}' http://{}/v1/calls
            {hang_up}",
            token.trim(),
            page.api()
        ));
    };
    let trace = "0af7651916cd43dd8448eb211c80319c";
    post(&format!("00-{trace}-b7ad6b7169203331-00"));
    wait_for("the end of another", PATIENCE, || calls(&page).len() == 2);
    post(&format!("00-{trace}-b7ad6b7169203331-01"));
    let (spans, _) = spans(&collector, 1);
    assert!(spans.iter().all(|span| text(span, "trace") == trace), "{spans:#?}");
    let whole = named(&spans, "call");
    assert_eq!(text(whole, "parent"), "b7ad6b7169203331");
    assert_eq!(events(whole)[0], "originated");
    let id = text(&whole["attributes"], "oneport.call.id");
    assert_eq!(calls(&page).last().map(String::as_str), Some(id));
    assert_told_of(&spans);
}
