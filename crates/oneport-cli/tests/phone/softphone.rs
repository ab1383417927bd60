//! A softphone in a terminal.

use crate::terminal::Terminal;

impl Terminal {
    /// Begins `oneport phone`, whose secret is `secret`.
    pub(crate) fn phone(arguments: &[&str], secret: &str, environment: &[(&str, &str)]) -> Self {
        let environment = [&[("ONEPORT_SECRET", secret)][..], environment].concat();
        Self::begin(&[&["phone"][..], arguments].concat(), &environment)
    }
}

/// Calls that a screen of 80 columns shows, and what stands on each.
pub(crate) fn calls(screen: &str) -> Vec<&str> {
    let rows = screen.lines().skip_while(|row| !row.contains("Calls")).skip(1).take(5);
    let rows = rows.map(|row| row.trim_matches(['│', ' ', '>']));
    rows.filter(|row| row.starts_with(|first: char| first.is_ascii_digit())).collect()
}
