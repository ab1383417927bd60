//! What the tests with real peers share. They need Debian's Asterisk, iaxmodem and tshark; see
//! `cargo xtask peers`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oneport::media::Codec;
use oneport::{
    AudioReader, AudioWriter, Driver, DriverConfig, NewCall, Phone, PhoneConfig, Secret,
};
use oneport_switch::{Config, Switch};
use oneport_testkit::peers::asterisk::Asterisk;

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
    let text = format!("[server]\nlisten = [{address:?}]\n{text}");
    let config = Config::parse(Path::new("test.toml"), &text).expect("a good configuration");
    let driver = DriverConfig { listen: config.listen.clone(), endpoint: config.endpoint.clone() };
    let driver = Driver::start(driver, Switch::new(config)).expect("started");
    let address = driver.local_addresses()[0];
    (driver, address)
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
    assert!(same == sent.len(), "{same} of {} bytes are as they were sent", sent.len());
    offset
}

/// Speaks `sent` (µ-law) into an echo and finds every byte of it in what comes back.
///
/// # Panics
/// Something is missing or changed, or nothing comes for five seconds.
pub async fn echo_is_exact(reader: &mut AudioReader, speaker: &AudioWriter, sent: &[u8]) {
    let mut samples = Vec::new();
    Codec::Ulaw.decode(sent, &mut samples);
    let listen = async {
        let mut heard = Vec::new();
        while heard.len() < sent.len() {
            let frame = tokio::time::timeout(Duration::from_secs(5), reader.next_frame()).await;
            heard.extend(frame.expect("audio flows").expect("the call lives").payload);
        }
        heard
    };
    let (heard, ()) = tokio::join!(listen, speaker.play(&samples));
    find_exactly(sent, &heard);
}

/// Gives an Asterisk the extension `play@test`, which plays [`speech`] into a call and records what
/// it hears. The recording.
///
/// # Panics
/// Its directory cannot be written.
#[must_use]
pub fn playing_and_recording(asterisk: &Asterisk) -> PathBuf {
    let (inside, outside) = asterisk.file("speech.ulaw");
    fs::write(outside, speech()).expect("writable");
    let (recording, heard) = asterisk.file("heard");
    asterisk.set_dialplan(&format!(
        "[test]\nexten => play,1,MixMonitor({recording}-mix.ulaw,r({recording}.ulaw))\n\
         same => n,Wait(0.5)\nsame => n,Playback({})\nsame => n,Wait(1)\nsame => n,Hangup()\n",
        inside.trim_end_matches(".ulaw")
    ));
    heard.with_extension("ulaw")
}
