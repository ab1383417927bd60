//! The page about alerts and the rules that lead to it, which a real Prometheus takes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use oneport_testkit::peers::prometheus::promtool;
use oneport_testkit::peers::wait_for;
use serde_json::Value;

use crate::figures::{ask, collecting, labels_of, metric, names, written};
use crate::markdown::Markdown;
use crate::page::Page;

const PAGE: &str = include_str!("../../../../docs/alerts.md");

/// The port of the switch, and that of a peer which is not there.
const PORTS: [&str; 2] = ["4570", "4571"];

/// Where rules and their cases are.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/prometheus");

/// The block of this kind of the page.
fn block(kind: &str) -> String {
    let blocks = Markdown::of(PAGE).blocks;
    let block = blocks.into_iter().find(|block| block.kind.as_deref() == Some(kind));
    block.expect("it is there").text
}

#[test]
fn the_commands_of_the_page_about_alerts_run_as_they_are_written() {
    let page = Page::serve(PAGE, &PORTS, |_| {});
    let said = page.run_commands(14);
    // The call that was refused is told of, with the limit that decided.
    assert!(said.contains("limit carrier"), "{said}");
}

#[test]
fn promtool_of_prometheus_sees_each_rule_fire_and_not_fire() {
    let cases = std::fs::read_to_string(Path::new(RULES).join("oneport.rules.test.yml"));
    let cases = cases.expect("it is there");
    for rule in anchors_of_alerts() {
        let named: Vec<&str> = cases.split("alertname: ").skip(1).collect();
        let of_rule = named.iter().filter(|rest| rest.lines().next() == Some(rule.0.as_str()));
        let (fires, silent): (Vec<&&str>, Vec<&&str>) = of_rule
            .partition(|rest| rest.lines().nth(1).is_some_and(|l| l.contains("exp_alerts:")));
        assert!(!fires.is_empty() && !silent.is_empty(), "{}: {fires:?} {silent:?}", rule.0);
    }
    for (arguments, expected) in [
        (["check", "rules", "oneport.rules.yml"], "SUCCESS: 8 rules found"),
        (["test", "rules", "oneport.rules.test.yml"], "SUCCESS"),
    ] {
        let (good, said) = promtool(&arguments, Path::new(RULES));
        assert!(good && said.contains(expected), "{said}");
    }
}

/// The alerts that the page lists, and the headings that it has for them.
fn anchors_of_alerts() -> Vec<(String, String)> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| [`"));
    let alert = |row: &str| {
        let (name, rest) = row.split_once("`](#")?;
        Some((name.to_string(), rest.split_once(')')?.0.to_string()))
    };
    rows.filter_map(alert).collect()
}

/// A text of a rule with what its templates name: labels.
fn labels_in_templates(text: &str) -> BTreeSet<&str> {
    let named = text.split("$labels.").skip(1);
    named
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .collect()
}

#[test]
fn prometheus_takes_the_rules_and_each_names_metrics_labels_and_help_that_there_are() {
    let page = Page::serve(PAGE, &PORTS, |_| {});
    let written = written(&page);
    let file = Path::new(RULES).join("oneport.rules.yml");
    let prometheus = collecting(&page, &block("yaml"), &[&file]);
    let rules = || {
        let answer = ask(&prometheus, "rules", &[]);
        answer["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default()
    };
    wait_for("an evaluation of each rule", Duration::from_secs(60), || {
        let rules = rules();
        !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")
    });
    let text = |rule: &Value, of: &str, name: &str| {
        let text = rule[of][name].as_str().unwrap_or_else(|| panic!("no {name}: {rule}"));
        text.to_string()
    };
    let own_page = Markdown::of(PAGE);
    let mut listed = Vec::new();
    for rule in rules() {
        let name = rule["name"].as_str().expect("a name").to_string();
        assert_eq!(rule["health"], "ok", "{rule}");
        let expression = rule["query"].as_str().expect("an expression");
        let names = names(expression);
        assert!(!names.is_empty(), "{rule}");
        let metrics: Vec<&str> = names
            .iter()
            .map(|own| metric(own, &written).unwrap_or_else(|| panic!("{name}: no {own}")))
            .collect();
        let labels = labels_of(metrics);
        let severity = text(&rule, "labels", "severity");
        assert!(["critical", "warning"].contains(&severity.as_str()), "{name}: {severity}");
        let row = format!("| [`{name}`](#");
        let row = PAGE.lines().find(|line| line.starts_with(&row));
        assert!(row.is_some_and(|row| row.contains(&format!("| {severity} |"))), "{name}: {row:?}");
        for annotation in ["summary", "description"] {
            let text = text(&rule, "annotations", annotation);
            for label in labels_in_templates(&text) {
                assert!(labels.contains(label), "{name}: no label {label}: {text}");
            }
        }
        // One sentence.
        let description = text(&rule, "annotations", "description");
        assert!(description.ends_with('.') && !description.contains(". "), "{description}");
        let help = text(&rule, "annotations", "runbook_url");
        let (base, anchor) = help.split_once("/alerts.html#").expect("a heading of the page");
        assert!(base.contains("$externalLabels.oneport_docs"), "{help}");
        assert!(own_page.anchors.contains(anchor), "{name}: no heading {anchor}");
        listed.push((name, anchor.to_string()));
    }
    assert_eq!(listed.len(), 8);
    assert_eq!(listed, anchors_of_alerts(), "rules, and the list of the page");
    // A peer that is not there is about to be told of.
    wait_for("an alert that waits for its time", Duration::from_secs(60), || {
        let alerts = ask(&prometheus, "alerts", &[]);
        let alerts = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
        alerts.iter().any(|alert| {
            let labels = &alert["labels"];
            let help = alert["annotations"]["runbook_url"].as_str();
            labels["alertname"] == "OneportLinkDown"
                && labels["peer"] == "carrier"
                && help == Some("https://docs.example.com/oneport/alerts.html#link-down")
        })
    });
}
