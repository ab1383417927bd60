//! What keys do: those of sngrep and of vi.

use std::collections::BTreeMap;

use super::{CallPage, Command, Facts, LadderPage, Page, State, Tab};
use crate::terminal::Key;
use crate::top::ask::Question;
use crate::top::list::Step;
use crate::top::saving::{self, Content};

/// What is chosen from a menu.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MenuKind {
    /// What the list shows.
    Filter,
    /// The column that it is sorted by.
    Sort,
}

/// A menu before the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Menu {
    pub(crate) kind: MenuKind,
    /// What may be chosen: its place, and its name.
    pub(crate) choices: Vec<(usize, &'static str)>,
    pub(crate) cursor: usize,
}

/// The step that a key means.
const fn step_of(key: Key) -> Option<Step> {
    Some(match key {
        Key::Up | Key::Char('k') => Step::Up,
        Key::Down | Key::Char('j') => Step::Down,
        Key::Home | Key::Char('g') => Step::First,
        Key::End | Key::Char('G') => Step::Last,
        Key::PageUp | Key::Control('b') => Step::PageUp,
        Key::PageDown | Key::Control('f') => Step::PageDown,
        Key::Control('u') => Step::HalfUp,
        Key::Control('d') => Step::HalfDown,
        _ => return None,
    })
}

impl State {
    /// A key was pressed.
    pub(crate) fn key(&mut self, key: Key) -> Vec<Command> {
        match key {
            Key::Resize(columns, rows) => self.resize(columns, rows),
            Key::Interrupt => self.commands.push(Command::Quit),
            _ if self.help.is_some() => self.help_key(key),
            _ if self.confirm.is_some() => self.confirm_key(key),
            _ if self.menu.is_some() => self.menu_key(key),
            _ if self.saving.is_some() => self.saving_key(key),
            _ if self.entry.is_some() => self.entry_key(key),
            _ if self.pages.is_empty() => self.list_key(key),
            _ => self.page_key(key),
        }
        let now = self.now;
        self.tick(now)
    }

    fn help_key(&mut self, key: Key) {
        self.help = match (self.help, step_of(key)) {
            (Some(top), Some(step)) => Some(step.from(top, usize::MAX, self.seen())),
            _ => None,
        };
    }

    /// How many rows of a page are seen.
    fn seen(&self) -> usize {
        usize::from(self.size.1).saturating_sub(super::AROUND).max(1)
    }

    fn confirm_key(&mut self, key: Key) {
        let Some(calls) = self.confirm.take() else { return };
        if key != Key::Char('y') && key != Key::Char('Y') {
            self.say("nothing was hung up");
            return;
        }
        let words = match calls.as_slice() {
            [(_, words)] => format!("hanging up {words}"),
            calls => format!("hanging up {} calls", calls.len()),
        };
        self.say(words);
        self.marked.clear();
        let asks = calls.into_iter().map(|(id, _)| Command::Ask(Question::HangUp(id)));
        self.commands.extend(asks);
    }

    fn menu_key(&mut self, key: Key) {
        let Some(menu) = &mut self.menu else { return };
        let count = menu.choices.len();
        if let Some(step) = step_of(key) {
            menu.cursor = step.from(menu.cursor, count, count);
            return;
        }
        let Some(menu) = self.menu.take() else { return };
        if key != Key::Enter {
            return;
        }
        let Some((choice, _)) = menu.choices.get(menu.cursor).copied() else { return };
        let list = self.list_mut();
        match menu.kind {
            MenuKind::Filter => {
                list.filter = choice;
                list.restart();
            }
            // The column that it is sorted by already is turned round.
            MenuKind::Sort if list.sort == choice => {
                list.reversed = !list.reversed;
                list.restart();
            }
            MenuKind::Sort => list.sort_by(choice),
        }
    }

    fn entry_key(&mut self, key: Key) {
        let Some(entry) = &mut self.entry else { return };
        match key {
            Key::Char(character) => entry.push(character),
            Key::Control('u') => entry.clear(),
            Key::Backspace if entry.is_empty() => self.entry = None,
            Key::Backspace => drop(entry.pop()),
            Key::Escape => {
                self.entry = None;
                self.search("");
                return;
            }
            Key::Enter => {
                self.entry = None;
                return;
            }
            Key::Up | Key::Down => {
                if let Some(step) = step_of(key) {
                    self.list_mut().step(step);
                }
                return;
            }
            _ => return,
        }
        let text = self.entry.clone().unwrap_or_default();
        self.search(&text);
    }

    /// Where shall the call at hand be put?
    fn ask_for_name(&mut self) {
        let Some(call) = self.call_at_hand() else { return self.say("no call is chosen") };
        let is_drawn =
            matches!(self.pages.last(), Some(Page::Ladder(page)) if page.all().is_some());
        if self.about.is_none() && !is_drawn {
            return self.say("open its ladder first (x): that is what is written");
        }
        let short: String = call.chars().take(8).collect();
        let ending = if self.about.is_some() { "pcapng" } else { "txt" };
        self.saving = Some((call, format!("call-{short}.{ending}")));
    }

    fn saving_key(&mut self, key: Key) {
        let Some((_, name)) = &mut self.saving else { return };
        match key {
            Key::Char(character) => name.push(character),
            Key::Control('u') => name.clear(),
            Key::Backspace => drop(name.pop()),
            Key::Escape => self.saving = None,
            Key::Enter => {
                if let Some((call, name)) = self.saving.take()
                    && !name.trim().is_empty()
                {
                    self.save(&call, name.trim());
                }
            }
            _ => {}
        }
    }

    fn save(&mut self, call: &str, name: &str) {
        let kind = saving::Kind::of(name);
        let content = match (kind, self.known.captured.get(call), self.pages.last()) {
            (saving::Kind::Packets, Some(captured), _) => {
                Content::Packets(captured.item.key.parse().unwrap_or(0))
            }
            (saving::Kind::Packets, None, _) => {
                return self
                    .say(format!("`oneport capture {call}` writes its packets while it is up"));
            }
            (_, Some(captured), _) => {
                let title = captured.facts.first().map_or(call, |fact| fact.text.as_str());
                saving::drawn(kind, title, &captured.ladder, &captured.here, &captured.notes)
            }
            (_, None, Some(Page::Ladder(page))) => {
                let Some(ladder) = page.all() else { return };
                let title = format!("call {call}");
                saving::drawn(kind, &title, ladder, &page.here, &BTreeMap::new())
            }
            _ => return,
        };
        self.commands.push(Command::Save(name.into(), content));
    }

    fn search(&mut self, text: &str) {
        let list = self.list_mut();
        if list.search != text {
            list.search = text.into();
            list.restart();
        }
    }

    /// Keys that do the same everywhere; `false`: it is none.
    fn common_key(&mut self, key: Key) -> bool {
        match key {
            Key::Char('p' | 'D') | Key::Delete if self.about.is_some() => {
                self.say("a capture is over: nothing is held or hung up");
            }
            Key::Char('?' | 'h') | Key::Function(1) => self.help = Some(0),
            Key::Char('p') => self.pause(),
            Key::Char('D') | Key::Delete => self.ask_to_hang_up(),
            Key::Char('x') | Key::Function(4) => self.open_ladder(),
            Key::Char('w') | Key::Function(2) => self.ask_for_name(),
            _ => return false,
        }
        true
    }

    fn list_key(&mut self, key: Key) {
        if let Some(step) = step_of(key) {
            self.list_mut().step(step);
            return;
        }
        if self.common_key(key) {
            return;
        }
        match key {
            Key::Char('2'..='6') | Key::Tab | Key::BackTab | Key::Left | Key::Right
                if self.about.is_some() =>
            {
                self.say("a capture has calls alone");
            }
            Key::Char(digit @ '1'..='6') => {
                let tab = Tab::ALL.into_iter().nth(digit as usize - '1' as usize);
                self.tab = tab.unwrap_or(self.tab);
            }
            Key::Tab | Key::Right => self.turn(1),
            Key::BackTab | Key::Left => self.turn(Tab::ALL.len() - 1),
            Key::Enter => self.open(),
            Key::Char('/') | Key::Function(3) => {
                self.entry = Some(self.list().search.clone());
            }
            Key::Char('f') | Key::Function(7) => self.open_menu(MenuKind::Filter),
            Key::Char('t') | Key::Function(10) => self.open_menu(MenuKind::Sort),
            Key::Char('<') => self.list_mut().sort_beside(false),
            Key::Char('>') => self.list_mut().sort_beside(true),
            Key::Char('z') => {
                let list = self.list_mut();
                list.reversed = !list.reversed;
                list.restart();
            }
            Key::Char('l') | Key::Function(9) => self.show_all(),
            Key::Char('i') | Key::Function(5) if self.tab == Tab::Events => {
                self.list_mut().fill(Vec::new());
            }
            Key::Char('c') => self.show_calls_of_chosen(),
            Key::Char(' ') => self.mark(),
            Key::Escape => {
                self.marked.clear();
                self.show_all();
            }
            Key::Char('q') => self.commands.push(Command::Quit),
            _ => {}
        }
    }

    fn turn(&mut self, steps: usize) {
        let place = (self.tab.place() + steps) % Tab::ALL.len();
        self.tab = Tab::ALL.into_iter().nth(place).unwrap_or(self.tab);
    }

    /// Takes search and filter away.
    fn show_all(&mut self) {
        let list = self.list_mut();
        if !list.search.is_empty() || list.filter != 0 {
            list.search.clear();
            list.filter = 0;
            list.restart();
        }
    }

    fn open_menu(&mut self, kind: MenuKind) {
        let list = self.list();
        let choices: Vec<(usize, &'static str)> = match kind {
            MenuKind::Filter => list.filters.iter().copied().enumerate().collect(),
            MenuKind::Sort => {
                let columns = list.columns.iter().enumerate();
                let sorting = columns.filter(|(place, _)| list.sorts_by(*place));
                let named = sorting.filter(|(_, column)| !column.heading.trim().is_empty());
                named.map(|(place, column)| (place, column.heading)).collect()
            }
        };
        let now = if kind == MenuKind::Filter { list.filter } else { list.sort };
        let cursor = choices.iter().position(|(place, _)| *place == now).unwrap_or(0);
        self.menu = Some(Menu { kind, choices, cursor });
    }

    /// Opens what is chosen.
    fn open(&mut self) {
        let Some(item) = self.list().chosen() else { return };
        let page = match (&item.call, self.tab) {
            (Some(_), tab) if self.about.is_some() => {
                Page::Facts(Facts { tab, key: item.key.clone(), top: 0 })
            }
            (Some(call), _) => Page::Call(Box::new(CallPage::new(call.clone()))),
            (None, Tab::Events | Tab::Calls) => return,
            (None, tab) => Page::Facts(Facts { tab, key: item.key.clone(), top: 0 }),
        };
        self.pages.push(page);
    }

    /// The call that keys are about: that of the page, else the chosen one.
    fn call_at_hand(&self) -> Option<String> {
        let of_page = self.pages.last().and_then(Page::call).map(Into::into);
        let chosen = || self.list().chosen()?.call.clone();
        of_page.or_else(|| if self.pages.is_empty() { chosen() } else { None })
    }

    fn open_ladder(&mut self) {
        if let Some(Page::Ladder(_)) = self.pages.last() {
            return;
        }
        let call = self.call_at_hand();
        if let Some(captured) = call.as_ref().and_then(|call| self.known.captured.get(call)) {
            self.pages.push(Page::Ladder(Box::new(LadderPage::captured(captured))));
            return;
        }
        match call {
            Some(call) => self.pages.push(Page::Ladder(Box::new(LadderPage::new(call)))),
            None => self.say("no call is chosen"),
        }
    }

    fn mark(&mut self) {
        let call = self.list().chosen().and_then(|item| item.call.clone());
        if let (Tab::Calls, Some(call)) = (self.tab, call) {
            if !self.marked.remove(&call) {
                self.marked.insert(call);
            }
            self.list_mut().step(Step::Down);
        }
    }

    fn ask_to_hang_up(&mut self) {
        let calls: Vec<String> = match self.pages.is_empty() && !self.marked.is_empty() {
            true => self.marked.iter().cloned().collect(),
            false => self.call_at_hand().into_iter().collect(),
        };
        if calls.is_empty() {
            self.say("no call is chosen");
            return;
        }
        let named = calls.into_iter().map(|call| {
            let words = self.words_of(&call);
            (call, words)
        });
        self.confirm = Some(named.collect());
    }

    /// How a call is called where it is to be hung up.
    fn words_of(&self, id: &str) -> String {
        if let Some(Page::Call(page)) = self.pages.last()
            && let Some(call) = &page.call
        {
            let from = call.calling_number.as_ref().or(call.caller.peer.as_ref());
            let from = from.unwrap_or(&call.caller.address);
            return format!("{from} to {}", call.number);
        }
        let rows = self.lists[Tab::Calls.place()].rows();
        match rows.iter().find(|item| item.key == id).map(|item| item.cells.as_slice()) {
            Some([_, _, from, number, ..]) => format!("{} to {}", from.text, number.text),
            _ => id.into(),
        }
    }

    /// Calls with the peer or carrier that is chosen.
    fn show_calls_of_chosen(&mut self) {
        let key = match self.tab {
            Tab::Trunks | Tab::Carriers | Tab::Peers => {
                self.list().chosen().map(|item| item.key.clone())
            }
            Tab::Calls | Tab::Limits | Tab::Events => None,
        };
        if let Some(key) = key {
            self.tab = Tab::Calls;
            self.search(&key);
        }
    }

    fn page_key(&mut self, key: Key) {
        let seen = self.seen();
        let Some(page) = self.pages.last_mut() else { return };
        match (&mut *page, key) {
            (Page::Ladder(ladder), Key::Escape | Key::Char('q') | Key::Enter) if ladder.opened => {
                ladder.opened = false;
                return;
            }
            (Page::Ladder(ladder), Key::Enter | Key::Char('r') | Key::Function(6)) => {
                ladder.opened = ladder.ladder.as_ref().is_some_and(|all| !all.messages.is_empty());
                return;
            }
            (Page::Ladder(ladder), Key::Char('a')) => return ladder.turn_acks(),
            (Page::Call(call), Key::Right | Key::Tab) => return call.turn(true),
            (Page::Call(call), Key::Left | Key::BackTab) => return call.turn(false),
            _ => {}
        }
        if let Some(step) = step_of(key) {
            page.step(step, seen);
            return;
        }
        if self.common_key(key) {
            return;
        }
        match key {
            Key::Escape | Key::Char('q') => drop(self.pages.pop()),
            // As in sngrep, one goes on from a call to its messages.
            Key::Enter => self.open_ladder(),
            _ => {}
        }
    }
}
