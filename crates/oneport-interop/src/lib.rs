//! What the tests with real peers share. They need Debian's Asterisk, iaxmodem and tshark; see
//! `cargo xtask peers`.

pub mod gateway;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oneport::media::Codec;
use oneport::{
    AudioFrame, AudioReader, AudioWriter, Call, CallError, CauseCode, Driver, DriverConfig, Format,
    NewCall, Phone, PhoneConfig, Secret,
};
use oneport_switch::{Config, Switch};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;
use tokio::task::JoinSet;

/// Frames of voice in which Asterisk may let some overtake others.
pub const BEGINNING: usize = 10;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lets a switch take calls however busy the machine is.
const BUSY: &str = "[overload]\nenabled = false\n";

/// A switch on the loopback with this configuration.
///
/// # Panics
/// The configuration is wrong.
#[must_use]
pub fn switch(text: &str) -> (Driver<Switch>, SocketAddr) {
    switch_at("127.0.0.1:0", text)
}

/// The same at an address of the caller's choice.
///
/// # Panics
/// The configuration is wrong, or the address in use.
#[must_use]
pub fn switch_at(address: &str, text: &str) -> (Driver<Switch>, SocketAddr) {
    let driver = serve(&format!("{BUSY}[server]\nlisten = [{address:?}]\n{text}"));
    let address = driver.local_addresses()[0];
    (driver, address)
}

/// The same on the loopback of IPv4, which is the address given, and on that of IPv6.
///
/// # Panics
/// The configuration is wrong, or there is no IPv6.
#[must_use]
pub fn switch_on_both(text: &str) -> (Driver<Switch>, SocketAddr) {
    let listen = "[\"127.0.0.1:0\", \"[::1]:0\"]";
    let driver = serve(&format!("{BUSY}[server]\nlisten = {listen}\n{text}"));
    let address = driver.local_addresses()[0];
    (driver, address)
}

/// A switch with this configuration, which says where it listens.
///
/// # Panics
/// The configuration is wrong, or an address in use.
#[must_use]
pub fn serve(text: &str) -> Driver<Switch> {
    let config = Config::parse(Path::new("test.toml"), text).expect("a good configuration");
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    Driver::start(driver, Switch::new(config)).expect("started")
}

/// A telephone on the loopback, and its address.
///
/// # Panics
/// The loopback is gone.
#[must_use]
pub fn phone() -> (Phone, SocketAddr) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let address = phone.local_addresses()[0];
    (phone, address)
}

/// A call by somebody with a name.
#[must_use]
pub fn named(number: &str, name: &str, secret: &str) -> NewCall {
    let mut call = NewCall::to(number);
    call.username = Some(name.into());
    call.secret = Some(Secret::from(secret));
    call
}

/// Eight seconds of µ-law noise whose every part is unlike every other, so that it can be found
/// again in a recording. The negative zero, which linear audio does not have, is left out.
#[must_use]
pub fn speech() -> Vec<u8> {
    let mut state = 0x2545_F491_u32;
    let noise = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    });
    noise.filter(|byte| *byte != 0x7F).take(8 * 8000).collect()
}

/// Where in `recording` the whole of `sent` is, byte for byte.
///
/// # Panics
/// It is not; the message says how far it goes.
pub fn find_exactly(sent: &[u8], recording: &[u8]) -> usize {
    let start = &sent[..160];
    let found = recording.windows(160).position(|window| window == start);
    let Some(offset) = found else {
        panic!("the beginning is not in a recording of {} bytes", recording.len());
    };
    let heard = &recording[offset..];
    let same = sent.iter().zip(heard).take_while(|(a, b)| a == b).count();
    assert!(
        same == sent.len(),
        "{same} of {} bytes are as they were sent; {}",
        sent.len(),
        difference(sent, heard)
    );
    offset
}

/// Where 20 ms of `sent` come elsewhere in `heard` than they should, or not at all.
fn difference(sent: &[u8], heard: &[u8]) -> String {
    let mut report = String::new();
    let mut expected = 0;
    for (n, frame) in sent.chunks(160).enumerate() {
        let found = heard.windows(frame.len()).position(|window| window == frame);
        let text = match found {
            Some(at) if at == expected => String::new(),
            Some(at) => format!("frame {n} at {at}, not {expected}; "),
            None => format!("frame {n} nowhere; "),
        };
        expected = found.unwrap_or(expected) + frame.len();
        report.push_str(&text);
    }
    report
}

/// Speaks `sent` (µ-law) into an echo and finds every byte of it in what comes back.
///
/// # Panics
/// Something is missing or changed, or nothing comes for a long time.
pub async fn echo_is_exact(reader: &mut AudioReader, speaker: &AudioWriter, sent: &[u8]) {
    echo_is_exact_from(0, reader, speaker, sent).await;
}

/// The same, but for what is on its way before the byte `from`: in the beginning of a transfer the
/// ends send to each other what the middle has not passed on yet.
///
/// # Panics
/// As there.
pub async fn echo_is_exact_from(
    from: usize,
    reader: &mut AudioReader,
    speaker: &AudioWriter,
    sent: &[u8],
) {
    let mut samples = Vec::new();
    Codec::Ulaw.decode(sent, &mut samples);
    let last = &sent[sent.len() - 160..];
    let listen = async {
        let mut heard: Vec<AudioFrame> = Vec::new();
        while heard.last().is_none_or(|frame| !frame.payload.ends_with(last)) {
            let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await;
            let frames = heard.len();
            let frame = frame.unwrap_or_else(|_| panic!("silence after {frames} frames"));
            let frame = frame.unwrap_or_else(|| panic!("the call ended after {frames} frames"));
            heard.push(frame);
        }
        heard
    };
    let (heard, ()) = tokio::join!(listen, speaker.play(&samples));
    is_whole(sent, from, &heard);
}

/// Every 20 ms of `sent` were heard as they are, once, and in their order.
///
/// At the beginning they may have overtaken each other: Asterisk gives full frames to another thread
/// than mini frames, and on a busy machine the first full one leaves behind the mini frames that follow
/// it. Where they pass through it twice, the second time has given them new timestamps. Its timestamps
/// are no measure either: when it was held up they jump, which looks like loss.
///
/// # Panics
/// One is missing, changed or elsewhere.
fn is_whole(sent: &[u8], from: usize, heard: &[AudioFrame]) {
    let spoken: HashMap<&[u8], usize> = sent.chunks(160).zip(0..).collect();
    let mut order = Vec::new();
    for frame in heard {
        match spoken.get(frame.payload.as_slice()) {
            Some(n) => order.extend(n.checked_sub(from / 160)),
            None => panic!("nobody said this, behind {order:?}: {:02x?}", frame.payload),
        }
    }
    let beginning = BEGINNING.min(order.len());
    order[..beginning].sort_unstable();
    let whole: Vec<usize> = (0..sent[from..].len().div_ceil(160)).collect();
    let wrong = order.iter().zip(&whole).position(|(heard, sent)| heard != sent);
    assert!(
        order == whole,
        "{} of {} frames were heard; in their order up to {wrong:?}: {:?}",
        order.len(),
        whole.len(),
        &order[wrong.unwrap_or(order.len()).saturating_sub(2)..]
    );
}

/// Speaks `sent` (µ-law) into an echo, with so many frames `ahead` of what has come back, and finds
/// each as it was. With 1 they cannot overtake each other; with few, many calls at once do not
/// overflow the system's buffers when the machine has been busy with something else.
///
/// A busy machine says them late, and that is no gap: Asterisk's echo of RTP (22.10) gives packets the gaps between the
/// numbers of those that it heard, and where one leads across the largest number, 1 is added to the type of the payload and
/// the packet is lost.
///
/// # Panics
/// Something comes back changed, or nothing.
pub async fn each_frame_returns(
    reader: &mut AudioReader,
    speaker: &AudioWriter,
    sent: &[u8],
    ahead: usize,
) {
    let mut spoken = sent.chunks(160);
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut waiting, mut heard) = (0, sent.chunks(160));
    let all = heard.len();
    while heard.len() > 0 {
        if waiting < ahead && spoken.len() > 0 {
            clock.tick().await;
            let payload = spoken.next().expect("some are left");
            match spoken.len() + 1 == all {
                true => speaker.send(Format::ULAW, payload, 20),
                false => speaker.go_on(Format::ULAW, payload, 20),
            }
            waiting += 1;
            continue;
        }
        let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await;
        let which = || format!("frame {} of {}", all - heard.len(), all);
        let frame = frame.unwrap_or_else(|_| panic!("{} does not come back", which()));
        let frame = frame.unwrap_or_else(|| panic!("the call ends before {}", which()));
        // On a busy machine some of what was said first comes later than anybody waits for it.
        if frame.payload[..] == IS_ANYBODY_THERE {
            continue;
        }
        if heard.next() != Some(frame.payload.as_slice()) {
            let came = what_comes(sent, frame, reader).await;
            panic!("where frame {} of {all} should be, these come: {came:?}", all - heard.len());
        }
        waiting -= 1;
    }
}

/// Which frames of `sent` come, from this one on until it is still; `None` is something that nobody said.
async fn what_comes(
    sent: &[u8],
    first: AudioFrame,
    reader: &mut AudioReader,
) -> Vec<Option<usize>> {
    let which = |frame: &AudioFrame| {
        sent.chunks(160).position(|said| said == &frame.payload[..]).map(|place| place + 1)
    };
    let mut came = vec![which(&first)];
    let still = Duration::from_millis(500);
    while let Ok(Some(frame)) = tokio::time::timeout(still, reader.next_frame()).await {
        came.push(which(&frame));
    }
    came
}

/// What is said until something comes back: no speech has it.
const IS_ANYBODY_THERE: [u8; 160] = [0xD5; 160];

/// Answers whoever calls, and gives back what is said.
pub async fn echo(phone: Arc<Phone>) {
    let mut calls = JoinSet::new();
    while let Some(incoming) = phone.incoming().await {
        calls.spawn(async move {
            let Ok(mut call) = incoming.answer().await else { return };
            let Ok((mut ear, speaker)) = call.audio().await else { return };
            loop {
                tokio::select! {
                    frame = ear.next_frame() => match frame {
                        Some(frame) => speaker.send(frame.format, &frame.payload, 20),
                        None => return,
                    },
                    event = call.next_event() => if event.is_none() { return },
                }
            }
        });
    }
}

/// The level of silence, in −dBov.
const SILENCE: u8 = 127;

/// Speaks until something comes back, and hears that out: Asterisk answers before its echo listens, and what comes
/// before the key that decrypts it is lost.
///
/// # Panics
/// Nothing comes back.
pub async fn until_heard(reader: &mut AudioReader, speaker: &AudioWriter) {
    let begun = std::time::Instant::now();
    loop {
        speaker.send(Format::ULAW, &IS_ANYBODY_THERE, 20);
        let heard = tokio::time::timeout(Duration::from_millis(20), reader.next_frame()).await;
        if heard.is_ok() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing comes back");
    }
    // Said, so that what follows has no gap before it: see `each_frame_returns`.
    speaker.pause(SILENCE);
    let still = Duration::from_millis(500);
    while tokio::time::timeout(still, reader.next_frame()).await.is_ok() {}
}

/// What iax.conf needs for [`call_over`].
pub const PHONE: &str = "[phone]\ntype=user\ncontext=phone\n";

/// A telephone calls an Asterisk, which calls `channel` for it, such as `IAX2/127.0.0.1:4569/600`,
/// and connects the two. So Asterisk is the caller of a call in which every byte can be followed;
/// its own recordings have holes when the machine is busy.
///
/// # Panics
/// Nobody answers.
pub async fn call_over(phone: &Phone, asterisk: &Asterisk, channel: &str) -> Call {
    let mut call = place_over(phone, asterisk, channel).await;
    if let Err(error) = call.answered().await {
        panic!("{error}; Asterisk's log:\n{}", asterisk.log());
    }
    call
}

/// As [`call_over`], where the call is refused: the cause that comes back.
///
/// # Panics
/// Somebody answers.
pub async fn end_over(phone: &Phone, asterisk: &Asterisk, channel: &str) -> CauseCode {
    let mut call = place_over(phone, asterisk, channel).await;
    match call.answered().await {
        Err(CallError::Ended(end)) => end.cause,
        other => panic!("{other:?}; Asterisk's log:\n{}", asterisk.log()),
    }
}

async fn place_over(phone: &Phone, asterisk: &Asterisk, channel: &str) -> Call {
    asterisk.set_dialplan(&format!(
        "[phone]\nexten => on,1,Dial({channel},60)\nsame => n,Hangup(${{HANGUPCAUSE}})\n"
    ));
    let mut call = NewCall::to("on");
    call.username = Some("phone".into());
    call.formats = vec![Format::ULAW];
    phone.call(asterisk.address(), call).await.expect("placed")
}

/// Asks an Asterisk until it has no call any more.
///
/// # Panics
/// It keeps one.
pub fn wait_for_silence(asterisk: &Asterisk) {
    wait_for("Asterisk to have no calls", PATIENCE, || {
        asterisk.cli("core show channels").contains("0 active channels")
    });
}
