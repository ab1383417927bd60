//! What keys do.

use super::{Command, Entry, Key, LINES, Line, LineId, Origin, Phase, State, VOLUME, VOLUME_STEP};

impl State {
    /// A key was pressed.
    pub(crate) fn key(&mut self, key: Key) -> Vec<Command> {
        if matches!(key, Key::Resize(..)) {
            return Vec::new();
        }
        if key != Key::Interrupt && key != Key::Char('q') {
            self.leaving = false;
        }
        if key == Key::Interrupt {
            self.leave();
        } else if self.help {
            self.help = false;
        } else if self.entry.is_some() {
            self.type_key(key);
        } else {
            self.command_key(key);
        }
        self.taken()
    }

    fn command_key(&mut self, key: Key) {
        match key {
            Key::Char(digit @ ('0'..='9' | '*' | '#')) => match self.talking_up() {
                Some(line) => self.press(line, digit),
                None => self.entry = Some(Entry::dial(digit)),
            },
            Key::Char(digit @ 'A'..='D') => {
                if let Some(line) = self.talking_up() {
                    self.press(line, digit);
                }
            }
            Key::Char('d') => self.entry = Some(Entry::dial("")),
            Key::Char('a') => self.answer(),
            Key::Enter if self.offered_line().is_some() => self.answer(),
            Key::Enter => {
                let number = self.last_number().unwrap_or_default().to_owned();
                self.entry = Some(Entry::dial(number));
            }
            Key::Char('r') => match self.offered_line() {
                Some(line) => self.give_up(line),
                None => self.say("nobody calls"),
            },
            Key::Char('h') => self.hold_or_resume(),
            Key::Char('x') => match self.selected {
                Some(line) => self.give_up(line),
                None => self.say("there is no call"),
            },
            Key::Char('t') => match self.selected_line().filter(|line| line.is_up()) {
                Some(Line { id, .. }) => {
                    self.entry = Some(Entry::Transfer { line: *id, number: String::new() });
                }
                None => self.say("there is no call to transfer"),
            },
            Key::Char('c') => self.connect(),
            Key::Char('m') => {
                self.muted = !self.muted;
                self.commands.push(Command::Mute(self.muted));
            }
            Key::Char('+' | '=') => self.change_volume(VOLUME_STEP),
            Key::Char('-') => self.change_volume(-VOLUME_STEP),
            Key::Up => self.select(-1),
            Key::Down | Key::Tab => self.select(1),
            Key::Char('?') => self.help = true,
            Key::Char('q') => self.leave(),
            _ => {}
        }
    }

    fn type_key(&mut self, key: Key) {
        let Some(entry) = &mut self.entry else { return };
        match key {
            Key::Char(character) => entry.push(character),
            Key::Backspace => {
                entry.number_mut().pop();
            }
            Key::Up | Key::Down => self.recall(key == Key::Up),
            Key::Enter => self.confirm(),
            Key::Escape => self.entry = None,
            _ => {}
        }
    }

    /// Goes through the numbers of the past.
    fn recall(&mut self, back: bool) {
        let numbers: Vec<&str> = self.history.iter().map(|past| past.number.as_str()).collect();
        let Some(Entry::Dial { number, recalled }) = &mut self.entry else { return };
        let next = match (*recalled, back) {
            (None, true) => Some(0),
            (Some(at), true) => Some(at + 1),
            (None, false) => None,
            (Some(at), false) => at.checked_sub(1),
        };
        match next.map(|at| (at, numbers.get(at))) {
            Some((at, Some(past))) => (*number, *recalled) = ((*past).into(), Some(at)),
            Some((_, None)) => {}
            None => (*number, *recalled) = (String::new(), None),
        }
    }

    fn confirm(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if entry.number().is_empty() {
            return;
        }
        match entry {
            Entry::Dial { number, .. } => self.dial(number),
            Entry::Transfer { line: id, number } => {
                let Some(line) = self.line_mut(id).filter(|line| line.is_up()) else { return };
                line.phase = Phase::Transferring;
                let text = format!("{} is asked to go on with {number}", line.party());
                self.say(text);
                self.commands.push(Command::Transfer { line: id, number });
            }
        }
    }

    fn dial(&mut self, number: String) {
        if self.lines.len() >= LINES {
            self.say(format!("{LINES} calls are up already"));
            return;
        }
        if !self.step_aside() {
            return;
        }
        let id = self.new_line();
        self.lines.push(Line::new(id, Origin::Here, number.clone(), None, self.now));
        self.selected = Some(id);
        self.commands.push(Command::Dial { line: id, number });
        self.talk(Some(id));
    }

    /// The call that `a` answers: the selected one if it rings, else the first that does.
    fn offered_line(&self) -> Option<LineId> {
        let rings = |line: &&Line| line.phase == Phase::Offered;
        let selected = self.selected_line().filter(rings);
        selected.or_else(|| self.lines.iter().find(rings)).map(|line| line.id)
    }

    /// Whom we talk to, if they have answered.
    fn talking_up(&self) -> Option<LineId> {
        let line = self.line(self.talking?)?;
        // Voice menus ask for keys before they answer, too.
        (line.is_up() || line.early_media).then_some(line.id)
    }

    fn press(&mut self, id: LineId, digit: char) {
        if let Some(line) = self.line_mut(id) {
            line.pressed.push(digit);
            self.commands.push(Command::Press { line: id, digit });
        }
    }

    fn answer(&mut self) {
        let Some(id) = self.offered_line() else {
            self.say("nobody calls");
            return;
        };
        if !self.step_aside() {
            return;
        }
        if let Some(line) = self.line_mut(id) {
            line.phase = Phase::Answering;
        }
        self.notice = None;
        self.selected = Some(id);
        self.commands.push(Command::Answer(id));
        self.talk(Some(id));
    }

    /// Rejects a call that rings, hangs up any other.
    fn give_up(&mut self, id: LineId) {
        let Some(line) = self.line_mut(id) else { return };
        let command = match line.phase {
            Phase::Offered => Command::Reject(id),
            Phase::Leaving => return,
            _ => Command::HangUp(id),
        };
        line.phase = Phase::Leaving;
        self.commands.push(command);
        if self.talking == Some(id) {
            self.talk(None);
        }
    }

    fn hold_or_resume(&mut self) {
        let Some(line) = self.selected_line() else {
            self.say("there is no call");
            return;
        };
        let id = line.id;
        if line.connected.is_some() || line.phase != Phase::Up {
            self.say("only a call that is answered can be put on hold");
        } else if !line.held {
            self.step_aside();
        } else if self.step_aside() {
            if let Some(line) = self.line_mut(id) {
                line.held = false;
            }
            self.commands.push(Command::Resume(id));
            self.talk(Some(id));
        }
    }

    /// The number that was called last from here.
    pub(crate) fn last_number(&self) -> Option<&str> {
        let last = self.history.iter().find(|past| past.origin == Origin::Here);
        last.map(|past| past.number.as_str())
    }

    /// Whom we talk to, if that call can be connected with another.
    fn free_here(&self) -> Option<LineId> {
        let here = self.talking.and_then(|id| self.line(id)).filter(|line| line.is_free());
        here.map(|line| line.id)
    }

    /// Whether there are two calls that can be connected.
    pub(crate) fn can_connect(&self) -> bool {
        let here = self.free_here();
        here.is_some() && self.lines.iter().any(|line| line.is_free() && Some(line.id) != here)
    }

    /// Connects whom we talk to with somebody on hold: the selected one, or the only one.
    fn connect(&mut self) {
        let Some(here) = self.free_here() else {
            self.say("connecting two calls needs one that you talk to, and one on hold");
            return;
        };
        let mut held = self.lines.iter().filter(|line| line.is_free() && line.id != here);
        let chosen = held.clone().find(|line| Some(line.id) == self.selected);
        let other = chosen.or_else(|| held.next().filter(|_| held.next().is_none()));
        match other.map(|line| line.id) {
            Some(other) => self.commands.push(Command::Connect(here, other)),
            None => self.say("choose the call on hold that it shall be connected to, then press c"),
        }
    }

    fn change_volume(&mut self, by: i8) {
        let volume = (self.volume + by).clamp(*VOLUME.start(), *VOLUME.end());
        if volume != self.volume {
            self.volume = volume;
            self.commands.push(Command::Volume(volume));
        }
    }

    fn select(&mut self, by: isize) {
        if self.lines.is_empty() {
            return;
        }
        let at = self.lines.iter().position(|line| Some(line.id) == self.selected).unwrap_or(0);
        let next = at.wrapping_add_signed(by).min(self.lines.len() - 1);
        let next = if at == 0 && by < 0 { 0 } else { next };
        self.selected = self.lines.get(next).map(|line| line.id);
    }

    fn leave(&mut self) {
        let up = self.lines.len();
        if up == 0 || self.leaving {
            self.commands.push(Command::Quit);
            return;
        }
        self.leaving = true;
        let calls = if up == 1 { "a call is" } else { "calls are" };
        self.say(format!("{calls} up: once more, and everything is hung up"));
    }
}
