//! The side of a load that calls: so many calls at once, each with voice that is marked, and what
//! comes back of it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant as Moment};

use oneport::probe::{Arrival, Heard, Mark, Reading};
use oneport::{
    Application, CallEnd, CallId, CauseCode, DropNotice, DtmfPhase, EndReason, Format, NewCall,
    Progress,
};
use oneport_proto::{Endpoint, Event, Instant, Media};
use oneport_wire::Control;

use super::profile::Span;
use super::tally::Tally;

/// How long a call goes on behind its last frame, so that this may come back.
const ECHO: Duration = Duration::from_millis(500);
/// Between two keys, and how long one is pressed.
const KEY_INTERVAL: Duration = Duration::from_millis(200);
const KEY_LENGTH: Duration = Duration::from_millis(100);
/// Calls of so long a time may be begun at once after a pause.
const LARGEST_BURST: Duration = Duration::from_millis(20);
/// Frames on their way for longer than this make a call silent.
const SILENT: Duration = Duration::from_secs(2);

/// What is called, and what is said.
#[derive(Clone)]
pub(crate) struct Script {
    /// Whom to call.
    pub(crate) to: SocketAddr,
    /// How.
    pub(crate) call: NewCall,
    /// How long an answered call lasts; without it until the load ends.
    pub(crate) hold: Option<Span>,
    /// How long a call may ring before it is given up.
    pub(crate) give_up: Option<Duration>,
    /// How many calls speak at a time, and for how long; `None`: all.
    pub(crate) talkers: Option<usize>,
    pub(crate) turn: Duration,
    /// Keys pressed when a call is answered.
    pub(crate) digits: String,
    /// Length of a frame in ms, and its bytes in the codec.
    pub(crate) frame_ms: u16,
    pub(crate) frame_bytes: usize,
    /// Which run this is, and when it began: what marks say.
    pub(crate) run: u32,
    pub(crate) epoch: Moment,
}

/// What a call still has to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    Press(u8),
    Release(u8),
    FallSilent,
    HangUp,
    /// It has rung long enough.
    GiveUp,
}

/// One call.
struct Line {
    call: CallId,
    number: u32,
    placed: Instant,
    answered: bool,
    format: Format,
    /// Where on the wheel it speaks, while it does.
    speaks: Option<u16>,
    sequence: u32,
    heard: Heard,
    /// It is about to be hung up here.
    closes: bool,
    said_no: Option<CauseCode>,
}

/// What there is at the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Calls that have begun and not ended.
    pub(crate) calls: usize,
    /// Those that are answered.
    pub(crate) answered: usize,
    /// Those that speak and hear nothing.
    pub(crate) silent: usize,
}

/// Calls and speaks.
pub(crate) struct Caller {
    script: Script,
    /// Calls wanted at once, and begun in a second at most.
    aim: usize,
    rate: f64,
    /// Calls that may be begun now.
    earned: f64,
    lines: Vec<Option<Line>>,
    free: Vec<u32>,
    by_call: HashMap<CallId, u32, foldhash::fast::FixedState>,
    numbers: u32,
    /// Who speaks in which ms of a frame.
    wheel: Vec<Vec<u32>>,
    /// The last ms in which somebody might have spoken, while there are calls.
    spoken: Option<u64>,
    agenda: BinaryHeap<Reverse<(Instant, u32, CallId, Step)>>,
    /// Answered calls that wait for their turn to speak, and when that is.
    listeners: VecDeque<(u32, CallId)>,
    next_turn: Option<Instant>,
    frame: Vec<u8>,
    tally: Tally,
}

impl Caller {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            aim: 0,
            rate: 0.0,
            earned: 0.0,
            lines: Vec::new(),
            free: Vec::new(),
            by_call: HashMap::with_hasher(foldhash::fast::FixedState::default()),
            numbers: 0,
            wheel: vec![Vec::new(); script.frame_ms.into()],
            spoken: None,
            agenda: BinaryHeap::new(),
            listeners: VecDeque::new(),
            next_turn: None,
            frame: vec![0xFF; script.frame_bytes],
            tally: Tally::new(),
            script,
        }
    }

    /// Wants so many calls at once from now on, and begins `rate` in a second until there are. More
    /// than that are not ended.
    pub(crate) const fn aim(&mut self, calls: usize, rate: f64) {
        (self.aim, self.rate) = (calls, rate);
    }

    /// Ends all calls, those that speak as they do at the end of their time.
    pub(crate) fn finish(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.aim = 0;
        for index in 0..self.lines.len() {
            let Some(line) = &self.lines[index] else { continue };
            let (call, answered, closes) = (line.call, line.answered, line.closes);
            let Ok(index) = u32::try_from(index) else { continue };
            match answered {
                true if !closes => self.take_step(endpoint, now, index, Step::FallSilent),
                true => {}
                false => drop(endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None)),
            }
        }
    }

    /// What was counted since this was last asked.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::replace(&mut self.tally, Tally::new())
    }

    pub(crate) fn standing(&self) -> Standing {
        let frames = SILENT.as_millis() / u128::from(self.script.frame_ms);
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        let lines = self.lines.iter().flatten();
        let silent = |line: &&Line| {
            line.speaks.is_some() && line.sequence.saturating_sub(line.heard.next()) > frames
        };
        Standing {
            calls: self.by_call.len(),
            answered: lines.clone().filter(|line| line.answered).count(),
            silent: lines.filter(silent).count(),
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.script.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn line(&mut self, call: CallId) -> Option<(u32, &mut Line)> {
        let index = *self.by_call.get(&call)?;
        let line = self.lines.get_mut(index as usize)?.as_mut()?;
        Some((index, line))
    }

    /// Begins what may be begun now.
    fn place(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while self.by_call.len() < self.aim && self.earned >= 1.0 {
            self.earned -= 1.0;
            self.tally.placed += 1;
            let call = match endpoint.place_call(now, self.script.to, self.script.call.clone()) {
                Ok(call) => call,
                Err(error) => {
                    *self.tally.failed.entry(error.to_string()).or_default() += 1;
                    continue;
                }
            };
            let line = Line {
                call,
                number: self.numbers,
                placed: now,
                answered: false,
                format: Format::ULAW,
                speaks: None,
                sequence: 0,
                heard: Heard::default(),
                closes: false,
                said_no: None,
            };
            self.numbers = self.numbers.wrapping_add(1);
            let index = self.free.pop().unwrap_or_else(|| {
                self.lines.push(None);
                u32::try_from(self.lines.len() - 1).expect("fewer calls than that")
            });
            self.lines[index as usize] = Some(line);
            self.by_call.insert(call, index);
            if let Some(give_up) = self.script.give_up {
                self.agenda.push(Reverse((now + give_up, index, call, Step::GiveUp)));
            }
        }
    }

    /// Lets those speak whose time it is.
    fn speak(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let millis = now.as_micros() / 1_000;
        let first = self.spoken.map_or(millis, |spoken| spoken + 1);
        if let Some(late) = millis.checked_sub(first) {
            let into = now.as_micros() % 1_000;
            self.tally.own_delay.record(late * 1_000 + into);
        }
        // What nobody could have said in time is not said at once later.
        let length = self.wheel.len() as u64;
        let first = first.max(millis.saturating_sub(10 * length));
        let sent = self.micros();
        for at in first..=millis {
            let place = usize::try_from(at % length).unwrap_or_default();
            for index in &self.wheel[place] {
                let Some(line) = self.lines[*index as usize].as_mut() else { continue };
                let (run, sequence) = (self.script.run, line.sequence);
                Mark { run, line: line.number, sequence, sent }.write(&mut self.frame);
                line.sequence += 1;
                self.tally.sent += 1;
                let millis = self.script.frame_ms;
                // A call that has ended meanwhile is told of by its last event.
                let _ = endpoint.send_voice(now, line.call, line.format, &self.frame, millis);
            }
        }
        self.spoken = Some(millis);
    }

    fn answer(&mut self, now: Instant, call: CallId) {
        let Some((index, line)) = self.line(call) else { return };
        if line.answered || line.closes {
            return;
        }
        line.answered = true;
        let waited = now.since(line.placed);
        self.tally.set_up.record(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        self.tally.answered += 1;
        match self.script.talkers {
            None => self.begin_to_speak(index),
            Some(_) => self.listeners.push_back((index, call)),
        }
        let mut at = now + KEY_INTERVAL;
        for digit in self.script.digits.bytes() {
            self.agenda.push(Reverse((at, index, call, Step::Press(digit))));
            self.agenda.push(Reverse((at + KEY_LENGTH, index, call, Step::Release(digit))));
            at = at + KEY_INTERVAL;
        }
        if let Some(hold) = self.script.hold {
            self.agenda.push(Reverse((now + hold.draw(), index, call, Step::FallSilent)));
        }
    }

    fn begin_to_speak(&mut self, index: u32) {
        // Where fewest speak.
        let place = (0..self.wheel.len()).min_by_key(|place| self.wheel[*place].len());
        let place = place.unwrap_or_default();
        self.wheel[place].push(index);
        if let Some(line) = &mut self.lines[index as usize] {
            line.speaks = u16::try_from(place).ok();
        }
    }

    /// Those who have spoken listen, and as many others speak, as on a radio: with KEY before and UNKEY
    /// behind.
    fn take_turns(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let Some(talkers) = self.script.talkers else { return };
        if self.next_turn.is_some_and(|next| next > now) {
            return;
        }
        self.next_turn = Some(now + self.script.turn);
        let spoke: Vec<u32> = self.wheel.iter().flatten().copied().collect();
        for index in spoke {
            let Some(call) = self.lines[index as usize].as_ref().map(|line| line.call) else {
                continue;
            };
            self.quieten(index);
            // A call that has ended meanwhile is told of by its last event.
            let _ = endpoint.send_control(now, call, Control::RadioUnkey, &[]);
            self.listeners.push_back((index, call));
        }
        let mut speaking = 0;
        for _ in 0..self.listeners.len() {
            if speaking == talkers {
                break;
            }
            let Some((index, call)) = self.listeners.pop_front() else { break };
            let may = |line: &&Line| line.call == call && !line.closes;
            if self.lines[index as usize].as_ref().filter(may).is_some() {
                let _ = endpoint.send_control(now, call, Control::RadioKey, &[]);
                self.begin_to_speak(index);
                speaking += 1;
            }
        }
    }

    fn take_step(&mut self, endpoint: &mut Endpoint, now: Instant, index: u32, step: Step) {
        let Some(line) = self.lines[index as usize].as_mut() else { return };
        let call = line.call;
        match step {
            Step::Press(digit) => {
                if endpoint.dtmf_begin(now, call, digit).is_ok() {
                    self.tally.digits_sent += 1;
                }
            }
            Step::Release(digit) => drop(endpoint.dtmf_end(now, call, digit)),
            Step::FallSilent => {
                line.closes = true;
                self.quieten(index);
                self.agenda.push(Reverse((now + ECHO, index, call, Step::HangUp)));
            }
            Step::HangUp => drop(endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None)),
            Step::GiveUp if line.answered => {}
            Step::GiveUp => {
                self.tally.given_up += 1;
                let _ = endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None);
            }
        }
    }

    fn quieten(&mut self, index: u32) {
        let Some(line) = self.lines[index as usize].as_mut() else { return };
        if let Some(place) = line.speaks.take() {
            self.wheel[usize::from(place)].retain(|speaker| *speaker != index);
        }
    }

    fn end(&mut self, call: CallId, end: &CallEnd) {
        let Some(index) = self.by_call.remove(&call) else { return };
        self.quieten(index);
        let Some(line) = self.lines[index as usize].take() else { return };
        self.free.push(index);
        let why = match (line.said_no, end.reason) {
            (Some(cause), _) => cause.name().into(),
            (None, EndReason::RemoteReject | EndReason::RemoteHangup) => match &end.text {
                Some(text) => format!("{} ({text})", end.cause.name()),
                None => end.cause.name().into(),
            },
            (None, reason) => reason.sentence().into(),
        };
        match (line.answered, line.closes) {
            (true, true) => self.tally.completed += 1,
            (true, false) => *self.tally.ended_early.entry(why).or_default() += 1,
            // Whoever hangs up before the answer has finished.
            (false, _) if line.said_no.is_none() && end.reason == EndReason::LocalHangup => {}
            (false, _) => *self.tally.failed.entry(why).or_default() += 1,
        }
    }

    /// The other side says no, and may leave it to us to hang up.
    fn give_up(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId, cause: CauseCode) {
        let Some((_, line)) = self.line(call) else { return };
        if !line.answered {
            line.said_no = Some(cause);
            let _ = endpoint.hangup(now, call, cause, None);
        }
    }
}

impl Application for Caller {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallAccepted { call, format } => {
                if let Some((_, line)) = self.line(call) {
                    line.format = format;
                    // It is there: it was accepted just now.
                    let _ = endpoint.tap(call, true);
                }
            }
            Event::CallProgress { call, progress: Progress::Busy } => {
                self.give_up(endpoint, now, call, CauseCode::USER_BUSY);
            }
            Event::CallProgress { call, progress: Progress::Congestion } => {
                self.give_up(endpoint, now, call, CauseCode::CIRCUIT_CONGESTION);
            }
            Event::CallAnswered { call } => self.answer(now, call),
            Event::Dtmf { phase: DtmfPhase::End, .. } => self.tally.digits_heard += 1,
            Event::CallEnded { call, end } => self.end(call, &end),
            // Nobody calls who places calls alone.
            Event::CallOffered { call, .. } => {
                let _ = endpoint.reject(now, call, CauseCode::NO_ROUTE, None);
            }
            _ => {}
        }
    }

    fn handle_tapped(&mut self, _now: Instant, call: CallId, media: Media<'_>) {
        let came = self.micros();
        let reading = Mark::read(self.script.run, media.payload);
        let Some((_, line)) = self.line(call) else { return };
        if !line.answered {
            return;
        }
        let mark = match reading {
            Reading::Whole(mark, _) if mark.line == line.number => mark,
            Reading::Whole(..) => return self.tally.crossed += 1,
            Reading::Damaged => return self.tally.damaged += 1,
            Reading::Foreign => return self.tally.foreign += 1,
        };
        match line.heard.take(mark.sequence) {
            Arrival::New { missing } => self.tally.missing += i64::from(missing),
            Arrival::Late => {
                self.tally.missing -= 1;
                self.tally.out_of_order += 1;
            }
            Arrival::Again => return self.tally.twice += 1,
        }
        self.tally.heard += 1;
        self.tally.round_trip.record(came.saturating_sub(mark.sent));
    }

    fn handle_notice(&mut self, notice: &DropNotice) {
        tracing::debug!("{notice}");
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let busy = self.aim > 0 || !self.by_call.is_empty();
        let next = self.spoken.map_or(0, |spoken| (spoken + 1) * 1_000);
        busy.then(|| Instant::from_micros(next))
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let millis = now.as_micros() / 1_000;
        let pause = self.spoken.map_or(1, |spoken| millis.saturating_sub(spoken));
        let most = (self.rate * LARGEST_BURST.as_secs_f64()).max(1.0);
        self.earned = (self.earned + self.rate * pause as f64 / 1e3).min(most);
        self.place(endpoint, now);
        while let Some(Reverse((at, ..))) = self.agenda.peek()
            && *at <= now
        {
            let Some(Reverse((_, index, call, step))) = self.agenda.pop() else { break };
            let same = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.call == call);
            let closing = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.closes);
            let line = &self.lines[index as usize];
            if same(line) && (step == Step::HangUp || !closing(line)) {
                self.take_step(endpoint, now, index, step);
            }
        }
        self.take_turns(endpoint, now);
        self.speak(endpoint, now);
        if self.by_call.is_empty() && self.aim == 0 {
            self.spoken = None;
        }
    }
}
