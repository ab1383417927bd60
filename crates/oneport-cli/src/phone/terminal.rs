//! The terminal: its keys and its screen, given back as they were.

use std::io::{IsTerminal, Write};
use std::thread;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::UnboundedSender;

use super::screen::Look;
use super::state::Key;
use crate::exit::{Failure, failed, usage};

/// Whether there is one to draw on.
pub(super) fn check() -> Result<(), Failure> {
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(usage("`oneport phone` needs a terminal for its screen and keys")
        .hint("`oneport call` and `oneport answer` work without one"))
}

/// The terminal while it is ours.
pub(super) struct Terminal(DefaultTerminal);

impl Terminal {
    pub(super) fn take() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(failed)
    }

    pub(super) fn draw(
        &mut self,
        draw: impl FnOnce(&mut ratatui::Frame<'_>),
    ) -> Result<(), Failure> {
        self.0.draw(draw).map(drop).map_err(failed)
    }

    /// Rings its bell.
    #[expect(clippy::unused_self, reason = "a bell needs a terminal")]
    pub(super) fn bell(&self) {
        // Nobody hears it where that fails.
        let _ = std::io::stdout().write_all(b"\x07").and_then(|()| std::io::stdout().flush());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Hands on keys, on a thread that lives as long as the command.
pub(super) fn read_keys(keys: UnboundedSender<Key>) -> Result<(), Failure> {
    let read = move || {
        loop {
            let Ok(event) = event::read() else {
                // The terminal has gone.
                let _ = keys.send(Key::Interrupt);
                let _ = keys.send(Key::Interrupt);
                return;
            };
            if let Event::Key(event) = event
                && let Some(key) = key(event)
                && keys.send(key).is_err()
            {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".into()).spawn(read).map(drop).map_err(failed)
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    Some(match event.code {
        KeyCode::Char('c') if control => Key::Interrupt,
        KeyCode::Char(character) if !control => Key::Char(character),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Tab => Key::Tab,
        _ => return None,
    })
}

/// What the terminal can show, by the environment.
pub(super) fn look() -> Look {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_uppercase();
    let time = jiff::ZonedDateTime::now().time();
    let seconds = |of: i8, each: u64| u64::from(of.unsigned_abs()) * each;
    Look {
        unicode: locale.contains("UTF-8") || locale.contains("UTF8"),
        colours: set("NO_COLOR").is_none(),
        began: seconds(time.hour(), 3_600) + seconds(time.minute(), 60) + seconds(time.second(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_they_say_and_being_let_go_is_none() {
        let pressed = |code, modifiers| key(KeyEvent::new(code, modifiers));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::NONE), Some(Key::Char('c')));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(pressed(KeyCode::Char('A'), KeyModifiers::SHIFT), Some(Key::Char('A')));
        assert_eq!(pressed(KeyCode::Char('l'), KeyModifiers::CONTROL), None);
        let mut event = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
        assert_eq!(key(event), Some(Key::Enter));
        event.kind = KeyEventKind::Release;
        assert_eq!(key(event), None);
    }
}
