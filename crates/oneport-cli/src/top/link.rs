//! The switch at the other end: threads that ask it and that follow its events.

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use oneport_switch::News;
use oneport_switch::Refusal;
use oneport_switch::api::model::{PeerView, Registrations};
use oneport_switch::store::Page;
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedSender;

use super::ask::{Answer, Fault, Question, Told};
use crate::api::{ApiArgs, Client, encoded};
use crate::exit::{Code, Failure, failed};

/// How long an answer may take before the switch counts as gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the switch.
pub(super) struct Link {
    args: Arc<ApiArgs>,
    questions: Sender<Question>,
    tell: UnboundedSender<Told>,
    /// Counts those who follow events: the last one is heard.
    follower: Arc<AtomicU64>,
}

impl Fault {
    fn of(failure: &Failure) -> Self {
        let words = failure.words();
        match (failure.code(), failure.status()) {
            (Code::Unreachable, _) => Self::Gone(failure.sentence().into()),
            (_, Some(401)) => Self::Stranger(words),
            (_, Some(403)) => Self::Forbidden(words),
            (_, Some(404)) => Self::Nothing(words),
            _ => Self::Other(words),
        }
    }
}

impl Link {
    /// Begins to answer questions; all that comes is sent to `tell`.
    pub(super) fn begin(args: ApiArgs, tell: UnboundedSender<Told>) -> Result<Self, Failure> {
        let (questions, asked) = channel();
        let (args, follower) = (Arc::new(args), Arc::default());
        let (own, told) = (Arc::clone(&args), tell.clone());
        let answer = move || answer_all(&own, &asked, &told);
        thread::Builder::new().name("asker".into()).spawn(answer).map_err(failed)?;
        Ok(Self { args, questions, tell, follower })
    }

    pub(super) fn ask(&self, question: Question) {
        // The thread ends with the command.
        let _ = self.questions.send(question);
    }

    /// Follows events from now on; whoever did before is heard no more.
    pub(super) fn listen(&self) -> Result<(), Failure> {
        let number = self.follower.fetch_add(1, Ordering::Relaxed) + 1;
        let (args, tell) = (Arc::clone(&self.args), self.tell.clone());
        let follower = Arc::clone(&self.follower);
        let is_last = move || follower.load(Ordering::Relaxed) == number;
        let follow = move || {
            let why = match follow(&args, &tell, &is_last) {
                Ok(()) => "its events have ended".into(),
                Err(failure) => failure.words(),
            };
            if is_last() {
                let _ = tell.send(Told::Deaf(why));
            }
        };
        thread::Builder::new().name("events".into()).spawn(follow).map(drop).map_err(failed)
    }
}

fn answer_all(args: &ApiArgs, asked: &Receiver<Question>, tell: &UnboundedSender<Told>) {
    let mut client = None;
    for question in asked {
        let answer = answer(args, &mut client, &question);
        if answer.as_ref().is_err_and(Fault::is_out_of_reach) {
            // A switch that comes again has another token.
            client = None;
        }
        if tell.send(Told::Answer(question, answer)).is_err() {
            return;
        }
    }
}

fn answer(
    args: &ApiArgs,
    client: &mut Option<Client>,
    question: &Question,
) -> Result<Answer, Fault> {
    let client = match client {
        Some(client) => client,
        None => client.insert(args.client_within(PATIENCE).map_err(|failure| Fault::of(&failure))?),
    };
    put(client, question).map_err(|failure| Fault::of(&failure))
}

/// Puts a question.
fn put(client: &Client, question: &Question) -> Result<Answer, Failure> {
    let path = question.path().unwrap_or_default();
    Ok(match question {
        Question::Status => Answer::Status(client.get(&path)?),
        Question::Overview => Answer::Overview(client.get(&path)?),
        Question::Capacity => Answer::Capacity(client.get(&path)?),
        Question::Calls(query) => Answer::Calls(query.clone(), client.get(&path)?),
        Question::Peers => {
            let peers: Vec<PeerView> = client.all("/v1/peers", "peers")?;
            let registrations: Registrations = client.get("/v1/registrations?limit=1")?;
            Answer::Peers(peers, registrations.elsewhere)
        }
        Question::Carriers => Answer::Carriers(client.get(&path)?),
        Question::Limits => Answer::Limits(client.get(&path)?),
        Question::Refusals => {
            let page: Page<Refusal> = client.get(&path)?;
            Answer::Refusals(page.records)
        }
        Question::Call(_) => Answer::Call(client.get(&path)?),
        Question::Ladder(id) => Answer::Ladder(id.clone(), client.get(&path)?),
        Question::Story(id) => Answer::Story(id.clone(), client.get(&path)?),
        Question::HangUp(id) => {
            client.delete(&format!("/v1/calls/{}", encoded(id)))?;
            Answer::HungUp
        }
    })
}

/// Follows events until they end.
fn follow(
    args: &ApiArgs,
    tell: &UnboundedSender<Told>,
    is_last: &impl Fn() -> bool,
) -> Result<(), Failure> {
    let events = args.client_within(PATIENCE)?.follow("/v1/events")?;
    let _ = tell.send(Told::Listening);
    for line in BufReader::new(events).lines() {
        let line = line.map_err(failed)?;
        if !is_last() {
            return Ok(());
        }
        if let Some(told) = line.strip_prefix("data:").and_then(|data| event(data.trim_start()))
            && tell.send(told).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Missed {
    missed: u64,
}

/// An event by the line of its data; `None`: it is one of another version.
fn event(data: &str) -> Option<Told> {
    match serde_json::from_str::<News>(data) {
        Ok(news) => Some(Told::News(Box::new(news))),
        Err(_) => {
            let missed: Missed = serde_json::from_str(data).ok()?;
            Some(Told::Missed(missed.missed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_and_so_is_how_many_were_missed() {
        let data = r#"{"event_number":7,"at":"2026-02-03T04:05:06Z","event":"call_begun","call":"x","from":"ann","number":"600"}"#;
        match event(data) {
            Some(Told::News(news)) => {
                assert_eq!((news.number, news.what.name()), (7, "call_begun"))
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(event(r#"{"missed":12}"#), Some(Told::Missed(12))));
        assert!(event(r#"{"event_number":7,"at":"x","event":"of a later version"}"#).is_none());
    }
}
