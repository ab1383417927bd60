//! A switch between two legs of a real Asterisk 22 that share no codec: what is said at one end is heard
//! at the other, and keys are.

use std::time::Duration;

use oneport::media::Codec;
use oneport::{
    AudioReader, AudioWriter, Call, CallEvent, DtmfPhase, Format, NewCall, Phone, PhoneConfig,
};
use oneport_interop::{PATIENCE, phone, switch};
use oneport_testkit::audio::similarity::compare;
use oneport_testkit::audio::speech::{Voice, synthesize};
use oneport_testkit::peers::asterisk::Asterisk;

/// Speech of each side, in ms.
const SPEECH_MS: u32 = 6_000;
const MS: u16 = 20;

/// A telephone that takes calls in linear audio, and its port.
fn linear_phone() -> (Phone, u16) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let formats = vec![Format::SLIN];
    let phone = Phone::bind(PhoneConfig { listen, formats, ..PhoneConfig::default() });
    let phone = phone.expect("bound");
    let port = phone.local_addresses()[0].port();
    (phone, port)
}

/// An Asterisk that is both ends: telephones speak linear audio with it, and it `near` with the switch
/// on one leg, and `far` on the other.
fn asterisk(near: &str, far: &str) -> (Asterisk, Phone) {
    let (callee, port) = linear_phone();
    // What is said in general holds for calls to whom no entry is about: those to the switch.
    let iax = format!(
        "disallow=all\nallow={near}\n[phone]\ntype=user\ncontext=phone\ndisallow=all\nallow=slin\n\
         [far]\ntype=user\ncontext=far\ndisallow=all\nallow={far}\n\
         [callee]\ntype=peer\nhost=127.0.0.1\nport={port}\ndisallow=all\nallow=slin\n"
    );
    let asterisk = Asterisk::start(&iax, "[far]\nexten => 200,1,Dial(IAX2/callee/somebody,60)\n");
    for module in ["a_mu", "g722", "adpcm", "gsm", "resample"] {
        // Some are loaded already.
        let _ = asterisk.cli(&format!("module load codec_{module}.so"));
    }
    (asterisk, callee)
}

/// A call through both: telephone, Asterisk, switch, Asterisk, telephone. `codecs` are what the switch
/// knows of the far leg's.
async fn call_through(asterisk: &Asterisk, callee: &Phone, codecs: &str) -> (Call, Call) {
    let (switch, at) = switch(&format!(
        "[peers.near]\nsecret = \"right\"\n\
         [peers.far]\naddress = \"{}\"\nusername = \"far\"\nqualify = false\n{codecs}\n\
         [[routes]]\nnumber = \"100\"\nto = [\"peer:far/200\"]\n",
        asterisk.address()
    ));
    asterisk.set_dialplan(&format!(
        "[phone]\nexten => on,1,Dial(IAX2/near:right@127.0.0.1:{}/100,60)\n\
         [far]\nexten => 200,1,Dial(IAX2/callee/somebody,60)\n",
        at.port()
    ));
    let (caller, _) = phone();
    let mut call = NewCall::to("on");
    call.username = Some("phone".into());
    call.formats = vec![Format::SLIN];
    let mut call = caller.call(asterisk.address(), call).await.expect("placed");
    let incoming = tokio::time::timeout(PATIENCE, callee.incoming()).await;
    let incoming = incoming.unwrap_or_else(|_| panic!("nobody rings\n{}", asterisk.log()));
    let answered = incoming.expect("running").answer().await.expect("it waits");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    // They live as long as their call.
    std::mem::forget((switch, caller));
    (call, answered)
}

/// Keeps what is heard, until there is nothing more for a second.
async fn listen(mut reader: AudioReader) -> Vec<i16> {
    let mut heard = Vec::new();
    loop {
        let patience = if heard.is_empty() { PATIENCE } else { Duration::from_secs(1) };
        match tokio::time::timeout(patience, reader.next_frame()).await {
            Ok(Some(frame)) => Codec::Slin.decode(&frame.payload, &mut heard),
            _ => return heard,
        }
    }
}

async fn speak(writer: AudioWriter, speech: &[i16]) {
    // Until both ends are connected all may be lost, so there is silence first.
    writer.play(&[0; 8_000]).await;
    writer.play(speech).await;
}

/// What speech is worth that comes through these codecs, one behind the other.
fn through(codecs: &[Codec], speech: &[i16]) -> f64 {
    let mut samples = speech.to_vec();
    for codec in codecs {
        let mut rate = oneport::media::Rate::between(8_000, codec.sample_rate());
        let mut back = oneport::media::Rate::between(codec.sample_rate(), 8_000);
        let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
        let mut out = Vec::new();
        for frame in samples.chunks(Codec::Slin.samples_in(MS)) {
            let (mut there, mut payload, mut heard) = (vec![], vec![], vec![]);
            rate.pass(frame, &mut there);
            encoder.encode(&there, &mut payload);
            decoder.decode(&payload, &mut heard);
            back.pass(&heard, &mut out);
        }
        samples = out;
    }
    samples.extend([0; 4_000]);
    compare(speech, &samples, 8_000, 200).score
}

async fn keys(call: &mut Call) -> String {
    let mut keys = String::new();
    while keys.len() < 4 {
        match tokio::time::timeout(PATIENCE, call.next_event()).await.expect("in time") {
            Some(CallEvent::Dtmf { digit, phase: DtmfPhase::Begin }) => keys.push(digit.into()),
            Some(CallEvent::Ended(end)) => panic!("{end:?}"),
            _ => {}
        }
    }
    keys
}

/// Speech and keys both ways.
async fn is_understood(near: Codec, far: Codec, codecs: &str) {
    let (asterisk, callee) = asterisk(near.format().name(), far.format().name());
    let (mut ours, mut theirs) = call_through(&asterisk, &callee, codecs).await;
    let [low, high] = [Voice::Low, Voice::High].map(|voice| synthesize(3, voice, 8_000, SPEECH_MS));
    let ((our_ear, our_mouth), (their_ear, their_mouth)) =
        (ours.audio().await.expect("accepted"), theirs.audio().await.expect("accepted"));
    let (heard, heard_there, ..) = tokio::join!(
        listen(our_ear),
        listen(their_ear),
        speak(our_mouth, &low),
        speak(their_mouth, &high)
    );
    for (said, heard, codecs) in [(&low, heard_there, [near, far]), (&high, heard, [far, near])] {
        // It begins somewhere in the silence.
        let mut heard = heard;
        heard.extend([0; 16_000]);
        let score = compare(said, &heard, 8_000, 1_900).score;
        let expected = through(&codecs, said);
        println!("{codecs:?}: {score:.2}, without a network {expected:.2}");
        assert!(score > expected - 0.4, "{codecs:?}: {score:.2}, expected {expected:.2}");
    }
    ours.send_dtmf("19*#").await.expect("up");
    assert_eq!(keys(&mut theirs).await, "19*#");
    theirs.send_dtmf("2580").await.expect("up");
    assert_eq!(keys(&mut ours).await, "2580");
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_in_gsm_and_asterisk_in_ulaw_understand_each_other_through_the_switch() {
    is_understood(Codec::Gsm, Codec::Ulaw, "codecs = [\"ulaw\"]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_in_g722_and_asterisk_in_ulaw_understand_each_other_through_the_switch() {
    is_understood(Codec::G722, Codec::Ulaw, "codecs = [\"ulaw\"]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_end_that_refuses_what_it_should_speak_is_called_again_in_what_it_does() {
    // The switch takes it to speak all usual codecs.
    is_understood(Codec::Alaw, Codec::Adpcm, "codecs = [\"alaw\", \"adpcm\"]").await;
}
