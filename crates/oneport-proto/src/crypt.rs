//! Encryption of a call's frames: AES-128 in CBC mode (RFC 5456 §10, and what real peers do of it).
//!
//! A frame keeps its call numbers in the clear: four bytes of a full frame, two of a mini frame.
//! Behind them stand 16 to 31 random bytes and then the rest of the frame, all encrypted with an
//! initialisation vector of zero, so that the random bytes take its place. The low four bits of the
//! sixteenth of them say how many more than 16 there are. There is no check of integrity: whether a
//! frame was meant for a key shows only in what it says.
//!
//! A video mini frame begins with two zeros, which stay as they are, and the number of its call.
//! Whoever receives it needs that number to find the key, but a peer that takes it for any mini frame
//! decrypts everything behind the zeros. Both are served: the random bytes are chosen so that their
//! first block encrypts to one that begins with the call number. The number stands among the
//! encrypted bytes once more, where it shows that the key is right.
//!
//! It knows nothing of calls. Which frames are encrypted at all, and with which key, is decided in
//! `call` and `exchange`.

use aes::Aes128;
use alloc::boxed::Box;
use alloc::vec::Vec;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use core::fmt;
use core::time::Duration;
use oneport_wire::{
    Datagram, FullFrame, IaxSubclass, Message, MiniTimestamp, Timestamp, VideoMiniFrame,
};
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use crate::clock::Instant;
use crate::secret::Secret;

/// Whether a call's frames are encrypted.
///
/// ```
/// use oneport_proto::{Challenge, EncryptionPolicy, NewCall};
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (username, secret) = (Some("ann".into()), Some("a secret".into()));
/// let call = NewCall { username, secret, encryption: EncryptionPolicy::Required, ..NewCall::to("100") };
/// # let (ours, theirs, _) = offered(now, &mut here, &mut there, call);
/// // The secret of the challenge yields the key.
/// there.challenge_call(now, theirs, Challenge {
///     encryption: EncryptionPolicy::Allowed,
///     ..Challenge::md5("ann", "a secret".into())
/// })?;
/// exchange(now, &mut here, &mut there);
/// there.accept(now, theirs, Format::ULAW)?;
/// exchange(now, &mut here, &mut there);
/// assert!(here.call_stats(ours).is_some_and(|stats| stats.encrypted));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EncryptionPolicy {
    /// Never.
    #[default]
    Off,
    /// Where both sides can.
    Allowed,
    /// Always: a call that would go in the clear ends instead.
    Required,
}

const BLOCK: usize = 16;

/// Keys kept for each direction: the present one, and the one before it for frames that are late.
const KEPT_KEYS: usize = 2;

/// Voice frames under a key that is still on its way, of which no more are kept: what comes in 80 ms.
const WAITING: usize = 4;

/// Voice that has waited longer was under no key that is on its way, and comes too late to be heard.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Larger ones are no voice.
const LARGEST_WAITING: usize = 1_500;

/// A voice frame whose timestamp is this far, in ms, from where the clock of the one before stands
/// now was encrypted with another key. The timestamps of garbage are spread over 65,536.
const FAR: u16 = 250;

/// The same for a frame of unusual length.
const NEAR: u16 = 100;

/// A frame of usual length whose timestamp under the newest key is within this many ms is a late or a
/// repeated one, and no other key is tried: garbage is there with a chance of one in some hundreds.
const LATE: u16 = 2_000;

/// A key and its schedule. It prints as `***`, and is wiped when dropped.
#[derive(Clone)]
pub(crate) struct Cipher(Aes128);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Bytes in the clear before the encrypted part.
const fn clear_len(first: u8) -> usize {
    if first & 0x80 == 0 { 2 } else { 4 }
}

impl Cipher {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(Aes128::new(key.into()))
    }

    /// Puts `frame` (`head` then `tail`), encrypted, into `out`.
    pub(crate) fn seal(&self, rng: &mut ChaCha12Rng, head: &[u8], tail: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let clear = clear_len(head.first().copied().unwrap_or_default()).min(head.len());
        let (clear, secret) = head.split_at(clear);
        let len = secret.len() + tail.len();
        let padding = BLOCK + (BLOCK - len % BLOCK) % BLOCK;
        out.extend_from_slice(clear);
        out.resize(clear.len() + padding, 0);
        if let Some(random) = out.get_mut(clear.len()..) {
            rng.fill_bytes(random);
            #[expect(clippy::cast_possible_truncation, reason = "the low four bits")]
            let more = (padding & 15) as u8;
            match (clear, secret, random.first_chunk_mut::<BLOCK>()) {
                ([0, 0], [high, low, ..], Some(first)) => {
                    self.begin_video(rng, [*high, *low], more, first);
                }
                (_, _, Some([.., says])) => *says = *says & 0xF0 | more,
                (_, _, None) => {}
            }
        }
        out.extend_from_slice(secret);
        out.extend_from_slice(tail);
        let mut mode = cbc::Encryptor::<&Aes128>::inner_iv_init(&self.0, &[0; BLOCK].into());
        let (blocks, _) = out.get_mut(clear.len()..).unwrap_or_default().as_chunks_mut::<BLOCK>();
        for block in blocks {
            mode.encrypt_block(block.into());
        }
    }

    /// Chooses the first block of padding of a video mini frame: at random, but so that it encrypts
    /// to a block that begins with `number`, and says how much padding there is. One in sixteen
    /// does.
    fn begin_video(
        &self,
        rng: &mut ChaCha12Rng,
        number: [u8; 2],
        more: u8,
        first: &mut [u8; BLOCK],
    ) {
        loop {
            rng.fill_bytes(first);
            let [high, low, ..] = first;
            [*high, *low] = number;
            let mut mode = cbc::Decryptor::<&Aes128>::inner_iv_init(&self.0, &[0; BLOCK].into());
            mode.decrypt_block(first.into());
            if first.last().is_some_and(|says| says & 15 == more) {
                return;
            }
        }
    }

    /// Decrypts `datagram` into `out`; `None` when its length is impossible.
    fn open(&self, datagram: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.clear();
        let clear = clear_len(*datagram.first()?);
        let (clear, sealed) = datagram.split_at_checked(clear)?;
        let (blocks, []) = sealed.as_chunks::<BLOCK>() else { return None };
        out.extend_from_slice(clear);
        let mut mode = cbc::Decryptor::<&Aes128>::inner_iv_init(&self.0, &[0; BLOCK].into());
        let (first, rest) = blocks.split_first()?;
        let mut decrypt = |block: &[u8; BLOCK]| {
            let mut block = *block;
            mode.decrypt_block((&mut block).into());
            block
        };
        let more = usize::from(decrypt(first).last()? & 15);
        for block in rest {
            out.extend_from_slice(&decrypt(block));
        }
        // The rest of the padding lies between the clear bytes and the frame.
        let end = clear.len() + more;
        if end > out.len() {
            return None;
        }
        out.drain(clear.len()..end);
        Some(())
    }
}

/// Which of a call's keys a frame goes out with. Repetitions keep theirs: the peer may not have
/// heard of a newer one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Epoch(u8);

impl Epoch {
    /// No key at all.
    pub(crate) const CLEAR: Self = Self(0);

    const fn next(self) -> Self {
        // 0 stays that of clear frames.
        Self(if self.0 == u8::MAX { 1 } else { self.0 + 1 })
    }
}

/// The keys of one call.
#[derive(Debug)]
pub(crate) struct Crypt {
    /// Keys for what we send, newest last.
    ours: Vec<(Epoch, Cipher)>,
    /// Keys the peer may use, likeliest first: those its secrets yield until one has shown itself,
    /// then the newest and the one before.
    theirs: Vec<Cipher>,
    /// The key with which both began, once one of them has changed it: how the call came about was said under it.
    first: Option<Cipher>,
    /// A frame of the peer was understood.
    proved: bool,
    /// Nothing in the clear is taken.
    pub(crate) required: bool,
    /// Both sides can change keys during the call.
    pub(crate) rotates: bool,
    /// The peer may change its key, though it may not have said so: Asterisk, when called, answers
    /// without saying it, and does it at its first frame of voice.
    pub(crate) peer_rotates: bool,
    /// Voice that makes no sense under the keys that are known, and when it came.
    waiting: Vec<(Instant, Box<[u8]>)>,
    /// What waits may make sense now: the peer has changed its key, or its clock has jumped.
    ready: bool,
    /// When a change of our key is due next.
    pub(crate) next_rotation: Option<Instant>,
    /// When a change that is due is made: between two frames of voice.
    pub(crate) between_voice: Option<Instant>,
    /// Bytes of the last two voice frames understood, 0 where there was none: garbage has these
    /// lengths with a chance of one or two in sixteen.
    voice_lens: [usize; 2],
    /// The peer encrypts its video, as Asterisk does not.
    video_seen: bool,
    /// The last voice frame was not believed; its time under the newest key.
    doubted: Option<MiniTimestamp>,
}

/// What a call expects of the next frame, to tell sense from garbage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Its ISeqno lies within this many steps of our oldest frame not acknowledged.
    pub(crate) oldest: u8,
    pub(crate) in_flight: u8,
    /// Where the clock of its voice stands now, as far as frames have told.
    pub(crate) voice: Option<Timestamp>,
}

impl Crypt {
    /// The keys of a call whose secrets yield `keys`.
    pub(crate) fn new(keys: &[[u8; 16]], required: bool) -> Self {
        let theirs: Vec<Cipher> = keys.iter().map(Cipher::new).collect();
        let first = theirs.first().cloned().unwrap_or_else(|| Cipher::new(&[0; 16]));
        Self {
            ours: alloc::vec![(Epoch::CLEAR.next(), first)],
            theirs,
            first: None,
            proved: false,
            required,
            rotates: false,
            peer_rotates: false,
            waiting: Vec::new(),
            ready: false,
            next_rotation: None,
            between_voice: None,
            voice_lens: [0; 2],
            video_seen: false,
            doubted: None,
        }
    }

    /// The epoch of frames that leave now.
    pub(crate) fn epoch(&self) -> Epoch {
        self.ours.last().map_or(Epoch::CLEAR, |(epoch, _)| *epoch)
    }

    /// The cipher of an epoch; the oldest kept stands in for one that is gone.
    pub(crate) fn cipher(&self, epoch: Epoch) -> Option<&Cipher> {
        let of_epoch = self.ours.iter().find(|(known, _)| *known == epoch);
        of_epoch.or_else(|| self.ours.first()).map(|(_, cipher)| cipher)
    }

    /// We have a new key, for frames that are numbered from now on.
    pub(crate) fn change_ours(&mut self, key: &[u8; 16]) {
        self.first = self.first.take().or_else(|| self.cipher(self.epoch()).cloned());
        let next = self.epoch().next();
        self.ours.push((next, Cipher::new(key)));
        let surplus = self.ours.len().saturating_sub(KEPT_KEYS);
        self.ours.drain(..surplus);
    }

    /// The peer has a new key.
    pub(crate) fn change_theirs(&mut self, key: &[u8; 16]) {
        self.ready = true;
        self.first = self.first.take().or_else(|| self.theirs.first().cloned());
        self.theirs.insert(0, Cipher::new(key));
        self.theirs.truncate(KEPT_KEYS);
    }

    /// Keeps a mini frame that makes no sense: its key may be on its way, as Asterisk sends RTKEY from
    /// another thread than the voice behind it. Returns how many frames that concerns no longer wait,
    /// or `None` where it is not kept.
    pub(crate) fn keep(&mut self, now: Instant, datagram: &[u8]) -> Option<usize> {
        let is_mini = matches!(datagram, [first, second, ..] if first & 0x80 == 0
            && (*first, *second) != (0, 0));
        let sealed = datagram.len().checked_sub(2)?;
        let is_whole = sealed >= 2 * BLOCK && sealed.is_multiple_of(BLOCK);
        if !(self.peer_rotates && is_mini && is_whole && datagram.len() <= LARGEST_WAITING) {
            return None;
        }
        let surplus = (self.waiting.len() + 1).saturating_sub(WAITING);
        self.waiting.drain(..surplus);
        self.waiting.push((now, datagram.into()));
        Some(surplus)
    }

    /// What waited, once it may make sense, and how many frames have waited too long.
    pub(crate) fn take_waiting(&mut self, now: Instant) -> (Vec<Box<[u8]>>, usize) {
        if !core::mem::take(&mut self.ready) {
            return (Vec::new(), 0);
        }
        let waiting = core::mem::take(&mut self.waiting);
        let all = waiting.len();
        let young = waiting.into_iter().filter(|(came, _)| now.since(*came) <= LONGEST_WAIT);
        let young: Vec<_> = young.map(|(_, datagram)| datagram).collect();
        let old = all - young.len();
        (young, old)
    }

    /// Whether a frame of the peer was understood.
    pub(crate) const fn proved(&self) -> bool {
        self.proved
    }

    /// Decrypts `datagram` into `out` with the key under which it makes sense; `false`: there is
    /// none.
    pub(crate) fn open(&mut self, datagram: &[u8], expected: Expected, out: &mut Vec<u8>) -> bool {
        if let [0, 0, ..] = datagram {
            return self.open_video(datagram, out);
        }
        let (mut found, mut doubted) = (None, None);
        let jumped = self.doubted;
        for (n, cipher) in self.theirs.iter().enumerate() {
            if cipher.open(datagram, out).is_none() {
                continue;
            }
            if self.makes_sense(out, expected) {
                found = Some(n);
                break;
            }
            if let (0, Ok(Datagram::Mini(mini))) = (n, Datagram::decode(out)) {
                doubted = Some(mini.timestamp);
                let usual = self.voice_lens.contains(&mini.payload.len());
                if usual && distance(mini.timestamp, expected.voice) < LATE {
                    break;
                }
            }
        }
        self.doubted = doubted.filter(|_| found.is_none());
        let Some(n) = found else { return false };
        if !self.proved {
            // Both sides begin with the same key.
            let cipher = self.theirs.swap_remove(n);
            self.theirs = alloc::vec![cipher.clone()];
            self.ours = alloc::vec![(self.epoch(), cipher)];
            self.proved = true;
        }
        if let Ok(Datagram::Mini(mini)) = Datagram::decode(out) {
            self.voice_lens = [mini.payload.len(), self.voice_lens[0]];
            // So the one before, which was not believed, was voice: no key to come explains it.
            self.ready |= jumped.is_some_and(|last| apart(mini.timestamp, last) < NEAR);
        }
        true
    }

    /// Decrypts a full frame that has passed, whoever sent it, with whatever key is kept and lets it make sense; its
    /// timestamp is `latest` at most.
    pub(crate) fn reread(&self, datagram: &[u8], latest: Timestamp) -> Option<Vec<u8>> {
        let ours = self.ours.iter().map(|(_, cipher)| cipher);
        self.first.iter().chain(&self.theirs).chain(ours).find_map(|cipher| {
            let mut out = Vec::new();
            cipher.open(datagram, &mut out)?;
            let Ok(Datagram::Full(frame)) = Datagram::decode(&out) else { return None };
            (frame.header.timestamp.0 <= latest.0 && is_full(&frame)).then_some(out)
        })
    }

    /// Decrypts a video mini frame. The number of its call in the clear must stand inside once more.
    fn open_video(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> bool {
        let fits = self.proved
            && self.theirs.iter().any(|cipher| {
                cipher.open(datagram, out).is_some()
                    && out.len() >= VideoMiniFrame::HEADER_LEN
                    && out.first_chunk::<4>() == datagram.first_chunk()
            });
        self.video_seen |= fits;
        fits
    }

    /// Whether video mini frames in the clear are taken: from a peer that need not encrypt, and has
    /// not shown that it does.
    pub(crate) const fn takes_clear_video(&self) -> bool {
        !self.required && !self.video_seen
    }

    fn makes_sense(&self, plain: &[u8], expected: Expected) -> bool {
        let is_open = !self.proved && self.theirs.len() > 1;
        match Datagram::decode(plain) {
            Ok(Datagram::Full(frame)) if is_open => is_surely_first(&frame, expected),
            _ if is_open => false,
            Ok(Datagram::Mini(mini)) => {
                !self.peer_rotates
                    || self.is_likely_voice(mini.timestamp, mini.payload.len(), expected)
            }
            Ok(Datagram::Full(frame)) => is_likely_full(&frame, expected),
            _ => false,
        }
    }

    fn is_likely_voice(&self, stamp: MiniTimestamp, len: usize, expected: Expected) -> bool {
        let off = distance(stamp, expected.voice);
        // Some codecs vary in length, and fall silent: their frames pass by their time.
        let usual = self.voice_lens.contains(&len) || self.voice_lens.contains(&0);
        match (usual, self.doubted) {
            (true, None) => off < FAR,
            (false, None) => off < NEAR,
            // Behind garbage more is asked for; but a clock that has jumped goes on from there.
            (true, Some(last)) => off < NEAR || apart(stamp, last) < NEAR,
            (false, Some(_)) => false,
        }
    }
}

/// What one side of an encrypted call sends, for somebody who has its secrets and takes no part in it, as whoever reads a
/// capture. It prints no key.
///
/// Reads the answer to the challenge of a captured call, which is the first frame that is encrypted:
///
/// ```
/// use oneport_proto::{Challenge, EncryptionPolicy, NewCall, Overhearer, TransmitBuffer};
/// use oneport_wire::{Datagram, Element, Elements, IaxSubclass};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let call = NewCall {
/// #     username: Some("ann".into()), secret: Some("a secret".into()), encryption: EncryptionPolicy::Required,
/// #     ..NewCall::to("100")
/// # };
/// # let (_, theirs, _) = offered(now, &mut here, &mut there, call);
/// # there.challenge_call(now, theirs, Challenge {
/// #     encryption: EncryptionPolicy::Allowed, ..Challenge::md5("ann", "a secret".into())
/// # })?;
/// # let (mut out, mut captured) = (TransmitBuffer::with_capacity(1_500, 1), Vec::new());
/// # while there.poll_transmit(&mut out).is_some() {
/// #     captured = out.as_bytes().to_vec();
/// #     here.handle_datagram(now, THERE.into(), &mut captured.clone(), &mut ());
/// # }
/// # let authreq = captured.clone();
/// let Datagram::Full(authreq) = Datagram::decode(&authreq)? else { panic!("it is a full frame") };
/// let challenge = Elements::parse(authreq.payload)?.iter().find_map(|element| match element {
///     Element::Challenge(challenge) => Some(challenge),
///     _ => None,
/// });
/// let mut caller = Overhearer::new(&["a secret".into()], challenge.ok_or("it has a challenge")?);
/// # while here.poll_transmit(&mut out).is_some() { captured = out.as_bytes().to_vec() }
/// let mut clear = Vec::new();
/// assert!(caller.open(&captured, None, &mut clear));
/// let Datagram::Full(authrep) = Datagram::decode(&clear)? else { panic!("it is a full frame") };
/// assert_eq!(IaxSubclass::from_subclass(authrep.subclass), IaxSubclass::AuthRep);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Overhearer {
    crypt: Crypt,
    acknowledged: u8,
}

/// Frames that a side may have on their way, of which one may be acknowledged next.
const ON_THEIR_WAY: u8 = 64;

impl Overhearer {
    /// Of a call whose AUTHREQ had this challenge, and one of these secrets.
    #[must_use]
    pub fn new(secrets: &[Secret], challenge: &[u8]) -> Self {
        let keys: Vec<[u8; 16]> = secrets.iter().map(|secret| secret.digest(challenge)).collect();
        let mut crypt = Crypt::new(&keys, false);
        crypt.peer_rotates = true;
        Self { crypt, acknowledged: 0 }
    }

    /// Decrypts a datagram into `out`; `clock` is where the clock of this side's voice stands now, if it has said any.
    /// `false`: it makes no sense with any key that is known.
    pub fn open(&mut self, datagram: &[u8], clock: Option<Timestamp>, out: &mut Vec<u8>) -> bool {
        let expected =
            Expected { oldest: self.acknowledged, in_flight: ON_THEIR_WAY, voice: clock };
        let opened = self.crypt.open(datagram, expected, out);
        if let (true, Ok(Datagram::Full(frame))) = (opened, Datagram::decode(out)) {
            let ahead = frame.header.iseq.0.wrapping_sub(self.acknowledged);
            if ahead <= ON_THEIR_WAY {
                self.acknowledged = frame.header.iseq.0;
            }
        }
        opened
    }

    /// This side goes on with another key (RTKEY); its old one still counts for a while.
    pub fn change_key(&mut self, key: &[u8; 16]) {
        self.crypt.change_theirs(key);
    }
}

/// How far a frame of voice lies from where its clock stands, as far as that is known.
fn distance(stamp: MiniTimestamp, clock: Option<Timestamp>) -> u16 {
    clock.map_or(0, |clock| apart(stamp, clock.low16()))
}

fn apart(one: MiniTimestamp, other: MiniTimestamp) -> u16 {
    let ahead = one.0.wrapping_sub(other.0);
    ahead.min(ahead.wrapping_neg())
}

/// Whether a full frame that came out of a decryption is one.
fn is_likely_full(frame: &FullFrame<'_>, expected: Expected) -> bool {
    let acknowledged = frame.header.iseq.0.wrapping_sub(expected.oldest);
    // An ISeqno that is behind belongs to a late copy.
    let late = acknowledged.wrapping_neg();
    (acknowledged <= expected.in_flight || late <= 64) && is_full(frame)
}

/// Whether it is of a known type, and what that asks for.
fn is_full(frame: &FullFrame<'_>) -> bool {
    (1..=12).contains(&frame.frame_type) && frame.message().is_ok()
}

/// Full frames of a side until it may be known which key it has.
const FIRST: u8 = 32;

/// Whether a full frame is one by which it may be known which of several keys a side has. Both sides begin with
/// messages of the protocol itself, few of them; garbage looks like that with a chance of one in 20,000.
fn is_surely_first(frame: &FullFrame<'_>, expected: Expected) -> bool {
    let Ok(Message::Iax { subclass, .. }) = frame.message() else { return false };
    let is_known = !matches!(subclass, IaxSubclass::Unknown(_));
    is_known && frame.header.oseq.0 < FIRST && is_likely_full(frame, expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    const KEY: [u8; 16] = [
        0x7c, 0xcd, 0xe1, 0x6e, 0x86, 0x2d, 0xfe, 0x76, 0x81, 0x29, 0x77, 0x13, 0xe9, 0xe9, 0xca,
        0xdb,
    ];

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    fn expected() -> Expected {
        Expected { oldest: 0, in_flight: 1, voice: None }
    }

    #[test]
    fn the_reference_frames_open() {
        let ack = hex("8002000347290af7662ea26bbe28f8644df6204c1e7ac71a36710a6db6e878b77f125c04");
        let mini = hex("000286eaff46a2fb9716e96412902b39a977823a7c0a5bf2f5963279a18bb0761246");
        let mut out = Vec::new();
        let mut crypt = Crypt::new(&[KEY], true);
        assert!(crypt.open(&ack, expected(), &mut out));
        assert_eq!(out, hex("800200030000001401010604"));
        assert!(crypt.open(&mini, expected(), &mut out));
        assert_eq!(out, hex("00020014616263"));
    }

    #[test]
    fn what_has_passed_is_read_again_under_the_first_keys_and_the_last_and_under_no_other() {
        let mut rng = ChaCha12Rng::from_seed([6; 32]);
        let mut crypt = Crypt::new(&[KEY], true);
        let frame = hex("800200030000001401010604");
        let seal = |rng: &mut ChaCha12Rng, key: &[u8; 16]| {
            let mut sealed = Vec::new();
            Cipher::new(key).seal(rng, &frame, &[], &mut sealed);
            sealed
        };
        let latest = Timestamp(60_000);
        let reads = |crypt: &Crypt, sealed: &[u8]| crypt.reread(sealed, latest);
        let first = seal(&mut rng, &KEY);
        assert_eq!(reads(&crypt, &first).as_ref(), Some(&frame));
        for n in 1..=4 {
            crypt.change_ours(&[n; 16]);
            crypt.change_theirs(&[n + 100; 16]);
            assert_eq!(reads(&crypt, &first).as_ref(), Some(&frame), "after {n} changes");
        }
        for kept in [3, 4, 103, 104] {
            assert_eq!(
                reads(&crypt, &seal(&mut rng, &[kept; 16])).as_ref(),
                Some(&frame),
                "{kept}"
            );
        }
        for other in [1, 2, 102, 200] {
            assert_eq!(reads(&crypt, &seal(&mut rng, &[other; 16])), None, "{other}");
        }
        assert_eq!(crypt.reread(&first, Timestamp(19)), None, "said before it could be");
        assert_eq!(reads(&crypt, &frame), None, "in the clear");
    }

    #[test]
    fn what_is_sealed_opens_again_whatever_its_length() {
        let mut rng = ChaCha12Rng::from_seed([5; 32]);
        let cipher = Cipher::new(&KEY);
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        for len in 0..200 {
            for head in [&[0x80, 2, 0, 3, 0, 0, 0, 20, 1, 1, 6, 4][..], &[0, 2, 0, 20]] {
                let tail: Vec<u8> = (0..len).collect();
                cipher.seal(&mut rng, head, &tail, &mut sealed);
                assert_eq!((sealed.len() - clear_len(head[0])) % BLOCK, 0);
                assert!(sealed.len() - head.len() - tail.len() <= 31);
                cipher.open(&sealed, &mut opened).unwrap();
                assert_eq!(opened, [head, &tail].concat());
            }
        }
    }

    #[test]
    fn a_wrong_key_is_not_taken_for_the_right_one_because_garbage_looks_like_a_frame() {
        let ack = hex("800200030000001401010604");
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        let wrongly = (0..2_000_u32).filter(|seed| {
            let mut rng = ChaCha12Rng::seed_from_u64(u64::from(*seed));
            Cipher::new(&KEY).seal(&mut rng, &ack, &[], &mut sealed);
            let mut crypt = Crypt::new(&[[1; 16], [2; 16], KEY], true);
            assert!(crypt.open(&sealed, Expected { in_flight: 64, ..expected() }, &mut out));
            out != ack
        });
        assert_eq!(wrongly.count(), 0);
    }

    #[test]
    fn who_has_the_secret_overhears_one_side_through_a_change_of_key() {
        let mut rng = ChaCha12Rng::from_seed([7; 32]);
        let secrets = [Secret::from("wrong"), Secret::from("secret")];
        let mut overhearer = Overhearer::new(&secrets, b"123456789");
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        let mut hears = |cipher: &Cipher, overhearer: &mut Overhearer, plain: &[u8]| {
            cipher.seal(&mut rng, plain, &[], &mut sealed);
            let clock = Some(Timestamp(1_000));
            overhearer.open(&sealed, clock, &mut out) && out == plain
        };
        // MD5 of challenge and secret: see `secret`.
        let first = Cipher::new(&KEY);
        let (ack, voice) = (hex("800200030000001401010604"), hex("000203e8616263"));
        assert!(hears(&first, &mut overhearer, &ack));
        assert!(hears(&first, &mut overhearer, &voice));
        let second = Cipher::new(&[9; 16]);
        assert!(!hears(&second, &mut overhearer, &ack), "not yet");
        overhearer.change_key(&[9; 16]);
        assert!(hears(&second, &mut overhearer, &ack));
        assert!(hears(&first, &mut overhearer, &voice), "it was on its way");
        let mut stranger = Overhearer::new(&secrets[..1], b"123456789");
        assert!(!hears(&first, &mut stranger, &ack));
    }

    #[test]
    fn the_right_one_of_several_secrets_is_found_and_kept() {
        let mut rng = ChaCha12Rng::from_seed([6; 32]);
        let mut sealed = Vec::new();
        Cipher::new(&KEY).seal(&mut rng, &hex("800200030000001401010604"), &[], &mut sealed);
        let mut crypt = Crypt::new(&[[1; 16], [2; 16], KEY], true);
        let mut out = Vec::new();
        assert!(crypt.open(&sealed, expected(), &mut out));
        assert_eq!(crypt.theirs.len(), 1);
        let mut answer = Vec::new();
        let cipher = crypt.cipher(crypt.epoch()).unwrap();
        cipher.seal(&mut rng, &hex("800300020000001401010604"), &[], &mut answer);
        assert!(Cipher::new(&KEY).open(&answer, &mut out).is_some());
        assert_eq!(out, hex("800300020000001401010604"));
    }

    #[test]
    fn a_sealed_video_frame_shows_its_call_number_and_opens_as_whole() {
        let mut rng = ChaCha12Rng::from_seed([9; 32]);
        let cipher = Cipher::new(&KEY);
        let mut crypt = Crypt::new(&[[1; 16], KEY], true);
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        cipher.seal(&mut rng, &hex("800200030000001401010604"), &[], &mut sealed);
        assert!(crypt.open(&sealed, expected(), &mut out));
        let head = [0, 0, 0x92, 0x34, 0x80, 20];
        for len in 0..200 {
            let tail: Vec<u8> = (0..len).collect();
            cipher.seal(&mut rng, &head, &tail, &mut sealed);
            assert_eq!(sealed[..4], head[..4], "whoever has no key finds the call");
            assert!((16..=31).contains(&(sealed.len() - head.len() - tail.len())));
            assert!(crypt.open(&sealed, expected(), &mut out));
            assert_eq!(out, [&head, &tail[..]].concat());
        }
        let first = sealed.clone();
        cipher.seal(&mut rng, &head, &[7; 199], &mut sealed);
        assert_ne!(first[4..20], sealed[4..20], "the first block is random but for the number");
    }

    #[test]
    fn clear_short_and_foreign_video_frames_do_not_open() {
        let mut rng = ChaCha12Rng::from_seed([10; 32]);
        let mut crypt = Crypt::new(&[KEY], true);
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        Cipher::new(&KEY).seal(&mut rng, &hex("800200030000001401010604"), &[], &mut sealed);
        assert!(crypt.open(&sealed, expected(), &mut out));
        for len in 4..400 {
            let mut clear = alloc::vec![0; len];
            rng.fill_bytes(clear.get_mut(4..).unwrap());
            clear[2] = 0x80;
            assert!(!crypt.open(&clear, expected(), &mut out), "{len} bytes in the clear");
        }
        Cipher::new(&[1; 16]).seal(&mut rng, &[0, 0, 0x80, 2, 0, 20], &[7; 90], &mut sealed);
        assert!(!crypt.open(&sealed, expected(), &mut out), "another key");
        // Inside is less than a header.
        let cipher = Cipher::new(&KEY);
        cipher.seal(&mut rng, &[0, 0, 0x80, 2, 0], &[], &mut sealed);
        assert!(!crypt.open(&sealed, expected(), &mut out), "five bytes");
        assert!(!crypt.takes_clear_video());
    }

    #[test]
    fn lengths_and_paddings_that_lie_are_refused() {
        let mut rng = ChaCha12Rng::from_seed([7; 32]);
        let mut crypt = Crypt::new(&[KEY], true);
        let mut out = Vec::new();
        for len in 0..80 {
            let mut datagram = alloc::vec![0x80; len];
            rng.fill_bytes(datagram.get_mut(1..).unwrap_or_default());
            assert!(!crypt.open(&datagram, expected(), &mut out), "{len} bytes of full frame");
        }
        // One block of padding that claims to be 31 bytes long, and nothing behind it.
        let mut block = [0xFF_u8; BLOCK];
        let mut mode =
            cbc::Encryptor::<Aes128>::inner_iv_init(Cipher::new(&KEY).0, &[0; BLOCK].into());
        mode.encrypt_block((&mut block).into());
        let mini: Vec<u8> = [&[0, 2][..], &block].concat();
        assert!(!crypt.open(&mini, expected(), &mut out));
    }

    #[test]
    fn frames_under_the_key_before_are_still_understood() {
        let mut rng = ChaCha12Rng::from_seed([8; 32]);
        let mut crypt = Crypt::new(&[KEY], true);
        let mut out = Vec::new();
        let voice = |stamp: u16| [&[0, 2][..], &stamp.to_be_bytes(), &[9; 160]].concat();
        let mut seal = |key: &[u8; 16], frame: &[u8]| {
            let mut sealed = Vec::new();
            Cipher::new(key).seal(&mut rng, frame, &[], &mut sealed);
            sealed
        };
        crypt.peer_rotates = true;
        assert!(crypt.open(&seal(&KEY, &voice(0)), expected(), &mut out));
        assert!(crypt.open(&seal(&KEY, &voice(20)), expected(), &mut out));
        crypt.change_theirs(&[3; 16]);
        let expected = Expected { voice: Some(Timestamp(20)), ..expected() };
        assert!(crypt.open(&seal(&[3; 16], &voice(60)), expected, &mut out));
        assert!(crypt.open(&seal(&KEY, &voice(40)), expected, &mut out), "reordered");
        assert_eq!(out, voice(40));
        assert!(!crypt.open(&seal(&[4; 16], &voice(80)), expected, &mut out), "a key unknown");
    }

    #[test]
    fn voice_that_overtakes_its_key_waits_for_it_and_no_more_than_a_few_frames_do() {
        let mut rng = ChaCha12Rng::from_seed([15; 32]);
        let mut seal = |key: &[u8; 16], stamp: u16| {
            let (head, mut sealed) = ([&[0, 2][..], &stamp.to_be_bytes()].concat(), Vec::new());
            Cipher::new(key).seal(&mut rng, &head, &[9; 160], &mut sealed);
            sealed
        };
        let expected = Expected { voice: Some(Timestamp(60)), ..expected() };
        let mut crypt = Crypt::new(&[KEY], true);
        let mut out = Vec::new();
        crypt.proved = true;
        let (now, late) = (Instant::from_micros(0), Instant::from_micros(250_001));
        assert_eq!(crypt.keep(now, &seal(&[3; 16], 20)), None, "a peer that has one key for ever");
        crypt.peer_rotates = true;
        let early = [20, 40, 60, 80, 100].map(|stamp| seal(&[3; 16], stamp));
        for frame in &early {
            assert!(!crypt.open(frame, expected, &mut out));
        }
        let kept = early.each_ref().map(|frame| crypt.keep(now, frame));
        assert_eq!(kept, [Some(0), Some(0), Some(0), Some(0), Some(1)]);
        let not_voice =
            [&early[0][..64], &[&[0, 0][..], &early[0][2..]].concat(), &[0x80; 34], &[2]];
        assert_eq!(not_voice.map(|bytes| crypt.keep(now, bytes)), [None; 4]);
        assert_eq!(crypt.take_waiting(now), (Vec::new(), 0), "there is no new key");
        crypt.change_theirs(&[3; 16]);
        let (waited, 0) = crypt.take_waiting(now) else { panic!("none waited for long") };
        assert_eq!(waited, early[1..].iter().map(|one| Box::from(&one[..])).collect::<Vec<_>>());
        assert!(waited.iter().all(|frame| crypt.open(frame, expected, &mut out)));
        assert_eq!(crypt.take_waiting(now), (Vec::new(), 0));
        for frame in &early {
            crypt.keep(now, frame);
        }
        crypt.change_theirs(&[4; 16]);
        assert_eq!(crypt.take_waiting(late), (Vec::new(), 4), "they are old");
    }

    #[test]
    fn voice_whose_clock_jumped_does_not_wait_for_another_key() {
        let mut rng = ChaCha12Rng::from_seed([16; 32]);
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        let mut crypt = Crypt::new(&[KEY], true);
        (crypt.peer_rotates, crypt.proved, crypt.voice_lens) = (true, true, [160; 2]);
        let now = Instant::from_micros(0);
        let mut opens = |crypt: &mut Crypt, stamp: u16, clock: u32| {
            let head = [&[0, 2][..], &stamp.to_be_bytes()].concat();
            Cipher::new(&KEY).seal(&mut rng, &head, &[9; 160], &mut sealed);
            let expected = Expected { voice: Some(Timestamp(clock)), ..expected() };
            crypt.open(&sealed, expected, &mut out) || crypt.keep(now, &sealed) != Some(0)
        };
        assert!(!opens(&mut crypt, 4_136, 4_676), "its time is another");
        assert!(opens(&mut crypt, 4_156, 4_676), "it follows");
        let (waited, old) = crypt.take_waiting(now);
        assert_eq!((waited.len(), old), (1, 0), "it is heard at once");
        assert!(!opens(&mut crypt, 9_000, 4_176));
        assert!(opens(&mut crypt, 4_196, 4_196), "the clock goes on");
        assert_eq!(crypt.take_waiting(now), (Vec::new(), 0), "that may have another key");
    }

    #[test]
    fn a_late_frame_is_dropped_and_not_taken_for_one_under_the_key_before() {
        let mut rng = ChaCha12Rng::from_seed([14; 32]);
        let newest = Cipher::new(&[3; 16]);
        let expected = Expected { voice: Some(Timestamp(25_360)), ..expected() };
        let late = [&[0, 2][..], &25_080_u16.to_be_bytes(), &[9; 160]].concat();
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        // One in some thousands yields garbage that looks like voice in time.
        for _ in 0..100_000 {
            newest.seal(&mut rng, &late, &[], &mut sealed);
            let mut crypt = Crypt::new(&[KEY], true);
            (crypt.peer_rotates, crypt.proved, crypt.voice_lens) = (true, true, [160; 2]);
            if crypt.open(&sealed, expected, &mut out) {
                crypt.change_theirs(&[3; 16]);
                assert!(!crypt.open(&sealed, expected, &mut out));
                return;
            }
        }
        panic!("no such garbage");
    }

    #[test]
    fn the_same_frame_never_looks_the_same_twice() {
        let mut rng = ChaCha12Rng::from_seed([11; 32]);
        let cipher = Cipher::new(&KEY);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for frame in [&[0x80, 2, 0, 3, 0, 0, 0, 20, 1, 1, 6, 4][..], &[0, 2, 0, 20, 7, 7, 7]] {
            cipher.seal(&mut rng, frame, &[], &mut one);
            cipher.seal(&mut rng, frame, &[], &mut other);
            let clear = clear_len(frame[0]);
            assert_eq!((&one[..clear], one.len()), (&other[..clear], other.len()));
            let blocks = |sealed: &[u8]| sealed[clear..].as_chunks::<BLOCK>().0.to_vec();
            let same = blocks(&one).into_iter().zip(blocks(&other)).filter(|(a, b)| a == b);
            assert_eq!(same.count(), 0);
        }
    }

    #[test]
    fn a_repeated_frame_keeps_its_key_and_the_oldest_kept_stands_in_for_one_that_is_gone() {
        let mut crypt = Crypt::new(&[KEY], true);
        let first = crypt.epoch();
        crypt.change_ours(&[2; 16]);
        let second = crypt.epoch();
        let sealed_with = |crypt: &Crypt, epoch| {
            let mut rng = ChaCha12Rng::from_seed([12; 32]);
            let (mut sealed, mut out) = (Vec::new(), Vec::new());
            crypt.cipher(epoch).unwrap().seal(&mut rng, &[0, 2, 0, 20], &[9; 60], &mut sealed);
            [KEY, [2; 16], [3; 16]].into_iter().position(|key| {
                let opened = Cipher::new(&key).open(&sealed, &mut out);
                opened.is_some() && out.ends_with(&[9; 60])
            })
        };
        assert_eq!([first, second].map(|epoch| sealed_with(&crypt, epoch)), [Some(0), Some(1)]);
        crypt.change_ours(&[3; 16]);
        let epochs = [first, second, crypt.epoch()];
        assert_eq!(epochs.map(|epoch| sealed_with(&crypt, epoch)), [Some(1), Some(1), Some(2)]);
    }

    #[test]
    fn the_number_of_a_key_never_becomes_that_of_clear_frames() {
        let mut epoch = Epoch::CLEAR;
        for _ in 0..1_000 {
            let next = epoch.next();
            assert!(next != Epoch::CLEAR && next != epoch);
            epoch = next;
        }
    }

    #[test]
    fn voice_under_a_wrong_key_is_told_by_its_time_and_its_length() {
        let expected = Expected { voice: Some(Timestamp(70_000)), ..expected() };
        let likely = |lens, doubted: Option<u16>, ahead: i16, len| {
            let mut crypt = Crypt::new(&[KEY], true);
            crypt.voice_lens = lens;
            crypt.doubted = doubted.map(MiniTimestamp);
            let stamp = Timestamp(70_000).low16().0.wrapping_add_signed(ahead);
            crypt.is_likely_voice(MiniTimestamp(stamp), len, expected)
        };
        for lens in [[160, 160], [20, 160], [0, 0], [20, 0]] {
            let near = [-249, 0, 249].map(|ahead| likely(lens, None, ahead, 160));
            assert_eq!((near, lens), ([true; 3], lens));
            let far = [-250, 250, 30_000].map(|ahead| likely(lens, None, ahead, 160));
            assert_eq!((far, lens), ([false; 3], lens));
        }
        let unusual = [-100, -99, 99, 100].map(|ahead| likely([160, 20], None, ahead, 33));
        assert_eq!(unusual, [false, true, true, false]);
        let doubted = Timestamp(90_000).low16().0;
        let behind_garbage = [99, 100, 19_900, 19_901, 20_099, 20_100]
            .map(|ahead| likely([160, 160], Some(doubted), ahead, 160));
        assert_eq!(behind_garbage, [true, false, false, true, true, false]);
        assert!(!likely([160, 160], Some(doubted), 0, 33));
    }

    #[test]
    fn a_clock_that_jumped_is_believed_at_its_second_frame() {
        let mut rng = ChaCha12Rng::from_seed([13; 32]);
        let mut crypt = Crypt::new(&[KEY], true);
        crypt.peer_rotates = true;
        let expected = Expected { voice: Some(Timestamp(1_000)), ..expected() };
        let (mut sealed, mut out) = (Vec::new(), Vec::new());
        let mut opens = |crypt: &mut Crypt, stamp: u16, len: usize| {
            let head = [&[0, 2][..], &stamp.to_be_bytes()].concat();
            Cipher::new(&KEY).seal(&mut rng, &head, &alloc::vec![9; len], &mut sealed);
            crypt.open(&sealed, expected, &mut out)
        };
        assert!(opens(&mut crypt, 1_000, 160) && opens(&mut crypt, 1_000, 160));
        assert!(!opens(&mut crypt, 20_000, 160));
        assert!(opens(&mut crypt, 20_020, 160), "it follows the one that was doubted");
        assert!(!opens(&mut crypt, 40_000, 160));
        assert!(opens(&mut crypt, 1_020, 160), "the one before was garbage");
        assert!(!opens(&mut crypt, 40_020, 160), "which is forgotten");
        assert!(!opens(&mut crypt, 1_150, 33), "a length never seen asks for more");
    }

    #[test]
    fn a_full_frame_under_a_wrong_key_is_told_by_its_numbers_and_its_type() {
        let expected = Expected { oldest: 10, in_flight: 2, voice: None };
        let likely = |iseq: u8, frame_type: u8, subclass: u8| {
            let bytes = [0x80, 2, 0, 3, 0, 0, 0, 20, 1, iseq, frame_type, subclass];
            let Ok(Datagram::Full(frame)) = Datagram::decode(&bytes) else { panic!("no frame") };
            is_likely_full(&frame, expected)
        };
        let numbers = [201, 202, 9, 10, 12, 13].map(|iseq| likely(iseq, 6, 4));
        assert_eq!(numbers, [false, true, true, true, true, false]);
        assert!(!likely(10, 0, 4) && !likely(10, 13, 4));
    }
}
