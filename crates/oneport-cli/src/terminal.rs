//! The terminal: its keys and its screen, given back as they were.

use std::io::{IsTerminal, Write};
use std::thread;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::{Color, Style};
use ratatui::symbols::border;
use ratatui::widgets::{Block, Borders};
use tokio::sync::mpsc::UnboundedSender;

use crate::exit::{Failure, failed, usage};

/// A key of the keyboard, or something else that comes the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    Char(char),
    /// A letter with Ctrl; Ctrl-C is [`Self::Interrupt`].
    Control(char),
    Function(u8),
    Enter,
    Escape,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    Tab,
    /// Tab with Shift.
    BackTab,
    /// Ctrl-C, or a signal that asks us to go.
    Interrupt,
    /// The terminal has so many columns and rows now.
    Resize(u16, u16),
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) unicode: bool,
    pub(crate) colours: bool,
    /// Seconds of the day, in the user's time, when the command began.
    pub(crate) began: u64,
}

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Look {
    /// That colour, where there are colours.
    pub(crate) fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// A frame around something.
    pub(crate) fn block(self, title: &str) -> Block<'_> {
        let set = if self.unicode { border::PLAIN } else { ASCII };
        Block::new().borders(Borders::ALL).border_set(set).title(title)
    }
}

/// Whether there is one for `command` to draw on; `others` work without one.
pub(crate) fn check(command: &str, others: &str) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(usage(format!("`oneport {command}` needs a terminal for its screen and keys"))
        .hint(format!("{others} work without one")))
}

/// The terminal while it is ours.
pub(crate) struct Terminal(DefaultTerminal);

impl Terminal {
    pub(crate) fn take() -> Result<Self, Failure> {
        ratatui::try_init().map(Self).map_err(failed)
    }

    /// Its columns and rows.
    pub(crate) fn size(&self) -> Result<(u16, u16), Failure> {
        self.0.size().map(|size| (size.width, size.height)).map_err(failed)
    }

    pub(crate) fn draw(
        &mut self,
        draw: impl FnOnce(&mut ratatui::Frame<'_>),
    ) -> Result<(), Failure> {
        self.0.draw(draw).map(drop).map_err(failed)
    }

    /// Rings its bell.
    #[expect(clippy::unused_self, reason = "a bell needs a terminal")]
    pub(crate) fn bell(&self) {
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
pub(crate) fn read_keys(keys: UnboundedSender<Key>) -> Result<(), Failure> {
    let read = move || {
        loop {
            let Ok(event) = event::read() else {
                // The terminal has gone.
                let _ = keys.send(Key::Interrupt);
                let _ = keys.send(Key::Interrupt);
                return;
            };
            let key = match event {
                Event::Key(event) => key(event),
                Event::Resize(columns, rows) => Some(Key::Resize(columns, rows)),
                _ => None,
            };
            if key.is_some_and(|key| keys.send(key).is_err()) {
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
        KeyCode::Char(character) if control => Key::Control(character),
        KeyCode::Char(character) => Key::Char(character),
        KeyCode::F(number) => Key::Function(number),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        _ => return None,
    })
}

/// A signal that asks us to go.
pub(crate) async fn asked_to_go() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::terminate(), SignalKind::hangup()];
        if let [Ok(mut terminate), Ok(mut hang_up)] = kinds.map(signal) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
            return;
        }
    }
    std::future::pending().await
}

/// What the terminal can show, by the environment.
pub(crate) fn look() -> Look {
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
        assert_eq!(pressed(KeyCode::Char('d'), KeyModifiers::CONTROL), Some(Key::Control('d')));
        assert_eq!(pressed(KeyCode::F(7), KeyModifiers::NONE), Some(Key::Function(7)));
        assert_eq!(pressed(KeyCode::CapsLock, KeyModifiers::NONE), None);
        let mut event = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
        assert_eq!(key(event), Some(Key::Enter));
        event.kind = KeyEventKind::Release;
        assert_eq!(key(event), None);
    }
}
