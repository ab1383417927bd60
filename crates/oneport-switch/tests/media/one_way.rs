//! Voice that flows one way only: each reason as it shows on real sockets.

use std::time::{Duration, Instant};

use oneport::Format;
use oneport_switch::sip::media::{MediaEvent, MediaPort};
use oneport_switch::sip::one_way::{OneWay, Reason, Unheard};
use oneport_switch::sip::rtp::{Ntp, Report, SenderInfo, write_report};
use oneport_switch::sip::sdp::{Capabilities, Direction, Negotiated};

use crate::setting::*;

/// Says a frame of each side's, or not; what is its number.
type Each<'a> = &'a mut dyn FnMut(&Scene, u16);

fn both_sides(scene: &Scene, n: u16) {
    handset_speaks(scene, n);
    phone_speaks(scene, n);
}

fn handset_speaks(scene: &Scene, n: u16) {
    scene.says(scene.agreed.format, u32::from(n) * 20, vec![n as u8 & 0x3F; 160]);
}

fn phone_speaks(scene: &Scene, n: u16) {
    scene.phone.sends(
        scene.agreed.sends.payload_type,
        n,
        u32::from(n) * 160,
        &[n as u8 & 0x3F; 160],
    );
}

fn verdict(event: MediaEvent) -> Option<Option<OneWay>> {
    match event {
        MediaEvent::OneWay(one_way) => Some(Some(one_way)),
        MediaEvent::Mended => Some(None),
        _ => None,
    }
}

/// Goes on until something is told; `None`: both are heard again.
async fn next_told(scene: &mut Scene, n: &mut u16, each: Each<'_>) -> Option<OneWay> {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "nothing is told");
        each(scene, *n);
        *n += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        while let Some(event) = scene.port.poll_event() {
            if let Some(told) = verdict(event) {
                return told;
            }
        }
    }
}

/// What is told first of an answered call.
async fn told(scene: &mut Scene, each: Each<'_>) -> (Unheard, &'static str) {
    scene.port.watch_both_ways(true);
    let told = next_told(scene, &mut 0, each).await.expect("a fault comes first");
    assert_eq!(scene.port.figures().one_way, Some(told));
    (told.unheard, told.reason.name())
}

async fn plain() -> Scene {
    scene(Format::ULAW, &Capabilities::default()).await
}

/// The scene with something else agreed upon.
async fn agree(scene: &Scene, change: impl FnOnce(&mut Negotiated)) {
    let mut agreed = scene.agreed.clone();
    change(&mut agreed);
    scene.port.negotiated(&agreed);
    settled(&scene.gateway.driver).await;
}

#[tokio::test]
async fn a_telephone_that_sends_nothing_is_named_and_so_is_that_it_is_heard_again() {
    let mut scene = plain().await;
    scene.port.watch_both_ways(true);
    let mut n = 0;
    let first = next_told(&mut scene, &mut n, &mut handset_speaks).await.expect("it is told first");
    let ours = Some(scene.port.local());
    assert_eq!(first.unheard, Unheard::Theirs);
    assert_eq!(first.reason, Reason::NoPacket { ours, others_heard: false });
    assert_eq!(next_told(&mut scene, &mut n, &mut both_sides).await, None);
    assert_eq!(scene.port.figures().one_way, None);
    // And when it stops in the middle of a call, that is told again.
    let again = next_told(&mut scene, &mut n, &mut handset_speaks).await.expect("a fault");
    assert_eq!(again.unheard, Unheard::Theirs);
}

#[tokio::test]
async fn a_call_in_which_neither_side_sends_is_told_too() {
    let mut scene = plain().await;
    assert_eq!(told(&mut scene, &mut |_, _| {}).await, (Unheard::Both, "no_packet"));
}

#[tokio::test]
async fn a_caller_that_says_nothing_is_not_laid_to_the_telephone() {
    let mut scene = plain().await;
    assert_eq!(told(&mut scene, &mut phone_speaks).await, (Unheard::Ours, "nothing_said"));
}

#[tokio::test]
async fn packets_of_another_codec_are_named() {
    let mut scene = plain().await;
    let mut each = |scene: &Scene, n| {
        handset_speaks(scene, n);
        scene.phone.sends(18, n, u32::from(n) * 160, &[1; 20]);
    };
    assert_eq!(told(&mut scene, &mut each).await, (Unheard::Theirs, "codec_mismatch"));
}

#[tokio::test]
async fn a_codec_that_nothing_here_can_decode_is_named() {
    let wants = Capabilities { formats: vec![Format::G729], ..Capabilities::default() };
    let mut scene = scene(Format::ULAW, &wants).await;
    let mut each = |scene: &Scene, n: u16| {
        scene.says(Format::ULAW, u32::from(n) * 20, vec![1; 160]);
        scene.phone.sends(18, n, u32::from(n) * 160, &[1; 20]);
    };
    assert_eq!(told(&mut scene, &mut each).await, (Unheard::Both, "not_translated"));
}

#[tokio::test]
async fn packets_that_nobody_can_read_are_named() {
    let mut scene = plain().await;
    let mut each = |scene: &Scene, n| {
        handset_speaks(scene, n);
        scene.phone.rtp.send_to(&[7; 40], scene.phone.to.get()).expect("sent");
    };
    assert_eq!(told(&mut scene, &mut each).await, (Unheard::Theirs, "undecipherable"));
}

#[tokio::test]
async fn packets_from_somewhere_else_are_named_where_nothing_is_learned() {
    let mut config = media(0, 100);
    config.latching = false;
    let mut scene = scene_of(Format::ULAW, &Capabilities::default(), config, || 0).await;
    let stranger = Phone::new();
    stranger.to.set(scene.port.local());
    let mut each = |scene: &Scene, n: u16| {
        handset_speaks(scene, n);
        stranger.sends(0, n, u32::from(n) * 160, &[1; 160]);
    };
    assert_eq!(told(&mut scene, &mut each).await, (Unheard::Theirs, "not_latched"));
}

#[tokio::test]
async fn a_private_address_of_ours_is_named_where_the_other_side_is_outside() {
    let mut scene = plain().await;
    agree(&scene, |agreed| agreed.remote = Some(([203, 0, 113, 5], 4_000).into())).await;
    let (_, reason) = told(&mut scene, &mut handset_speaks).await;
    assert_eq!(reason, "our_private_address");
}

#[tokio::test]
async fn a_private_address_of_theirs_is_named_where_we_are_outside() {
    let mut scene = plain().await;
    scene.port.described(([203, 0, 113, 9], 4_000).into());
    agree(&scene, |agreed| agreed.remote = Some(([192, 168, 77, 5], 4_000).into())).await;
    let (_, reason) = told(&mut scene, &mut handset_speaks).await;
    assert_eq!(reason, "their_private_address");
}

#[tokio::test]
async fn a_telephone_that_says_it_sends_shows_that_the_way_is_blocked() {
    let mut scene = plain().await;
    let mut each = |scene: &Scene, n: u16| {
        handset_speaks(scene, n);
        let sender = SenderInfo {
            ntp: Ntp::default(),
            timestamp: 0,
            packets: u32::from(n),
            bytes: u32::from(n) * 160,
        };
        let report = Report { source: 1, sender: Some(sender), name: "x", ..Report::default() };
        let mut packet = Vec::new();
        write_report(&report, &mut packet);
        let mut to = scene.phone.to.get();
        to.set_port(to.port() + 1);
        scene.phone.rtcp.send_to(&packet, to).expect("sent");
    };
    assert_eq!(told(&mut scene, &mut each).await, (Unheard::Theirs, "ports_blocked"));
}

#[tokio::test]
async fn a_port_at_which_nobody_listens_is_named() {
    let mut scene = plain().await;
    let closed = Phone::new().address();
    agree(&scene, |agreed| agreed.remote = Some(closed)).await;
    assert_eq!(told(&mut scene, &mut handset_speaks).await, (Unheard::Both, "port_unreachable"));
}

#[tokio::test]
async fn a_telephone_that_reports_of_nothing_heard_is_named() {
    let mut scene = plain().await;
    let mut each = |scene: &Scene, n: u16| {
        both_sides(scene, n);
        let report = Report { source: 0x0102_0304, name: "x", ..Report::default() };
        let mut packet = Vec::new();
        write_report(&report, &mut packet);
        let mut to = scene.phone.to.get();
        to.set_port(to.port() + 1);
        scene.phone.rtcp.send_to(&packet, to).expect("sent");
    };
    assert_eq!(told(&mut scene, &mut each).await, (Unheard::Ours, "nothing_arrives"));
}

#[tokio::test]
async fn a_telephone_that_sends_nothing_but_silence_is_named() {
    let mut scene = plain().await;
    let mut each = |scene: &Scene, n: u16| {
        handset_speaks(scene, n);
        scene.phone.sends(0, n, u32::from(n) * 160, &[0xFF; 160]);
    };
    assert_eq!(told(&mut scene, &mut each).await, (Unheard::Theirs, "silence"));
}

/// A port of the same gateway that nobody sends to, answered at the same time.
fn silent_port(scene: &Scene) -> MediaPort {
    let port = scene.gateway.plane.open().expect("a port");
    Phone::new().agree(&port, &Capabilities::default());
    port.watch_both_ways(true);
    port
}

#[tokio::test]
async fn hold_is_no_fault_and_others_that_are_heard_show_that_ports_are_open() {
    let mut scene = plain().await;
    let mut held = scene.agreed.clone();
    held.direction = Direction::SendOnly;
    scene.port.negotiated(&held);
    scene.port.watch_both_ways(true);
    // Whoever is heard while it holds us is heard all the same.
    let mut silent = silent_port(&scene);
    let (mut n, mut of_held) = (0, Vec::new());
    let of_silent = loop {
        scene.phone.sends(0, n, u32::from(n) * 160, &[1; 160]);
        n += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        of_held.extend(std::iter::from_fn(|| scene.port.poll_event()).filter_map(verdict));
        if let Some(told) = std::iter::from_fn(|| silent.poll_event()).find_map(verdict) {
            break told.expect("a fault");
        }
        assert!(Duration::from_millis(20) * n.into() < PATIENCE, "nothing is told");
    };
    let ours = Some(silent.local());
    assert_eq!(of_silent.reason, Reason::NoPacket { ours, others_heard: true });
    assert_eq!(of_held, []);
}
