//! Colours, on a terminal only.

use std::io::IsTerminal;

use anstyle::Style;

/// `text` in `style`, if standard error is a terminal and `NO_COLOR` is not set.
pub(crate) fn paint(style: Style, text: &str) -> String {
    if is_colourful() { format!("{style}{text}{style:#}") } else { text.into() }
}

pub(crate) fn is_colourful() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
