//! What radio nodes of AllStarLink (`app_rpt`) say to each other in text frames.
//!
//! There is no standard for it: each text is a line of words, of which the first tells its kind. Facts are those
//! of the public `app_rpt` of AllStarLink 3. What is no such text is none of this module's: other systems send
//! texts, too.

use core::fmt;

use crate::message::Message;

/// A word of a text, such as a node's number, has so many bytes at most.
const LONGEST_WORD: usize = 32;

/// In place of nodes that had no room in a list.
const LEFT_OUT: &str = "000000";

/// Nodes of a list that are printed one by one.
const MOST_PRINTED: usize = 20;

/// How a node is linked.
///
/// ```
/// use oneport_wire::{LinkMode, RadioText};
///
/// let text = RadioText::parse("L T2000,C2001,2002");
/// let Some(RadioText::Links(links)) = text else { panic!() };
/// let modes: Vec<_> = links.nodes().map(|(mode, _)| mode.name()).collect();
/// // Without a letter it is `T`.
/// assert_eq!(modes, ["transceive", "connecting", "transceive"]);
/// assert!(links.nodes().any(|(mode, _)| mode == LinkMode::Connecting));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkMode {
    /// `T`: it hears and is heard.
    Transceive,
    /// `R`: it is heard, and hears nothing.
    Monitor,
    /// `L`: the same, and nobody else hears it.
    LocalMonitor,
    /// `C`: the link is not up yet, or not any more.
    Connecting,
}

impl LinkMode {
    /// Its name, which stays.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transceive => "transceive",
            Self::Monitor => "monitor",
            Self::LocalMonitor => "local_monitor",
            Self::Connecting => "connecting",
        }
    }
}

/// Nodes that are linked with the sender, directly or through others, as it says.
///
/// ```
/// use oneport_wire::{LinkMode, RadioText};
///
/// let text = RadioText::parse("L T2000,R2001,T000000");
/// let Some(RadioText::Links(links)) = text else { panic!() };
/// let nodes: Vec<_> = links.nodes().collect();
/// assert_eq!(nodes, [(LinkMode::Transceive, "2000"), (LinkMode::Monitor, "2001")]);
/// assert!(links.is_cut());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkList<'a>(&'a str);

impl<'a> LinkList<'a> {
    /// The nodes and how each is linked. What is no node is left out.
    pub fn nodes(&self) -> impl Iterator<Item = (LinkMode, &'a str)> + use<'a> {
        self.entries().filter(|(_, node)| *node != LEFT_OUT)
    }

    /// Whether the sender says that there are more, for which it had no room.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.entries().any(|(_, node)| node == LEFT_OUT)
    }

    fn entries(&self) -> impl Iterator<Item = (LinkMode, &'a str)> + use<'a> {
        self.0.split(',').filter_map(|entry| {
            let entry = entry.trim();
            let (mode, node) = match entry.as_bytes().first()? {
                b'T' => (LinkMode::Transceive, entry.get(1..)?),
                b'R' => (LinkMode::Monitor, entry.get(1..)?),
                b'L' => (LinkMode::LocalMonitor, entry.get(1..)?),
                b'C' => (LinkMode::Connecting, entry.get(1..)?),
                _ => (LinkMode::Transceive, entry),
            };
            is_word(node).then_some((mode, node))
        })
    }
}

/// A text that one node sends another. Numbers of nodes and the like are words: printable ASCII, no spaces, 32
/// bytes at most.
///
/// ```
/// use oneport_wire::{Message, RadioText};
///
/// let message = Message::text(b"K 2000 2001 1 7\0");
/// let keyed = RadioText::Keyed { to: "2000", from: "2001", keyed: true, seconds: 7 };
/// assert_eq!(message.radio_text(), Some(keyed));
/// assert_eq!(keyed.to_string(), "node 2001 is keyed, for 7 s");
/// // Texts of people are none of it.
/// assert_eq!(RadioText::parse("hello"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RadioText<'a> {
    /// `!!DISCONNECT!!`: the link is over, and not to be set up anew.
    Disconnect,
    /// `!NEWKEY!`: who sends it keys by KEY and UNKEY, whatever voice comes.
    NewKey,
    /// `!NEWKEY1!`: whoever sends voice is keyed; KEY and UNKEY are not looked at.
    NewKey1,
    /// `!IAXKEY!` of clients that are no nodes: what stands behind it.
    IaxKey(&'a str),
    /// `L`: who is linked with the sender.
    Links(LinkList<'a>),
    /// `M`: a message to people.
    Message {
        /// Who says it.
        from: &'a str,
        /// To which node; `0`: all.
        to: &'a str,
        /// What.
        text: &'a str,
    },
    /// `T`: something that happened at a node, to be announced by others.
    Telemetry {
        /// The node.
        from: &'a str,
        /// What, by `app_rpt`'s name of it.
        what: &'a str,
    },
    /// `C`: the tone (CTCSS) of whoever is heard.
    Tone {
        /// The node that hears it.
        from: &'a str,
        /// Nodes of this group take it over.
        group: &'a str,
        /// The tone.
        tone: &'a str,
    },
    /// `K?`: who is keyed, and since when?
    KeyQuery {
        /// Who is asked; `*`: all.
        to: &'a str,
        /// Who asks.
        from: &'a str,
    },
    /// `K`: the answer.
    Keyed {
        /// Who has asked.
        to: &'a str,
        /// Who answers.
        from: &'a str,
        /// Whether its receiver hears somebody now.
        keyed: bool,
        /// Seconds since its receiver last began or ceased to hear somebody; 0 where it never did.
        seconds: u32,
    },
    /// `I`: who transmits, as its radio says (MDC-1200).
    Ident {
        /// The node that hears it.
        from: &'a str,
        /// What the radio says.
        id: &'a str,
    },
    /// `D`: a key of DTMF for a node, part of a command.
    Dtmf {
        /// For which node; `0`: whoever gets it.
        to: &'a str,
        /// From which.
        from: &'a str,
        /// Counts the sender's keys, so that a copy is known.
        sequence: u32,
        /// The key.
        key: char,
    },
    /// `R`: how well the sender's receiver hears, 0 to 255.
    Signal(u8),
    /// `G`: where a node is (GPS), as it says.
    Position(&'a str),
}

impl<'a> Message<'a> {
    /// What it says, where it is a text of a node.
    #[must_use]
    pub fn radio_text(&self) -> Option<RadioText<'a>> {
        let Self::Text { payload, .. } = self else { return None };
        let text = payload.strip_suffix(&[0]).unwrap_or(payload);
        RadioText::parse(core::str::from_utf8(text).ok()?)
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= LONGEST_WORD
        && word.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The words of a text, one by one.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches(' ');
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        self.0 = rest;
        is_word(word).then_some(word)
    }

    fn number<T: core::str::FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }

    fn rest(self) -> &'a str {
        self.0.trim_matches(' ')
    }
}

impl<'a> RadioText<'a> {
    /// What `text` says; `None` where it is no text of a node. A trailing NUL must be gone already.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        match text {
            "!!DISCONNECT!!" => return Some(Self::Disconnect),
            "!NEWKEY!" => return Some(Self::NewKey),
            "!NEWKEY1!" => return Some(Self::NewKey1),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix("!IAXKEY!") {
            return Some(Self::IaxKey(rest.trim_matches(' ')));
        }
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut words = Words(rest);
        Some(match kind {
            "L" => Self::Links(LinkList(rest)),
            "M" => Self::Message { from: words.next()?, to: words.next()?, text: words.rest() },
            "T" => Self::Telemetry { from: words.next()?, what: words.next()? },
            "C" => Self::Tone { from: words.next()?, group: words.next()?, tone: words.next()? },
            "K?" => Self::KeyQuery { to: words.next()?, from: words.next()? },
            "K" => Self::Keyed {
                to: words.next()?,
                from: words.next()?,
                keyed: words.number::<u32>()? != 0,
                seconds: words.number()?,
            },
            "I" => Self::Ident { from: words.next()?, id: words.next()? },
            "D" => Self::Dtmf {
                to: words.next()?,
                from: words.next()?,
                sequence: words.number()?,
                key: words.next()?.chars().next().filter(|key| is_key(*key))?,
            },
            "R" => Self::Signal(words.number()?),
            "G" => Self::Position(words.rest()),
            _ => return None,
        })
    }

    /// The name of its kind, which stays.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::NewKey => "newkey",
            Self::NewKey1 => "newkey1",
            Self::IaxKey(_) => "iaxkey",
            Self::Links(_) => "links",
            Self::Message { .. } => "message",
            Self::Telemetry { .. } => "telemetry",
            Self::Tone { .. } => "tone",
            Self::KeyQuery { .. } => "key_query",
            Self::Keyed { .. } => "keyed",
            Self::Ident { .. } => "ident",
            Self::Dtmf { .. } => "dtmf",
            Self::Signal(_) => "signal",
            Self::Position(_) => "position",
        }
    }
}

fn is_key(key: char) -> bool {
    matches!(key, '0'..='9' | '*' | '#' | 'A'..='D')
}

/// Whom a text is for, in words.
struct To<'a>(&'a str);

impl fmt::Display for To<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "*" => f.write_str("everybody"),
            node => write!(f, "node {node}"),
        }
    }
}

/// Free text, without what would move the cursor.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            let c = if c.is_control() { '.' } else { c };
            fmt::Write::write_char(f, c)
        })
    }
}

impl fmt::Display for RadioText<'_> {
    /// It in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Disconnect => f.write_str("the link is over, for good"),
            Self::NewKey => f.write_str("keys by KEY and UNKEY"),
            Self::NewKey1 => f.write_str("whoever sends voice is keyed"),
            Self::IaxKey(rest) => write!(f, "a client that keys: {}", Said(rest)),
            Self::Links(list) => links(f, list),
            Self::Message { from, to: "0", text } => {
                write!(f, "node {from} to all: {}", Said(text))
            }
            Self::Message { from, to, text } => {
                write!(f, "node {from} to node {to}: {}", Said(text))
            }
            Self::Telemetry { from, what } => write!(f, "node {from} tells {what}"),
            Self::Tone { from, group, tone } => {
                write!(f, "node {from} hears tone {tone}, for group {group}")
            }
            Self::KeyQuery { to, from } => write!(f, "node {from} asks {}: keyed?", To(to)),
            Self::Keyed { from, keyed: true, seconds, .. } => {
                write!(f, "node {from} is keyed, for {seconds} s")
            }
            Self::Keyed { from, keyed: false, seconds: 0, .. } => {
                write!(f, "node {from} is not keyed")
            }
            Self::Keyed { from, keyed: false, seconds, .. } => {
                write!(f, "node {from} is not keyed, for {seconds} s")
            }
            Self::Ident { from, id } => write!(f, "node {from} hears radio {id}"),
            Self::Dtmf { to: "0", from, key, .. } => write!(f, "node {from} presses {key}"),
            Self::Dtmf { to, from, key, .. } => {
                write!(f, "node {from} presses {key} for node {to}")
            }
            Self::Signal(strength) => write!(f, "hears with {strength} of 255"),
            Self::Position(rest) => write!(f, "position {}", Said(rest)),
        }
    }
}

fn links(f: &mut fmt::Formatter<'_>, list: LinkList<'_>) -> fmt::Result {
    let mut nodes = list.nodes();
    let mut is_first = true;
    for (mode, node) in nodes.by_ref().take(MOST_PRINTED) {
        f.write_str(if is_first { "linked with " } else { ", " })?;
        is_first = false;
        f.write_str(node)?;
        f.write_str(match mode {
            LinkMode::Transceive => "",
            LinkMode::Monitor => " (is heard only)",
            LinkMode::LocalMonitor => " (is heard there only)",
            LinkMode::Connecting => " (connecting)",
        })?;
    }
    if is_first {
        return f.write_str("linked with nobody");
    }
    match nodes.count() {
        0 if list.is_cut() => f.write_str(" and more"),
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn said(text: &str) -> String {
        RadioText::parse(text).map_or_else(|| "none".into(), |text| text.to_string())
    }

    #[test]
    fn each_text_of_a_node_is_said_in_words() {
        let known = [
            ("!!DISCONNECT!!", "the link is over, for good"),
            ("!NEWKEY!", "keys by KEY and UNKEY"),
            ("!NEWKEY1!", "whoever sends voice is keyed"),
            ("!IAXKEY! 1 1 0 0", "a client that keys: 1 1 0 0"),
            (
                "L T2000,R2001,C2002,L2003",
                "linked with 2000, 2001 (is heard only), 2002 (connecting), 2003 (is heard there only)",
            ),
            ("L T2000,R000000", "linked with 2000 and more"),
            ("L ", "linked with nobody"),
            ("L", "linked with nobody"),
            ("M 2000 0 net at eight", "node 2000 to all: net at eight"),
            ("M 2000 2001 hello", "node 2000 to node 2001: hello"),
            ("T 2000 COMPLETE", "node 2000 tells COMPLETE"),
            ("C 2000 1 88.5", "node 2000 hears tone 88.5, for group 1"),
            ("K? * 2000 0 0", "node 2000 asks everybody: keyed?"),
            ("K? 2001 2000 0 0", "node 2000 asks node 2001: keyed?"),
            ("K 2000 2001 1 7", "node 2001 is keyed, for 7 s"),
            ("K 2000 2001 0 90", "node 2001 is not keyed, for 90 s"),
            ("K 2000 2001 0 0", "node 2001 is not keyed"),
            ("I 2000 I1234", "node 2000 hears radio I1234"),
            ("D 2001 2000 17 *", "node 2000 presses * for node 2001"),
            ("D 0 2000 18 3", "node 2000 presses 3"),
            ("R 143", "hears with 143 of 255"),
            ("G 2000 52.5200N 13.4050E 34", "position 2000 52.5200N 13.4050E 34"),
        ];
        for (text, words) in known {
            assert_eq!(said(text), words, "{text:?}");
        }
    }

    #[test]
    fn a_frame_that_is_printed_says_what_its_text_means() {
        let text = Message::text(b"K 2000 2001 1 7\0");
        assert_eq!(text.to_string(), r#"TEXT "K 2000 2001 1 7\0" (node 2001 is keyed, for 7 s)"#);
        assert_eq!(Message::text(b"good morning\0").to_string(), r#"TEXT "good morning\0""#);
    }

    #[test]
    fn what_no_node_says_is_no_text_of_a_node() {
        let strange = [
            "",
            " ",
            "hello",
            "K",
            "K 1 2",
            "K 1 2 x 0",
            "K 1 2 1 -3",
            "K 1 2 1 99999999999",
            "M 2000",
            "T 2000",
            "D 1 2 3",
            "D 1 2 x 3",
            "D 1 2 3 z",
            "R",
            "R 300",
            "R -1",
            "Lx",
            "LT2000",
            "l T2000",
            "J 1 2",
            "!NEWKEY",
            "!NEWKEY1! ",
            "T \u{1b}[2J x",
            "T 2000\u{7f} x",
            "T grün x",
        ];
        for text in strange {
            assert_eq!(RadioText::parse(text), None, "{text:?}");
        }
        let long = "9".repeat(LONGEST_WORD + 1);
        assert_eq!(said(&std::format!("T {long} x")), "none");
        assert_eq!(
            said("M 1 0 a\u{1b}[2Jb\u{9b}c"),
            "node 1 to all: a.[2Jb.c",
            "nothing that moves a cursor"
        );
    }

    #[test]
    fn of_a_list_what_is_no_node_is_left_out() {
        let Some(RadioText::Links(list)) =
            RadioText::parse("L T2000,,R,C ,27,T\u{1b}x,R000000,T2001")
        else {
            panic!("a list");
        };
        let nodes: Vec<_> = list.nodes().collect();
        let both = LinkMode::Transceive;
        assert_eq!(nodes, [(both, "2000"), (both, "27"), (both, "2001")]);
        assert!(list.is_cut());
        let many: Vec<String> = (0..50).map(|n| std::format!("T{}", 2000 + n)).collect();
        let many = std::format!("L {}", many.join(","));
        assert!(said(&many).ends_with("2019 and 30 more"), "{}", said(&many));
    }
}
