//! Traces of calls for OpenTelemetry: a span for each call and for each of its legs, with what happened as
//! events, sent by OTLP.
//!
//! The switch notes what happens ([`notes`]) and hands over a span when it is over. It never waits: a bounded
//! queue leads to a thread, which makes of spans what is sent ([`span`]), and sends it ([`post`]). What finds
//! the queue full, or does not get through, is left out and counted.

mod context;
mod notes;
mod post;
mod span;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use oneport_proto::CallId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::cdr::Cdr;
use crate::config::TracesConfig;
use crate::sent::Sent;
use crate::utc::Utc;
pub(crate) use context::Parent;
pub(crate) use notes::Step;
use notes::{Finished, Notes};
use post::{Outcome, Post};
use span::Sender;

/// Spans that wait for the thread; about 16 MB of usual ones.
const QUEUE: usize = 8_192;

/// Spans of one request.
const BATCH: usize = 512;

/// How long a span waits for others that go with it.
const GATHERS: Duration = Duration::from_secs(1);

/// How long a request that does not get through is tried again, and how long the first pause between is; each
/// is twice the one before.
const TRIES: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Between two lines of the log about a collector that takes nothing.
const LINES: Duration = Duration::from_secs(60);

/// Resolves when the thread has ended.
pub(crate) type Ended = oneshot::Receiver<()>;

/// Traces of calls, as the switch makes them.
pub(crate) struct Traces {
    one_in: u64,
    notes: Notes,
    queue: SyncSender<Finished>,
    counts: Arc<Sent>,
    ended: Option<Ended>,
}

impl Traces {
    /// Starts the thread; `instance` is what this process is called among those of the service. `None`: the
    /// system has no thread.
    pub(crate) fn start(config: &TracesConfig, instance: &str) -> Option<Self> {
        let counts = Arc::new(Sent::default());
        let (queue, ended) = start_thread(config, instance, &counts)?;
        let (one_in, notes, ended) = (config.one_in, Notes::default(), Some(ended));
        Some(Self { one_in, notes, queue, counts, ended })
    }

    /// Sends by another configuration from now on: calls that are up are traced as they were begun.
    pub(crate) fn reconfigure(&mut self, config: &TracesConfig, instance: &str) {
        // The thread before ends with the last spans of its queue.
        let Some((queue, ended)) = start_thread(config, instance, &self.counts) else { return };
        (self.one_in, self.queue, self.ended) = (config.one_in, queue, Some(ended));
    }

    pub(crate) fn counts(&self) -> &Sent {
        &self.counts
    }

    /// Resolves when the thread has sent what waits and has ended, behind the end of this; once.
    pub(crate) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// A call has come, or is placed by an operator; see [`Notes::begin`].
    pub(crate) fn begin(
        &mut self,
        moment: (oneport_proto::Instant, Utc),
        leg: CallId,
        call: Uuid,
        parent: Option<Parent>,
        step: Step,
    ) {
        self.notes.begin(moment, leg, call, (parent, self.one_in), step);
    }

    /// A leg that had begun at `moment` is of a call that another switch has.
    pub(crate) fn belongs_to(
        &mut self,
        moment: (oneport_proto::Instant, Utc),
        leg: CallId,
        call: Uuid,
    ) {
        self.notes.never_was(leg);
        self.notes.begin_part(moment, leg, call, self.one_in);
    }

    /// A leg is placed for another.
    pub(crate) fn placed(
        &mut self,
        now: oneport_proto::Instant,
        leg: CallId,
        other: CallId,
        to: &str,
    ) {
        self.notes.placed(now, leg, other, to);
    }

    /// Something has happened; it is put into words only where that leg is traced.
    pub(crate) fn note(
        &mut self,
        now: oneport_proto::Instant,
        leg: CallId,
        step: impl FnOnce() -> Step,
    ) {
        if self.notes.knows(leg) {
            self.notes.note(now, leg, step());
        }
    }

    /// A leg becomes part of the call of another.
    pub(crate) fn joins(&mut self, now: oneport_proto::Instant, leg: CallId, other: CallId) {
        self.notes.joins(now, leg, other);
        self.hand_over();
    }

    /// Whether a leg is traced.
    pub(crate) fn knows(&self, leg: CallId) -> bool {
        self.notes.knows(leg)
    }

    /// A leg is over, of which there is this record; `by_sip`: it went on by SIP behind the gateway.
    pub(crate) fn ended(
        &mut self,
        now: oneport_proto::Instant,
        leg: CallId,
        record: Cdr,
        by_sip: bool,
    ) {
        self.notes.ended(now, leg, record, by_sip);
        self.hand_over();
    }

    fn hand_over(&mut self) {
        for finished in self.notes.take() {
            if self.queue.try_send(finished).is_err() {
                self.counts.left_out(1);
            }
        }
    }
}

fn start_thread(
    config: &TracesConfig,
    instance: &str,
    counts: &Arc<Sent>,
) -> Option<(SyncSender<Finished>, Ended)> {
    let (queue, spans) = sync_channel(QUEUE);
    let (ends, ended) = oneshot::channel::<()>();
    let (config, counts) = (config.clone(), counts.clone());
    let sender = Sender::new(&config.service, instance);
    let body = move || {
        let _ends = ends;
        let line = Lines { to: config.to.clone(), said: None, is_lost: false };
        Courier { post: Post::new(&config), sender, counts, line }.run(&spans);
    };
    match std::thread::Builder::new().name("traces".into()).spawn(body) {
        Ok(_) => Some((queue, ended)),
        Err(error) => {
            tracing::error!("no thread for traces: {error}");
            None
        }
    }
}

/// What the log says of the collector, at a limited rate.
struct Lines {
    to: String,
    /// When it was said last that something does not get through.
    said: Option<Instant>,
    /// Whether it is not said yet that it gets through again.
    is_lost: bool,
}

impl Lines {
    fn lost(&mut self, now: Instant, why: &str, again: bool) {
        if self.said.is_some_and(|said| now.duration_since(said) < LINES) {
            return;
        }
        (self.said, self.is_lost) = (Some(now), true);
        let then = if again { "; it is tried again" } else { "; they are left out" };
        tracing::warn!("traces do not get through to {}: {why}{then}", self.to);
    }

    fn taken(&mut self) {
        if std::mem::take(&mut self.is_lost) {
            tracing::info!("traces get through to {} again", self.to);
        }
    }
}

/// What the thread is.
struct Courier {
    post: Post,
    sender: Sender,
    counts: Arc<Sent>,
    line: Lines,
}

impl Courier {
    fn run(mut self, spans: &Receiver<Finished>) {
        while let Ok(first) = spans.recv() {
            let until = Instant::now() + GATHERS;
            let mut batch = vec![span::write(&first)];
            while batch.len() < BATCH {
                let wait = until.saturating_duration_since(Instant::now());
                match spans.recv_timeout(wait) {
                    Ok(finished) => batch.push(span::write(&finished)),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let taken = self.deliver(&self.sender.request(batch), count);
            self.counts.sent(taken);
            self.counts.left_out(count - taken);
        }
    }

    /// How many spans of a request are taken.
    fn deliver(&mut self, request: &ExportTraceServiceRequest, count: u64) -> u64 {
        let until = Instant::now() + TRIES;
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = self.post.send(request);
            let now = Instant::now();
            match outcome {
                Outcome::Taken { rejected: 0, .. } => {
                    self.line.taken();
                    return count;
                }
                Outcome::Taken { rejected, why } => {
                    let why = format!("it takes {rejected} spans of {count} not: {why}");
                    self.line.lost(now, &why, false);
                    return count.saturating_sub(rejected);
                }
                Outcome::Refused(why) => {
                    self.line.lost(now, &why, false);
                    return 0;
                }
                Outcome::Later { pause: wanted, why } => {
                    let wait = wanted.unwrap_or(pause);
                    let again = now + wait < until;
                    self.line.lost(now, &why, again);
                    if !again {
                        return 0;
                    }
                    std::thread::sleep(wait);
                    pause *= 2;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_the_thread_and_what_it_does_not_take_is_counted() {
        // Nobody takes anything out of this queue.
        let (queue, spans) = sync_channel(2);
        let counts = Arc::new(Sent::default());
        let notes = Notes::default();
        let mut traces = Traces { one_in: 1, notes, queue, counts, ended: None };
        for call in notes::tests::calls_of_one_leg(5) {
            let (leg, id, record) = call;
            let begun = oneport_proto::Instant::from_micros(0);
            traces.begin((begun, Utc::from_unix_millis(0)), leg, id, None, Step::Offered);
            traces.ended(begun, leg, record, false);
        }
        // A span for the leg, and one for the call.
        assert_eq!(traces.counts().read(), (0, 8));
        assert_eq!(spans.try_iter().count(), 2);
    }

    #[test]
    fn a_collector_that_is_away_costs_two_lines_of_the_log_and_not_one_for_each_request() {
        let mut lines = Lines { to: "http://192.0.2.1:4318".into(), said: None, is_lost: false };
        let now = Instant::now();
        lines.lost(now, "no", true);
        assert!(lines.is_lost);
        lines.taken();
        lines.lost(now + Duration::from_secs(1), "no", true);
        assert!(!lines.is_lost, "it was said a second ago");
        lines.lost(now + LINES, "no", true);
        assert!(lines.is_lost);
    }
}
