//! The report as one page of HTML, with plots as SVG in it: nothing is loaded from anywhere.

use std::error::Error;
use std::fmt::Write as _;

use plotters::prelude::*;

use super::measure::{CallFound, Found, Spoke};
use super::report::{FIT_COLUMNS, LOAD_COLUMNS, Report};
use super::verdict::{Finding, Verdict, Weight};
use crate::chart::{Panel, Series, as_text};

/// Width and height of a plot, in px.
const SIZE: (u32, u32) = (420, 220);

/// Colours that no page has: each becomes one of the page's own, which follow light and dark.
const INK: RGBColor = RGBColor(1, 2, 3);
const THERE: RGBColor = RGBColor(1, 2, 4);
const HERE: RGBColor = RGBColor(1, 2, 5);
const INKS: [(&str, &str); 3] =
    [("#010203", "var(--ink)"), ("#010204", "var(--there)"), ("#010205", "var(--here)")];

/// The most points of a line; of more each stands for several, the highest of them.
const POINTS: usize = 280;

const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2430;--faint:#5b6675;--line:#d9dfe7;--there:#1a56b0;
--here:#b34700;--good:#11693a;--fair:#7a5200;--bad:#b3202c;--card:#f5f7fa}
@media(prefers-color-scheme:dark){:root{--paper:#10151c;--ink:#e4e9f0;--faint:#9aa7b8;--line:#2d3846;
--there:#7db1ff;--here:#ffab66;--good:#5fd38d;--fair:#f0c14b;--bad:#ff8a8f;--card:#171e28}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1200px;padding:24px 16px;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:22px;margin:0;overflow-wrap:anywhere}h2{font-size:16px;margin:28px 0 8px}
p{margin:4px 0}.faint{color:var(--faint)}
.verdict{font-size:20px;font-weight:600;margin:14px 0}
.good{color:var(--good)}.fair,.warning{color:var(--fair)}.bad{color:var(--bad)}
ul{list-style:none;margin:0;padding:0}
li{border-left:4px solid currentColor;background:var(--card);padding:8px 12px;margin:8px 0}
li>*{color:var(--ink)}li b{margin-right:6px;color:inherit}li .remedy{color:var(--faint)}
li.note{color:var(--faint)}
dl{display:grid;grid-template-columns:7em 1fr;gap:4px 12px;margin:0}
dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;font-size:13px;color:var(--faint)}th:first-child,td:first-child{padding-left:0}
tr>th[scope=row]{text-align:left;color:var(--ink)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:16px}
figure{margin:0}figure svg{width:100%;height:auto;display:block}
@media(max-width:480px){dl{grid-template-columns:1fr}dd{margin-bottom:6px}}
@media print{:root{color-scheme:light}}
";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page.
///
/// # Errors
/// A plot cannot be drawn.
pub(crate) fn page(report: &Report, found: &Found) -> Result<String, Box<dyn Error>> {
    let target = escaped(&report.target);
    let class = match report.verdict {
        Verdict::Good => "good",
        Verdict::Fair | Verdict::Untried => "fair",
        Verdict::Bad | Verdict::Unreachable => "bad",
    };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>oneport probe {target}</title>\n<style>{STYLE}</style></head>\n<body><main>\n\
         <h1>oneport probe {target}</h1>\n<p class=\"faint\">{} at {}</p>\n\
         <p class=\"verdict {class}\">{}</p>\n",
        escaped(&report.address),
        escaped(&report.at),
        report.verdict.words()
    );
    if !report.findings.is_empty() {
        html.push_str("<ul>\n");
        report.findings.iter().for_each(|finding| html.push_str(&item(finding)));
        html.push_str("</ul>\n");
    }
    html.push_str("<h2>What was measured</h2>\n<dl>\n");
    for (name, said) in report.lines() {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(&said));
    }
    html.push_str("</dl>\n");
    if let Some((heads, rows)) = report.ways() {
        html.push_str("<h2>The voice of one call</h2>\n");
        let mut head = vec![""];
        head.extend(heads);
        let rows = rows.into_iter().map(|(name, cells)| {
            std::iter::once(name.to_string()).chain(cells).collect::<Vec<String>>()
        });
        html.push_str(&table(&head.into_iter().map(|head| (head, "")).collect::<Vec<_>>(), rows));
    }
    let plots = plots(report, found)?;
    if !plots.is_empty() {
        html.push_str("<h2>Over time, and under load</h2>\n<div class=\"plots\">\n");
        for (title, plot) in plots {
            let _ = writeln!(html, "<figure role=\"img\" aria-label=\"{title}\">{plot}</figure>");
        }
        html.push_str("</div>\n");
    }
    let [load, trunk] = report.load_lines();
    for (title, part, columns) in [
        ("More calls at once", load, &LOAD_COLUMNS[..]),
        ("More calls at once, in a trunk", trunk, &LOAD_COLUMNS[..]),
        ("How many fit", report.fit_lines(), &FIT_COLUMNS[..]),
    ] {
        let Some((said, rows)) = part else { continue };
        let _ = writeln!(html, "<h2>{title}</h2>\n<p>{}</p>", escaped(&said));
        if !rows.is_empty() {
            html.push_str(&table(columns, rows));
        }
    }
    html.push_str("</main></body></html>\n");
    Ok(html)
}

fn item(finding: &Finding) -> String {
    let word = match finding.weight {
        Weight::Bad => "bad",
        Weight::Warning => "warning",
        Weight::Note => "note",
    };
    let remedy = finding.remedy.map_or_else(String::new, |remedy| {
        format!("<p class=\"remedy\">To mend it: {}</p>", escaped(remedy))
    });
    format!(
        "<li class=\"{word}\"><b>{word}</b><span>{}</span>{remedy}</li>\n",
        escaped(&finding.says)
    )
}

fn table(columns: &[(&str, &str)], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut html = String::from("<div class=\"scroll\"><table>\n<tr>");
    for (heading, meaning) in columns {
        let _ = write!(html, "<th scope=\"col\" title=\"{meaning}\">{heading}</th>");
    }
    html.push_str("</tr>\n");
    for row in rows {
        html.push_str("<tr>");
        for (n, cell) in row.iter().enumerate() {
            let _ = match n {
                0 => write!(html, "<th scope=\"row\">{}</th>", escaped(cell)),
                _ => write!(html, "<td>{}</td>", escaped(cell)),
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
    html
}

/// Of many points each of a few stands for several, so that none that is high is missing.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let of_one = points.len().div_ceil(POINTS).max(1);
    let highest =
        |points: &[(f64, f64)]| points.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
    points.chunks(of_one).filter_map(highest).collect()
}

/// Plots with their titles.
fn plots(report: &Report, found: &Found) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let mut plots = Vec::new();
    match &found.call {
        CallFound::Spoke(spoke) => plots.extend(call_plots(spoke)?),
        _ => {
            let points = found.answers.iter();
            let points = points
                .filter_map(|(at, rtt)| Some((*at, rtt.as_ref()?.as_secs_f64() * 1e3)))
                .collect::<Vec<_>>();
            if !points.is_empty() {
                let series = vec![one_line("", THERE, points)];
                plots.push(plot("Round trip of polls, ms", "seconds", 1.0, series)?);
            }
        }
    }
    let Some(ramp) = found.ramp.as_ref().filter(|ramp| !ramp.steps.is_empty()) else {
        return Ok(plots);
    };
    let mut steps: Vec<_> = ramp.steps.iter().collect();
    steps.sort_by_key(|step| step.calls);
    let knows_ways = report.call.as_ref().is_some_and(|call| call.there.is_some());
    let of = |way: usize, value: &dyn Fn(usize, &super::measure::StepFound) -> f64| {
        steps.iter().map(|step| (step.calls as f64, value(way, step))).collect::<Vec<_>>()
    };
    let lost = |way: usize, step: &super::measure::StepFound| {
        step.lost_apart.map_or(step.lost, |lost| lost[way])
    };
    let queue = |way: usize, step: &super::measure::StepFound| {
        step.above.apart.map_or(step.above.both, |above| above[way]).as_secs_f64() * 1e3
    };
    let pair = |value: &dyn Fn(usize, &super::measure::StepFound) -> f64| match knows_ways {
        true => vec![one_line("there", THERE, of(0, value)), one_line("here", HERE, of(1, value))],
        false => vec![one_line("", THERE, of(0, value))],
    };
    plots.push(plot("Voice lost under load, %", "calls at once", 1.0, pair(&lost))?);
    plots.push(plot("Queue under load (95 %), ms", "calls at once", 10.0, pair(&queue))?);
    Ok(plots)
}

fn call_plots(spoke: &Spoke) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let origin = spoke.frames.iter().map(|frame| frame.sent).min().unwrap_or_default();
    let seconds = |sent: u64| sent.saturating_sub(origin) as f64 / 1e6;
    let round_trips = spoke.frames.iter();
    let mut round_trips: Vec<(f64, f64)> = round_trips
        .map(|frame| (seconds(frame.sent), frame.came.saturating_sub(frame.sent) as f64 / 1e3))
        .collect();
    round_trips.sort_by(|a, b| a.0.total_cmp(&b.0));
    let series = vec![one_line("", THERE, thinned(round_trips))];
    let mut plots = vec![plot("Round trip of voice, ms", "seconds", 1.0, series)?];
    if let Some(apart) = &spoke.ways.apart {
        let late = |way: &oneport::probe::OneWay| {
            let mut points: Vec<(f64, f64)> =
                way.late.iter().map(|(sent, late)| (seconds(*sent), *late as f64 / 1e3)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            thinned(points)
        };
        let series = vec![
            one_line("there", THERE, late(&apart[0])),
            one_line("here", HERE, late(&apart[1])),
        ];
        plots.push(plot("Later than the fastest, ms", "seconds", 1.0, series)?);
    }
    Ok(plots)
}

fn one_line(name: &'static str, color: RGBColor, points: Vec<(f64, f64)>) -> Series<'static> {
    Series { name, color, is_line: true, points }
}

fn plot(
    title: &'static str,
    unit: &str,
    at_least: f64,
    series: Vec<Series<'_>>,
) -> Result<(&'static str, String), Box<dyn Error>> {
    let ends = series.iter().flat_map(|series| &series.points).map(|point| point.0);
    let panel = Panel { title, unit, end: ends.fold(1.0, f64::max), at_least, ink: INK, series };
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    panel.draw(&area)?;
    area.present().map_err(as_text)?;
    drop(area);
    // Of any width, in the colours of the page.
    let (width, height) = SIZE;
    svg = svg.replacen(&format!("width=\"{width}\" height=\"{height}\" "), "", 1);
    for (color, own) in INKS {
        svg = svg.replace(color, own);
    }
    Ok((title, svg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_stays_where_many_points_become_few() {
        let mut points: Vec<(f64, f64)> = (0..5_000).map(|n| (f64::from(n), 1.0)).collect();
        points[1_234].1 = 99.0;
        let few = thinned(points);
        assert!(few.len() <= POINTS && few.contains(&(1_234.0, 99.0)));
        assert_eq!(thinned(vec![(0.0, 1.0)]), [(0.0, 1.0)]);
    }

    #[test]
    fn plots_have_the_colours_of_the_page_and_any_width() {
        let series = vec![one_line("there", THERE, vec![(0.0, 1.0), (1.0, 3.0)])];
        let (_, svg) = plot("Lost", "calls", 1.0, series).expect("drawn");
        assert!(svg.contains("var(--there)") && svg.contains("var(--ink)"), "{svg}");
        assert!(!svg.contains("#0102") && !svg.contains("width=\"420\""), "{svg}");
    }
}
