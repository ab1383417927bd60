//! Calls that somebody listens to while they are up: what each side says, frame by frame, on its way to
//! whoever has asked for it. It knows nothing of the engine: whoever changes this sees to what is heard.
//!
//! Nobody waits for a listener: what it does not fetch in time is left out, and counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oneport_media::mixer::Input;
use oneport_proto::{CallId, Instant, Media};
use oneport_wire::Format;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use uuid::Uuid;

use crate::recording::Side;
use crate::taps::Legs;

/// Listeners at once.
const MOST_LISTENERS: usize = 16;

/// Frames that wait for a listener: 5 s of both sides, in frames of 20 ms. With the longest that are understood
/// ([`Input::LONGEST`]) that is 1 MB.
const MOST_WAITING: usize = 512;

/// What one side says.
#[derive(Debug)]
pub(crate) enum Said {
    Voice {
        format: Format,
        payload: Vec<u8>,
    },
    /// Nothing, from now on: a pause that is as loud as this, in −dBov.
    Pause(u8),
}

/// A frame of one side.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) side: Side,
    /// When it came, since the listening began.
    pub(crate) at: Duration,
    /// The sender's clock in ms.
    pub(crate) timestamp: u32,
    pub(crate) said: Said,
}

/// What a listener gets.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) frames: mpsc::Receiver<Heard>,
    /// Frames that it did not fetch in time.
    pub(crate) lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Listener {
    who: String,
    since: Instant,
    frames: mpsc::Sender<Heard>,
    lost: Arc<AtomicU64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Live {
    calls: HashMap<Uuid, Vec<Listener>>,
    legs: Legs,
}

impl Live {
    /// Somebody, known by the name of its token, listens to a call from now on; `None`: as many listen as may.
    pub(crate) fn listen(&mut self, now: Instant, call: Uuid, who: &str) -> Option<Listening> {
        self.calls.retain(|_, listeners| {
            listeners.retain(|listener| !listener.frames.is_closed());
            !listeners.is_empty()
        });
        if self.calls.values().map(Vec::len).sum::<usize>() >= MOST_LISTENERS {
            return None;
        }
        let (sender, frames) = mpsc::channel(MOST_WAITING);
        let lost = Arc::<AtomicU64>::default();
        let listener = Listener { who: who.into(), since: now, frames: sender, lost: lost.clone() };
        self.calls.entry(call).or_default().push(listener);
        Some(Listening { frames, lost })
    }

    /// Who listens to a call.
    pub(crate) fn listeners(&self, call: Uuid) -> Vec<String> {
        let listeners = self.calls.get(&call).into_iter().flatten();
        listeners.map(|listener| listener.who.clone()).collect()
    }

    /// Whether somebody listens to a call.
    pub(crate) fn is_heard(&self, call: Uuid) -> bool {
        self.calls.contains_key(&call)
    }

    /// One more leg of a call is heard.
    pub(crate) fn add(&mut self, call: Uuid, leg: CallId, wanted: Side) {
        self.legs.add(call, leg, wanted);
    }

    /// Whether a leg is heard.
    pub(crate) fn hears(&self, leg: CallId) -> bool {
        self.legs.side(leg).is_some()
    }

    /// A frame of a leg that is tapped. One that is too long to be understood is left out.
    pub(crate) fn hear(&self, now: Instant, leg: CallId, media: Media<'_>) {
        let Media { format, timestamp, payload } = media;
        if payload.len() > Input::LONGEST {
            return;
        }
        let said = || Said::Voice { format, payload: payload.to_vec() };
        self.tell(now, leg, timestamp.0, said);
    }

    /// A leg that is heard tells of a pause of `level` −dBov.
    pub(crate) fn pause(&self, now: Instant, leg: CallId, timestamp: u32, level: u8) {
        self.tell(now, leg, timestamp, || Said::Pause(level));
    }

    fn tell(&self, now: Instant, leg: CallId, timestamp: u32, said: impl Fn() -> Said) {
        let Some((call, side)) = self.legs.side(leg) else { return };
        let Some(listeners) = self.calls.get(&call) else { return };
        for listener in listeners {
            let at = now.since(listener.since);
            let heard = Heard { side, at, timestamp, said: said() };
            if let Err(TrySendError::Full(_)) = listener.frames.try_send(heard) {
                listener.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Somebody listens no more. The legs that need not be heard any longer.
    pub(crate) fn stop(&mut self, call: Uuid) -> Vec<CallId> {
        if let Some(listeners) = self.calls.get_mut(&call) {
            listeners.retain(|listener| !listener.frames.is_closed());
            if !listeners.is_empty() {
                return Vec::new();
            }
        }
        self.calls.remove(&call);
        self.legs.end(call)
    }

    /// A leg is over. With the last one of a call its listeners have heard all.
    pub(crate) fn leave(&mut self, leg: CallId) {
        if let Some(call) = self.legs.leave(leg) {
            self.calls.remove(&call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_proto::{Endpoint, NewCall};
    use oneport_wire::Timestamp;

    #[test]
    fn a_listener_that_is_too_slow_loses_frames_which_are_counted_and_others_lose_none() {
        let now = Instant::from_micros(0);
        let mut endpoint = Endpoint::new(Default::default(), [0; 32], now);
        let to = "192.0.2.1:4569".parse().expect("an address");
        let leg = endpoint.place_call(now, to, NewCall::to("1")).expect("placed");
        let (mut live, call) = (Live::default(), Uuid::now_v7());
        let mut slow = live.listen(now, call, "slow").expect("few listen");
        let mut quick = live.listen(now, call, "quick").expect("few listen");
        assert_eq!(live.listeners(call), ["slow", "quick"]);
        live.add(call, leg, Side::Caller);
        for n in 0..MOST_WAITING as u32 + 10 {
            let media =
                Media { format: Format::ULAW, timestamp: Timestamp(n * 20), payload: &[1; 160] };
            live.hear(now + Duration::from_millis(u64::from(n) * 20), leg, media);
            let heard = quick.frames.try_recv().expect("heard");
            assert_eq!((heard.timestamp, heard.at.as_millis()), (n * 20, u128::from(n) * 20));
        }
        assert_eq!(slow.lost.load(Ordering::Relaxed), 10);
        assert_eq!(quick.lost.load(Ordering::Relaxed), 0);
        drop(quick);
        assert_eq!(live.stop(call), []);
        assert_eq!(live.listeners(call), ["slow"]);
        let waits = std::iter::from_fn(|| slow.frames.try_recv().ok()).count();
        assert_eq!(waits, MOST_WAITING);
        drop(slow);
        assert_eq!((live.stop(call), live.is_heard(call)), (vec![leg], false));
    }

    #[test]
    fn only_so_many_listen_and_with_the_call_they_have_heard_all() {
        let now = Instant::from_micros(0);
        let mut live = Live::default();
        let mut endpoint = Endpoint::new(Default::default(), [0; 32], now);
        let to = "192.0.2.1:4569".parse().expect("an address");
        let leg = endpoint.place_call(now, to, NewCall::to("1")).expect("placed");
        let calls: Vec<Uuid> = (0..MOST_LISTENERS).map(|_| Uuid::now_v7()).collect();
        let mut all: Vec<Listening> =
            calls.iter().map(|call| live.listen(now, *call, "ear").expect("few listen")).collect();
        assert!(live.listen(now, calls[0], "ear").is_none());
        live.add(calls[0], leg, Side::Called);
        live.leave(leg);
        assert!(matches!(all[0].frames.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        drop(all.pop());
        assert!(live.listen(now, calls[1], "ear").is_some());
    }

    #[test]
    fn frames_that_nobody_understands_fill_no_memory() {
        let now = Instant::from_micros(0);
        let mut endpoint = Endpoint::new(Default::default(), [0; 32], now);
        let to = "192.0.2.1:4569".parse().expect("an address");
        let leg = endpoint.place_call(now, to, NewCall::to("1")).expect("placed");
        let (mut live, call) = (Live::default(), Uuid::now_v7());
        let mut listening = live.listen(now, call, "ear").expect("few listen");
        live.add(call, leg, Side::Caller);
        let said = vec![1; 65_000];
        for (timestamp, length) in [(20, Input::LONGEST), (40, Input::LONGEST + 1), (60, 65_000)] {
            let payload = &said[..length];
            let timestamp = Timestamp(timestamp);
            live.hear(now, leg, Media { format: Format::SLIN, timestamp, payload });
        }
        let waits = std::iter::from_fn(|| listening.frames.try_recv().ok());
        assert_eq!(waits.map(|heard| heard.timestamp).collect::<Vec<_>>(), [20]);
    }
}
