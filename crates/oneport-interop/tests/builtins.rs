//! Conferences, the parking lot, music on hold, files and notices, with real Asterisks 22 as those
//! who call. Each says a tone of its own; what an Asterisk hears it writes into a file. Recording has
//! a test in `asterisk.rs`.

use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

use oneport::media::{Codec, tone::Sine, wav};
use oneport::{AudioReader, Call, CallError, CallEvent, CauseCode, Format, NewCall, Phone};
use oneport_interop::{PATIENCE, PHONE, call_over, find_exactly, named, phone, speech, switch};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;

const ULAW: &str = "disallow=all\nallow=ulaw\n";

/// How loud a tone is among samples at 8 kHz: the amplitude of its sine.
fn loudness(samples: &[i16], frequency: f64) -> f64 {
    let sum = |wave: fn(f64) -> f64| -> f64 {
        let turn = TAU * frequency / 8_000.0;
        samples.iter().zip(0_u32..).map(|(s, n)| f64::from(*s) * wave(turn * f64::from(n))).sum()
    };
    let count = u32::try_from(samples.len()).expect("a few").max(1);
    2.0 * sum(f64::sin).hypot(sum(f64::cos)) / f64::from(count)
}

/// A tone is there. Ours have an amplitude of 6,500; those of a mixed frame are added.
fn is_heard(samples: &[i16], frequency: f64) -> bool {
    loudness(samples, frequency) > 4_000.0
}

/// It is not.
fn is_missing(samples: &[i16], frequency: f64) -> bool {
    loudness(samples, frequency) < 300.0
}

/// A second of a tone: whole waves, so that it can be repeated.
fn tone(frequency: f64) -> Vec<i16> {
    Sine::new(frequency, 8_000, 0.2).take(8_000).collect()
}

/// An Asterisk whose extension `talk@test` says a tone for ever, and writes what it hears.
struct Talker {
    asterisk: Asterisk,
    heard: PathBuf,
}

impl Talker {
    fn start(frequency: f64, more: &str) -> Self {
        let asterisk = Asterisk::start(&format!("{ULAW}{more}"), "[test]\n");
        let (said, outside) = asterisk.file("said.ulaw");
        let mut bytes = Vec::new();
        Codec::Ulaw.encode(&tone(frequency), &mut bytes);
        fs::write(outside, bytes.repeat(10)).expect("writable");
        let (inside, heard) = asterisk.file("heard.sln");
        let both = inside.replace("heard", "both");
        asterisk.set_dialplan(&format!(
            "[test]\nexten => talk,1,MixMonitor({both},r({inside}))\n\
             same => n(again),Playback({said})\nsame => n,Goto(again)\n\
             exten => leads,1,Answer()\nsame => n,Wait(1)\nsame => n,Transfer(IAX2/8001)\n\
             same => n,Wait(30)\n",
            said = said.trim_end_matches(".ulaw"),
        ));
        Self { asterisk, heard }
    }

    /// The last half second that it has heard.
    fn hears(&self) -> Vec<i16> {
        let bytes = fs::read(&self.heard).unwrap_or_default();
        let samples: Vec<i16> =
            bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
        samples[samples.len().saturating_sub(4_000)..].to_vec()
    }

    /// Waits until what it hears is right.
    fn waits_to_hear(&self, what: &str, is_right: impl Fn(&[i16]) -> bool) {
        wait_for(what, PATIENCE, || {
            let heard = self.hears();
            heard.len() == 4_000 && is_right(&heard)
        });
    }
}

/// Listens until the last half second is right.
async fn listen(reader: &mut AudioReader, what: &str, is_right: impl Fn(&[i16]) -> bool) {
    let mut heard = Vec::new();
    let waits = async {
        while heard.len() < 4_000 || !is_right(&heard[heard.len() - 4_000..]) {
            let frame = reader.next_frame().await.expect("the call goes on");
            Codec::Ulaw.decode(&frame.payload, &mut heard);
        }
    };
    let result = tokio::time::timeout(PATIENCE, waits).await;
    assert!(result.is_ok(), "waited in vain for: {what}");
}

/// A call of one of our telephones under the name of a peer, in µ-law.
async fn answered(phone: &Phone, to: std::net::SocketAddr, number: &str, name: &str) -> Call {
    let mut call = named(number, name, "right");
    call.formats = vec![Format::ULAW];
    let mut call = phone.call(to, call).await.expect("placed");
    call.answered().await.expect("it is for us");
    call
}

/// Says a tone until it is dropped.
fn keep_saying(call: &Call, frequency: f64) -> tokio::task::JoinHandle<()> {
    let speaker = call.speaker().expect("accepted");
    tokio::spawn(async move {
        loop {
            speaker.play(&tone(frequency)).await;
        }
    })
}

const PEERS: &str = "[peers.one]\nsecret = \"right\"\n[peers.two]\nsecret = \"right\"\n\
                     [peers.ann]\nsecret = \"right\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_conference_hear_the_others_and_not_themselves() {
    let (one, two) = (Talker::start(500.0, ""), Talker::start(1_100.0, ""));
    let (_switch, to) = switch(&format!(
        "{PEERS}[conferences.room]\nannounce = false\n\
         [[routes]]\nnumber = \"8000\"\nto = [\"builtin:conference/room\"]\n"
    ));
    one.asterisk.originate(&format!("IAX2/one:right@{to}/8000"), "talk@test");
    two.asterisk.originate(&format!("IAX2/two:right@{to}/8000"), "talk@test");
    let (phone, _) = phone();
    let call = answered(&phone, to, "8000", "ann").await;
    let (mut reader, _) = call.audio().await.expect("accepted");
    let voice = keep_saying(&call, 1_900.0);
    listen(&mut reader, "both Asterisks, and not ourselves", |heard| {
        is_heard(heard, 500.0) && is_heard(heard, 1_100.0) && is_missing(heard, 1_900.0)
    })
    .await;
    // Whoever does not fetch what comes loses it, and nothing else.
    tokio::task::spawn_blocking(move || {
        one.waits_to_hear("the first Asterisk to hear two others", |heard| {
            is_heard(heard, 1_100.0) && is_heard(heard, 1_900.0) && is_missing(heard, 500.0)
        });
        two.waits_to_hear("the second Asterisk to hear two others", |heard| {
            is_heard(heard, 500.0) && is_heard(heard, 1_900.0) && is_missing(heard, 1_100.0)
        });
    })
    .await
    .expect("all hear each other");
    voice.abort();
}

/// A folder of music with a tone.
fn music(directory: &Path, frequency: f64) -> String {
    let folder = directory.join("music");
    fs::create_dir(&folder).expect("made");
    let mut file = wav::Writer::create(&folder.join("a.wav"), 8_000).expect("writable");
    file.write(&tone(frequency)).expect("writable");
    file.finish().expect("writable");
    format!("[music.default]\nfolder = {folder:?}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asterisk_parks_another_that_hears_music_and_is_fetched() {
    let waits = Talker::start(500.0, "");
    let leads = Talker::start(1_100.0, "[oneport]\ntype=user\nsecret=link\ncontext=test\n");
    let directory = tempfile::tempdir().expect("a directory");
    let (_switch, to) = switch(&format!(
        "{}{PEERS}[peers.far]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"link\"\n\
         [[routes]]\nnumber = \"leads\"\nto = [\"peer:far\"]\n\
         [[routes]]\nnumber = \"8001\"\nto = [\"builtin:park\"]\n\
         [[routes]]\nnumber = \"8002\"\nto = [\"builtin:park/1\"]\n",
        music(directory.path(), 700.0),
        leads.asterisk.address()
    ));
    waits.asterisk.originate(&format!("IAX2/one:right@{to}/leads"), "talk@test");
    let waits = tokio::task::spawn_blocking(move || {
        waits.waits_to_hear("the parked Asterisk to hear music", |heard| is_heard(heard, 700.0));
        waits
    });
    let waits = waits.await.expect("it is parked");
    let (phone, _) = phone();
    let call = answered(&phone, to, "8002", "ann").await;
    let (mut reader, _) = call.audio().await.expect("accepted");
    let voice = keep_saying(&call, 1_900.0);
    listen(&mut reader, "who was parked", |heard| {
        is_heard(heard, 500.0) && is_missing(heard, 700.0)
    })
    .await;
    tokio::task::spawn_blocking(move || {
        waits.waits_to_hear("the fetched Asterisk to hear who has fetched it", |heard| {
            is_heard(heard, 1_900.0) && is_missing(heard, 700.0)
        });
    })
    .await
    .expect("both hear each other");
    voice.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asterisk_on_hold_hears_music_until_it_is_resumed() {
    let held = Talker::start(500.0, "");
    let directory = tempfile::tempdir().expect("a directory");
    let (phone, address) = phone();
    let (_switch, to) = switch(&format!(
        "{}{PEERS}[peers.bob]\naddress = \"{address}\"\nhold_music = \"default\"\n\
         [[routes]]\nnumber = \"8003\"\nto = [\"peer:bob\"]\n",
        music(directory.path(), 700.0)
    ));
    held.asterisk.originate(&format!("IAX2/one:right@{to}/8003"), "talk@test");
    let incoming = tokio::time::timeout(PATIENCE, phone.incoming()).await.expect("a call");
    let call = incoming.expect("running").answer().await.expect("it waits");
    let voice = keep_saying(&call, 1_900.0);
    let hears = |held: Talker, what: &'static str, frequency: f64, not: f64| async move {
        let waits = move || {
            held.waits_to_hear(what, |heard| is_heard(heard, frequency) && is_missing(heard, not));
            held
        };
        tokio::task::spawn_blocking(waits).await.expect(what)
    };
    let held = hears(held, "the Asterisk to hear us", 1_900.0, 700.0).await;
    call.hold(None).await.expect("up");
    let held = hears(held, "the Asterisk to hear music on hold", 700.0, 1_900.0).await;
    call.unhold().await.expect("up");
    drop(hears(held, "the Asterisk to hear us again", 1_900.0, 700.0).await);
    voice.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_file_comes_to_an_asterisk_that_calls_it() {
    let asterisk = Asterisk::start(&format!("{ULAW}{PHONE}"), "[phone]\n");
    let directory = tempfile::tempdir().expect("a directory");
    let sent = speech();
    // What comes before Asterisk has bridged its two calls is lost: half a second of silence.
    let mut samples = vec![0; 4_000];
    Codec::Ulaw.decode(&sent, &mut samples);
    let path = directory.path().join("noise.wav");
    let mut file = wav::Writer::create(&path, 8_000).expect("writable");
    file.write(&samples).expect("writable");
    file.finish().expect("writable");
    let (_switch, to) = switch(&format!(
        "{PEERS}[audio]\nplayback = {:?}\n\
         [[routes]]\nnumber = \"8004\"\nto = [\"builtin:playback/noise\"]\n",
        directory.path()
    ));
    let (phone, _) = phone();
    let call = call_over(&phone, &asterisk, &format!("IAX2/one:right@{to}/8004")).await;
    let (mut reader, _) = call.audio().await.expect("accepted");
    let mut heard = Vec::new();
    let listen = async {
        while let Some(frame) = reader.next_frame().await {
            heard.extend(frame.payload);
        }
    };
    tokio::time::timeout(PATIENCE, listen).await.expect("it ends behind the file");
    find_exactly(&sent, &heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asterisk_hears_why_before_it_is_refused() {
    let asterisk = Asterisk::start(&format!("{ULAW}{PHONE}"), "[phone]\n");
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = wav::Writer::create(&directory.path().join("full.wav"), 8_000).expect("a file");
    file.write(&tone(700.0).repeat(5)).expect("writable");
    file.finish().expect("writable");
    let (_switch, to) = switch(&format!(
        "{PEERS}[audio]\nplayback = {:?}\n[[limits]]\nname = \"carrier\"\npeers = [\"one\"]\n\
         max_calls = 0\non_congestion = \"playback/full\"\n",
        directory.path()
    ));
    asterisk.set_dialplan(&format!(
        "[phone]\nexten => on,1,Dial(IAX2/one:right@{to}/600,60)\n\
         same => n,Hangup(${{HANGUPCAUSE}})\n"
    ));
    let mut new = NewCall::to("on");
    (new.username, new.formats) = (Some("phone".into()), vec![Format::ULAW]);
    let (phone, _) = phone();
    let mut call = phone.call(asterisk.address(), new).await.expect("placed");
    while !matches!(call.next_event().await.expect("no end"), CallEvent::Accepted(_)) {}
    let (mut reader, _) = call.audio().await.expect("accepted");
    listen(&mut reader, "the notice", |heard| is_heard(heard, 700.0)).await;
    let end = tokio::time::timeout(PATIENCE, call.answered()).await.expect("it is refused");
    let Err(CallError::Ended(end)) = end else { panic!("{end:?}") };
    assert_eq!(end.cause, CauseCode::CIRCUIT_CONGESTION, "{}", asterisk.log());
}
