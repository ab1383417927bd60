use std::time::Duration;

use oneport_media::dtmf::{Detector, Key, Keyer};
use oneport_media::telephone_event::{EventReceiver, EventSender, TelephoneEvent};

use super::Input;

/// Keys that are heard are pressed and released by turns, whatever is heard and whatever packets say;
/// those that are sent as packets or tones come out as they went in.
///
/// # Panics
/// When they are not.
pub fn keys(bytes: &[u8]) {
    let mut input = Input(bytes);
    let rate = [8_000, 16_000, 48_000][input.below(3)];
    let Some(mut detector) = Detector::new(rate) else { panic!("{rate} Hz is a rate") };
    let mut receiver = EventReceiver::new(rate);
    let (mut sender, mut keyer) = (EventSender::default(), Keyer::new(rate));
    let (mut heard, mut received) = (None, None);
    let (mut now, mut stamp) = (Duration::ZERO, 0_u32);
    let mut frame = vec![0; rate as usize / 50];
    while !input.is_empty() {
        match input.below(8) {
            0 => {
                let bytes = input.bytes();
                let samples: Vec<i16> =
                    bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
                detector.hear(&samples, |key| turn(&mut heard, key));
            }
            1 => {
                if keyer.press(input.byte()) && input.bit() {
                    keyer.release();
                }
            }
            2 => detector.pause(|key| turn(&mut heard, key)),
            3 => {
                let (timestamp, payload) = (u32::from(input.byte()) << 24, input.bytes());
                if let Some(event) = TelephoneEvent::decode(&payload) {
                    assert_eq!(TelephoneEvent::decode(&event.encode()), Some(event));
                    let timestamp = timestamp.wrapping_add(input.byte().into());
                    receiver.receive(now, timestamp, event, |key| turn(&mut received, key));
                }
            }
            4 => drop(sender.press(stamp, input.byte())),
            5 => sender.release(stamp),
            6 => {
                now += Duration::from_millis(input.byte().into());
                receiver.handle_timeout(now, |key| turn(&mut received, key));
                assert!(receiver.poll_timeout().is_none_or(|at| at > now));
            }
            _ => {
                keyer.fill(&mut frame);
                detector.hear(&frame, |key| turn(&mut heard, key));
                stamp = stamp.wrapping_add(u32::from(input.byte()) << input.below(24));
                if let Some(packet) = sender.packet(stamp) {
                    let payload = packet.payload;
                    receiver
                        .receive(now, packet.timestamp, payload, |key| turn(&mut received, key));
                }
            }
        }
        assert_eq!(detector.down(), heard, "what is down was pressed");
    }
}

fn turn(down: &mut Option<u8>, key: Key) {
    *down = match key {
        Key::Pressed(digit) => {
            assert_eq!(*down, None, "{} while another is down", char::from(digit));
            Some(digit)
        }
        Key::Released { digit, .. } => {
            assert_eq!(*down, Some(digit), "what comes up was down");
            None
        }
    };
}
