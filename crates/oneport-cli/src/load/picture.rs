//! A load as a picture: its calls against score, delay, loss and CPU.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::report::{Run, Second};
use crate::chart::{Panel, Series, as_text};

/// Width and height, in px.
const SIZE: (u32, u32) = (900, 900);

/// One of the charts, which stand above each other.
struct Chart {
    title: &'static str,
    /// The least that the axis of values shows.
    at_least: f64,
    value: fn(&Second) -> Option<f64>,
}

const CHARTS: [Chart; 4] = [
    Chart { title: "Mean opinion score", at_least: 4.5, value: |second| second.mos },
    Chart {
        title: "Round trip of 99 of 100 frames, ms",
        at_least: 5.0,
        value: |second| second.round_trip_p99_ms,
    },
    Chart { title: "Voice lost, %", at_least: 1.0, value: |second| Some(second.lost_percent) },
    Chart {
        title: "CPU of the watched process (else of the load), cores",
        at_least: 0.1,
        value: |second| second.watched_cores.or(second.own_cores),
    },
];

/// Draws it: against the calls where their number grew, else against time.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn draw(path: &Path, run: &Run) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    render(&mut text, &run.seconds)?;
    Ok(std::fs::write(path, text)?)
}

fn render(text: &mut String, seconds: &[Second]) -> Result<(), Box<dyn Error>> {
    let calls = || seconds.iter().map(|second| second.answered);
    let (least, most) = (calls().min().unwrap_or_default(), calls().max().unwrap_or_default());
    let grows = most > least + least / 2;
    let place = |second: &Second| if grows { second.answered as f64 } else { second.second };
    let unit = if grows { "calls" } else { "seconds" };
    let end = seconds.iter().map(place).fold(1.0, f64::max);
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(as_text)?;
    for (chart, area) in CHARTS.iter().zip(area.split_evenly((CHARTS.len(), 1))) {
        let mut points: Vec<(f64, f64)> = seconds
            .iter()
            .filter_map(|second| Some((place(second), (chart.value)(second)?)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let panel = Panel {
            title: chart.title,
            unit,
            end,
            at_least: chart.at_least,
            ink: BLACK,
            series: vec![Series { name: "", color: BLUE, is_line: true, points }],
        };
        panel.draw(&area)?;
    }
    area.present().map_err(as_text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_load_is_drawn_against_its_calls() {
        let second = |n: u32| Second {
            second: f64::from(n),
            calls: 10 * n as usize,
            answered: 10 * n as usize,
            silent: 0,
            registered: 0,
            lost_percent: 0.0,
            round_trip_p99_ms: Some(f64::from(n)),
            mos: Some(4.4),
            own_cores: Some(0.1),
            watched_cores: None,
            watched_context_switches: None,
        };
        let draw = |seconds: &[Second]| {
            let mut text = String::new();
            render(&mut text, seconds).expect("drawn");
            text
        };
        let growing: Vec<Second> = (1..=10).map(second).collect();
        let picture = draw(&growing);
        assert!(
            picture.contains("calls") && picture.matches("<polyline").count() >= 4,
            "{picture}"
        );
        assert!(draw(&vec![second(3); 5]).contains("seconds"));
        assert!(draw(&[]).contains("</svg>"));
    }
}
