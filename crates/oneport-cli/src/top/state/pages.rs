//! What is opened before a list: a call, its ladder, or all that is known of something else.

use std::collections::{BTreeMap, VecDeque};

use oneport_switch::api::model::{CallView, Ladder, LegView};
use oneport_switch::store::CallStory;

use super::{Tab, seconds};
use crate::top::ask::{Answer, Fault, Question, Wanted};
use crate::top::capture::Captured;
use crate::top::list::Step;

/// Looks at a call that are kept: ten minutes of them.
const LOOKS: usize = 600;
/// Looks for what is kept of a call that is over: it is written a moment behind its end.
const LOOKS_FOR_STORY: u32 = 10;

/// What is opened.
#[derive(Debug)]
pub(crate) enum Page {
    Call(Box<CallPage>),
    Ladder(Box<LadderPage>),
    /// All that is known of a row of a list, by its key.
    Facts(Facts),
}

/// How a leg was at one look; what is not known leaves a gap.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Look {
    /// Frames lost of those since the look before, per cent.
    pub(crate) loss: Option<f64>,
    /// The same on the way there, in all, as the other side says.
    pub(crate) loss_there: Option<f64>,
    pub(crate) jitter: Option<f64>,
    pub(crate) round_trip: Option<f64>,
    pub(crate) mos: Option<f64>,
}

/// How a leg was since the page was opened.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// The oldest first.
    pub(crate) looks: VecDeque<Look>,
    /// Frames that had come and were lost at the last look.
    before: Option<(u64, u64)>,
}

impl Timeline {
    fn look(&mut self, leg: &LegView) {
        let now = (leg.heard.frames, leg.heard.lost);
        let (frames, lost) = self.before.replace(now).unwrap_or(now);
        let (frames, lost) = (now.0.saturating_sub(frames), now.1.saturating_sub(lost));
        #[expect(clippy::cast_precision_loss, reason = "it is a share")]
        let loss = (frames + lost > 0).then(|| lost as f64 * 100.0 / (frames + lost) as f64);
        let there = leg.heard_there.as_ref();
        self.looks.push_back(Look {
            loss,
            loss_there: there.map(|there| there.lost_percent.into()),
            jitter: (leg.heard.frames > 0).then_some(leg.heard.jitter_ms),
            round_trip: leg.rtt_ms,
            mos: leg.heard.mos,
        });
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
    }

    /// One figure of the last looks, the oldest first.
    pub(crate) fn last(
        &self,
        count: usize,
        figure: impl Fn(&Look) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        let skipped = self.looks.len().saturating_sub(count);
        self.looks.iter().skip(skipped).map(figure).collect()
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct CallPage {
    pub(crate) id: String,
    /// As it was at the last look.
    pub(crate) call: Option<Box<CallView>>,
    /// By the names of legs.
    pub(crate) timelines: BTreeMap<String, Timeline>,
    /// Whether it is up no more.
    pub(crate) over: bool,
    /// What is kept of it then.
    pub(crate) story: Option<Box<CallStory>>,
    /// Why nothing is.
    pub(crate) why: Option<String>,
    looked: u32,
    /// Which of those who are called is shown.
    pub(crate) leg: usize,
    /// The first line that is seen.
    pub(crate) top: usize,
}

impl CallPage {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            call: None,
            timelines: BTreeMap::new(),
            over: false,
            story: None,
            why: None,
            looked: 0,
            leg: 0,
            top: 0,
        }
    }

    /// Shows another of those who are called.
    pub(crate) fn turn(&mut self, on: bool) {
        let count = self.call.as_ref().map_or(0, |call| call.called.len()).max(1);
        self.leg = if on { self.leg + 1 } else { self.leg + count - 1 } % count;
    }

    fn look(&mut self, call: Box<CallView>) {
        for leg in std::iter::once(&call.caller).chain(&call.called) {
            self.timelines.entry(leg.channel.clone()).or_default().look(leg);
        }
        self.call = Some(call);
    }

    fn is_done(&self) -> bool {
        self.story.is_some() || self.looked >= LOOKS_FOR_STORY
    }
}

/// The messages of a call.
#[derive(Debug)]
pub(crate) struct LadderPage {
    pub(crate) id: String,
    /// Those that are shown.
    pub(crate) ladder: Option<Ladder>,
    /// All there are.
    all: Option<Ladder>,
    /// The places among all of those that are shown.
    places: Vec<usize>,
    /// Whether acknowledgements are shown: each message has one, and so has each poll.
    acks: bool,
    /// What all its legs meet at.
    pub(crate) here: String,
    /// What is said of messages that are shown, by their place.
    pub(crate) notes: BTreeMap<usize, Vec<String>>,
    /// The same of all.
    all_notes: BTreeMap<usize, Vec<String>>,
    /// Why there are none, or no more.
    pub(crate) why: Option<String>,
    /// Whether no more can come.
    ended: bool,
    pub(crate) cursor: usize,
    /// The first message that is seen.
    pub(crate) top: usize,
    /// Whether the chosen message is shown whole.
    pub(crate) opened: bool,
}

impl LadderPage {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            here: "switch".into(),
            notes: BTreeMap::new(),
            all_notes: BTreeMap::new(),
            ladder: None,
            all: None,
            places: Vec::new(),
            acks: false,
            why: None,
            ended: false,
            cursor: 0,
            top: 0,
            opened: false,
        }
    }

    /// Of a call in a capture: all of it is there.
    pub(crate) fn captured(call: &Captured) -> Self {
        let mut page = Self::new(call.item.key.clone());
        (page.here, page.all_notes, page.ended) = (call.here.clone(), call.notes.clone(), true);
        page.take(call.ladder.clone());
        page
    }

    /// All messages there are, acknowledgements among them.
    pub(crate) const fn all(&self) -> Option<&Ladder> {
        self.all.as_ref()
    }

    /// Acknowledgements that are not shown.
    pub(crate) fn hidden(&self) -> usize {
        self.all.as_ref().map_or(0, |all| all.messages.len() - self.places.len())
    }

    /// Shows acknowledgements, or does not.
    pub(super) fn turn_acks(&mut self) {
        let at = self.places.get(self.cursor).copied().unwrap_or(0);
        self.acks = !self.acks;
        self.sift();
        let behind = self.places.iter().position(|place| *place >= at);
        self.cursor = behind.unwrap_or_else(|| self.count().saturating_sub(1));
    }

    fn take(&mut self, all: Ladder) {
        // Whoever has gone to the last message stays with the last.
        let last = self.cursor > 0 && self.cursor + 1 >= self.count();
        self.all = Some(all);
        self.sift();
        if last {
            self.cursor = self.count().saturating_sub(1);
        }
    }

    fn sift(&mut self) {
        let Some(all) = &self.all else { return };
        let messages = all.messages.iter().enumerate();
        let shown = messages.filter(|(place, message)| {
            self.acks || message.message != "ACK" || self.all_notes.contains_key(place)
        });
        self.places = shown.map(|(place, _)| place).collect();
        let noted = self.places.iter().enumerate();
        let noted =
            noted.filter_map(|(now, place)| Some((now, self.all_notes.get(place)?.clone())));
        self.notes = noted.collect();
        let messages = self.places.iter().filter_map(|place| all.messages.get(*place).cloned());
        self.ladder = Some(Ladder { legs: all.legs.clone(), messages: messages.collect() });
    }

    fn count(&self) -> usize {
        self.ladder.as_ref().map_or(0, |ladder| ladder.messages.len())
    }
}

/// All that is known of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    pub(crate) tab: Tab,
    pub(crate) key: String,
    pub(crate) top: usize,
}

impl Page {
    /// The call it is about.
    pub(crate) fn call(&self) -> Option<&str> {
        match self {
            Self::Call(page) => Some(&page.id),
            Self::Ladder(page) => Some(&page.id),
            Self::Facts(facts) => (facts.tab == Tab::Calls).then_some(facts.key.as_str()),
        }
    }

    /// What is asked for it.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let each = |period, question| Wanted { question, period: seconds(period) };
        match self {
            Self::Call(page) if !page.over => vec![each(1, Question::Call(page.id.clone()))],
            Self::Call(page) if !page.is_done() => {
                vec![each(1, Question::Story(page.id.clone()))]
            }
            Self::Call(_) => Vec::new(),
            Self::Ladder(page) if page.ended => Vec::new(),
            Self::Ladder(page) => vec![each(1, Question::Ladder(page.id.clone()))],
            Self::Facts(facts) => match facts.tab {
                Tab::Trunks => vec![
                    each(3, Question::Peers),
                    each(2, Question::Limits),
                    each(10, Question::Refusals),
                ],
                Tab::Carriers => vec![
                    each(3, Question::Carriers),
                    each(5, Question::Peers),
                    each(2, Question::Limits),
                    each(10, Question::Refusals),
                ],
                Tab::Peers => vec![each(3, Question::Peers), each(10, Question::Refusals)],
                Tab::Limits => vec![each(2, Question::Limits)],
                Tab::Calls | Tab::Events => Vec::new(),
            },
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        match (self, answer) {
            (Self::Call(page), Answer::Call(call)) if call.id == page.id => page.look(call),
            (Self::Call(page), Answer::Story(id, story)) if id == page.id => {
                page.story = Some(story);
            }
            (Self::Ladder(page), Answer::Ladder(id, ladder)) if id == page.id => {
                page.take(ladder);
            }
            _ => {}
        }
    }

    pub(super) fn failed(&mut self, question: &Question, fault: Fault) {
        match (self, question) {
            (Self::Call(page), Question::Call(id)) if *id == page.id => match fault {
                Fault::Nothing(_) => page.over = true,
                fault => page.why = Some(fault.words().into()),
            },
            (Self::Call(page), Question::Story(id)) if *id == page.id => {
                page.looked += 1;
                page.why = Some(fault.words().into());
            }
            (Self::Ladder(page), Question::Ladder(id)) if *id == page.id => {
                page.ended = true;
                page.why = Some(match (fault, &page.ladder) {
                    (Fault::Nothing(_), Some(_)) => "the call is over".into(),
                    (Fault::Nothing(_), None) => {
                        "the call is over: messages are kept of calls that are up".into()
                    }
                    (fault, _) => fault.words().into(),
                });
            }
            _ => {}
        }
    }

    /// Goes through it; so many rows are seen.
    pub(super) fn step(&mut self, step: Step, seen: usize) {
        match self {
            // Its end is known where it is drawn.
            Self::Call(page) => page.top = step.from(page.top, usize::MAX, seen),
            Self::Facts(facts) => facts.top = step.from(facts.top, usize::MAX, seen),
            Self::Ladder(page) => page.cursor = step.from(page.cursor, page.count(), seen),
        }
    }
}
