//! Keys that are tones in the voice, between our switch and a real Asterisk 22.

use oneport::{Call, CallEvent, DtmfPhase, NewCall};
use oneport_interop::{PATIENCE, named, phone, switch};
use oneport_testkit::peers::asterisk::Asterisk;

/// Rows and columns of the keys `1`, `5`, `9`, `D` and `*`, as Asterisk plays them; each tone for
/// 100 ms.
const PLAYED: &str = "!697+1209/100,!0/100,!770+1336/100,!0/100,!852+1477/100,!0/100,\
                      !941+1633/100,!0/100,!941+1209/100,!0/500";

const IAX: &str = "requirecalltoken=yes\ndisallow=all\nallow=ulaw\n\
                   [oneport]\ntype=user\nauth=md5\nsecret=link\ncontext=test\n";

fn peers(asterisk: &Asterisk, dtmf: &str) -> String {
    format!(
        "[peers.ann]\nsecret = \"right\"\n\
         [peers.far]\naddress = \"{}\"\nusername = \"oneport\"\nsecret = \"link\"\n\
         dtmf = \"{dtmf}\"\n\
         [[routes]]\nprefix = \"\"\nto = [\"peer:far\"]\n",
        asterisk.address()
    )
}

fn call(number: &str) -> NewCall {
    let mut call = named(number, "ann", "right");
    call.formats = vec![oneport::Format::ULAW];
    call
}

/// The next keys that come as frames.
async fn keys(call: &mut Call, count: usize) -> String {
    let mut digits = String::new();
    let waits = async {
        while digits.len() < count {
            match call.next_event().await {
                Some(CallEvent::Dtmf { digit, phase: DtmfPhase::Begin }) => {
                    digits.push(digit.into());
                }
                Some(CallEvent::Ended(end)) => panic!("{end:?}"),
                Some(_) => {}
                None => panic!("stopped"),
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, waits).await;
    digits
}

#[tokio::test(flavor = "multi_thread")]
async fn tones_that_an_asterisk_plays_are_keys_for_whoever_called_it() {
    let extensions = format!(
        "[test]\nexten => tones,1,Answer()\nsame => n,Wait(1)\nsame => n,PlayTones({PLAYED})\n\
         same => n,Wait(30)\n"
    );
    let asterisk = Asterisk::start(IAX, &extensions);
    let (_switch, to) = switch(&peers(&asterisk, "inband"));
    let (phone, _) = phone();
    let mut ours = phone.call(to, call("tones")).await.expect("placed");
    ours.answered().await.expect("it is for us");
    let heard = keys(&mut ours, 5).await;
    assert_eq!(heard, "159D*", "{}", asterisk.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_become_tones_that_an_asterisk_hears_and_no_frames() {
    // It says what it has heard by keys of its own. Where it gets frames, `Read` has them.
    let extensions = "
[test]
exten => hear,1,Answer()
same => n,WaitForTone(1209,60,30,1,d(1))
same => n,GotoIf($[\"${WAITFORTONESTATUS}\" != \"SUCCESS\"]?no)
same => n,SendDTMF(A)
same => n,WaitForTone(1336,60,30,1,d(1))
same => n,GotoIf($[\"${WAITFORTONESTATUS}\" != \"SUCCESS\"]?no)
same => n,SendDTMF(B)
same => n,WaitForTone(1477,60,30,1,d(1))
same => n,GotoIf($[\"${WAITFORTONESTATUS}\" != \"SUCCESS\"]?no)
same => n,SendDTMF(C)
same => n,Read(FRAMES,,1,,,3)
same => n,GotoIf($[\"${FRAMES}\" != \"\"]?no)
same => n,SendDTMF(D)
same => n,Wait(30)
same => n(no),SendDTMF(0)
same => n,Wait(30)
";
    let asterisk = Asterisk::start(IAX, extensions);
    let (_switch, to) = switch(&peers(&asterisk, "inband_to"));
    let (phone, _) = phone();
    let mut ours = phone.call(to, call("hear")).await.expect("placed");
    ours.answered().await.expect("it is for us");
    // Asterisk listens to voice alone, and to whoever says something.
    let (_, mouth) = ours.audio().await.expect("accepted");
    let talks = async {
        loop {
            mouth.play(&[0; 1_600]).await;
        }
    };
    let presses = async {
        let mut heard = String::new();
        for key in ["4", "8", "#"] {
            // A tone of 100 ms may lie so in the blocks that Asterisk looks at that it hears none.
            let keypad = ours.keypad();
            let again = async {
                loop {
                    keypad.press(key).await.expect("up");
                }
            };
            tokio::select! {
                () = again => {}
                answer = keys(&mut ours, 1) => heard += &answer,
            }
        }
        ours.send_dtmf("1").await.expect("up");
        heard + &keys(&mut ours, 1).await
    };
    tokio::select! {
        () = talks => {}
        heard = presses => assert_eq!(heard, "ABCD", "{}", asterisk.log()),
    }
}
