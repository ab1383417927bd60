//! The figures of a switch, as it writes them, as the page about them lists them, and as Prometheus has them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oneport_testkit::peers::prometheus::Prometheus;
use oneport_testkit::peers::wait_for;
use serde_json::Value;

use crate::page::Page;

const METRICS: &str = include_str!("../../../../docs/metrics.md");

/// What Prometheus adds to each sample.
const ADDED: [&str; 2] = ["job", "instance"];

/// The metrics that a switch writes, and the kind of each.
pub(crate) fn written(page: &Page) -> BTreeMap<String, String> {
    let token = std::fs::read_to_string(page.token()).expect("the switch has written it");
    let answer = ureq::get(format!("http://{}/metrics", page.api()))
        .header("Authorization", format!("Bearer {}", token.trim()))
        .call();
    let text = answer.expect("metrics").into_body().read_to_string().expect("text");
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    kinds.map(|(name, kind)| (name.into(), kind.into())).collect()
}

/// The labels of each metric, by the page that lists them, which is compared with the code.
pub(crate) fn labels() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let rows = METRICS.lines().filter(|line| line.starts_with("| `oneport_"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .map(|cells| {
            let labels = cells[3].split(", ").map(|label| label.trim_matches('`'));
            (cells[1].trim_matches('`'), labels.filter(|label| !label.is_empty()).collect())
        })
        .collect()
}

/// Whether a character may stand in a name.
const fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The names of our metrics in an expression.
pub(crate) fn names(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c| !in_name(c));
    words.filter(|word| word.starts_with("oneport_")).collect()
}

/// The metric that a name in an expression is of: a histogram has several.
pub(crate) fn metric<'a>(name: &'a str, written: &BTreeMap<String, String>) -> Option<&'a str> {
    if written.get(name).is_some_and(|kind| kind != "histogram") {
        return Some(name);
    }
    let whole = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    whole.filter(|whole| written.get(*whole).is_some_and(|kind| kind == "histogram"))
}

/// The labels that may stand beside these metrics.
pub(crate) fn labels_of<'a>(metrics: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'static str> {
    let all = labels();
    let own = metrics.into_iter().filter_map(|metric| all.get(metric)).flatten().copied();
    own.chain(ADDED).chain(["le"]).collect()
}

/// What Prometheus answers at this path below `/api/v1/`.
pub(crate) fn ask(prometheus: &Prometheus, path: &str, query: &[(&str, &str)]) -> Value {
    let mut request = ureq::get(format!("http://{}/api/v1/{path}", prometheus.address()));
    for (name, value) in query {
        request = request.query(*name, *value);
    }
    let answer = request.config().http_status_as_error(false).build().call();
    let text = answer.map(|answer| answer.into_body().read_to_string().expect("text"));
    text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Prometheus with a configuration of the documentation, collecting from the switch of a page twice in a
/// second.
pub(crate) fn collecting(
    page: &Page,
    configuration: &str,
    rules: &[&std::path::Path],
) -> Prometheus {
    let token = page.token();
    let configuration = configuration
        .replace("scrape_interval: 15s", "scrape_interval: 500ms\n  evaluation_interval: 500ms")
        .replace("/etc/prometheus/oneport.token", &token.display().to_string())
        .replace("127.0.0.1:8569", page.api());
    assert!(configuration.contains("500ms"), "{configuration}");
    assert!(configuration.contains(page.api()), "{configuration}");
    let prometheus = Prometheus::start(&configuration, rules);
    wait_for("a first collection", Duration::from_secs(60), || {
        let up = ask(&prometheus, "query", &[("query", "oneport_build_info")]);
        up["data"]["result"].as_array().is_some_and(|samples| !samples.is_empty())
    });
    prometheus
}
