//! Metrics, read by a parser that lets nothing pass which Prometheus would not.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::Answer;
use crate::{Scene, ann_calls, phone, scene};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";

/// One metric with all its samples.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    /// The whole name, with what a histogram appends.
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
    exemplar: Option<String>,
}

/// Reads labels in braces; gives them and what stands behind.
fn labels(text: &str) -> (Vec<(String, String)>, &str) {
    let Some(mut rest) = text.strip_prefix('{') else { return (Vec::new(), text) };
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect("a label and its value");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(!name.is_empty() && name.chars().all(plain), "label {name:?}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("the value ends") {
                (at, '"') => break at,
                (_, '\\') => match characters.next().expect("something is escaped").1 {
                    'n' => value.push('\n'),
                    c @ ('"' | '\\') => value.push(c),
                    other => panic!("\\{other} is no escape"),
                },
                (_, '\n') => panic!("a value with a line end"),
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_string(), value));
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        rest = rest.strip_prefix(',').expect("a comma or the end");
    }
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap_or_else(|_| panic!("{text:?} is no number")),
    }
}

fn parse(text: &str, open: bool) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines.pop(), Some(""), "the last line ends");
    if open {
        assert_eq!(lines.pop(), Some("# EOF"));
    }
    let mut lines = lines.into_iter();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a text");
            assert!(!help.is_empty() && !families.contains_key(name), "{line}");
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
            let (same, kind) = kind.and_then(|kind| kind.split_once(' ')).expect("a type");
            assert_eq!(same, name, "HELP and TYPE stand together");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            current = name.into();
            families.insert(current.clone(), Family { kind: kind.into(), ..Family::default() });
            continue;
        }
        assert!(!line.starts_with('#'), "{line}");
        let family = families.get_mut(&current).expect("a metric before its samples");
        let end = line.find(['{', ' ']).expect("a name");
        let (name, rest) = line.split_at(end);
        let (labels, rest) = labels(rest);
        let rest = rest.strip_prefix(' ').expect("a value");
        let (value, exemplar) = match rest.split_once(" # ") {
            Some((value, exemplar)) => {
                assert!(open && family.kind == "histogram", "{line}");
                let (inner, value_of_it) = self::labels(exemplar);
                assert_eq!(inner[0].0, "call_id");
                number(value_of_it.trim_start());
                (value, Some(inner[0].1.clone()))
            }
            None => (rest, None),
        };
        let suffix = name.strip_prefix(current.as_str()).expect("a sample of this metric");
        let suffixes: &[&str] = match (family.kind.as_str(), open) {
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            ("counter", true) => &["_total"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line}");
        let value = number(value);
        assert!(family.kind != "counter" || value >= 0.0, "{line}");
        family.samples.push(Sample { name: name.into(), labels, value, exemplar });
    }
    for (name, family) in &families {
        check(name, family);
    }
    families
}

/// No series stands there twice, and histograms are whole.
fn check(name: &str, family: &Family) {
    let mut series = BTreeSet::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.sort();
        labels.windows(2).for_each(|pair| assert_ne!(pair[0].0, pair[1].0, "{name}"));
        assert!(series.insert((sample.name.clone(), labels)), "{name} has {sample:?} twice");
    }
    if family.kind != "histogram" {
        return;
    }
    // One histogram for each combination of the other labels.
    let others = |sample: &Sample| {
        let labels = sample.labels.iter().filter(|(label, _)| label != "le");
        labels.cloned().collect::<Vec<_>>()
    };
    let all: BTreeSet<Vec<(String, String)>> = family.samples.iter().map(others).collect();
    for labels in all {
        let own = || family.samples.iter().filter(|sample| others(sample) == labels);
        let buckets: Vec<&Sample> =
            own().filter(|sample| sample.name.ends_with("_bucket")).collect();
        let bound = |sample: &&Sample| {
            let (_, bound) = sample.labels.last().expect("a bucket has a bound");
            number(bound)
        };
        let bounds: Vec<f64> = buckets.iter().map(bound).collect();
        assert!(bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY), "{name}: {bounds:?}");
        assert!(buckets.is_sorted_by(|a, b| a.value <= b.value), "{name}: not cumulative");
        let count = own().find(|sample| sample.name.ends_with("_count"));
        let last = buckets.last().map(|last| last.value);
        assert_eq!(count.map(|count| count.value), last, "{name}");
    }
}

async fn scrape(scene: &Scene, accept: &str) -> Answer {
    let headers = format!("accept: {accept}\r\n");
    let host = scene.client.address.to_string();
    scene.client.raw("GET", "/metrics", &host, &headers, "").await
}

fn value(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<(String, String)> =
        labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let family = families.get(name).unwrap_or_else(|| panic!("there is no {name}"));
    let found = family.samples.iter().find(|sample| sample.labels == wanted);
    found.unwrap_or_else(|| panic!("no {labels:?} of {name}: {:?}", family.samples)).value
}

#[tokio::test]
async fn metrics_are_what_prometheus_reads_and_count_what_happens() {
    let scene = scene().await;
    let phone = phone();
    let call = ann_calls(&phone, &scene, "7").await;
    let nobody = phone.call(scene.switch(), crate::named("none", "ann", "secret of ann")).await;
    nobody.expect("placed").answered().await.expect_err("no such number");
    let plain = scrape(&scene, "*/*").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let families = parse(&plain.body, false);
    for (name, labels, expected) in [
        ("oneport_calls", &[("state", "answered")][..], 1.0),
        ("oneport_calls", &[("state", "ringing")], 0.0),
        ("oneport_calls_answered_total", &[], 1.0),
        ("oneport_calls_begun_total", &[("direction", "in")], 2.0),
        ("oneport_refused_total", &[("stage", "route"), ("cause", "3")], 1.0),
        ("oneport_link_calls", &[("peer", "ann"), ("direction", "in")], 1.0),
        ("oneport_limit_used", &[("limit", "ann")], 1.0),
        ("oneport_limit_max", &[("limit", "ann")], 2.0),
        ("oneport_registration_up", &[("registrar", "127.0.0.1:9"), ("username", "us")], 0.0),
        ("oneport_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert!((value(&families, name, labels) - expected).abs() < 1e-9, "{name} {labels:?}");
    }
    let document = include_str!("../../../../docs/metrics.md");
    let documented: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
        .collect();
    let shown: BTreeSet<&str> = families.keys().map(String::as_str).collect();
    assert_eq!(shown, documented);
    drop(call);
    crate::wait_for("the call's exemplar", async || {
        let open = scrape(&scene, OPEN_METRICS).await;
        assert!(open.header("content-type").expect("one").starts_with(OPEN_METRICS));
        let families = parse(&open.body, true);
        let durations = &families["oneport_call_duration_seconds"];
        durations.samples.iter().find_map(|sample| sample.exemplar.clone())
    })
    .await;
}

#[tokio::test]
async fn a_leg_that_leads_its_party_elsewhere_is_counted_when_it_ends() {
    let text = format!("{}\n[[routes]]\nnumber = \"8\"\nto = [\"peer:bob\"]\n", crate::CONFIG);
    let scene = crate::scene_with(&text).await;
    let (ann, bob) = (phone(), phone());
    let _registration = crate::registered(&bob, &scene, "bob").await;
    let new = crate::named("8", "ann", "secret of ann");
    let mut call = ann.call(scene.switch(), new).await.expect("placed");
    let incoming = bob.incoming().await.expect("it rings at bob's");
    let mut theirs = incoming.answer().await.expect("answered");
    call.answered().await.expect("answered");
    theirs.transfer("7").await.expect("up");
    theirs.ended().await.expect("his leg ends");
    let counts = async |direction: &str| {
        let families = parse(&scrape(&scene, "*/*").await.body, false);
        let begun = value(&families, "oneport_calls_begun_total", &[("direction", direction)]);
        let labels = [("direction".to_string(), direction.to_string())];
        let ended = families.get("oneport_calls_ended_total").map_or(0.0, |family| {
            let of = |sample: &&Sample| sample.labels.starts_with(&labels);
            family.samples.iter().filter(of).map(|sample| sample.value).sum()
        });
        (begun, ended)
    };
    crate::wait_for("bob's leg to be counted", async || {
        (counts("out").await == (1.0, 1.0)).then_some(())
    })
    .await;
    assert_eq!(counts("in").await, (1.0, 0.0), "ann hears the echo");
    drop(call);
    crate::wait_for("ann's leg to be counted", async || {
        (counts("in").await == (1.0, 1.0)).then_some(())
    })
    .await;
}

#[test]
fn the_parser_refuses_what_prometheus_would() {
    for wrong in [
        "oneport_a 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a b\n# TYPE a gauge\nb 1\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"1} 1\n",
        "# HELP a b\n# TYPE a gauge\na one\n",
        "# HELP a b\n# TYPE a gauge\na 1",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
    ] {
        let result = std::panic::catch_unwind(|| parse(wrong, false));
        assert!(result.is_err(), "{wrong}");
    }
    let right = "# HELP a b\n# TYPE a gauge\na{x=\"\\\"\"} 1\na{x=\"2\"} 1\n";
    assert_eq!(parse(right, false)["a"].samples[0].labels[0].1, "\"");
}
