//! The calls of a probe: each speaks in marks and keeps what comes back, as it came.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant as Moment};

use oneport::probe::{Mark, Reading, Returned};
use oneport::{
    Application, CallEnd, CallId, CallStats, CauseCode, DropNotice, EndReason, Format, NewCall,
    Progress,
};
use oneport_proto::{Endpoint, Event, Instant, Media};

/// What is called, and what is said.
#[derive(Clone)]
pub(crate) struct Script {
    /// Whom to call.
    pub(crate) to: SocketAddr,
    /// Length of a frame in ms, and its bytes in the codec.
    pub(crate) frame_ms: u16,
    pub(crate) frame_bytes: usize,
    /// Which run this is, and when it began: what marks say.
    pub(crate) run: u32,
    pub(crate) epoch: Moment,
}

/// One call.
struct Line {
    number: u32,
    format: Format,
    answered: bool,
    /// When its next frame is due.
    next: Instant,
    sequence: u32,
    returned: Vec<Returned>,
    /// A frame longer than those of the codec came back.
    long_came_back: bool,
    /// Frames that were none of ours, or came back with other bytes.
    foreign: u64,
    end: Option<CallEnd>,
    said_no: Option<CauseCode>,
}

/// How a call is.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) answered: bool,
    pub(crate) format: Format,
    /// How it ended, if it has.
    pub(crate) end: Option<CallEnd>,
    /// The number of the next frame, and how many have come back so far.
    pub(crate) sequence: u32,
    pub(crate) came_back: usize,
    pub(crate) foreign: u64,
}

/// Calls and speaks.
pub(crate) struct Prober {
    script: Script,
    lines: BTreeMap<CallId, Line>,
    numbers: u32,
    frame: Vec<u8>,
}

impl Prober {
    pub(crate) fn new(script: Script) -> Self {
        let frame = vec![0; script.frame_bytes];
        Self { script, lines: BTreeMap::new(), numbers: 0, frame }
    }

    /// Begins a call.
    pub(crate) fn place(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: NewCall,
    ) -> Result<CallId, oneport::CommandError> {
        let call = endpoint.place_call(now, self.script.to, call)?;
        let line = Line {
            number: self.numbers,
            format: Format::ULAW,
            answered: false,
            next: now,
            sequence: 0,
            returned: Vec::new(),
            long_came_back: false,
            foreign: 0,
            end: None,
            said_no: None,
        };
        self.numbers += 1;
        self.lines.insert(call, line);
        Ok(call)
    }

    /// How calls are.
    pub(crate) fn look(&self, calls: &[CallId]) -> Vec<Option<State>> {
        let state = |call| {
            self.lines.get(call).map(|line| State {
                answered: line.answered,
                format: line.format,
                end: line.end.clone(),
                sequence: line.sequence,
                came_back: line.returned.len(),
                foreign: line.foreign,
            })
        };
        calls.iter().map(state).collect()
    }

    /// What has come back of some frames of a call.
    pub(crate) fn returned(&self, call: CallId, sent: &Range<u32>) -> Vec<Returned> {
        let of_these = |frame: &&Returned| sent.contains(&frame.sequence);
        let lines = self.lines.get(&call);
        lines.map_or_else(Vec::new, |line| line.returned.iter().filter(of_these).copied().collect())
    }

    /// Says one frame of so many bytes, whose mark counts with the others, and nothing else while it
    /// lasts. How long that is, in ms.
    pub(crate) fn speak_long(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        bytes: usize,
    ) -> u16 {
        let sent = self.micros();
        let Script { frame_ms, frame_bytes, run, .. } = self.script;
        let millis = u16::try_from(bytes * usize::from(frame_ms) / frame_bytes.max(1));
        let millis = millis.unwrap_or(u16::MAX);
        let Some(line) = self.lines.get_mut(&call) else { return millis };
        let mut frame = vec![0; bytes];
        let sequence = line.sequence;
        Mark { run, line: line.number, sequence, sent }.write_request(&mut frame);
        line.sequence += 1;
        line.next = now + Duration::from_millis(millis.into());
        // A call that has ended meanwhile is told of by its last event.
        let _ = endpoint.send_voice(now, call, line.format, &frame, millis);
        millis
    }

    /// Whether a longer frame has come back.
    pub(crate) fn long_came_back(&self, call: CallId) -> bool {
        self.lines.get(&call).is_some_and(|line| line.long_came_back)
    }

    /// Its figures, as the engine has them.
    pub(crate) fn stats(&self, endpoint: &Endpoint, call: CallId) -> Option<CallStats> {
        let ended = || Some((*self.lines.get(&call)?.end.as_ref()?.stats).clone());
        endpoint.call_stats(call).or_else(ended)
    }

    /// Hangs up.
    pub(crate) fn hang_up(&self, endpoint: &mut Endpoint, now: Instant, calls: &[CallId]) {
        for call in calls {
            // One that has ended has no need of it.
            let _ = endpoint.hangup(now, *call, CauseCode::NORMAL_CLEARING, None);
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.script.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn answer(&mut self, now: Instant, call: CallId) {
        // Calls speak one behind the other, not all at once.
        let frame = Duration::from_millis(self.script.frame_ms.into());
        let Some(line) = self.lines.get_mut(&call) else { return };
        let step = line.number.wrapping_mul(7) % u32::from(self.script.frame_ms).max(1);
        line.answered = true;
        line.next = now + frame.mul_f64(f64::from(step) / f64::from(self.script.frame_ms));
    }

    fn give_up(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId, cause: CauseCode) {
        if let Some(line) = self.lines.get_mut(&call).filter(|line| !line.answered) {
            line.said_no = Some(cause);
            let _ = endpoint.hangup(now, call, cause, None);
        }
    }
}

impl Application for Prober {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallAccepted { call, format } => {
                if let Some(line) = self.lines.get_mut(&call) {
                    line.format = format;
                }
            }
            Event::CallProgress { call, progress: Progress::Busy } => {
                self.give_up(endpoint, now, call, CauseCode::USER_BUSY);
            }
            Event::CallProgress { call, progress: Progress::Congestion } => {
                self.give_up(endpoint, now, call, CauseCode::CIRCUIT_CONGESTION);
            }
            Event::CallAnswered { call } => self.answer(now, call),
            Event::CallEnded { call, mut end } => {
                if let Some(line) = self.lines.get_mut(&call) {
                    if let Some(cause) = line.said_no {
                        (end.reason, end.cause) = (EndReason::RemoteReject, cause);
                    }
                    line.end = Some(end);
                }
            }
            // Nobody calls who places calls alone.
            Event::CallOffered { call, .. } => {
                let _ = endpoint.reject(now, call, CauseCode::NO_ROUTE, None);
            }
            _ => {}
        }
    }

    fn handle_media(&mut self, _now: Instant, call: CallId, media: Media<'_>) {
        let came = self.micros();
        let reading = Mark::read(self.script.run, media.payload);
        let Some(line) = self.lines.get_mut(&call) else { return };
        line.long_came_back |= media.payload.len() > self.script.frame_bytes;
        match reading {
            Reading::Whole(mark, seen) if mark.line == line.number => line
                .returned
                .push(Returned { sequence: mark.sequence, sent: mark.sent, seen, came }),
            _ => line.foreign += 1,
        }
    }

    fn handle_notice(&mut self, notice: &DropNotice) {
        tracing::debug!("{notice}");
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let speaking = self.lines.values().filter(|line| line.answered && line.end.is_none());
        speaking.map(|line| line.next).min()
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let frame = Duration::from_millis(self.script.frame_ms.into());
        let sent = self.micros();
        for (call, line) in &mut self.lines {
            if !line.answered || line.end.is_some() || line.next > now {
                continue;
            }
            // What nobody could have said in time is left out: it would only come in a burst.
            while line.next <= now {
                line.next = line.next + frame;
            }
            let mark =
                Mark { run: self.script.run, line: line.number, sequence: line.sequence, sent };
            mark.write_request(&mut self.frame);
            line.sequence += 1;
            let millis = self.script.frame_ms;
            // A call that has ended meanwhile is told of by its last event.
            let _ = endpoint.send_voice(now, *call, line.format, &self.frame, millis);
        }
    }
}
