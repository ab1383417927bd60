//! Video with a real Asterisk 22.
//!
//! Asterisk forgets the video of a call at the first frame of voice that it hears, so that these
//! calls are silent, and loses the marks of mini frames. It takes video at all where it does as the
//! caller asks (`codecpriority`), and keeps packets in order with a single thread.

use std::time::Duration;

use oneport::{
    Call, EncryptionPolicy, Format, NewCall, Phone, VideoFrame, VideoReader, VideoWriter,
};
use oneport_interop::{PATIENCE, echo_is_exact, named, phone, speech};
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

/// Sends all pictures but so many packets, 25 pictures in a second.
async fn show(writer: &VideoWriter, skip: usize) {
    for (payload, mark) in pictures().into_iter().skip(skip) {
        writer.send(Format::H264, &payload, mark);
        if mark {
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
}

/// What comes back, until so many have, or nothing comes for a long time.
async fn seen(reader: &mut VideoReader, count: usize) -> Vec<VideoFrame> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await;
        let Ok(frame) = frame else { break };
        frames.push(frame.expect("the call lives"));
    }
    frames
}

/// The echo returns all packets of our pictures, bit for bit.
async fn echo_shows_our_pictures(call: &Call, asterisk: &Asterisk) {
    let (mut reader, writer) = call.video().await.expect("running");
    // Answer() waits for media before Echo() begins.
    asterisk.wait_for_log("Echo(");
    // Asterisk sends the first, a full frame, on another thread than what follows, which may overtake
    // it and is nothing to anybody then. So the first goes alone.
    let (first, mark) = &pictures()[0];
    writer.send(Format::H264, first, *mark);
    let mut all = seen(&mut reader, 1).await;
    show(&writer, 1).await;
    all.extend(seen(&mut reader, 179).await);
    let seen = all;
    assert_eq!(seen.len(), 180, "{}", asterisk.log());
    for (n, (frame, (payload, _))) in seen.iter().zip(pictures()).enumerate() {
        assert_eq!(frame.format, Format::H264, "packet {n}");
        assert!(frame.payload == payload, "packet {n} has changed");
    }
    assert!(seen.is_sorted_by_key(|frame| frame.timestamp.0));
    let stats = call.stats().await.expect("alive");
    assert_eq!((stats.video_frames_sent, stats.video_frames_received), (180, 180));
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
    let (_reader, writer) = call.video().await.expect("running");
    let (mut ear, speaker) = call.audio().await.expect("accepted");
    let said = &speech()[..2 * 8000];
    tokio::join!(show(&writer, 0), echo_is_exact(&mut ear, &speaker, said));
    let stats = call.stats().await.expect("alive");
    assert_eq!(stats.video_frames_sent, 0, "it did not accept any");
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
