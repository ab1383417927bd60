//! Cases that a seed makes up: valid exchanges with something wrong in them. No answer is right for
//! all of them; what must hold is what holds for every case.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::case::{Answers, Any, Case, From, State, Step, Then};
use super::template::{hex, unhex};

/// Frames of an exchange that is under way, as templates.
const FRAMES: &[&str] = &[
    "{S} {D} {t} {o} {i} 06 02",
    "{S} {D} {t} {o} {i} 06 03 2e0400000001 2f0400000002 300400000003 31020004 320400000005",
    "{S} {D} {t} {o+0} {i} 06 04",
    "{S} {D} {t} {o} {i} 06 05 2a0110",
    "{S} {D} {t} {o} {i} 06 06 2a0115 16026e6f",
    "{S} {D} {t} {o} {i} 06 07 090400000004 380900 0000000000000004",
    "{S} {D} {t} {o} {i} 06 08 0e020002 0f03313233 0607746f7274757265",
    "{S} {D} {t} {o} {i} 06 08 0e020002 0f03313233 2b020001",
    "{S} {D} {t} {o} {i} 06 09 {md5}",
    "{S} {D} {t} {o} {i} 06 09 1020 30*32",
    "{S} {D} {t} {o} {i} 06 09 0706736563726574",
    "{S} {D} {t} {o+0} {i} 06 0a",
    "{S} {D} {t} {o} {i} 06 0b",
    "{S} {D} {t} {o} {i} 06 0c",
    "{S} {D} {t} {o} {i} 06 0d 0607746f7274757265 1302003c",
    "{S} {D} {t} {o} {i} 06 0d 0607746f7274757265 1302003c {md5}",
    "{S} {D} {t} {o} {i} 06 0e 0e020002 0f03313233 0607746f7274757265",
    "{S} {D} {t} {o} {i} 06 0f 0607746f7274757265 1302003c 1210 020011d9 c0000201 00*8",
    "{S} {D} {t} {o} {i} 06 10 2a011d",
    "{S} {D} {t} {o+0} {i} 06 12",
    "{S} {D} {t} {o} {i} 06 13 0103363030",
    "{S} {D} {t} {o} {i} 06 14 0103363030 14020001 13020258",
    "{S} {D} {t} {o} {i} 06 15 0103363030",
    "{S} {D} {t} {o} {i} 06 16 1210 020011d9 c6336409 00*8 15020007 1b0400000001",
    "{S} {D} {t} {o} {i} 06 16 121c 0a0011d9 00000000 20010db8 00*12 00000000 15020007 1b0400000001",
    "{S} {D} {t} 00 00 06 17 1b0400000001",
    "{S} {D} {t} 00 00 06 18",
    "{S} {D} {t} {o} {i} 06 19 15020007 1b0400000001",
    "{S} {D} {t} {o} {i} 06 1a 15020007",
    "{S} {D} {t} {o} {i} 06 1b",
    "{S} {D} {t} {o} {i} 06 1c",
    "{S} {D} {t} {o} {i} 06 1d",
    "{S} {D} {t} {o} {i} 06 20 18020102",
    "{S} {D} {t} {o} {i} 06 21 170102",
    "{S} {D} {t} {o} {i} 06 22 0103363031 050764656661756c",
    "{S} {D} {t} {o} {i} 06 23 1d06 1204 00000001",
    "{S} {D} {t} {o} {i} 06 24 2006736178793130 2304 00000001",
    "{S} {D} {t} {o} {i} 06 25 2304 00000001 2404 00*4",
    "{S} {D} {t} {o} {i} 06 26 15020007",
    "{S} {D} {t} {o} {i} 06 27 0f10 11*16",
    "{S} {D} {t} {o} {i} 06 28 3604 61626364",
    "{S} {D} {t} {o} {i} 02 04 ff*160",
    "{S} {D} {t} {o} {i} 02 82 ff*160",
    "{S} {D} {t} {o} {i} 03 95 00*40",
    "{S} {D} {t} {o} {i} 03 d5 00*40",
    "{S} {D} {t} {o} {i} 04 03",
    "{S} {D} {t} {o} {i} 04 04",
    "{S} {D} {t} {o} {i} 04 ff",
    "{S} {D} {t} {o} {i} 04 0b 0001",
    "{S} {D} {t} {o} {i} 04 10 64656661756c74",
    "{S} {D} {t} {o} {i} 04 11",
    "{S} {D} {t} {o} {i} 04 16 0a0102 000431303030 0404 00000001",
    "{S} {D} {t} {o} {i} 07 00 68656c6c6f 00",
    "{S} {D} {t} {o} {i} 08 90 ff*64",
    "{S} {D} {t} {o} {i} 09 01 687474703a2f2f61",
    "{S} {D} {t} {o} {i} 0a 40",
    "{S} {D} {t} {o} {i} 0b 01 00*30",
    "{S} {D} {t} {o} {i} 0c 35",
    "{S} {D} {t} {o} {i} 01 35",
    "{s} {u} ff*160",
    "{s} {u} ff*33",
    "0000 {S} {u} 00*40",
    "0000 01 00 00000014 {s} 00a0 ff*160",
    "0000 01 01 00000014 00a0 {s} {u} ff*160",
    "0000 01 00 00000014 1234 0004 00*4 {s} 00a0 ff*160",
    "0000 01 01 00000014 0004 1234 0001 00*4 00a0 {s} {u} ff*160",
];

/// Frames that open something.
const OPENINGS: &[&str] = &[
    "{S} 0000 {t} 00 00 06 01 0b020002 0103363030 090400000004 3600",
    "{S} 0000 {t} {o} 00 06 01 0b020002 0103363030 090400000004 {token}",
    "{S} 0000 {t} {o} 00 06 01 0b020002 0103363030 0607746f7274757265 2b028001 090400000004 {token}",
    "{S} 0000 {t} 00 00 06 01 0b020002 0103363030 090400000004 {forged}",
    "{S} 0000 {t} 00 00 06 01 0b020003 0103363030",
    "{S} 0000 {t} 00 00 06 01 0b020002 0103363030 2d03444546 0804 0000000c 370900 00000000 0000000c \
     380900 00000000 00000004 0401 41 0a02656e 2604 00000001 340578 3d3132 33 3600",
    "{S} 0000 {t} 00 00 06 0d 0607746f7274757265 1302003c 3600",
    "{S} 0000 {t} {o} 00 06 0d 0607746f7274757265 1302003c {token}",
    "{S} 0000 {t} 00 00 06 11 0607746f7274757265 3600",
    "{S} 0000 {t} 00 00 06 1e",
    "{S} 0000 {t} 00 00 06 24 2006736178793130 2304 00000001 3600",
    "8009 0000 {t} 00 00 06 01 0b020002 0103363030 3600",
    "8009 1234 {t} 01 01 06 05 2a0110",
    "0009 {u} 00*160",
];

const STATES: &[State] = &[
    State::Stranger,
    State::Token,
    State::Offered,
    State::Challenged,
    State::Accepted,
    State::Transferable,
    State::Talking,
    State::Encrypted,
    State::Calling,
    State::Placed,
    State::Registering,
    State::Requested,
];

/// `count` cases of `seed`. The same seed gives the same cases, and more of them begin alike.
#[must_use]
pub fn generate(seed: u64, count: usize) -> Vec<Case> {
    let mut bytes = [0x70; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut dice = Dice(ChaCha12Rng::from_seed(bytes));
    (0..count).map(|n| dice.case(n)).collect()
}

struct Dice(ChaCha12Rng);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        // Edges are likelier than what lies between.
        const EDGES: [u8; 8] = [0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xFE, 0xFF];
        match self.below(3) {
            0 => EDGES[self.below(EDGES.len())],
            _ => self.0.next_u32().to_be_bytes()[0],
        }
    }

    fn case(&mut self, n: usize) -> Case {
        let state = STATES[n % STATES.len()];
        let steps = 1 + self.below(4);
        let mut steps: Vec<Step> = (0..steps).map(|_| self.step(state)).collect();
        if self.below(8) == 0 {
            steps.reverse();
        }
        if self.below(8) == 0 {
            steps.extend(steps.clone());
        }
        Case {
            name: format!("generated-{n}"),
            why: "Made up by a seed: there is no one right answer, but the bounds hold.".into(),
            reference: "README, what holds for every case".into(),
            state,
            then: Then::Any,
            reason: None,
            cause: None,
            step: steps,
        }
    }

    fn step(&mut self, state: State) -> Step {
        let stranger = matches!(state, State::Stranger | State::Token);
        let opens = self.below(if stranger { 2 } else { 10 }) == 0;
        let frames = if opens || stranger { OPENINGS } else { FRAMES };
        let mut frames = frames.to_vec();
        if state != State::Token {
            frames.retain(|frame| !frame.contains("{token}") && !frame.contains("{forged}"));
        }
        if !matches!(state, State::Challenged | State::Requested | State::Encrypted) {
            frames.retain(|frame| !frame.contains("{md5}"));
        }
        let frame = frames[self.below(frames.len())];
        let mut words: Vec<String> = frame.split_whitespace().map(unroll).collect();
        if matches!(state, State::Calling | State::Registering) || stranger {
            // The exchange is open all the same; only strangers name numbers out of the air.
            if stranger {
                words
                    .iter_mut()
                    .filter(|word| *word == "{D}")
                    .for_each(|word| *word = "1234".into());
            }
        }
        for _ in 0..self.below(4) {
            self.mutate(&mut words);
        }
        let from = match self.below(12) {
            0 => From::OtherPort,
            1 => From::Elsewhere,
            _ => From::Peer,
        };
        let times = match self.below(16) {
            0 => 2 + u32::try_from(self.below(30)).expect("below 30"),
            1 => 2,
            _ => 1,
        };
        let wait = if self.below(10) == 0 { [20, 500, 3_000][self.below(3)] } else { 0 };
        let get = Answers::Any(Any::Any);
        let encrypt = state == State::Encrypted && self.below(8) != 0 && !opens;
        let send = words.join(" ");
        Step { send, from, times, encrypt, wait, get, ..Step::default() }
    }

    /// Puts one thing wrong.
    fn mutate(&mut self, words: &mut Vec<String>) {
        let at = self.below(words.len());
        match self.below(12) {
            // A byte that is another, or a bit.
            0..=2 => {
                let Some(mut bytes) = unhex(&words[at]).filter(|bytes| !bytes.is_empty()) else {
                    return;
                };
                let place = self.below(bytes.len());
                bytes[place] = match self.below(2) {
                    0 => self.byte(),
                    _ => bytes[place] ^ (1 << self.below(8)),
                };
                words[at] = hex(&bytes);
            }
            // It stops short.
            3 => {
                words.truncate(at.max(1));
                if let Some(last) = words.last_mut()
                    && let Some(bytes) = unhex(last)
                {
                    let len = self.below(bytes.len() + 1);
                    *last = hex(&bytes[..len]);
                }
                words.retain(|word| !word.is_empty());
                if words.is_empty() {
                    words.push("80".into());
                }
            }
            // It goes on.
            4 => {
                let len = 1 + self.below(40);
                let more: Vec<u8> = (0..len).map(|_| self.byte()).collect();
                words.push(hex(&more));
            }
            // One more element, its length right or nearly so.
            5 | 6 => {
                let len = [0, 1, 2, 4, 8, 9, 16, 32, 255][self.below(9)];
                let said = match self.below(4) {
                    0 => self.byte(),
                    _ => u8::try_from(len).expect("up to 255"),
                };
                let id = [self.0.next_u32().to_be_bytes()[0] % 58, self.byte()][self.below(2)];
                let mut element = vec![id, said];
                element.extend((0..len).map(|_| self.byte()));
                let place = (7 + self.below(words.len())).min(words.len());
                words.insert(place, hex(&element));
            }
            // The same once more.
            7 => {
                let word = words[at].clone();
                words.insert(at, word);
            }
            // Elsewhere in the frame.
            8 => {
                let other = self.below(words.len());
                words.swap(at, other);
            }
            // Numbers and times that do not fit.
            _ => {
                let steps = [1, 2, 64, 127, 128, 200, 255][self.below(7)];
                let other = match words[at].as_str() {
                    "{o}" => format!("{{o+{steps}}}"),
                    "{i}" => format!("{{i+{steps}}}"),
                    "{t}" => ["00000000", "ffffffff", "7fffffff", "00000003"][self.below(4)].into(),
                    "{u}" => ["0000", "ffff", "8000"][self.below(3)].into(),
                    "{D}" => ["{R}", "0000", "0001", "7fff", "ffff"][self.below(5)].into(),
                    "{S}" => ["8000", "8001", "8009", "ffff", "{s}"][self.below(5)].into(),
                    "{s}" => ["0000", "0001", "0009", "7fff", "{S}"][self.below(5)].into(),
                    _ => return,
                };
                words[at] = other;
            }
        }
    }
}

/// A word without `*`.
fn unroll(word: &str) -> String {
    match word.split_once('*') {
        Some((digits, times)) => digits.repeat(times.parse().expect("a number")),
        None => word.into(),
    }
}
