//! `/v1/calls/{id}/audio`: what both sides of a call say, as they say it (WebSocket).

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::response::Response;
use oneport::WeakDriver;
use oneport_media::mixer::{Input, TURNS_PER_SECOND};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Shared;
use super::asker::Asker;
use super::error::{Problem, Refused};
use super::extract::Ask;
use crate::Switch;
use crate::live::{Heard, Listening, Said};
use crate::switch::span_of;

/// How much is sent at once.
const TURN: Duration = Duration::from_millis(1000 / TURNS_PER_SECOND as u64);

/// The greatest message that a listener may send. It has nothing to say.
const GREATEST_MESSAGE: usize = 4 * 1024;

/// Who takes nothing for so long listens no more.
const STUCK: Duration = Duration::from_secs(10);

/// Rates that can be asked for, the usual one first.
const RATES: [u32; 3] = [8_000, 16_000, 48_000];

/// How it is heard.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AudioQuery {
    /// Samples in a second: 8000 where it is not said, 16000 or 48000.
    rate: Option<u32>,
}

/// The first message to a listener.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AudioBegins {
    /// The call.
    call: String,
    /// Samples in a second, of each side.
    rate: u32,
    /// Whose samples follow each other by turns.
    sides: [&'static str; 2],
    /// How a sample is written: 16 bits, little-endian.
    encoding: &'static str,
    /// How much audio a message has, in ms.
    frame_ms: u64,
}

/// A listener was too slow.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct AudioLost {
    /// How much audio it has not got before the next message, in ms.
    lost_ms: u64,
    /// Frames of the call that it did not take in time since the last such message, beside that.
    lost_frames: u64,
}

/// Why somebody listens no more.
#[derive(Clone, Copy, Debug)]
enum Over {
    Call,
    Gone,
    Stuck,
    Withdrawn,
}

impl Over {
    /// What the listener is told by its WebSocket, if it can be.
    fn close(self) -> Option<Message> {
        let code = match self {
            Self::Call => close_code::NORMAL,
            Self::Withdrawn => close_code::POLICY,
            Self::Gone | Self::Stuck => return None,
        };
        Some(Message::Close(Some(CloseFrame { code, reason: self.to_string().into() })))
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "the call is over",
            Self::Gone => "it has gone",
            Self::Stuck => "it took nothing any more",
            Self::Withdrawn => "its token may listen no more",
        })
    }
}

/// Somebody who listens. Whatever becomes of its request, the switch learns of its end: when this is dropped.
struct Session {
    /// Dropped first, so that it does not count any more when the switch looks who listens.
    listening: Listening,
    ends: Ends,
}

/// Tells the switch that somebody listens to a call no more.
struct Ends {
    driver: WeakDriver<Switch>,
    call: Uuid,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let call = self.call;
        self.driver.post(move |endpoint, switch, _| switch.end_listening(endpoint, call));
    }
}

/// What both sides of a call say, from now on, to its end: a WebSocket. The first message is text, JSON that
/// names rate and sides; binary ones follow, each 20 ms of 16-bit samples, little-endian, of caller and called by
/// turns. Who does not take them in time loses audio, and gets a text message that says how much. It needs a
/// token with `listen = true`.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}/audio",
    operation_id = "listen",
    tag = "calls",
    params(("id" = String, Path, description = "The call"), AudioQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 101, description = "Messages, the first of which is this", body = AudioBegins),
        (status = 400, description = "It is no request for a WebSocket", body = Refused),
        (status = 403, description = "The token has no right to listen", body = Refused),
        (status = 404, description = "The call is not up", body = Refused),
        (status = 409, description = "It is not heard here, or as many listen as may", body = Refused),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn audio(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<String>,
    Ask(query): Ask<AudioQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    if !asker.listens() {
        return Err(Problem::may_not_listen(&asker));
    }
    let rate = match query.rate.unwrap_or(RATES[0]) {
        rate if RATES.contains(&rate) => rate,
        rate => {
            let what = format!("rate is {rate}, and is one of 8000, 16000, 48000");
            return Err(Problem::wrong(what));
        }
    };
    let upgrade = upgrade.map_err(|rejection| Problem::no_websocket(rejection.body_text()))?;
    let (wanted, who) = (id.clone(), asker.name().to_string());
    let driver = shared.driver.downgrade();
    let begun = shared.ask(move |endpoint, switch, now| {
        let call = switch.find_call(&wanted)?;
        let listening = switch.listen_to(endpoint, now, call, &who);
        Some(listening.map(|(call, listening)| Session { listening, ends: Ends { driver, call } }))
    });
    let session = match begun.await? {
        None => return Err(Problem::not_found(format!("there is no call `{id}`"))),
        Some(Err(why)) => return Err(Problem::conflict(format!("call `{id}`: {why}"))),
        Some(Ok(session)) => session,
    };
    let span = span_of(session.ends.call);
    span.in_scope(|| tracing::info!("API: {} listens", asker.name()));
    let since = Instant::now();
    let upgrade = upgrade.max_message_size(GREATEST_MESSAGE).max_frame_size(GREATEST_MESSAGE);
    Ok(upgrade.on_upgrade(move |mut socket| async move {
        let mut all_lost = AudioLost::default();
        let over = tokio::select! {
            biased;
            () = asker.listens_no_more(&shared.tokens) => Over::Withdrawn,
            over = serve(&mut socket, session, rate, since, &mut all_lost) => over,
        };
        let (name, seconds) = (asker.name(), since.elapsed().as_secs());
        let AudioLost { lost_ms, lost_frames } = all_lost;
        span.in_scope(|| {
            tracing::info!(
                "API: {name} has listened for {seconds} s: {over}; too slow for {lost_ms} ms and \
                 {lost_frames} frames"
            );
        });
        if let Some(close) = over.close() {
            let _ = send(&mut socket, close).await;
        }
    }))
}

/// Sends what is heard until the call ends or nobody takes it, and counts what is lost.
async fn serve(
    socket: &mut WebSocket,
    mut session: Session,
    rate: u32,
    since: Instant,
    all_lost: &mut AudioLost,
) -> Over {
    let begins = AudioBegins {
        call: session.ends.call.to_string(),
        rate,
        sides: ["caller", "called"],
        encoding: "s16le",
        frame_ms: TURN.as_millis() as u64,
    };
    if let Err(over) = tell(socket, &begins).await {
        return over;
    }
    let listening = &mut session.listening;
    let mut both = Both::new(rate);
    let mut ticks = tokio::time::interval_at(since + TURN, TURN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            heard = listening.frames.recv() => match heard {
                Some(heard) => both.hear(&heard),
                None => return Over::Call,
            },
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Over::Gone,
                Some(Ok(_)) => {}
            },
            _ = ticks.tick() => {
                // What waits came before this turn.
                while let Ok(heard) = listening.frames.try_recv() {
                    both.hear(&heard);
                }
                let lost_ms = both.turn(since.elapsed());
                let lost_frames = listening.lost.swap(0, Ordering::Relaxed);
                all_lost.lost_ms += lost_ms;
                all_lost.lost_frames += lost_frames;
                if lost_ms + lost_frames > 0
                    && let Err(over) = tell(socket, &AudioLost { lost_ms, lost_frames }).await
                {
                    return over;
                }
                if let Err(over) = send(socket, Message::Binary(both.bytes().into())).await {
                    return over;
                }
            }
        }
    }
}

/// Sends a text message.
async fn tell(socket: &mut WebSocket, what: &impl Serialize) -> Result<(), Over> {
    let text = serde_json::to_string(what).map_err(|_| Over::Gone)?;
    send(socket, Message::Text(text.into())).await
}

/// Sends a message, if it is taken.
async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Over> {
    match tokio::time::timeout(STUCK, socket.send(message)).await {
        Ok(sent) => sent.map_err(|_| Over::Gone),
        Err(_) => Err(Over::Stuck),
    }
}

/// Both sides, turn by turn.
struct Both {
    sides: [Input; 2],
    /// Turns so far.
    turns: u64,
    said: [Vec<i16>; 2],
}

impl Both {
    fn new(rate: u32) -> Self {
        Self { sides: [Input::new(rate), Input::new(rate)], turns: 0, said: Default::default() }
    }

    fn hear(&mut self, heard: &Heard) {
        let Heard { side, at, timestamp, said } = heard;
        let side = &mut self.sides[*side as usize];
        match said {
            Said::Voice { format, payload } => drop(side.hear(*at, *format, *timestamp, payload)),
            Said::Pause(level) => side.pause(*timestamp, *level),
        }
    }

    /// Goes on by a turn, and by all those that were missed up to `now`. What was said in these is left
    /// out; how much that is, in ms.
    fn turn(&mut self, now: Duration) -> u64 {
        let turn_ms = TURN.as_millis() as u64;
        let wanted = (now.as_millis() as u64 / turn_ms).max(self.turns + 1);
        let missed = wanted - self.turns - 1;
        while self.turns < wanted {
            self.turns += 1;
            let at = TURN * u32::try_from(self.turns).unwrap_or(u32::MAX);
            for (side, said) in self.sides.iter_mut().zip(&mut self.said) {
                said.clear();
                side.pull(at, said);
            }
        }
        missed * turn_ms
    }

    /// What both sides say in this turn.
    fn bytes(&self) -> Vec<u8> {
        let [caller, called] = &self.said;
        let pairs = caller.iter().zip(called);
        pairs.flat_map(|(caller, called)| [*caller, *called]).flat_map(i16::to_le_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Side;
    use oneport_wire::Format;

    fn frame(side: Side, n: u32, level: u8) -> Heard {
        let at = TURN * n;
        let said = Said::Voice { format: Format::ULAW, payload: vec![level; 160] };
        Heard { side, at, timestamp: n * 20, said }
    }

    #[test]
    fn both_sides_are_heard_by_turns_and_what_was_missed_is_told() {
        let mut both = Both::new(8_000);
        let mut levels = Vec::new();
        for n in 0..200 {
            // For two seconds nobody takes anything.
            let late = if n < 100 { n } else { n + 100 };
            both.hear(&frame(Side::Caller, late, 0x90));
            both.hear(&frame(Side::Called, late, 0x20));
            let missed = both.turn(TURN * (late + 1));
            assert_eq!(missed, if n == 100 { 2_000 } else { 0 }, "{n}");
            let bytes = both.bytes();
            assert_eq!(bytes.len(), 640);
            let samples = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair));
            let samples: Vec<i16> = samples.collect();
            levels.push((samples[100], samples[101]));
        }
        for n in [50, 90, 150, 190] {
            assert!(levels[n].0 > 15_000 && levels[n].1 < -3_000, "{n}: {:?}", levels[n]);
        }
    }
}
