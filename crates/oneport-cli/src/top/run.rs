//! Joins keys, the switch and the screen, and decides nothing itself.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;
use tokio::time;

use super::link::Link;
use super::state::{Command, State};
use super::{saving, screen};
use crate::api::ApiArgs;
use crate::exit::Failure;
use crate::terminal::{self, Key, Terminal};

/// The screen is drawn so often at least: clocks go on.
const PERIOD: Duration = Duration::from_secs(1);
/// It is drawn no more often than that.
const FRAME: Duration = Duration::from_millis(40);

/// What is shown.
pub(super) enum Shown {
    /// The switch at the other end of its API.
    Switch(ApiArgs),
    /// A file, and the ports of IAX2 in it.
    Capture(PathBuf, Vec<u16>),
}

/// Shows it until its user goes.
pub(super) async fn run(shown: Shown, mut state: State) -> Result<(), Failure> {
    let (tell, mut told) = unbounded_channel();
    let (link, capture) = match shown {
        Shown::Switch(args) => (Some(Link::begin(args, tell)?), None),
        Shown::Capture(file, ports) => (None, Some((file, ports))),
    };
    let capture = capture.as_ref().map(|(file, ports)| (file.as_path(), ports.as_slice()));
    let look = terminal::look();
    let mut terminal = Terminal::take()?;
    let (columns, rows) = terminal.size()?;
    state.resize(columns, rows);
    let (pressed, mut keys) = unbounded_channel();
    terminal::read_keys(pressed)?;
    let signal = terminal::asked_to_go();
    tokio::pin!(signal);
    let began = Instant::now();
    let mut commands = state.tick(Duration::ZERO);
    loop {
        for command in std::mem::take(&mut commands) {
            match (command, &link) {
                (Command::Ask(question), Some(link)) => link.ask(question),
                (Command::Listen, Some(link)) => link.listen()?,
                (Command::Ask(_) | Command::Listen, None) => {}
                (Command::Save(name, content), _) => {
                    let words = saving::write(&name, &content, capture);
                    state.say(words.unwrap_or_else(|why| why));
                }
                (Command::Quit, _) => return Ok(()),
            }
        }
        terminal.draw(|frame| screen::draw(frame, &mut state, look))?;
        let drawn = began.elapsed();
        let wakes = state.wakes_at().map_or(PERIOD, |at| at.saturating_sub(drawn).min(PERIOD));
        tokio::select! {
            key = keys.recv() => commands.extend(state.key(key.unwrap_or(Key::Interrupt))),
            Some(one) = told.recv() => {
                state.told(one);
                // What comes at the same time is drawn at once.
                time::sleep(FRAME.saturating_sub(began.elapsed().saturating_sub(drawn))).await;
                while let Ok(one) = told.try_recv() {
                    state.told(one);
                }
            }
            () = &mut signal => return Ok(()),
            () = time::sleep(wakes) => {}
        }
        while let Ok(key) = keys.try_recv() {
            commands.extend(state.key(key));
        }
        commands.extend(state.tick(began.elapsed()));
    }
}
