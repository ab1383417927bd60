//! Changing the keys of an encrypted call while it lasts (RTKEY). The RFC does not know it; peers do.

use core::time::Duration;

use oneport_wire::{Element, ElementBuffer, Elements, IaxSubclass};
use rand_core::Rng;

use crate::call::Call;
use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;

/// Half of the time between two frames of voice.
const HALF_A_FRAME: Duration = Duration::from_millis(10);

/// How long a due change of key waits for voice.
const WITHOUT_VOICE: Duration = Duration::from_secs(1);

/// How long to wait for frames on their way before the key is changed.
const SOON: Duration = Duration::from_millis(200);

impl Call {
    /// The call is accepted: from here on the key grows old, where both sides can change it.
    pub(crate) fn begin_rotation(&mut self, cx: &Context, now: Instant) {
        if let Some(crypt) = &mut self.exchange.crypt
            && crypt.rotates
        {
            crypt.next_rotation = cx.config.key_rotation.map(|interval| now + interval);
        }
    }

    /// Changes the key of what we send, unless frames are on their way: then soon.
    pub(crate) fn change_key(&mut self, cx: &mut Context, now: Instant) {
        let settled = self.exchange.full.reliable.is_settled();
        let Some(crypt) = &mut self.exchange.crypt else { return };
        crypt.between_voice = None;
        if !settled {
            crypt.next_rotation = Some(now + SOON);
            return;
        }
        crypt.next_rotation = cx.config.key_rotation.map(|interval| now + interval);
        let mut key = [0; 16];
        cx.rng.fill_bytes(&mut key);
        let mut elements = ElementBuffer::new();
        elements.push(&Element::Challenge(&key));
        // This frame still goes out with the old key.
        self.exchange.send_iax(cx, now, IaxSubclass::RtKey, &elements);
        if let Some(crypt) = &mut self.exchange.crypt {
            crypt.change_ours(&key);
        }
        cx.counters.key_changes += 1;
    }

    /// The peer changes the key of what it sends (RTKEY).
    pub(crate) fn key_changed(&mut self, cx: &mut Context, elements: Elements<'_>) {
        match (&mut self.exchange.crypt, new_key(elements)) {
            (Some(crypt), Some(key)) => crypt.change_theirs(&key),
            _ => cx.counters.drop(DropReason::Unexpected),
        }
    }

    /// A due change of key is best made halfway between two frames of voice: Asterisk takes in voice
    /// and RTKEY on different threads, and may take either first when they come together.
    pub(crate) fn change_key_behind_voice(&mut self, now: Instant) {
        if let Some(crypt) = &mut self.exchange.crypt
            && crypt.next_rotation.is_some_and(|at| at <= now)
            && crypt.between_voice.is_none()
        {
            crypt.between_voice = Some(now + HALF_A_FRAME);
        }
    }

    /// When the key is changed next.
    pub(crate) fn rotation(&self) -> Option<Instant> {
        let crypt = self.exchange.crypt.as_deref()?;
        crypt.between_voice.or_else(|| crypt.next_rotation.map(|due| due + WITHOUT_VOICE))
    }
}

/// The key that an RTKEY says.
fn new_key(elements: Elements<'_>) -> Option<[u8; 16]> {
    let key = elements.iter().find_map(|element| match element {
        Element::Challenge(key) => Some(key),
        _ => None,
    });
    key?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EndpointConfig;
    use crate::crypt::Crypt;
    use crate::exchange::Exchange;
    use crate::path::Path;
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::net::SocketAddr;
    use oneport_wire::{CallNumber, EncryptionMethods, FormatSet, Seq};
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// An encrypted call whose key lasts a minute.
    fn setup() -> (Context, Call) {
        let config = EndpointConfig {
            key_rotation: Some(Duration::from_secs(60)),
            ..EndpointConfig::default()
        };
        let mut cx = Context::new(config, [1; 32], at(0));
        let path = Path::from(SocketAddr::from(([192, 0, 2, 1], 4569)));
        let numbers = (CallNumber::from_bits(2), CallNumber::from_bits(3));
        let mut exchange = Exchange::moved(at(0), path, numbers.0, numbers.1, None);
        let mut crypt = Crypt::new(&[[7; 16]], true);
        crypt.rotates = true;
        exchange.crypt = Some(Box::new(crypt));
        let encryption = EncryptionMethods::AES128;
        let mut call = Call::offered(&cx, at(0), exchange, FormatSet::EMPTY, encryption);
        call.begin_rotation(&cx, at(0));
        cx.counters.key_changes = 0;
        (cx, call)
    }

    #[test]
    fn a_new_key_has_sixteen_bytes_or_is_none() {
        let read = |key: Option<&[u8]>| {
            let mut buffer = ElementBuffer::new();
            if let Some(key) = key {
                buffer.push(&Element::Challenge(key));
            }
            new_key(buffer.as_elements())
        };
        assert_eq!(read(None), None);
        assert_eq!(read(Some(&[])), None);
        assert_eq!(read(Some(&[7; 15])), None);
        assert_eq!(read(Some(&[7; 16])), Some([7; 16]));
        assert_eq!(read(Some(&[7; 17])), None);
    }

    #[test]
    fn a_key_is_changed_when_it_is_old_halfway_between_two_frames_of_voice() {
        let (mut cx, mut call) = setup();
        assert_eq!(call.rotation(), Some(at(61_000)), "where nobody speaks");
        call.change_key_behind_voice(at(59_980));
        assert_eq!(call.rotation(), Some(at(61_000)), "not old yet");
        call.change_key_behind_voice(at(60_000));
        call.change_key_behind_voice(at(60_005));
        assert_eq!(call.rotation(), Some(at(60_010)));
        call.change_key(&mut cx, at(60_010));
        assert_eq!(cx.counters.key_changes, 1);
        assert_eq!(call.rotation(), Some(at(60_010 + 61_000)));
    }

    #[test]
    fn a_key_is_not_changed_while_frames_are_on_their_way() {
        let (mut cx, mut call) = setup();
        call.exchange.send_iax(&mut cx, at(60_000), IaxSubclass::Ping, &ElementBuffer::new());
        let before = call.exchange.crypt.as_deref().map(Crypt::epoch);
        call.change_key_behind_voice(at(60_000));
        call.change_key(&mut cx, at(60_010));
        assert_eq!(call.exchange.crypt.as_deref().map(Crypt::epoch), before);
        assert_eq!((cx.counters.key_changes, call.rotation()), (0, Some(at(61_210))));
        call.change_key_behind_voice(at(60_210));
        assert_eq!(call.rotation(), Some(at(60_220)));
        call.exchange.full.reliable.acknowledge(at(60_215), Seq(1));
        call.change_key(&mut cx, at(60_220));
        assert_ne!(call.exchange.crypt.as_deref().map(Crypt::epoch), before);
        assert_eq!(cx.counters.key_changes, 1);
    }

    #[test]
    fn each_key_is_another() {
        let (mut cx, mut call) = setup();
        let mut frames = Vec::new();
        for n in 1..=4 {
            let crypt = call.exchange.crypt.as_deref().unwrap();
            // With the same padding the same frame differs only where the key does.
            let mut rng = ChaCha12Rng::from_seed([2; 32]);
            let (cipher, mut sealed) = (crypt.cipher(crypt.epoch()).unwrap(), Vec::new());
            cipher.seal(&mut rng, &[0, 2, 0, 20], &[9; 60], &mut sealed);
            assert!(!frames.contains(&sealed), "key {n}");
            frames.push(sealed);
            call.change_key(&mut cx, at(n * 60_000));
            call.exchange.full.reliable.clear();
        }
    }
}
