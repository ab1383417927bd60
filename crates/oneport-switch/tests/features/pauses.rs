//! Pauses of which frames of comfort noise tell.

use std::net::SocketAddr;
use std::time::Duration;

use oneport::media::comfort_noise::level_of;
use oneport::media::{Codec, comfort_noise::ComfortNoise};
use oneport::{Application, Driver, DriverConfig, Format, NewCall};
use oneport_proto::{CallId, Endpoint, Event, Instant, Media};
use oneport_wire::frame_type;
use tokio::sync::mpsc;

use crate::setting::*;

/// What happens at one end.
#[derive(Debug)]
enum News {
    Up,
    Pause(u8),
    Voice(Format, Vec<u8>),
}

/// Speaks one codec, and answers.
struct End {
    speaks: Format,
    news: mpsc::UnboundedSender<News>,
}

impl Application for End {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallOffered { call, .. } => {
                endpoint.accept(now, call, self.speaks).expect("offered");
                endpoint.answer(now, call).expect("accepted");
                let _ = self.news.send(News::Up);
            }
            Event::CallAnswered { .. } => drop(self.news.send(News::Up)),
            Event::Frame { frame_type: frame_type::CNG, subclass, .. } => {
                let _ = self.news.send(News::Pause(subclass));
            }
            Event::CallEnded { end, .. } => panic!("{end:?}"),
            _ => {}
        }
    }

    fn handle_media(&mut self, _: Instant, _: CallId, media: Media<'_>) {
        let _ = self.news.send(News::Voice(media.format, media.payload.to_vec()));
    }
}

fn end(speaks: Format) -> (Driver<End>, SocketAddr, mpsc::UnboundedReceiver<News>) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let (news, heard) = mpsc::unbounded_channel();
    let config = DriverConfig { listen, ..DriverConfig::default() };
    let driver = Driver::start(config, End { speaks, news }).expect("started");
    let address = driver.local_addresses()[0];
    (driver, address, heard)
}

async fn next<T>(
    news: &mut mpsc::UnboundedReceiver<News>,
    mut wanted: impl FnMut(News) -> Option<T>,
) -> T {
    loop {
        let one = tokio::time::timeout(PATIENCE, news.recv()).await;
        if let Some(found) = wanted(one.expect("in time").expect("running")) {
            return found;
        }
    }
}

/// Ann, who speaks `ann`, calls Bob, who speaks `bob`, of whom the switch knows `keys`.
struct Scene {
    _switch: Driver<oneport_switch::Switch>,
    ann: Driver<End>,
    call: CallId,
    _bob: Driver<End>,
    at_bob: mpsc::UnboundedReceiver<News>,
}

async fn scene(ann: Format, bob: Format, keys: &str) -> Scene {
    let (_bob, bob_s, mut at_bob) = end(bob);
    let (_switch, to) = switch(&format!(
        "[peers.ann]\nsecret = \"a\"\n[peers.bob]\naddress = \"{bob_s}\"\nqualify = false\n\
         codecs = [\"{}\"]\n{keys}\n",
        bob.name()
    ));
    let (ann_s_driver, _, mut at_ann) = end(ann);
    let mut new: NewCall = from("ann", "bob");
    new.formats = vec![ann];
    let placed = ann_s_driver.with(move |endpoint, _, now| endpoint.place_call(now, to, new));
    let call = placed.await.expect("running").expect("free");
    let up = |news| matches!(news, News::Up).then_some(());
    next(&mut at_bob, up).await;
    next(&mut at_ann, up).await;
    Scene { _switch, ann: ann_s_driver, call, _bob, at_bob }
}

impl Scene {
    fn says(&self, codec: Codec, samples: &[i16]) {
        say(&self.ann, self.call, codec, samples);
    }
}

fn say(end: &Driver<End>, call: CallId, codec: Codec, samples: &[i16]) {
    let mut payload = Vec::new();
    codec.encode(samples, &mut payload);
    end.post(move |endpoint, _, now| {
        endpoint.send_voice(now, call, codec.format(), &payload, 20).expect("up");
    });
}

#[tokio::test]
async fn a_pause_that_is_told_is_heard_as_noise_by_who_is_not_to_be_told() {
    let mut scene = scene(Format::SLIN, Format::ULAW, "").await;
    scene.says(Codec::Slin, &[1_000; 160]);
    next(&mut scene.at_bob, |news| matches!(news, News::Voice(..)).then_some(())).await;
    let call = scene.call;
    scene.ann.post(move |endpoint, _, now| {
        endpoint.send_frame(now, call, frame_type::CNG, 45, &[]).expect("up");
    });
    let mut heard = Vec::new();
    while heard.len() < 4_000 {
        next(&mut scene.at_bob, |news| match news {
            News::Voice(Format::ULAW, payload) => {
                let before = heard.len();
                Codec::Ulaw.decode(&payload, &mut heard);
                // What was said before the pause does not count.
                if heard[before..].iter().any(|sample| sample.abs_diff(1_000) < 40) && before == 0 {
                    heard.clear();
                }
                Some(())
            }
            other => panic!("{other:?}"),
        })
        .await;
    }
    let level = level_of(&heard);
    assert!(level.abs_diff(45) <= 3, "{level}");
}

#[tokio::test]
async fn who_wants_no_silence_is_told_of_pauses_and_hears_nothing_in_them() {
    for keys in ["silence_suppression = true", "silence_suppression = true\nframe_ms = 40"] {
        let mut scene = scene(Format::ULAW, Format::ULAW, keys).await;
        let mut noise = Vec::new();
        ComfortNoise::new(55).extend(16_000, &mut noise);
        let mut clock = tokio::time::interval(Duration::from_millis(20));
        let mut level = None;
        for frame in noise.chunks(160) {
            clock.tick().await;
            scene.says(Codec::Ulaw, frame);
            while let Ok(news) = scene.at_bob.try_recv() {
                match news {
                    News::Pause(told) => level = level.or(Some(told)),
                    News::Voice(..) => assert_eq!(level, None, "noise is not sent"),
                    News::Up => {}
                }
            }
        }
        let level = level.expect("it was told");
        assert!(level.abs_diff(55) <= 4, "{level}");
        let loud: Vec<i16> = (0..160).map(|n| if n % 16 < 8 { 8_000 } else { -8_000 }).collect();
        let voice = |news| match news {
            News::Voice(_, payload) => Some(payload.len()),
            _ => None,
        };
        let speaks = async {
            loop {
                clock.tick().await;
                say(&scene.ann, scene.call, Codec::Ulaw, &loud);
            }
        };
        let length = tokio::select! {
            () = speaks => unreachable!("it speaks for ever"),
            length = next(&mut scene.at_bob, voice) => length,
        };
        assert_eq!(length, if keys.contains("40") { 320 } else { 160 });
    }
}
