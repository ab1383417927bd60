//! Metrics as text, in Prometheus' own format and in OpenMetrics, which has exemplars.

use std::fmt::Write as _;

use crate::tally::Histogram;

/// What kind of metric it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric and what it means. The name of a counter ends in `_total`.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

/// Which of the two formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// `text/plain; version=0.0.4`.
    Plain,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

impl Format {
    /// What a scraper that accepts this gets.
    pub(crate) fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Plain,
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A page of metrics, written one behind the other. All samples of a metric stand together.
#[derive(Debug)]
pub(crate) struct Exposition {
    format: Format,
    text: String,
}

impl Exposition {
    pub(crate) const fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// Begins a metric.
    pub(crate) fn begin(&mut self, metric: &'static Metric) -> Samples<'_> {
        let name = match (self.format, metric.kind) {
            (Format::OpenMetrics, Kind::Counter) => {
                metric.name.strip_suffix("_total").unwrap_or(metric.name)
            }
            _ => metric.name,
        };
        let _ = writeln!(self.text, "# HELP {name} {}", escaped(metric.help));
        let _ = writeln!(self.text, "# TYPE {name} {}", metric.kind.name());
        Samples { exposition: self, metric }
    }

    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// The samples of one metric.
#[derive(Debug)]
pub(crate) struct Samples<'a> {
    exposition: &'a mut Exposition,
    metric: &'static Metric,
}

impl Samples<'_> {
    /// Adds one; `values` are those of the metric's labels, in their order.
    pub(crate) fn add(&mut self, values: &[&str], value: f64) -> &mut Self {
        self.line("", values, None, value);
        self.exposition.text.push('\n');
        self
    }

    /// Adds a histogram.
    pub(crate) fn histogram(&mut self, values: &[&str], histogram: &Histogram) {
        let bounds = histogram.bounds.iter().map(|bound| number(*bound));
        let mut sum = 0;
        let places = bounds.chain(["+Inf".into()]).zip(&histogram.counts).enumerate();
        for (place, (bound, count)) in places {
            let example = histogram.example(place);
            sum += count;
            self.line("_bucket", values, Some(&bound), sum as f64);
            if let (Format::OpenMetrics, Some((call, value))) = (self.exposition.format, example) {
                let (call, value) = (escaped(call), number(*value));
                let _ = write!(self.exposition.text, " # {{call_id=\"{call}\"}} {value}");
            }
            self.exposition.text.push('\n');
        }
        for (suffix, value) in [("_sum", histogram.sum), ("_count", sum as f64)] {
            self.line(suffix, values, None, value);
            self.exposition.text.push('\n');
        }
    }

    fn line(&mut self, suffix: &str, values: &[&str], bound: Option<&str>, value: f64) {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        let text = &mut self.exposition.text;
        text.push_str(self.metric.name);
        text.push_str(suffix);
        let labels = self.metric.labels.iter().copied().zip(values.iter().copied());
        let mut separator = '{';
        for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            let _ = write!(text, "{separator}{label}=\"{}\"", escaped(value));
            separator = ',';
        }
        if separator == ',' {
            text.push('}');
        }
        let _ = write!(text, " {}", number(value));
    }
}

/// A number as both formats write it.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    // OpenMetrics wants bounds of buckets as floats; whole numbers are fine elsewhere.
    value.to_string()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    static CALLS: Metric = Metric {
        name: "calls_total",
        kind: Kind::Counter,
        labels: &["peer"],
        help: "Calls\nof a \\ peer.",
    };

    #[test]
    fn names_and_values_are_written_so_that_nothing_breaks_out() {
        let mut exposition = Exposition::new(Format::OpenMetrics);
        exposition.begin(&CALLS).add(&["a\"b\\c\nd"], 3.0);
        assert_eq!(
            exposition.finish(),
            "# HELP calls Calls\\nof a \\\\ peer.\n# TYPE calls counter\n\
             calls_total{peer=\"a\\\"b\\\\c\\nd\"} 3\n# EOF\n"
        );
        let mut exposition = Exposition::new(Format::Plain);
        exposition.begin(&CALLS).add(&["x"], 0.5).add(&["y"], f64::INFINITY);
        let text = exposition.finish();
        assert!(text.contains("# TYPE calls_total counter\n"), "{text}");
        assert!(text.ends_with("calls_total{peer=\"x\"} 0.5\ncalls_total{peer=\"y\"} +Inf\n"));
    }
}
