use std::time::Duration;

use oneport_media::Codec;
use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig};

use super::Input;

/// Longest a pull may be here, in samples.
const LONGEST: usize = 512;

/// Frames of any size with any timestamp at any time, pauses, and pulls of any length between them: whatever they
/// do, what was asked for comes out, and once sane frames come again they are heard again.
///
/// # Panics
/// When they are not.
pub fn jitter_buffer(bytes: &[u8]) {
    let mut input = Input(bytes);
    let rate = if input.bit() { 16_000 } else { 8_000 };
    let config = JitterConfig {
        frames: 1 + input.below(100),
        frame_bytes: 1 + 4 * input.below(250),
        least_delay: Duration::from_millis(input.byte().into()),
        most_delay: Duration::from_millis(4 * u64::from(input.byte())),
        ..JitterConfig::new(rate)
    };
    let mut buffer = JitterBuffer::new(config);
    let codec = if input.bit() { Codec::Slin16 } else { Codec::Ulaw };
    let mut decoder = codec.decoder();
    let payload = vec![0x55; 2 * config.frame_bytes];
    let mut out = vec![0; LONGEST];
    let (mut now, mut stamp, mut pulled) = (0_u64, 0_u32, 0);
    while !input.is_empty() {
        let number = |input: &mut Input<'_>| u32::from_be_bytes([0; 4].map(|_: u8| input.byte()));
        match input.below(9) {
            0 => now = u64::from(number(&mut input)) << (input.byte() % 32),
            1 => stamp = number(&mut input),
            2 => stamp = stamp.wrapping_add(u32::from(input.byte()) << (input.byte() % 24)),
            3 => stamp = stamp.wrapping_sub(input.byte().into()),
            4 => now = now.saturating_add(u64::from(input.byte()) << (input.byte() % 24)),
            5 => {
                let len = usize::from(input.byte()) * LONGEST / 255;
                buffer.pull(Duration::from_micros(now), &mut *decoder, &mut out[..len]);
                pulled += len as u64;
            }
            6 => buffer.pause(stamp, input.byte()),
            _ => {
                let len = usize::from(input.byte()) * payload.len() / 255;
                let _ = buffer.insert(Duration::from_micros(now), stamp, &payload[..len]);
                stamp = stamp.wrapping_add(20);
            }
        }
    }
    let stats = buffer.stats();
    assert!(stats.played <= pulled, "{stats:?} of {pulled}");
    sane_frames_are_heard_again(buffer, config, codec, now);
}

/// Some seconds of an ordinary call go by.
fn sane_frames_are_heard_again(
    mut buffer: JitterBuffer,
    config: JitterConfig,
    codec: Codec,
    now: u64,
) {
    let samples = config.sample_rate as usize / 50;
    let bytes = if codec == Codec::Slin16 { 2 * samples } else { samples };
    // Where frames of this length do not fit, or must not wait as long as a pull takes, none are.
    if bytes > config.frame_bytes || config.frames < 50 || config.most_delay.as_millis() < 100 {
        return;
    }
    // A clock far from any other overflows nothing, but has no room to go on.
    let start = Duration::from_micros(now.min(1 << 50));
    let frame = vec![0x30; bytes];
    let mut out = vec![0; samples];
    let mut decoder = codec.decoder();
    for n in 0..300_u32 {
        let now = start + Duration::from_millis(20) * n;
        let _ = buffer.insert(now, 0x4000_0000 + n * 20, &frame);
        buffer.pull(now, &mut *decoder, &mut out);
    }
    let most = config.most_delay + Duration::from_millis(100);
    assert!(buffer.delay().is_some_and(|delay| delay <= most), "{buffer:?}");
    assert!(out.iter().any(|sample| sample.unsigned_abs() > 100), "{:?}", buffer.stats());
}
