//! What is asked of the switch, and when: each thing once at a time, again after its period, and soon
//! behind an event that says that it has changed.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use oneport_switch::api::model::{
    CallRows, CallSort, CallState, CallView, CapacityView, CarriersView, Ladder, LimitsView,
    Overview, PeerView, RegisteredThere, Status,
};
use oneport_switch::store::CallStory;
use oneport_switch::{News, Refusal};
use serde::Serialize;

use crate::api::encoded;

/// How soon behind an event it is asked for what has changed.
const SOON: Duration = Duration::from_millis(200);

/// Which part of the table of calls.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct CallQuery {
    pub(crate) search: String,
    pub(crate) state: Option<CallState>,
    pub(crate) sort: CallSort,
    pub(crate) descending: bool,
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

impl CallQuery {
    /// Whether both mean the same table, of whatever part.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        let part = |query: &Self| Self { offset: 0, limit: 0, ..query.clone() };
        part(self) == part(other)
    }

    fn path(&self) -> String {
        let word = |value: &dyn Fn() -> serde_json::Result<serde_json::Value>| match value() {
            Ok(serde_json::Value::String(word)) => word,
            _ => String::new(),
        };
        let mut path = format!(
            "/v1/calls/table?sort={}&descending={}&offset={}&limit={}",
            word(&|| serde_json::to_value(self.sort)),
            self.descending,
            self.offset,
            self.limit
        );
        if let Some(state) = self.state {
            path.push_str(&format!("&state={}", word(&|| serde_json::to_value(state))));
        }
        if !self.search.is_empty() {
            path.push_str(&format!("&search={}", encoded(&self.search)));
        }
        path
    }
}

/// Something that is asked of the switch, or that it shall do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Question {
    Status,
    Overview,
    Capacity,
    Calls(CallQuery),
    /// Peers, and where the switch registers.
    Peers,
    Carriers,
    Limits,
    Refusals,
    Call(String),
    Ladder(String),
    /// What is kept of a call that is over.
    Story(String),
    HangUp(String),
}

/// Refusals that are looked through for what a destination has said.
const REFUSALS: usize = 500;

impl Question {
    /// The path that answers it; `None`: that is more than one, or none.
    pub(crate) fn path(&self) -> Option<String> {
        Some(match self {
            Self::Status => "/v1/status".into(),
            Self::Overview => "/v1/overview".into(),
            Self::Capacity => "/v1/capacity".into(),
            Self::Calls(query) => query.path(),
            Self::Carriers => "/v1/carriers".into(),
            Self::Limits => "/v1/limits".into(),
            Self::Refusals => format!("/v1/refusals?limit={REFUSALS}"),
            Self::Call(id) => format!("/v1/calls/{}", encoded(id)),
            Self::Ladder(id) => format!("/v1/calls/{}/ladder", encoded(id)),
            Self::Story(id) => format!("/v1/calls/{}/story", encoded(id)),
            Self::Peers | Self::HangUp(_) => return None,
        })
    }
}

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(Box<Status>),
    Overview(Box<Overview>),
    Capacity(Box<CapacityView>),
    Calls(CallQuery, CallRows),
    Peers(Vec<PeerView>, Vec<RegisteredThere>),
    Carriers(CarriersView),
    Limits(LimitsView),
    Refusals(Vec<Refusal>),
    Call(Box<CallView>),
    Ladder(String, Ladder),
    Story(String, Box<CallStory>),
    HungUp,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) enum Fault {
    /// Nobody answers.
    Gone(String),
    /// The token is none, or a wrong one.
    Stranger(String),
    /// Its role is too small.
    Forbidden(String),
    /// There is no such thing.
    Nothing(String),
    /// Anything else.
    Other(String),
}

impl Fault {
    pub(crate) fn words(&self) -> &str {
        let (Self::Gone(words)
        | Self::Stranger(words)
        | Self::Forbidden(words)
        | Self::Nothing(words)
        | Self::Other(words)) = self;
        words
    }

    /// Whether the switch is out of reach, whatever is asked.
    pub(crate) const fn is_out_of_reach(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Stranger(_))
    }
}

/// What comes from the switch.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Answer(Question, Result<Answer, Fault>),
    News(Box<News>),
    /// So many events came too fast to be told of.
    Missed(u64),
    /// It tells of events from now on.
    Listening,
    /// It tells of no events any more; why.
    Deaf(String),
}

/// Something that is wanted as long as it is on the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) question: Question,
    pub(crate) period: Duration,
}

/// When something was asked for.
#[derive(Debug)]
struct Asked {
    question: Question,
    at: Duration,
    waits: bool,
    stale: bool,
}

/// What was asked, and what is due.
#[derive(Debug, Default)]
pub(crate) struct Schedule(HashMap<Discriminant<Question>, Asked>);

impl Schedule {
    /// When `wanted` is to be asked; `None`: its answer is awaited.
    fn due_at(&self, now: Duration, wanted: &Wanted) -> Option<Duration> {
        let Some(asked) = self.0.get(&discriminant(&wanted.question)) else { return Some(now) };
        if asked.waits {
            return None;
        }
        if asked.question != wanted.question {
            return Some(now);
        }
        Some(asked.at + if asked.stale { SOON.min(wanted.period) } else { wanted.period })
    }

    /// What is to be asked now.
    pub(crate) fn due(&mut self, now: Duration, wanted: &[Wanted]) -> Vec<Question> {
        let mut due = Vec::new();
        for one in wanted {
            if self.due_at(now, one).is_some_and(|at| at <= now) {
                let (question, stale) = (one.question.clone(), false);
                let asked = Asked { question: question.clone(), at: now, waits: true, stale };
                self.0.insert(discriminant(&question), asked);
                due.push(question);
            }
        }
        due
    }

    /// When the next is due, if nothing comes in between.
    pub(crate) fn next(&self, now: Duration, wanted: &[Wanted]) -> Option<Duration> {
        wanted.iter().filter_map(|one| self.due_at(now, one)).min()
    }

    /// Its answer has come.
    pub(crate) fn answered(&mut self, question: &Question) {
        if let Some(asked) = self.0.get_mut(&discriminant(question)) {
            asked.waits = false;
        }
    }

    /// What was known of it is old.
    pub(crate) fn stale(&mut self, is_so: impl Fn(&Question) -> bool) {
        for asked in self.0.values_mut() {
            asked.stale |= is_so(&asked.question);
        }
    }

    /// Asks for all of it anew.
    pub(crate) fn forget(&mut self) {
        self.0.retain(|_, asked| asked.waits);
        self.stale(|_| true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wanted(question: Question) -> Wanted {
        Wanted { question, period: SECOND }
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_thing_is_asked_once_at_a_time_and_again_after_its_period() {
        let (mut schedule, all) = (Schedule::default(), [wanted(Question::Overview)]);
        assert_eq!(schedule.due(ms(0), &all), [Question::Overview]);
        assert_eq!(schedule.due(SECOND * 9, &all), [], "its answer is awaited");
        assert_eq!(schedule.next(SECOND * 9, &all), None);
        schedule.answered(&Question::Overview);
        assert_eq!(schedule.due(SECOND * 9, &all), [Question::Overview]);
        schedule.answered(&Question::Overview);
        assert_eq!(schedule.next(SECOND * 9, &all), Some(SECOND * 10));
        assert_eq!(schedule.due(SECOND * 10 - ms(1), &all), []);
    }

    #[test]
    fn what_has_changed_is_asked_soon_but_not_for_each_event() {
        let (mut schedule, all) = (Schedule::default(), [wanted(Question::Limits)]);
        schedule.due(ms(0), &all);
        schedule.answered(&Question::Limits);
        for _ in 0..100 {
            schedule.stale(|question| *question == Question::Limits);
        }
        assert_eq!(schedule.next(ms(1), &all), Some(SOON));
        assert_eq!(schedule.due(SOON, &all), [Question::Limits]);
        schedule.answered(&Question::Limits);
        assert_eq!(schedule.next(SOON, &all), Some(SOON + SECOND));
    }

    #[test]
    fn another_part_of_the_table_is_asked_for_at_once_when_the_last_has_come() {
        let part = |offset| {
            let query = CallQuery { offset, limit: 50, ..CallQuery::default() };
            Question::Calls(query)
        };
        let mut schedule = Schedule::default();
        schedule.due(ms(0), &[wanted(part(0))]);
        assert_eq!(schedule.due(ms(1), &[wanted(part(50))]), []);
        schedule.answered(&part(0));
        assert_eq!(schedule.due(ms(2), &[wanted(part(50))]), [part(50)]);
    }

    #[test]
    fn a_query_is_a_path_with_all_that_is_given() {
        let query = CallQuery {
            search: "a b&".into(),
            state: Some(CallState::Ringing),
            sort: CallSort::Mos,
            descending: true,
            offset: 40,
            limit: 60,
        };
        assert_eq!(
            Question::Calls(query).path().as_deref(),
            Some(
                "/v1/calls/table?sort=mos&descending=true&offset=40&limit=60&state=ringing\
                 &search=a%20b%26"
            )
        );
    }
}
