//! Video with a real Asterisk 22.
//!
//! Asterisk forgets the video of a call at the first frame of voice that it hears, so that these
//! calls are silent, and loses the marks of mini frames. It takes video at all where it does as the
//! caller asks (`codecpriority`), and keeps packets in order with a single thread.

use std::time::Duration;

use oneport::{
    Call, EncryptionPolicy, Format, NewCall, Phone, VideoFrame, VideoReader, VideoWriter,
};
use oneport_interop::{echo_is_exact, named, phone, speech};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::tshark::Capture;

const IAX: &str = "
requirecalltoken=yes
iaxthreadcount=1
iaxmaxthreadcount=0
codecpriority=disabled
disallow=all
allow=ulaw
[ann]
type=user
auth=md5
secret=right
context=test
allow=h264
[deaf]
type=user
auth=md5
secret=right
context=test
[secret]
type=user
auth=md5
secret=right
context=test
allow=h264
encryption=yes
forceencryption=yes
";

const EXTENSIONS: &str = "
[test]
exten => echo,1,Answer()
same => n,Echo()
";

/// Packets of pictures that look like those of H.264, none like another. The last of each picture
/// has the mark.
fn pictures() -> Vec<(Vec<u8>, bool)> {
    let noise = speech();
    let mut packets = Vec::new();
    for picture in 0..60 {
        for part in 0..3 {
            let start = picture * 900 + part * 300;
            let end = start + 200 + picture + part * 31;
            packets.push((noise[start..end].to_vec(), part == 2));
        }
    }
    packets
}

async fn answered(phone: &Phone, asterisk: &Asterisk, mut call: NewCall) -> Call {
    call.formats.push(Format::H264);
    let mut call = phone.call(asterisk.address(), call).await.expect("placed");
    if let Err(error) = call.answered().await {
        panic!("{error}; Asterisk's log:\n{}", asterisk.log());
    }
    call
}

/// Sends all pictures, 25 in a second.
async fn show(writer: &VideoWriter) {
    for (payload, mark) in pictures() {
        writer.send(Format::H264, &payload, mark);
        if mark {
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
}

/// As much as came back when nothing has come for a second.
async fn seen(reader: &mut VideoReader) -> Vec<VideoFrame> {
    let mut frames = Vec::new();
    while let Ok(frame) = tokio::time::timeout(Duration::from_secs(1), reader.next_frame()).await {
        frames.push(frame.expect("the call lives"));
    }
    frames
}

/// The echo returns all packets of our pictures, bit for bit.
async fn echo_shows_our_pictures(call: &Call, asterisk: &Asterisk) {
    let (mut reader, writer) = call.video();
    // Answer() waits for media before Echo() begins.
    tokio::time::sleep(Duration::from_millis(900)).await;
    show(&writer).await;
    let seen = seen(&mut reader).await;
    assert_eq!(seen.len(), 180, "{}", asterisk.log());
    for (n, (frame, (payload, _))) in seen.iter().zip(pictures()).enumerate() {
        assert_eq!(frame.format, Format::H264, "packet {n}");
        assert!(frame.payload == payload, "packet {n} has changed");
    }
    assert!(seen.is_sorted_by_key(|frame| frame.timestamp.0));
    let stats = call.stats().await.expect("alive");
    assert_eq!((stats.video_frames_sent, stats.video_frames_received), (180, 180));
    assert_eq!(stats.retransmissions, 0, "{}", asterisk.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_s_echo_returns_our_video_bit_for_bit() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, _) = phone();
    let call = answered(&phone, &asterisk, named("echo", "ann", "right")).await;
    echo_shows_our_pictures(&call, &asterisk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn video_that_asterisk_does_not_allow_harms_neither_side() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, _) = phone();
    let call = answered(&phone, &asterisk, named("echo", "deaf", "right")).await;
    let (_reader, writer) = call.video();
    let (mut ear, speaker) = call.audio().expect("accepted");
    let said = &speech()[..2 * 8000];
    tokio::join!(show(&writer), echo_is_exact(&mut ear, &speaker, said));
    let stats = call.stats().await.expect("alive");
    assert_eq!(stats.video_frames_sent, 0, "it did not accept any");
    assert_eq!((stats.received.lost, stats.retransmissions), (0, 0), "{}", asterisk.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_understands_our_encrypted_video_and_nobody_else_does() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, own) = phone();
    let capture = Capture::start(&[own.port()]);
    let mut call = named("echo", "secret", "right");
    // It sends its own video in the clear: where encryption is required that would be dropped.
    call.encryption = EncryptionPolicy::Allowed;
    let call = answered(&phone, &asterisk, call).await;
    echo_shows_our_pictures(&call, &asterisk).await;
    assert!(call.stats().await.expect("alive").encrypted);
    drop(call);
    let packets = tokio::task::spawn_blocking(move || capture.finish_from(own.port()));
    let ours = packets.await.expect("no panic");
    assert!(ours.len() > 180, "{} datagrams of ours", ours.len());
    for (payload, _) in pictures() {
        let part = &payload[..40];
        let shown = ours.iter().any(|sent| sent.windows(40).any(|window| window == part));
        assert!(!shown, "video of ours in the clear");
    }
}
