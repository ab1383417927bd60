//! iLBC in frames of 20 ms (RFC 3952) with Asterisk, which hands on what comes and decodes none of it.

use std::time::{Duration, Instant};

use oneport::media::ilbc::{IlbcDecoder, IlbcEncoder, Mode};
use oneport::media::{Decoder, Encoder};
use oneport::{AudioReader, AudioWriter, Format, Phone, PhoneConfig};
use oneport_interop::gateway::{System, gateway};
use oneport_interop::{PATIENCE, wait_for_silence};
use oneport_testkit::audio::speech::{Voice, synthesize};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::free_port;
use tokio::time::timeout;

use crate::shared::ann;

/// Frames of 30 ms with a voice in them that have to come back.
const VOICED: usize = 100;

/// Samples beyond this are no silence.
const LOUD: u16 = 1_000;

fn pjsip(port: u16) -> String {
    format!(
        "[transport]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:{port}\n\
         [us]\ntype=endpoint\ncontext=carrier\ndisallow=all\nallow=ilbc\naors=us\n\
         direct_media=no\n\
         [us]\ntype=aor\n\
         [us]\ntype=identify\nendpoint=us\nmatch=127.0.0.1\n"
    )
}

const DIALPLAN: &str = "[carrier]
exten => 2125550100,1,Answer()
same => n,Echo()
exten => 2125550101,1,Dial(PJSIP/us/sip:12125550199@127.0.0.1:US,30)
";

/// Speaks in frames of 30 ms, as others do by IAX2, until enough of a voice has come back, in such frames as well.
async fn a_voice_returns(reader: &mut AudioReader, speaker: &AudioWriter) {
    let speech = synthesize(5, Voice::Low, 8_000, 4_020);
    let mut spoken = speech.as_chunks::<240>().0.iter().cycle();
    let (mut encoder, mut decoder) = (IlbcEncoder::new(Mode::Ms30), IlbcDecoder::default());
    let mut clock = tokio::time::interval(Duration::from_millis(30));
    let (mut voiced, begun) = (0, Instant::now());
    while voiced < VOICED {
        assert!(begun.elapsed() < PATIENCE, "{voiced} frames have come back");
        tokio::select! {
            _ = clock.tick() => {
                let mut frame = Vec::new();
                encoder.encode(spoken.next().expect("it begins anew"), &mut frame);
                speaker.send(Format::ILBC, &frame, 30);
            }
            frame = reader.next_frame() => {
                let frame = frame.expect("the call lives");
                let mode = (frame.format, Mode::of_payload(frame.payload.len()));
                assert_eq!(mode, (Format::ILBC, Some(Mode::Ms30)), "{frame:?}");
                let mut heard = Vec::new();
                decoder.decode(&frame.payload, &mut heard);
                voiced += usize::from(heard.iter().any(|sample| sample.unsigned_abs() > LOUD));
            }
        }
    }
}

/// Calls this number, and hears its own voice.
async fn call(phone: &Phone, system: &System, asterisk: &Asterisk, number: &str) {
    let mut call = ann(number);
    call.formats = vec![Format::ILBC];
    let mut call = phone.call(system.iax, call).await.expect("placed");
    let answered = timeout(PATIENCE, call.answered()).await.expect("in time");
    if let Err(error) = answered {
        panic!("{error}; Asterisk's log:\n{}", asterisk.log());
    }
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    a_voice_returns(&mut reader, &speaker).await;
    drop(call);
    wait_for_silence(asterisk);
}

/// Asterisk answers an offer of 20 ms in kind, and offers them itself where it calls us for
/// the caller.
#[tokio::test(flavor = "multi_thread")]
async fn ilbc_goes_through_asterisk_in_frames_of_20_ms_whoever_offers_them() {
    let port = free_port();
    let rtp = "[general]\nrtpstart=46000\nrtpend=46999\n";
    let config = pjsip(port).into_bytes();
    let files: [(&str, &[u8]); 2] = [("etc/pjsip.conf", &config), ("etc/rtp.conf", rtp.as_bytes())];
    let asterisk = Asterisk::start_with("", DIALPLAN, &files);
    let _ = asterisk.cli("pjsip set logger on");
    let _ = asterisk.cli("rtp set debug on");
    let listen = vec![([127, 0, 0, 1], 0).into()];
    let config = PhoneConfig { listen, formats: vec![Format::ILBC], ..PhoneConfig::default() };
    let phone = Phone::bind(config).expect("bound");
    let system = gateway(&format!(
        "rtp_ports = \"47000-47999\"\n[overload]\nenabled = false\n\
         [carriers.acme]\nhost = \"127.0.0.1:{port}\"\noptions_seconds = 0\n\
         codecs = [\"ilbc\"]\nilbc_ms = 20\n\
         [[routes]]\npattern = \"_212555010X\"\nfrom = [\"ann\"]\nto = [\"carrier:acme\"]\n\
         [[routes]]\nnumber = \"12125550199\"\nfrom = [\"carrier:acme\"]\nto = [\"builtin:echo\"]\n"
    ));
    asterisk.set_dialplan(&DIALPLAN.replace("US,30", &format!("{},30", system.sip.port())));
    // Our offer and its answer; then the same of the call to it, and of its own.
    for (number, said) in [("2125550100", 2), ("2125550101", 6)] {
        call(&phone, &system, &asterisk, number).await;
        // Some of it may be said again.
        let log = asterisk.log();
        let kept = log.matches("mode=20").count() >= said && !log.contains("mode=30");
        assert!(kept, "{number}: {log}");
    }
    let log = asterisk.log();
    let lines = || log.lines().filter(|line| line.contains("Got  RTP packet from"));
    let short = lines().filter(|line| line.contains("len 000038")).count();
    assert!(short > 3 * VOICED && short == lines().count(), "{short}: {log}");
}
