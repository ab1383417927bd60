//! What a softphone is in the middle of: its calls, what is being typed, what was said last.
//!
//! Pure: keys, events and the time go in, [`Command`]s come out. It knows nothing of terminals,
//! sound cards and the network, so that all of it can be tested by hand.

mod entry;
mod keys;
mod line;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use entry::Entry;
pub(crate) use line::{Figures, Line, LineId, Origin, Phase};

use crate::terminal::Key;

/// Calls at the same time; who calls beyond that hears that we are busy.
pub(crate) const LINES: usize = 5;
/// Calls of the past that are remembered.
const HISTORY: usize = 50;
/// How long what was said last stays.
const NOTICE: Duration = Duration::from_secs(8);
/// How often the terminal's bell is heard while somebody calls.
const BELL: Duration = Duration::from_secs(3);
/// How loud playback is made, in dB.
const VOLUME: std::ops::RangeInclusive<i8> = -30..=12;
const VOLUME_STEP: i8 = 3;

/// What the rest shall do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// Places a call.
    Dial {
        line: LineId,
        number: String,
    },
    /// Answers one.
    Answer(LineId),
    /// Tells a caller that we are busy.
    Reject(LineId),
    /// Ends a call.
    HangUp(LineId),
    /// Puts a call on hold, or goes on with it.
    Hold(LineId),
    Resume(LineId),
    /// Asks the other side to send its party to another number.
    Transfer {
        line: LineId,
        number: String,
    },
    /// Connects the parties of two calls.
    Connect(LineId, LineId),
    /// Presses a key for the other side.
    Press {
        line: LineId,
        digit: char,
    },
    /// Whom we talk to from now on.
    Talk(Option<LineId>),
    /// Whether the microphone is shut.
    Mute(bool),
    /// How loud the other side is, in dB.
    Volume(i8),
    /// What is heard besides calls.
    Alert(Alert),
    /// Rings the terminal's bell.
    Bell,
    /// Ends all calls, and the phone.
    Quit,
}

/// What is heard besides calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Alert {
    #[default]
    Nothing,
    /// Somebody calls.
    Ring,
    /// Somebody calls while we talk.
    Knock,
    /// It rings at the other side.
    Ringback,
}

/// How the registration stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Nobody asked for one.
    Unasked,
    /// No answer yet.
    Registering,
    /// The registrar has us, for so long.
    Registered { refresh: Duration },
    /// It does not; when the next attempt begins.
    Failed { why: String, retry_at: Duration },
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Happened {
    Standing(Standing),
    /// New messages in the mailbox; `None`: nobody knows how many.
    Messages(Option<u8>),
    /// Somebody calls.
    Offered {
        line: LineId,
        number: String,
        name: Option<String>,
    },
    /// A line goes on.
    Line(LineId, OnLine),
    /// What is played and heard with, as a sentence.
    Sound(String),
    /// The loudest of late, in dB of full scale: microphone and the other side.
    Levels {
        microphone: f32,
        heard: f32,
    },
}

/// What happened on a line.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum OnLine {
    /// The other side rings.
    Ringing,
    /// The other side has audio, though nobody has answered.
    EarlyMedia,
    Answered,
    /// The other side put us on hold, or goes on.
    HeldThere(bool),
    Digit(char),
    Text(String),
    /// Whom we talk to now.
    Party {
        number: Option<String>,
        name: Option<String>,
    },
    /// The two lines are connected, through us as long as the other sides do not find each other.
    Connected(LineId),
    Figures(Box<Figures>),
    /// Something could not be done; the call goes on.
    Refused(String),
    /// It is over, and why.
    Ended {
        why: String,
        well: bool,
    },
}

/// A call of the past.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Past {
    pub(crate) number: String,
    pub(crate) name: Option<String>,
    pub(crate) origin: Origin,
    /// When it began.
    pub(crate) at: Duration,
    /// How long we talked; `None`: nobody answered.
    pub(crate) talked: Option<Duration>,
    /// How it ended.
    pub(crate) why: String,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// As whom, and where.
    pub(crate) account: String,
    pub(crate) standing: Standing,
    /// New messages, where the registrar says so.
    pub(crate) messages: Option<Option<u8>>,
    pub(crate) lines: Vec<Line>,
    /// Whom we talk to.
    pub(crate) talking: Option<LineId>,
    /// Whom keys are about.
    pub(crate) selected: Option<LineId>,
    pub(crate) entry: Option<Entry>,
    pub(crate) history: VecDeque<Past>,
    pub(crate) muted: bool,
    pub(crate) volume: i8,
    pub(crate) sound: String,
    pub(crate) levels: (f32, f32),
    pub(crate) help: bool,
    /// Since the phone began.
    pub(crate) now: Duration,
    notice: Option<(String, Duration)>,
    alert: Alert,
    bell_at: Option<Duration>,
    next_line: u32,
    /// The user wants to go while calls are up, and was asked once.
    leaving: bool,
    commands: Vec<Command>,
}

/// Silence, in dB of full scale.
pub(crate) const SILENT: f32 = -96.0;

impl State {
    /// A phone of `account`, which registers or does not.
    pub(crate) fn new(account: String, standing: Standing) -> Self {
        Self {
            account,
            standing,
            messages: None,
            lines: Vec::new(),
            talking: None,
            selected: None,
            entry: None,
            history: VecDeque::new(),
            muted: false,
            volume: 0,
            sound: String::new(),
            levels: (SILENT, SILENT),
            help: false,
            now: Duration::ZERO,
            notice: None,
            alert: Alert::Nothing,
            bell_at: None,
            next_line: 1,
            leaving: false,
            commands: Vec::new(),
        }
    }

    /// A number for the next line, whoever begins it.
    pub(crate) fn new_line(&mut self) -> LineId {
        self.next_line += 1;
        LineId(self.next_line - 1)
    }

    /// The line that keys are about.
    pub(crate) fn selected_line(&self) -> Option<&Line> {
        self.line(self.selected?)
    }

    pub(crate) fn line(&self, id: LineId) -> Option<&Line> {
        self.lines.iter().find(|line| line.id == id)
    }

    fn line_mut(&mut self, id: LineId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.id == id)
    }

    /// What was said last.
    pub(crate) fn notice(&self) -> Option<&str> {
        self.notice.as_ref().map(|(text, _)| text.as_str())
    }

    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.notice = Some((text.into(), self.now + NOTICE));
    }

    /// Time goes on.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Command> {
        self.now = now;
        if self.notice.as_ref().is_some_and(|(_, until)| now >= *until) {
            self.notice = None;
            self.leaving = false;
        }
        if self.bell_at.is_some_and(|at| now >= at) {
            self.bell_at = Some(now + BELL);
            self.commands.push(Command::Bell);
        }
        self.taken()
    }

    /// Something happened.
    pub(crate) fn happened(&mut self, event: Happened) -> Vec<Command> {
        match event {
            Happened::Standing(standing) => {
                let failed = matches!(self.standing, Standing::Failed { .. });
                if let Standing::Failed { why, .. } = &standing
                    && !failed
                {
                    self.say(format!("not registered: {why}"));
                }
                self.standing = standing;
            }
            Happened::Messages(new) => self.messages = Some(new),
            Happened::Offered { line, number, name } => self.offered(line, number, name),
            Happened::Line(id, event) => self.on_line(id, event),
            Happened::Sound(sentence) => self.sound = sentence,
            Happened::Levels { microphone, heard } => self.levels = (microphone, heard),
        }
        self.taken()
    }

    /// What is to be done, with what is heard besides calls made fit.
    fn taken(&mut self) -> Vec<Command> {
        let alert = self.fitting_alert();
        if alert != self.alert {
            self.alert = alert;
            self.commands.push(Command::Alert(alert));
        }
        let rings = self.lines.iter().any(|line| line.phase == Phase::Offered);
        match (rings, self.bell_at) {
            (true, None) => {
                self.bell_at = Some(self.now + BELL);
                self.commands.push(Command::Bell);
            }
            (false, Some(_)) => self.bell_at = None,
            _ => {}
        }
        std::mem::take(&mut self.commands)
    }

    fn fitting_alert(&self) -> Alert {
        let talks = self.talking.and_then(|id| self.line(id));
        let called = self.lines.iter().any(|line| line.phase == Phase::Offered);
        match talks {
            Some(line) if line.phase == Phase::Ringing && !line.early_media => Alert::Ringback,
            Some(_) if called => Alert::Knock,
            None if called => Alert::Ring,
            _ => Alert::Nothing,
        }
    }

    fn offered(&mut self, id: LineId, number: String, name: Option<String>) {
        if self.lines.len() >= LINES {
            let text = format!("{number} called and heard that we are busy: {LINES} calls are up");
            self.say(text);
            self.remember(Line::new(id, Origin::Caller, number, name, self.now), "we were busy");
            self.commands.push(Command::Reject(id));
            return;
        }
        let line = Line::new(id, Origin::Caller, number, name, self.now);
        self.say(format!("{} calls: a answers, r rejects", line.party()));
        self.lines.push(line);
        if self.talking.is_none() || self.selected.is_none() {
            self.selected = Some(id);
        }
    }

    fn on_line(&mut self, id: LineId, event: OnLine) {
        let now = self.now;
        let Some(line) = self.line_mut(id) else { return };
        match event {
            OnLine::Ringing if line.phase == Phase::Calling => line.phase = Phase::Ringing,
            OnLine::Ringing => {}
            OnLine::EarlyMedia => line.early_media = true,
            OnLine::Answered => {
                if matches!(line.phase, Phase::Calling | Phase::Ringing | Phase::Answering) {
                    line.phase = Phase::Up;
                    line.answered = Some(now);
                }
            }
            OnLine::HeldThere(held) => line.held_there = held,
            OnLine::Digit(digit) => line.digits.push(digit),
            OnLine::Text(text) => {
                let text = format!("{}: {text}", line.party());
                self.say(text);
            }
            OnLine::Party { number, name } => {
                if let Some(number) = number {
                    line.number = number;
                }
                line.name = name.or_else(|| line.name.take());
            }
            OnLine::Connected(other) => self.connected(id, other),
            OnLine::Figures(figures) => line.figures = Some(figures),
            OnLine::Refused(why) => {
                line.phase = match line.phase {
                    Phase::Transferring => Phase::Up,
                    phase => phase,
                };
                self.say(why);
            }
            OnLine::Ended { why, well } => self.ended(id, &why, well),
        }
    }

    fn connected(&mut self, a: LineId, b: LineId) {
        for (id, other) in [(a, b), (b, a)] {
            if let Some(line) = self.line_mut(id) {
                (line.connected, line.held) = (Some(other), false);
            }
        }
        if self.talking.is_some_and(|id| id == a || id == b) {
            self.talk(None);
        }
        self.say("both are connected to each other; x on one of them ends both");
    }

    fn ended(&mut self, id: LineId, why: &str, well: bool) {
        let Some(place) = self.lines.iter().position(|line| line.id == id) else { return };
        let line = self.lines.remove(place);
        if let Some(other) = line.connected
            && let Some(left) = self.line_mut(other)
        {
            left.connected = None;
            self.commands.push(Command::HangUp(other));
        }
        if self.talking == Some(id) {
            self.talk(None);
        }
        if self.selected == Some(id) {
            let next = self.lines.get(place).or_else(|| self.lines.last());
            self.selected = self.talking.or_else(|| next.map(|line| line.id));
        }
        if matches!(&self.entry, Some(Entry::Transfer { line, .. }) if *line == id) {
            self.entry = None;
        }
        let transferring = line.phase == Phase::Transferring;
        // The other side hangs up when it has sent its party on.
        let why = if transferring && well { "sent on" } else { why };
        if !well || line.answered.is_none() || transferring {
            self.say(format!("{}: {why}", line.party()));
        } else if self.notice.as_ref().is_none_or(|(_, until)| *until <= self.now) {
            self.say(format!("the call with {} is over", line.party()));
        }
        self.remember(line, why);
    }

    fn remember(&mut self, line: Line, why: &str) {
        let talked = line.answered.map(|at| self.now.saturating_sub(at));
        let Line { number, name, origin, begun, .. } = line;
        self.history.push_front(Past { number, name, origin, at: begun, talked, why: why.into() });
        self.history.truncate(HISTORY);
    }

    /// Talks to somebody else, or to nobody.
    fn talk(&mut self, line: Option<LineId>) {
        if self.talking != line {
            self.talking = line;
            self.commands.push(Command::Talk(line));
        }
    }

    /// Puts whom we talk to on hold. `false`: nobody has answered there yet, so that cannot be.
    fn step_aside(&mut self) -> bool {
        let Some(line) = self.talking.and_then(|id| self.line_mut(id)) else { return true };
        if line.phase != Phase::Up {
            let text = format!("{} has not answered yet: x gives that call up", line.party());
            self.say(text);
            return false;
        }
        line.held = true;
        let id = line.id;
        self.commands.push(Command::Hold(id));
        self.talk(None);
        true
    }
}
