//! Charts as SVG: lines and dots over a common axis, one panel each.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

/// An area of an SVG.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One of the lines of a panel.
pub(crate) struct Series<'a> {
    /// What its key says; empty: it has none.
    pub(crate) name: &'a str,
    pub(crate) color: RGBColor,
    /// Joins the points.
    pub(crate) is_line: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A panel.
pub(crate) struct Panel<'a> {
    pub(crate) title: &'a str,
    /// What the axis below shows, and where it ends.
    pub(crate) unit: &'a str,
    pub(crate) end: f64,
    /// The least that the axis of values shows.
    pub(crate) at_least: f64,
    /// The colour of letters and axes.
    pub(crate) ink: RGBColor,
    pub(crate) series: Vec<Series<'a>>,
}

impl Panel<'_> {
    /// Draws it.
    ///
    /// # Errors
    /// The text cannot be written.
    pub(crate) fn draw(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let values = self.series.iter().flat_map(|series| &series.points).map(|point| point.1);
        let top = values.fold(self.at_least, f64::max);
        let text = |size: i32| ("sans-serif", size).into_font().color(&self.ink);
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, text(16))
            .margin(8)
            .x_label_area_size(34)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..self.end, 0.0..top * 1.05)
            .map_err(as_text)?;
        chart
            .configure_mesh()
            .x_desc(self.unit)
            .light_line_style(TRANSPARENT)
            .bold_line_style(self.ink.mix(0.15))
            .axis_style(self.ink)
            .label_style(text(12))
            .draw()
            .map_err(as_text)?;
        let mut has_key = false;
        for series in &self.series {
            let color = series.color;
            let dots = series.points.iter().map(|point| Circle::new(*point, 2, color.filled()));
            let drawn = chart.draw_series(dots).map_err(as_text)?;
            if !series.name.is_empty() {
                has_key = true;
                let key =
                    move |(x, y)| Rectangle::new([(x, y - 4), (x + 8, y + 4)], color.filled());
                drawn.label(series.name).legend(key);
            }
            if series.is_line {
                let line = LineSeries::new(series.points.iter().copied(), &color);
                chart.draw_series(line).map_err(as_text)?;
            }
        }
        if has_key {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .legend_area_size(14)
                .label_font(text(12))
                .draw()
                .map_err(as_text)?;
        }
        Ok(())
    }
}

/// The errors of the drawing hold what cannot leave it.
pub(crate) fn as_text(error: impl Error) -> String {
    error.to_string()
}
