//! The dashboard for Grafana: what Grafana reads of it, and its expressions before a real Prometheus that
//! collects from a switch with calls.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::figures::{ask, collecting, labels_of, metric, names, written};
use crate::markdown::Markdown;
use crate::page::Page;

const DASHBOARD: &str = include_str!("../../../../contrib/grafana/oneport.json");
const ALERTS: &str = include_str!("../../../../docs/alerts.md");

/// The port of the switch, and that of a registrar which is not there.
const PORTS: [&str; 2] = ["4570", "4571"];

/// A switch of which most panels have something to show.
const SWITCH: &str = r#"
```toml
[server]
listen = ["127.0.0.1:4570"]

[peers.ann]
secret = "correct horse"

[peers.branch]
secret = "battery staple"
qualify_seconds = 2

[[registrations]]
to = "127.0.0.1:4571"
username = "acme"
secret = "purple monkey"

[[routes]]
number = "600"
to = ["builtin:milliwatt"]

[[routes]]
prefix = "7"
to = ["peer:branch/{number}"]

[[routes]]
prefix = "9"
to = ["busy"]

[[limits]]
name = "branch"
peers = ["branch"]
max_calls = 5
```
"#;

/// Panels that may be empty in the scene: what they show did not happen, takes minutes to measure, or needs
/// another machine.
const QUIET: [&str; 10] = [
    "Choppy by cause",
    "One-way voice by reason",
    "How many more calls fit",
    "Calls in a trunk datagram",
    "Calls of carriers",
    "Scores of calls",
    "Frames dropped by reason",
    "Time to the answer",
    "Length of calls",
    "Of those that may",
];

fn board() -> Value {
    serde_json::from_str(DASHBOARD).expect("JSON")
}

/// The panels that show something.
fn panels(board: &Value) -> Vec<&Value> {
    let panels = board["panels"].as_array().expect("panels");
    panels.iter().filter(|panel| panel["type"] != "row").collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

/// The expressions of a panel.
fn expressions(panel: &Value) -> Vec<&str> {
    let targets = panel["targets"].as_array().expect("targets");
    targets.iter().map(|target| text(target, "expr")).collect()
}

/// An expression as Grafana asks it, of everything.
fn asked(expression: &str, interval: &str) -> String {
    let mut asked = expression.replace("$__rate_interval", interval);
    for variable in ["$job", "$instance", "$peer"] {
        asked = asked.replace(variable, ".+");
    }
    assert!(!asked.contains('$'), "a variable that is not there: {expression}");
    asked
}

/// The labels that an expression selects, groups or matches by.
fn labels_in(expression: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut labels = BTreeSet::new();
    for (at, _) in expression.match_indices('{') {
        let inside = &expression[at + 1..];
        let inside = &inside[..inside.find('}').expect("its end")];
        let matchers = inside.split(", ");
        labels.extend(matchers.filter_map(|one| one.split(|c| !is_name(c)).next()));
    }
    for (at, _) in expression.match_indices("by (") {
        let inside = &expression[at + 4..];
        let inside = &inside[..inside.find(')').expect("its end")];
        labels.extend(inside.split(", "));
    }
    labels
}

#[test]
fn the_dashboard_has_what_grafana_reads_of_one() {
    let board = board();
    assert_eq!(board["uid"], "oneport");
    assert_eq!(board["schemaVersion"], 39);
    assert!(board["id"].is_null(), "an id of somebody's own Grafana");
    let variables = board["templating"]["list"].as_array().expect("variables");
    let named: Vec<&str> = variables.iter().map(|variable| text(variable, "name")).collect();
    assert_eq!(named, ["datasource", "job", "instance", "peer"]);
    let all = board["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = all.iter().map(|panel| panel["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), all.len(), "an id stands there twice");
    let rows = all.iter().filter(|panel| panel["type"] == "row").map(|row| text(row, "title"));
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            "Overview",
            "Calls",
            "Quality by link and direction",
            "Limits",
            "Refusals",
            "Socket and CPU",
            "Registrations",
            "Store",
            "SIP"
        ]
    );
    // No panel lies over another, and none over the edge.
    let mut taken = BTreeSet::new();
    for panel in all {
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} lies over another", panel["title"]);
            }
        }
    }
    for panel in panels(&board) {
        let title = text(panel, "title");
        assert_eq!(text(&panel["datasource"], "uid"), "${datasource}", "{title}");
        assert!(text(panel, "description").ends_with('.'), "{title}");
        let kinds = ["stat", "timeseries", "bargauge", "state-timeline"];
        assert!(kinds.contains(&text(panel, "type")), "{title}");
        assert!(!expressions(panel).is_empty(), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        let targets = panel["targets"].as_array().expect("targets");
        let letters: BTreeSet<&str> = targets.iter().map(|one| text(one, "refId")).collect();
        assert_eq!(letters.len(), targets.len(), "{title}: two of one letter");
    }
    for quiet in QUIET {
        assert!(panels(&board).iter().any(|panel| panel["title"] == quiet), "{quiet}");
    }
}

/// Pages that descriptions lead to, and their headings, are there.
#[test]
fn the_dashboard_leads_to_pages_that_are_there() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    let board = board();
    let mut found = 0;
    for panel in panels(&board) {
        for word in text(panel, "description").split(|c: char| c.is_whitespace() || c == ':') {
            let Some(page) = word.strip_prefix("docs/") else { continue };
            let page = page.trim_end_matches(['.', ';', ',']);
            let (page, heading) = page.split_once('#').unwrap_or((page, ""));
            let text = std::fs::read_to_string(format!("{docs}/{page}"));
            let text = text.unwrap_or_else(|error| panic!("{word}: {error}"));
            assert!(heading.is_empty() || Markdown::of(&text).anchors.contains(heading), "{word}");
            found += 1;
        }
    }
    assert!(found >= 8, "{found}");
}

#[test]
fn prometheus_takes_each_expression_of_the_dashboard_and_has_figures_for_it() {
    let page = Page::serve(SWITCH, &PORTS, |_| {});
    let blocks = Markdown::of(ALERTS).blocks;
    let configuration = blocks.iter().find(|block| block.kind.as_deref() == Some("yaml"));
    let configuration = configuration.expect("it is there").text.clone();
    let configuration = configuration.replace("rule_files:\n  - oneport.rules.yml\n", "");
    let prometheus = collecting(&page, &configuration, &[]);
    let written = written(&page);
    let calls = page.text().split("127.0.0.1:").nth(1).and_then(|rest| rest.split('"').next());
    let switch = calls.expect("a port").to_string();
    let board = board();
    std::thread::scope(|scope| {
        // A telephone that registers and plays back, a call to it, a call that ends, and one that is refused.
        let script = format!(
            "export ONEPORT_SECRET='battery staple'
            oneport answer --listen 127.0.0.1:0 --register iax:branch@127.0.0.1:{switch} &
            telephone=$!
            export ONEPORT_SECRET='correct horse'
            oneport call iax:ann@127.0.0.1:{switch}/600 --record tone.wav --duration 2s
            oneport call iax:ann@127.0.0.1:{switch}/700 --play tone.wav --duration 120s &
            call=$!
            while [ ! -e enough ]; do
                oneport call iax:ann@127.0.0.1:{switch}/900 --duration 1s || true
                oneport call iax:ann@127.0.0.1:{switch}/600 --duration 1s || true
            done
            kill $call $telephone || true
            wait || true"
        );
        let own = &page;
        let scene = scope.spawn(move || own.run(&script));
        let mut wanting = Vec::new();
        let enough = |wanting: &mut Vec<String>| {
            wanting.clear();
            for panel in panels(&board) {
                let title = text(panel, "title");
                if QUIET.contains(&title) {
                    continue;
                }
                let has = expressions(panel).iter().any(|expression| {
                    let expression = asked(expression, "5s");
                    let answer = ask(&prometheus, "query", &[("query", &expression)]);
                    let samples = answer["data"]["result"].as_array();
                    samples.is_some_and(|samples| !samples.is_empty())
                });
                if !has {
                    wanting.push(title.to_string());
                }
            }
            wanting.is_empty()
        };
        let patience = std::time::Instant::now() + Duration::from_secs(120);
        let mut good = enough(&mut wanting);
        while !good && std::time::Instant::now() < patience && !scene.is_finished() {
            std::thread::sleep(Duration::from_millis(500));
            good = enough(&mut wanting);
        }
        std::fs::write(page.file("enough"), "").expect("writable");
        scene.join().expect("the calls go well");
        assert!(good, "without figures: {wanting:?}");
    });
    // Each is taken, and names what there is.
    let variables = board["templating"]["list"].as_array().expect("variables");
    let annotations = board["annotations"]["list"].as_array().expect("annotations");
    let own = annotations.iter().filter_map(|one| one["expr"].as_str());
    let all = panels(&board).into_iter().flat_map(expressions).chain(own);
    let mut seen = 0;
    for expression in all {
        let answer = ask(&prometheus, "query", &[("query", &asked(expression, "5s"))]);
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let metrics: Vec<&str> = names(expression)
            .into_iter()
            .map(|name| metric(name, &written).unwrap_or_else(|| panic!("no {name}: {expression}")))
            .collect();
        assert!(!metrics.is_empty(), "{expression}");
        let known = labels_of(metrics.iter().copied());
        let labels = labels_in(expression);
        assert!(labels.is_subset(&known), "{expression}: {labels:?} of {known:?}");
        seen += 1;
    }
    for panel in panels(&board) {
        for target in panel["targets"].as_array().expect("targets") {
            let (expression, legend) = (text(target, "expr"), text(target, "legendFormat"));
            let metrics = names(expression).into_iter().filter_map(|name| metric(name, &written));
            let known = labels_of(metrics);
            let named = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
            for label in named {
                assert!(known.contains(label), "{legend}: no label {label}");
                // What is summed has no labels but those that it is summed by.
                let summed = expression.contains("sum");
                assert!(!summed || labels_in(expression).contains(label), "{legend}: {expression}");
            }
        }
    }
    assert!(seen > 60, "{seen} expressions");
    // What variables offer.
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = text(&variable["query"], "query");
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = inside.and_then(|rest| rest.rsplit_once(", ")).expect("two words");
        let answer =
            ask(&prometheus, &format!("label/{label}/values"), &[("match[]", &asked(series, ""))]);
        assert!(
            answer["data"].as_array().is_some_and(|values| !values.is_empty()),
            "{query}: {answer}"
        );
    }
}
