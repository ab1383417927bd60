//! What the screen is about: the list that is seen, what is opened before it, what is being typed, and what
//! is known of the switch.
//!
//! Pure: keys, answers and the time go in, [`Command`]s come out. It knows nothing of terminals and of the
//! network, so that all of it can be tested by hand.

mod keys;
mod pages;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use oneport_switch::api::model::{
    CallState, CapacityView, CarrierView, LimitView, Overview, PeerView, RegisteredThere, Status,
};
use oneport_switch::{News, Refusal, What};

pub(crate) use keys::{Menu, MenuKind};
pub(crate) use pages::{CallPage, Facts, LadderPage, Page, Timeline};

use super::ask::{Answer, CallQuery, Fault, Question, Schedule, Told, Wanted};
use super::capture::{self, Capture, Captured};
use super::list::{Item, List};
use super::rows;
use super::saving::Content;

/// How long what was said last stays.
const NOTICE: Duration = Duration::from_secs(8);
/// How often a switch that is gone is looked for.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it takes until events are asked for again.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
/// Events that are kept.
const EVENTS: usize = 1_000;
/// Rows of the screen that are no list: the head, headings, the line that is said, keys.
const AROUND: usize = 8;
/// From so many rows on the head has the last hour, too.
pub(crate) const TALL: u16 = 34;
/// How many rows that takes.
pub(crate) const HOUR: u16 = 4;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A list of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tab {
    Calls,
    Trunks,
    Carriers,
    Peers,
    Limits,
    Events,
}

impl Tab {
    pub(crate) const ALL: [Self; 6] =
        [Self::Calls, Self::Trunks, Self::Carriers, Self::Peers, Self::Limits, Self::Events];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calls => "Calls",
            Self::Trunks => "Trunks",
            Self::Carriers => "Carriers",
            Self::Peers => "Peers",
            Self::Limits => "Limits",
            Self::Events => "Events",
        }
    }

    /// Its place among all.
    pub(crate) const fn place(self) -> usize {
        self as usize
    }
}

/// What the rest shall do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// Asks the switch.
    Ask(Question),
    /// Follows its events.
    Listen,
    /// Writes a file of this name.
    Save(String, Content),
    /// Ends it.
    Quit,
}

/// Whether the switch is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    Up,
    /// It is not; why, and since when.
    Lost(String, Duration),
}

/// What is known of the switch.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) status: Option<Box<Status>>,
    pub(crate) overview: Option<Box<Overview>>,
    pub(crate) capacity: Option<Box<CapacityView>>,
    pub(crate) peers: Vec<PeerView>,
    pub(crate) elsewhere: Vec<RegisteredThere>,
    pub(crate) carriers: Vec<CarrierView>,
    pub(crate) limits: Vec<LimitView>,
    pub(crate) refusals: Option<Vec<Refusal>>,
    /// Calls of a capture, by their numbers in it.
    pub(crate) captured: BTreeMap<String, Captured>,
}

/// The whole.
#[derive(Debug)]
pub(crate) struct State {
    /// Where the switch is, or the name of a capture.
    pub(crate) place: String,
    /// What there is in the capture; `None`: it is a switch.
    pub(crate) about: Option<Vec<String>>,
    pub(crate) known: Known,
    pub(crate) link: Link,
    pub(crate) now: Duration,
    pub(crate) tab: Tab,
    pub(crate) lists: [List; 6],
    /// What is opened before the list, the last on top.
    pub(crate) pages: Vec<Page>,
    /// What is being typed after `/`.
    pub(crate) entry: Option<String>,
    /// The call that is put into a file, and the name of that as it is typed.
    pub(crate) saving: Option<(String, String)>,
    pub(crate) menu: Option<Menu>,
    /// Calls that are hung up if that is confirmed, and how they are called.
    pub(crate) confirm: Option<Vec<(String, String)>>,
    /// The first line of help that is seen.
    pub(crate) help: Option<usize>,
    pub(crate) paused: bool,
    /// Calls that are marked.
    pub(crate) marked: BTreeSet<String>,
    /// Why there are no events.
    pub(crate) deaf: Option<String>,
    notice: Option<(String, Duration)>,
    size: (u16, u16),
    schedule: Schedule,
    commands: Vec<Command>,
    listen_at: Option<Duration>,
    /// Events that came while it was paused.
    waiting: VecDeque<News>,
    /// When it began, and where people read the time.
    began: Timestamp,
    zone: TimeZone,
}

impl State {
    /// Of the switch at `place`; it is `began` now, in `zone`.
    pub(crate) fn new(place: String, began: Timestamp, zone: TimeZone) -> Self {
        let lists = Tab::ALL.map(|tab| match tab {
            Tab::Calls => {
                let by = rows::TIME_OF_CALL;
                List::new(&rows::CALLS, &rows::FILTERS_OF_CALLS, by, false, true)
            }
            Tab::Trunks => List::new(&rows::TRUNKS, &rows::FILTERS_OF_TRUNKS, 0, false, false),
            Tab::Carriers => List::new(&rows::CARRIERS, &rows::FILTERS_OF_TRUNKS, 0, false, false),
            Tab::Peers => List::new(&rows::PEERS, &rows::FILTERS_OF_PEERS, 0, false, false),
            Tab::Limits => List::new(&rows::LIMITS, &rows::FILTERS_OF_LIMITS, 1, true, false),
            Tab::Events => List::new(&rows::EVENTS, &rows::FILTERS_OF_EVENTS, 0, true, false),
        });
        let mut state = Self {
            place,
            about: None,
            known: Known::default(),
            link: Link::Up,
            now: Duration::ZERO,
            tab: Tab::Calls,
            lists,
            pages: Vec::new(),
            entry: None,
            saving: None,
            menu: None,
            confirm: None,
            help: None,
            paused: false,
            marked: BTreeSet::new(),
            deaf: None,
            notice: None,
            size: (80, 24),
            schedule: Schedule::default(),
            commands: Vec::new(),
            listen_at: Some(Duration::ZERO),
            waiting: VecDeque::new(),
            began,
            zone,
        };
        // Its events are no answer that is awaited.
        state.lists[Tab::Events.place()].fill(Vec::new());
        state.resize(80, 24);
        state
    }

    /// Of a capture.
    pub(crate) fn of_capture(file: String, capture: Capture, began: Timestamp) -> Self {
        let mut state = Self::new(file, began, TimeZone::UTC);
        let (columns, filters) = (&capture::COLUMNS, &capture::FILTERS);
        let mut list = List::new(columns, filters, capture::BEGAN, false, false);
        list.fill(capture.calls.iter().map(|call| call.item.clone()).collect());
        state.lists[Tab::Calls.place()] = list;
        let calls = capture.calls.into_iter().map(|call| (call.item.key.clone(), call));
        state.known.captured = calls.collect();
        (state.about, state.listen_at) = (Some(capture.about), None);
        state.resize(80, 24);
        state
    }

    pub(crate) fn list(&self) -> &List {
        &self.lists[self.tab.place()]
    }

    pub(crate) fn list_mut(&mut self) -> &mut List {
        &mut self.lists[self.tab.place()]
    }

    /// What was said last, for a while.
    pub(crate) fn notice(&self) -> Option<&str> {
        let (words, until) = self.notice.as_ref()?;
        (self.now < *until).then_some(words)
    }

    pub(crate) fn say(&mut self, words: impl Into<String>) {
        self.notice = Some((words.into(), self.now + NOTICE));
    }

    /// The time of the day, so many seconds ago.
    pub(crate) fn time_before(&self, ago: f64) -> String {
        let ago = Duration::try_from_secs_f64(ago).unwrap_or_default();
        let moment = self.began.saturating_add(self.now).ok();
        let moment = moment.and_then(|moment| moment.saturating_sub(ago).ok());
        moment.map_or_else(String::new, |moment| self.time(moment))
    }

    /// A moment as people read it here.
    pub(crate) fn time(&self, moment: Timestamp) -> String {
        moment.to_zoned_datetime(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }

    /// So many columns and rows are there.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
        let hour = if rows >= TALL && self.about.is_none() { HOUR } else { 0 };
        let height = usize::from(rows.saturating_sub(hour)).saturating_sub(AROUND);
        for list in &mut self.lists {
            list.resize(height);
        }
    }

    /// So much time has passed since it began.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Command> {
        self.now = self.now.max(now);
        let wanted = self.wanted();
        let due = self.schedule.due(self.now, &wanted);
        self.commands.extend(due.into_iter().map(Command::Ask));
        if self.link == Link::Up && self.listen_at.is_some_and(|at| at <= self.now) {
            self.listen_at = None;
            self.commands.push(Command::Listen);
        }
        std::mem::take(&mut self.commands)
    }

    /// When the next thing is to be asked, if nothing happens before.
    pub(crate) fn wakes_at(&self) -> Option<Duration> {
        let listen_at = self.listen_at.filter(|_| self.link == Link::Up);
        let due = self.schedule.next(self.now, &self.wanted());
        due.into_iter().chain(listen_at).min()
    }

    /// What is wanted for the screen as it is.
    fn wanted(&self) -> Vec<Wanted> {
        let each = |period, question| Wanted { question, period: seconds(period) };
        if self.about.is_some() {
            return Vec::new();
        }
        if let Link::Lost(..) = self.link {
            return vec![Wanted { question: Question::Status, period: AGAIN }];
        }
        let mut wanted = Vec::new();
        if !self.paused {
            wanted.extend([
                each(1, Question::Overview),
                each(2, Question::Status),
                each(5, Question::Capacity),
            ]);
        } else if !self.is_missing() {
            return wanted;
        }
        match self.pages.last() {
            Some(page) => wanted.extend(page.wanted()),
            None => match self.tab {
                Tab::Calls => wanted.push(each(1, Question::Calls(self.call_query()))),
                Tab::Trunks => {
                    wanted.extend([each(3, Question::Peers), each(2, Question::Limits)]);
                }
                Tab::Carriers => wanted.extend([
                    each(3, Question::Carriers),
                    each(5, Question::Peers),
                    each(2, Question::Limits),
                ]),
                Tab::Peers => wanted.push(each(3, Question::Peers)),
                Tab::Limits => wanted.push(each(2, Question::Limits)),
                Tab::Events => {}
            },
        }
        wanted
    }

    /// Whether there is something on the screen of which nothing is known yet.
    fn is_missing(&self) -> bool {
        match self.pages.last() {
            Some(Page::Call(page)) if page.over => page.story.is_none(),
            Some(Page::Call(page)) => page.call.is_none(),
            Some(Page::Ladder(page)) => page.ladder.is_none(),
            Some(Page::Facts(_)) => false,
            None => !self.list().is_here(),
        }
    }

    /// The part of the table of calls that is seen.
    fn call_query(&self) -> CallQuery {
        let list = &self.lists[Tab::Calls.place()];
        let (offset, limit) = list.part();
        let column = list.columns.get(list.sort);
        let state = rows::STATES_OF_CALLS.get(list.filter).and_then(|(_, state)| *state);
        CallQuery {
            search: list.search.clone(),
            state,
            sort: column.and_then(|column| column.sort).unwrap_or_default(),
            descending: list.reversed,
            offset,
            limit,
        }
    }

    /// Something has come from the switch.
    pub(crate) fn told(&mut self, told: Told) {
        match told {
            Told::Answer(question, answer) => {
                self.schedule.answered(&question);
                match answer {
                    Ok(answer) => self.answered(answer),
                    Err(fault) => self.failed(&question, fault),
                }
            }
            Told::News(news) => self.happened(*news),
            Told::Missed(count) => {
                self.say(format!("{count} events came too fast to be shown"));
                self.schedule.stale(|_| true);
            }
            Told::Listening => self.deaf = None,
            Told::Deaf(why) => {
                self.deaf = Some(why);
                self.listen_at = Some(self.now + LISTEN_AGAIN);
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        if let Link::Lost(_, since) = self.link {
            let gone = (self.now.saturating_sub(since)).as_secs();
            self.link = Link::Up;
            self.listen_at = Some(self.now);
            self.schedule.forget();
            self.say(format!("the switch is there again after {gone} s"));
        }
        if self.paused && !self.is_missing() && !matches!(answer, Answer::HungUp) {
            // It was asked for before that.
            return;
        }
        match answer {
            Answer::Status(status) => self.known.status = Some(status),
            Answer::Overview(overview) => self.known.overview = Some(overview),
            Answer::Capacity(capacity) => self.known.capacity = Some(capacity),
            Answer::Calls(query, table) => {
                // What was asked with another search has come too late.
                if query.is_of(&self.call_query()) {
                    let items = table.rows.iter().map(rows::call).collect();
                    let list = &mut self.lists[Tab::Calls.place()];
                    list.take(items, query.offset, table.total, table.up);
                }
            }
            Answer::Peers(peers, elsewhere) => {
                (self.known.peers, self.known.elsewhere) = (peers, elsewhere);
                self.list_peers();
            }
            Answer::Carriers(carriers) => {
                self.known.carriers = carriers.carriers;
                self.list_carriers();
            }
            Answer::Limits(limits) => {
                self.known.limits = limits.limits;
                let items = self.known.limits.iter().map(rows::limit).collect();
                self.lists[Tab::Limits.place()].fill(items);
                self.list_trunks();
                self.list_carriers();
            }
            Answer::Refusals(refusals) => self.known.refusals = Some(refusals),
            Answer::HungUp => self.schedule.stale(|_| true),
            Answer::Call(_) | Answer::Ladder(..) | Answer::Story(..) => {
                if let Some(page) = self.pages.last_mut() {
                    page.answered(answer);
                }
            }
        }
    }

    fn list_peers(&mut self) {
        let peers = self.known.peers.iter().filter(|peer| !peer.name.starts_with("carrier:"));
        let elsewhere = self.known.elsewhere.iter().map(rows::elsewhere);
        let items: Vec<Item> = peers.map(rows::peer).chain(elsewhere).collect();
        self.lists[Tab::Peers.place()].fill(items);
        self.list_trunks();
        self.list_carriers();
    }

    fn list_trunks(&mut self) {
        let (limits, capacity) = (&self.known.limits, self.known.capacity.as_deref());
        let trunks = self.known.peers.iter().filter(|peer| rows::is_trunk(peer));
        let items = trunks.map(|peer| rows::trunk(peer, limits, capacity)).collect();
        self.lists[Tab::Trunks.place()].fill(items);
    }

    fn list_carriers(&mut self) {
        let carriers = self.known.carriers.iter();
        let item = |carrier: &CarrierView| {
            let peer = format!("carrier:{}", carrier.name);
            let peer = self.known.peers.iter().find(|one| one.name == peer);
            rows::carrier(carrier, peer, &self.known.limits)
        };
        let items = carriers.map(item).collect();
        self.lists[Tab::Carriers.place()].fill(items);
    }

    fn failed(&mut self, question: &Question, fault: Fault) {
        if fault.is_out_of_reach() {
            let since = match self.link {
                Link::Lost(_, since) => since,
                Link::Up => self.now,
            };
            self.link = Link::Lost(fault.words().into(), since);
            if let Question::HangUp(_) = question {
                self.say("nothing was hung up: the switch is not there");
            }
            return;
        }
        match question {
            Question::Call(_) | Question::Ladder(_) | Question::Story(_) => {
                if let Some(page) = self.pages.last_mut() {
                    page.failed(question, fault);
                }
            }
            Question::HangUp(_) => match fault {
                // It was over before.
                Fault::Nothing(_) => self.schedule.stale(|_| true),
                fault => self.say(format!("not hung up: {}", fault.words())),
            },
            // Without a store there are none.
            Question::Refusals => self.known.refusals = Some(Vec::new()),
            _ => self.say(fault.words()),
        }
    }

    /// An event, and what is not as it was for it.
    fn happened(&mut self, news: News) {
        if self.paused {
            self.waiting.push_back(news);
            if self.waiting.len() > EVENTS {
                self.waiting.pop_front();
            }
            return;
        }
        let call = match &news.what {
            What::CallBegun { call, .. }
            | What::CallRinging { call, .. }
            | What::CallAnswered { call, .. }
            | What::CallJoined { call, .. }
            | What::CallTranscoded { call, .. }
            | What::CallChoppy { call, .. }
            | What::CallOneWay { call, .. }
            | What::CallBothWays { call, .. }
            | What::CallEnded { call, .. } => Some(call.clone()),
            _ => None,
        };
        if let What::CallEnded { call, .. } = &news.what {
            self.marked.remove(call);
        }
        self.schedule.stale(|question| match (question, &news.what) {
            (Question::Calls(_) | Question::Overview, _) => call.is_some(),
            (Question::Call(id) | Question::Ladder(id), _) => call.as_ref() == Some(id),
            (Question::Refusals, What::Refused { .. }) => true,
            (Question::Limits, What::Limit { .. }) => true,
            (Question::Peers, What::Peer { .. } | What::Registration { .. }) => true,
            (Question::Peers, What::RegistrationElsewhere { .. }) => true,
            (Question::Carriers, What::Peer { .. }) => true,
            (Question::Carriers, What::RegistrationElsewhere { .. }) => true,
            (Question::Status | Question::Capacity, What::Overload { .. }) => true,
            (Question::Status, What::Peer { .. } | What::Limit { .. }) => true,
            _ => false,
        });
        self.note(&news);
    }

    /// Puts an event into its list.
    fn note(&mut self, news: &News) {
        let time = news.at.parse().map_or_else(|_| news.at.clone(), |at| self.time(at));
        self.lists[Tab::Events.place()].push(rows::event(news, &time), EVENTS);
    }

    /// Holds everything as it is, or goes on.
    fn pause(&mut self) {
        self.paused = !self.paused;
        if !self.paused {
            let waiting = std::mem::take(&mut self.waiting);
            for news in waiting {
                self.note(&news);
            }
            self.schedule.stale(|_| true);
        }
    }

    /// How many calls there are in this state.
    pub(crate) fn calls_in(&self, state: CallState) -> usize {
        let states = self.known.overview.iter().flat_map(|overview| &overview.states);
        states.filter(|one| one.state == state).map(|one| one.calls).sum()
    }
}
