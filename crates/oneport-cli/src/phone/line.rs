//! One call of a softphone, from its beginning to its end, as a task.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oneport::media::Codec;
use oneport::{
    Call, CallEnd, CallEvent, CallId, CallStats, CauseCode, Control, DtmfPhase, EndReason,
    IncomingCall, NewCall, Phone, Progress, Score,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time;

use super::Habits;
use super::state::{Figures, Happened, LineId, OnLine};
use super::voice::{Speaker, ToVoice, say_on};
use crate::exit;
use crate::places;

/// How often its figures are looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// What a line is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    Answer,
    Reject,
    HangUp,
    Hold,
    Resume,
    Transfer(String),
    Press(char),
}

/// What a line tells.
pub(super) enum Told {
    Happened(Happened),
    /// Its call in the engine.
    Placed(LineId, CallId),
}

/// What a line needs.
pub(super) struct Wires {
    pub(super) id: LineId,
    pub(super) orders: UnboundedReceiver<Order>,
    pub(super) tell: UnboundedSender<Told>,
    pub(super) speaker: Speaker,
}

impl Wires {
    fn tell(&self, event: OnLine) {
        // Nobody listens any more when the phone is over.
        let _ = self.tell.send(Told::Happened(Happened::Line(self.id, event)));
    }

    fn placed(&self, call: CallId) {
        let _ = self.tell.send(Told::Placed(self.id, call));
    }

    fn over(&self, why: impl Into<String>) {
        self.tell(OnLine::Ended { why: why.into(), well: false });
    }

    /// Says how it ended.
    fn ended(&self, end: &CallEnd, answered: bool) {
        let (why, well) = match exit::of_call(end, answered) {
            Some(failure) => (failure.sentence().to_string(), false),
            None if end.reason == EndReason::Transferred => ("transferred".into(), true),
            None if end.reason == EndReason::LocalHangup => ("hung up here".into(), true),
            None => ("hung up there".into(), true),
        };
        self.tell(OnLine::Ended { why, well });
    }
}

/// Places a call and goes through it.
///
/// `registrar`: who has us.
pub(super) async fn dial(
    phone: Arc<Phone>,
    habits: Arc<Habits>,
    (number, registrar): (String, Option<SocketAddr>),
    mut wires: Wires,
) {
    let placed = tokio::select! {
        placed = place(&phone, &habits, number, registrar) => placed,
        // Its name may take long to be found.
        () = told_to_hang_up(&mut wires.orders) => Err("given up".into()),
    };
    match placed {
        Ok(call) => {
            wires.placed(call.id());
            converse(call, false, wires).await;
        }
        Err(why) => wires.over(why),
    }
}

async fn told_to_hang_up(orders: &mut UnboundedReceiver<Order>) {
    while !matches!(orders.recv().await, None | Some(Order::HangUp)) {}
}

async fn place(
    phone: &Phone,
    habits: &Habits,
    number: String,
    registrar: Option<SocketAddr>,
) -> Result<Call, String> {
    let (to, mut new) = match &habits.account {
        Some(account) if !number.contains('/') && !number.starts_with("iax:") => {
            let config = &account.config;
            let mut new = NewCall::to(number);
            new.called_context = account.target.context.clone();
            new.username = Some(config.username.clone());
            new.secret = config.secret.clone();
            new.key = config.key.clone();
            new.allow_plaintext = config.allow_plaintext;
            new.encryption = habits.encryption.into();
            let to = match registrar {
                Some(registrar) => registrar,
                None => {
                    let places = places::of_registration(config);
                    let there = places::first_there(phone, &places).await;
                    there.map_err(|failure| failure.sentence().to_string())?
                }
            };
            (to, new)
        }
        // Secrets are for the account's own host.
        _ => {
            let target: oneport::Target = number.parse().map_err(|error| format!("{error}"))?;
            let to = target.resolve().await.map_err(|error| error.to_string())?;
            let mut new = NewCall::to(target.number.unwrap_or_else(|| "s".into()));
            (new.called_context, new.username) = (target.context, target.user);
            (to, new)
        }
    };
    new.calling_number = habits.from.clone();
    new.formats = habits.formats.clone();
    phone.call(to, new).await.map_err(|error| error.to_string())
}

/// Rings until the call is answered, rejected or given up, and goes through it.
pub(super) async fn take(mut incoming: IncomingCall, mut wires: Wires) {
    wires.placed(incoming.id());
    if let Err(error) = incoming.ring().await {
        return wires.over(error.to_string());
    }
    loop {
        tokio::select! {
            _ = incoming.given_up() => return wires.over("missed"),
            order = wires.orders.recv() => match order {
                Some(Order::Answer) => break,
                Some(Order::Reject) => {
                    incoming.reject(CauseCode::USER_BUSY);
                    return wires.over("rejected");
                }
                None | Some(Order::HangUp) => {
                    incoming.reject(CauseCode::NORMAL_CLEARING);
                    return wires.over("rejected");
                }
                Some(_) => {}
            },
        }
    }
    match incoming.answer().await {
        Ok(call) => {
            wire(&call, &wires).await;
            wires.speaker.tell(ToVoice::Answered(wires.id));
            wires.tell(OnLine::Answered);
            converse(call, true, wires).await;
        }
        Err(error) => wires.over(error.to_string()),
    }
}

/// Joins the audio of an accepted call with the voice.
async fn wire(call: &Call, wires: &Wires) {
    let format = call.format();
    let (codec, audio) = (format.and_then(Codec::for_format), call.audio().await);
    let (Some(codec), Ok((mut reader, writer))) = (codec, audio) else {
        wires.tell(OnLine::Refused("this call speaks a codec that is not spoken here".into()));
        return;
    };
    let (id, speaker, tell) = (wires.id, wires.speaker.clone(), wires.tell.clone());
    speaker.tell(ToVoice::Wire { line: id, codec, say: say_on(writer, codec) });
    tokio::spawn(async move {
        if let Some(heard) = reader.next().await {
            speaker.heard(id, heard);
            let _ = tell.send(Told::Happened(Happened::Line(id, OnLine::EarlyMedia)));
        }
        while let Some(heard) = reader.next().await {
            speaker.heard(id, heard);
        }
    });
}

async fn converse(mut call: Call, mut answered: bool, mut wires: Wires) {
    let mut clock = time::interval(PERIOD);
    let (keys, mut pressed) = unbounded_channel::<char>();
    let keypad = call.keypad();
    // Keys take their time, which nothing else shall wait for.
    let presses = tokio::spawn(async move {
        while let Some(key) = pressed.recv().await {
            let _ = keypad.press(key.encode_utf8(&mut [0; 4])).await;
        }
    });
    let mut said_no = None;
    loop {
        tokio::select! {
            event = call.next_event() => match event {
                None => {
                    wires.over("the phone has stopped");
                    break;
                }
                Some(CallEvent::Ended(mut end)) => {
                    if let Some(cause) = said_no {
                        (end.reason, end.cause) = (EndReason::RemoteReject, cause);
                    }
                    wires.ended(&end, answered);
                    break;
                }
                Some(CallEvent::Accepted(_)) => wire(&call, &wires).await,
                Some(CallEvent::Answered) => {
                    answered = true;
                    wires.speaker.tell(ToVoice::Answered(wires.id));
                    wires.tell(OnLine::Answered);
                }
                // Asterisk says so, and leaves it to us to hang up.
                Some(CallEvent::Progress(no @ (Progress::Busy | Progress::Congestion)))
                    if !answered =>
                {
                    let cause = match no {
                        Progress::Busy => CauseCode::USER_BUSY,
                        _ => CauseCode::CIRCUIT_CONGESTION,
                    };
                    said_no = Some(cause);
                    call.hangup(cause);
                }
                Some(event) => {
                    if let Some(event) = meaning(event) {
                        wires.tell(event);
                    }
                }
            },
            order = wires.orders.recv() => match order {
                None | Some(Order::HangUp | Order::Reject) => {
                    call.hangup(CauseCode::NORMAL_CLEARING);
                }
                Some(Order::Press(key)) => drop(keys.send(key)),
                Some(order) => {
                    let done = match order {
                        Order::Hold => call.hold(None).await,
                        Order::Resume => call.unhold().await,
                        Order::Transfer(number) => call.transfer(number).await,
                        _ => Ok(()),
                    };
                    if let Err(error) = done {
                        wires.tell(OnLine::Refused(format!("that cannot be: {error}")));
                    }
                }
            },
            _ = clock.tick() => {
                if let Some(stats) = call.stats().await {
                    let figures = figures(&stats, &wires);
                    wires.tell(OnLine::Figures(Box::new(figures)));
                }
            }
        }
    }
    presses.abort();
    wires.speaker.tell(ToVoice::Unwire(wires.id));
}

/// What an event means to the state.
fn meaning(event: CallEvent) -> Option<OnLine> {
    Some(match event {
        CallEvent::Progress(Progress::Ringing) => OnLine::Ringing,
        CallEvent::Progress(Progress::EarlyMedia) => OnLine::EarlyMedia,
        CallEvent::Dtmf { digit, phase: DtmfPhase::End } => OnLine::Digit(char::from(digit)),
        CallEvent::Text(text) => OnLine::Text(text),
        CallEvent::ConnectedLine { number, name } => OnLine::Party { number, name },
        CallEvent::Control { control: Control::Hold, .. } => OnLine::HeldThere(true),
        CallEvent::Control { control: Control::Unhold, .. } => OnLine::HeldThere(false),
        CallEvent::TransferRequested { number, .. } => {
            OnLine::Text(format!("asks you to call {number} instead"))
        }
        _ => return None,
    })
}

fn figures(stats: &CallStats, wires: &Wires) -> Figures {
    let (here, there) = (Score::here(stats), Score::there(stats));
    let heard = wires.speaker.gauges.of(wires.id);
    Figures {
        codec: stats.format.map(|format| format.to_string()).unwrap_or_default(),
        encrypted: stats.encrypted,
        loss_percent: here.map_or(0.0, |score| score.loss_percent),
        jitter: stats.received.jitter,
        round_trip: stats.rtt,
        buffer: heard.map(|(buffer, _)| buffer).unwrap_or_default(),
        concealed_percent: heard.map(|(_, concealed)| concealed).unwrap_or_default(),
        mos: here.map(|score| score.mos),
        mos_there: there.map(|score| score.mos),
        loss_there_percent: there.map(|score| score.loss_percent),
    }
}
