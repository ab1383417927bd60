//! Figures over time, in characters.

use crate::terminal::Look;

/// Eighths of a character, and what stands for them without Unicode.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const PLAIN: [char; 9] = [' ', '_', '.', ':', '-', '=', '+', '*', '#'];

/// So many values out of as many as there are, each the greatest of those it stands for.
pub(super) fn squeezed(values: &[usize], width: usize) -> Vec<usize> {
    if values.len() <= width || width == 0 {
        return values.to_vec();
    }
    let part = |column: usize| {
        let (from, to) = (column * values.len() / width, (column + 1) * values.len() / width);
        values.get(from..to.max(from + 1)).unwrap_or_default().iter().copied().max().unwrap_or(0)
    };
    (0..width).map(part).collect()
}

/// Bars of these values, of so many rows, the topmost first. `most` fills all rows; anything at all can be
/// seen.
pub(super) fn bars(values: &[Option<f64>], most: f64, rows: usize, look: Look) -> Vec<String> {
    let marks = if look.unicode { EIGHTHS } else { PLAIN };
    let eighths = |value: f64| {
        #[expect(clippy::cast_precision_loss, reason = "rows are few")]
        let all = rows as f64 * 8.0;
        let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to the rows"
        )]
        let eighths = (share * all).ceil() as usize;
        eighths
    };
    let row = |row: usize| {
        let below = (rows - 1 - row) * 8;
        let mark = |value: &Option<f64>| match value {
            None => ' ',
            // What is zero is a line at the bottom rather than nothing.
            Some(value) if rows == 1 => marks[eighths(*value).clamp(1, 8)],
            Some(value) => marks[eighths(*value).saturating_sub(below).min(8)],
        };
        values.iter().map(mark).collect()
    };
    (0..rows).map(row).collect()
}

/// The same in one row, under a ceiling of its own that is `least` at least.
pub(super) fn spark(values: &[Option<f64>], least: f64, look: Look) -> String {
    let most = values.iter().flatten().copied().fold(least, f64::max);
    bars(values, most, 1, look).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { unicode: true, colours: true, began: 0 };

    #[test]
    fn a_row_shows_what_is_known_and_leaves_gaps_where_nothing_is() {
        let values = [Some(0.0), None, Some(4.0), Some(8.0), Some(16.0)];
        assert_eq!(spark(&values, 8.0, LOOK), "▁ ▂▄█");
        assert_eq!(spark(&values[..1], 8.0, LOOK), "▁");
        let plain = Look { unicode: false, ..LOOK };
        assert_eq!(spark(&values, 8.0, plain), "_ .-#");
    }

    #[test]
    fn many_rows_are_filled_from_below() {
        let values = [0.0, 1.0, 8.0, 16.0].map(Some);
        assert_eq!(bars(&values, 16.0, 2, LOOK), ["   █", " ▁██"]);
    }

    #[test]
    fn peaks_are_kept_where_there_is_less_room() {
        assert_eq!(squeezed(&[1, 9, 2, 3, 4, 8], 3), [9, 3, 8]);
        assert_eq!(squeezed(&[1, 2], 3), [1, 2]);
        assert_eq!(squeezed(&[1, 2], 0), [1, 2]);
    }
}
