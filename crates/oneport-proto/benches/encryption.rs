//! What a frame of voice costs on an encrypted call, beside the same on a clear one, and beside the
//! cipher alone.

use std::net::SocketAddr;
use std::time::Duration;

use aes::Aes128;
use cbc::cipher::array::Array;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use divan::counter::ItemsCount;
use oneport_proto::{
    CallId, CallTokenPolicy, Challenge, EncryptionPolicy, Endpoint, EndpointConfig, Event, Instant,
    Network, NewCall, Path, Secret, TransmitBuffer,
};
use oneport_wire::Format;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

/// Frames in a round.
const FRAMES: usize = 1_000;

fn main() {
    divan::main();
}

fn path(last: u8) -> Path {
    Path::from(SocketAddr::from(([10, 0, 0, last], 4569)))
}

/// Two endpoints in a call.
struct Scene {
    caller: Endpoint,
    called: Endpoint,
    call: CallId,
    now: Instant,
    buffer: TransmitBuffer,
}

impl Scene {
    fn new(encryption: EncryptionPolicy) -> Self {
        let now = Instant::from_micros(0);
        let mut call_token = CallTokenPolicy::default();
        call_token.optional_networks.push(Network { address: [10, 0, 0, 0].into(), prefix: 24 });
        let config = EndpointConfig { call_token, ..EndpointConfig::default() };
        let mut caller = Endpoint::new(config.clone(), [1; 32], now);
        let called = Endpoint::new(config, [2; 32], now);
        let mut new = NewCall::to("1");
        new.secret = Some(Secret::from("right"));
        new.encryption = encryption;
        let call = caller.place_call(now, path(2).remote, new).expect("free");
        let buffer = TransmitBuffer::with_capacity(2_000, 1);
        let mut scene = Self { caller, called, call, now, buffer };
        for _ in 0..6 {
            scene.exchange(encryption);
        }
        scene.send();
        scene.exchange(encryption);
        scene
    }

    fn exchange(&mut self, encryption: EncryptionPolicy) {
        let Self { caller, called, now, buffer, .. } = self;
        while caller.poll_transmit(buffer).is_some() {
            let mut bytes = buffer.as_bytes().to_vec();
            called.handle_datagram(*now, path(1), &mut bytes, &mut ());
        }
        while let Some(event) = called.poll_event() {
            match event {
                Event::CallOffered { call, .. } => {
                    let secret = Secret::from("right");
                    let challenge = Challenge { encryption, ..Challenge::md5("a", secret) };
                    called.challenge_call(*now, call, challenge).expect("offered");
                }
                Event::CallAuthenticated { call, .. } => {
                    called.accept(*now, call, Format::ULAW).expect("proved");
                }
                _ => {}
            }
        }
        while called.poll_transmit(buffer).is_some() {
            let mut bytes = buffer.as_bytes().to_vec();
            caller.handle_datagram(*now, path(2), &mut bytes, &mut ());
        }
        *now = *now + Duration::from_millis(5);
    }

    fn send(&mut self) {
        self.now = self.now + Duration::from_millis(20);
        let voice = [0x55; 160];
        self.caller.send_voice(self.now, self.call, Format::ULAW, &voice, 20).expect("accepted");
    }
}

const POLICIES: [EncryptionPolicy; 2] = [EncryptionPolicy::Off, EncryptionPolicy::Required];

#[divan::bench(args = POLICIES)]
fn voice_sent(bencher: divan::Bencher<'_, '_>, encryption: EncryptionPolicy) {
    let mut scene = Scene::new(encryption);
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        for _ in 0..FRAMES {
            scene.send();
            while scene.caller.poll_transmit(&mut scene.buffer).is_some() {}
        }
    });
}

#[divan::bench(args = POLICIES)]
fn voice_received(bencher: divan::Bencher<'_, '_>, encryption: EncryptionPolicy) {
    let mut scene = Scene::new(encryption);
    let mut frames = Vec::new();
    for _ in 0..FRAMES {
        scene.send();
        while scene.caller.poll_transmit(&mut scene.buffer).is_some() {
            frames.push(scene.buffer.as_bytes().to_vec());
        }
    }
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        for frame in &mut frames {
            scene.called.handle_datagram(scene.now, path(1), frame, &mut ());
        }
    });
}

/// 192 bytes, what a frame of 20 ms has with its padding, under a key that is prepared.
#[divan::bench]
fn cipher_alone_encrypts(bencher: divan::Bencher<'_, '_>) {
    let (key, mut blocks) = (Aes128::new(&[7; 16].into()), [[0x55_u8; 16]; 12]);
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        for _ in 0..FRAMES {
            let mut mode = cbc::Encryptor::<&Aes128>::inner_iv_init(&key, &[0; 16].into());
            mode.encrypt_blocks(Array::cast_slice_from_core_mut(&mut blocks));
        }
    });
}

#[divan::bench]
fn cipher_alone_decrypts(bencher: divan::Bencher<'_, '_>) {
    let (key, mut blocks) = (Aes128::new(&[7; 16].into()), [[0x55_u8; 16]; 12]);
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        for _ in 0..FRAMES {
            let mut mode = cbc::Decryptor::<&Aes128>::inner_iv_init(&key, &[0; 16].into());
            mode.decrypt_blocks(Array::cast_slice_from_core_mut(&mut blocks));
        }
    });
}
