//! What a caller asks for, going out and coming in.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use oneport_wire::{
    DateTime, Element, ElementBuffer, Elements, EncryptionMethods, Format, FormatSet, MediaKind,
    SamplingRates, Str,
};

use crate::crypt::EncryptionPolicy;
use crate::keys::PrivateKey;
use crate::path::Path;
use crate::provision::Device;
use crate::secret::Secret;

/// IAX protocol version sent in NEW and the highest accepted (RFC 5456 §8.6.10).
pub(crate) const PROTOCOL_VERSION: u16 = 2;

/// Variables of an offered call that are taken.
const MOST_VARIABLES: usize = 64;

/// Bytes of elements in which they may come.
const MOST_VARIABLE_BYTES: usize = 8_192;

/// Kind and length of an element.
const ELEMENT_HEADER: usize = 2;

/// A call offered to us: what its NEW said.
///
/// ```
/// use oneport_proto::NewCall;
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let mut call = NewCall::to("100");
/// # call.calling_number = Some("200".into());
/// # let (_, _, offer) = offered(now, &mut here, &mut there, call);
/// // 200 calls 100, from an address that has shown that it receives there.
/// assert_eq!(offer.called_number, "100");
/// assert_eq!(offer.calling_number.as_deref(), Some("200"));
/// assert!(offer.address_validated);
/// assert_eq!(offer.preferences, [Format::ULAW, Format::ALAW]);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Offer {
    /// Where it came from.
    pub path: Path,
    /// Whether the caller proved, by a call token, that it receives at that address.
    pub address_validated: bool,
    /// The number or name called; `s` where none was given.
    pub called_number: String,
    /// The context in which the caller wants it looked up.
    pub called_context: Option<String>,
    /// The caller's number.
    pub calling_number: Option<String>,
    /// The caller's name.
    pub calling_name: Option<String>,
    /// The number to be billed (ANI).
    pub calling_ani: Option<String>,
    /// The user name under which the caller wants to be known.
    pub username: Option<String>,
    /// Language tag.
    pub language: Option<String>,
    /// The number dialled at first.
    pub dnid: Option<String>,
    /// The number that redirected the call.
    pub rdnis: Option<String>,
    /// Presentation and screening of the caller's number (RFC 5456 §8.6.29).
    pub calling_presentation: Option<u8>,
    /// Type and plan of the caller's number (Q.931).
    pub calling_type_of_number: Option<u8>,
    /// Transit network chosen by the caller.
    pub calling_transit_network: Option<u16>,
    /// Originating line information (ANI II).
    pub calling_ani2: Option<u32>,
    /// A token of the Open Settlement Protocol, put together from its parts.
    pub osp_token: Vec<u8>,
    /// All formats the caller can do.
    pub formats: FormatSet,
    /// The format or formats it would like best.
    pub wanted: FormatSet,
    /// Its order of preference, best first; empty where it gave none.
    pub preferences: Vec<Format>,
    /// The sampling rates at which it can hear, where it names some.
    pub sampling_rates: SamplingRates,
    /// Whether it asks to be answered at once.
    pub auto_answer: bool,
    /// The caller's date and time, as a hint for displays.
    pub date_time: Option<DateTime>,
    /// How it can be encrypted.
    pub encryption: EncryptionMethods,
    /// What the caller says of itself, if it is a device.
    pub device: Device,
    /// Variables handed over with the call, in order: the first 64, and 8,192 bytes of elements.
    /// What comes behind is left out and counted
    /// ([`Counters::variables_left_out`](crate::Counters::variables_left_out)).
    pub variables: Vec<(String, String)>,
}

impl Offer {
    /// Reads the elements of a NEW. The second value is its protocol version, the third the number
    /// of its variables that were left out.
    pub(crate) fn read(path: Path, elements: Elements<'_>) -> (Self, u16, u64) {
        let mut offer = Self {
            path,
            address_validated: false,
            called_number: String::new(),
            called_context: None,
            calling_number: None,
            calling_name: None,
            calling_ani: None,
            username: None,
            language: None,
            dnid: None,
            rdnis: None,
            calling_presentation: None,
            calling_type_of_number: None,
            calling_transit_network: None,
            calling_ani2: None,
            osp_token: Vec::new(),
            formats: FormatSet::EMPTY,
            wanted: FormatSet::EMPTY,
            preferences: Vec::new(),
            sampling_rates: SamplingRates::default(),
            auto_answer: false,
            date_time: None,
            encryption: EncryptionMethods::default(),
            device: Device::read(elements),
            variables: Vec::new(),
        };
        let (mut version, mut capability, mut capability2) = (PROTOCOL_VERSION, None, None);
        let (mut format, mut format2) = (None, None);
        let (mut room, mut left_out) = (MOST_VARIABLE_BYTES, 0);
        for element in elements.iter() {
            match element {
                Element::Version(value) => version = value,
                Element::CalledNumber(text) => offer.called_number = text.to_string(),
                Element::CalledContext(text) => offer.called_context = filled(text),
                Element::CallingNumber(text) => offer.calling_number = filled(text),
                Element::CallingName(text) => offer.calling_name = filled(text),
                Element::CallingAni(text) => offer.calling_ani = filled(text),
                Element::Username(text) => offer.username = filled(text),
                Element::Language(text) => offer.language = filled(text),
                Element::Dnid(text) => offer.dnid = filled(text),
                Element::Rdnis(text) => offer.rdnis = filled(text),
                Element::CallingPresentation(value) => offer.calling_presentation = Some(value),
                Element::CallingTypeOfNumber(value) => offer.calling_type_of_number = Some(value),
                Element::CallingTransitNetwork(value) => {
                    offer.calling_transit_network = Some(value);
                }
                Element::CallingAni2(value) => offer.calling_ani2 = Some(value),
                // Parts come in order, four at most.
                Element::OspToken { index: 0..=3, data } => offer.osp_token.extend(data),
                Element::Capability(set) => capability = Some(set),
                Element::Capability2(set) => capability2 = Some(set),
                Element::Format(set) => format = Some(set),
                Element::Format2(set) => format2 = Some(set),
                Element::CodecPreferences(list) => offer.preferences = list.iter().collect(),
                Element::SamplingRate(content) => offer.sampling_rates = SamplingRates(content),
                Element::AutoAnswer => offer.auto_answer = true,
                Element::DateTime(value) => offer.date_time = Some(value),
                Element::Encryption(methods) => offer.encryption = methods,
                Element::Variable(text) => {
                    let taken = append_variable(&mut offer.variables, &mut room, text);
                    left_out += u64::from(!taken);
                }
                _ => {}
            }
        }
        offer.wanted = format2.or(format).unwrap_or(FormatSet::EMPTY);
        // Without a capability the wish is all that the caller is known to understand.
        offer.formats = capability2.or(capability).unwrap_or(offer.wanted);
        if offer.called_number.is_empty() {
            offer.called_number.push('s');
        }
        (offer, version, left_out)
    }
}

fn filled(text: Str<'_>) -> Option<String> {
    (!text.as_bytes().is_empty()).then(|| text.to_string())
}

/// A value longer than an element comes in pieces under the same name. `false`: it is left out, as
/// is all behind it, so that no value lacks a piece in its middle and a long NEW costs no long
/// searches. `room` is what may follow, in bytes of elements with their headers.
fn append_variable(variables: &mut Vec<(String, String)>, room: &mut usize, text: Str<'_>) -> bool {
    let Some(left) = room.checked_sub(ELEMENT_HEADER + text.as_bytes().len()) else {
        *room = 0;
        return false;
    };
    let text = text.to_string();
    let (name, value) = text.split_once('=').unwrap_or((&text, ""));
    let full = variables.len() >= MOST_VARIABLES;
    match variables.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => known.push_str(value),
        None if full => {
            *room = 0;
            return false;
        }
        None => variables.push((name.to_string(), value.to_string())),
    }
    *room = left;
    true
}

/// A call to be placed. Start from [`NewCall::to`] and set what matters.
///
/// ```
/// use oneport_proto::{EncryptionPolicy, NewCall};
/// use oneport_wire::Format;
///
/// let call = NewCall {
///     calling_number: Some("200".into()),
///     username: Some("ann".into()),
///     secret: Some("a secret".into()),
///     encryption: EncryptionPolicy::Required,
///     formats: vec![Format::G722, Format::ULAW],
///     ..NewCall::to("100")
/// };
/// // It can go into a log: the secret does not print.
/// assert!(!format!("{call:?}").contains("a secret"));
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct NewCall {
    /// The number or name to call.
    pub called_number: String,
    /// The context at the peer; it has a default.
    pub called_context: Option<String>,
    /// Our number.
    pub calling_number: Option<String>,
    /// Our name.
    pub calling_name: Option<String>,
    /// The number to be billed.
    pub calling_ani: Option<String>,
    /// The user name under which the peer knows us.
    pub username: Option<String>,
    /// The secret that goes with it.
    pub secret: Option<Secret>,
    /// The key by which we prove who we are, to a peer that takes RSA.
    pub key: Option<PrivateKey>,
    /// Whether the call is encrypted. The secret yields the key of that, so it needs one.
    pub encryption: EncryptionPolicy,
    /// Whether the secret may be sent in the clear to a peer that asks for it so.
    pub allow_plaintext: bool,
    /// Formats we can do, best first; at least one that is not video. Video among them means that
    /// the call may carry it.
    pub formats: Vec<Format>,
    /// Language tag.
    pub language: Option<String>,
    /// The number dialled at first.
    pub dnid: Option<String>,
    /// The number that redirected the call.
    pub rdnis: Option<String>,
    /// Presentation and screening of our number (RFC 5456 §8.6.29); 0 is "allowed".
    pub calling_presentation: u8,
    /// Type and plan of our number (Q.931).
    pub calling_type_of_number: u8,
    /// Transit network.
    pub calling_transit_network: u16,
    /// Originating line information (ANI II).
    pub calling_ani2: u32,
    /// A token of the Open Settlement Protocol, 1,016 bytes at most.
    pub osp_token: Vec<u8>,
    /// Asks the peer to answer at once, as an intercom does.
    pub auto_answer: bool,
    /// The date and time here in UTC, as a hint for displays.
    pub date_time: Option<DateTime>,
    /// Variables handed over with the call.
    pub variables: Vec<(String, String)>,
    /// The call ends when the peer has said nothing at all within twice this time; zero: it waits
    /// for all repetitions of NEW. `None`: as the endpoint is configured.
    pub autokill: Option<Duration>,
}

impl NewCall {
    /// A call to `number` in µ-law or A-law, with nothing else said.
    #[must_use]
    pub fn to(number: impl Into<String>) -> Self {
        Self {
            called_number: number.into(),
            called_context: None,
            calling_number: None,
            calling_name: None,
            calling_ani: None,
            username: None,
            secret: None,
            key: None,
            encryption: EncryptionPolicy::Off,
            allow_plaintext: false,
            formats: alloc::vec![Format::ULAW, Format::ALAW],
            language: None,
            dnid: None,
            rdnis: None,
            calling_presentation: 0,
            calling_type_of_number: 0,
            calling_transit_network: 0,
            calling_ani2: 0,
            osp_token: Vec::new(),
            auto_answer: false,
            date_time: None,
            variables: Vec::new(),
            autokill: None,
        }
    }

    /// The set of [`formats`](Self::formats).
    pub(crate) fn format_set(&self) -> FormatSet {
        self.formats.iter().copied().collect()
    }

    /// The elements of its NEW (RFC 5456 §6.2.2), VERSION first and without the call token, which
    /// comes last.
    pub(crate) fn elements(&self) -> ElementBuffer {
        let mut buffer = ElementBuffer::new();
        buffer.push(&Element::Version(PROTOCOL_VERSION));
        buffer.push(&Element::CalledNumber(self.called_number.as_str().into()));
        if self.auto_answer {
            buffer.push(&Element::AutoAnswer);
        }
        // Audio first: Asterisk finds nothing where its choice begins with video.
        let mut preferences = self.formats.clone();
        preferences.sort_by_key(|format| format.kind() == MediaKind::Video);
        buffer.push_codec_preferences(&preferences);
        fn text<'a>(
            value: &'a Option<String>,
            make: fn(Str<'a>) -> Element<'a>,
        ) -> Option<Element<'a>> {
            value.as_deref().map(|text| make(text.into()))
        }
        let texts = [
            text(&self.calling_number, Element::CallingNumber),
            text(&self.calling_name, Element::CallingName),
            text(&self.calling_ani, Element::CallingAni),
            text(&self.language, Element::Language),
            text(&self.dnid, Element::Dnid),
            text(&self.rdnis, Element::Rdnis),
            text(&self.called_context, Element::CalledContext),
            text(&self.username, Element::Username),
        ];
        texts.iter().flatten().for_each(|element| buffer.push(element));
        if self.encryption != EncryptionPolicy::Off {
            let methods = EncryptionMethods::AES128.union(EncryptionMethods::KEY_ROTATION);
            buffer.push(&Element::Encryption(methods));
        }
        buffer.push(&Element::CallingPresentation(self.calling_presentation));
        buffer.push(&Element::CallingTypeOfNumber(self.calling_type_of_number));
        buffer.push(&Element::CallingTransitNetwork(self.calling_transit_network));
        buffer.push(&Element::CallingAni2(self.calling_ani2));
        let formats = self.format_set();
        // A peer that does what is asked for, as Asterisk can be told to, takes the video as well.
        let wanted: FormatSet = preferences.first().copied().into_iter().collect();
        let wanted = wanted | formats.video();
        buffer.push(&Element::Format(wanted));
        buffer.push(&Element::Format2(wanted));
        buffer.push(&Element::Capability(formats));
        buffer.push(&Element::Capability2(formats));
        if let Some(date_time) = self.date_time {
            buffer.push(&Element::DateTime(date_time));
        }
        for (index, data) in (0_u8..4).zip(self.osp_token.chunks(254)) {
            buffer.push(&Element::OspToken { index, data });
        }
        for (name, value) in &self.variables {
            push_variable(&mut buffer, name, value);
        }
        buffer
    }
}

/// A variable, in pieces where it is longer than one element.
fn push_variable(buffer: &mut ElementBuffer, name: &str, value: &str) {
    let room = 254_usize.saturating_sub(name.len());
    if room < 4 {
        return;
    }
    let mut rest = value;
    loop {
        let mut cut = rest.len().min(room);
        while !rest.is_char_boundary(cut) {
            cut -= 1;
        }
        let (piece, remaining) = rest.split_at(cut);
        let text = alloc::format!("{name}={piece}");
        buffer.push(&Element::Variable(text.as_str().into()));
        rest = remaining;
        if rest.is_empty() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Path {
        Path::from(core::net::SocketAddr::from(([192, 0, 2, 1], 4569)))
    }

    #[test]
    fn what_a_new_call_says_is_what_the_offer_reads() {
        let mut call = NewCall::to("600");
        call.calling_number = Some("100".into());
        call.calling_name = Some("Ada".into());
        call.username = Some("dialer".into());
        call.called_context = Some("default".into());
        call.formats = alloc::vec![Format::OPUS, Format::ALAW];
        call.variables = alloc::vec![("id".into(), "7".repeat(600)), ("empty".into(), "".into())];
        let buffer = call.elements();
        let (offer, version, left_out) = Offer::read(path(), buffer.as_elements());
        assert_eq!((version, left_out), (2, 0));
        assert_eq!(offer.called_number, "600");
        assert_eq!(offer.calling_name.as_deref(), Some("Ada"));
        assert_eq!(offer.username.as_deref(), Some("dialer"));
        assert_eq!(offer.preferences, [Format::OPUS, Format::ALAW]);
        assert!(offer.formats.contains(Format::OPUS) && offer.formats.contains(Format::ALAW));
        assert_eq!(offer.variables, call.variables);
    }

    #[test]
    fn a_format_of_32_bits_of_64_or_none_is_understood() {
        let wide: FormatSet = [Format::OPUS, Format::ULAW].into_iter().collect();
        let narrow: FormatSet = [Format::GSM].into_iter().collect();
        let none = FormatSet::default();
        let from = core::net::SocketAddr::from(([192, 0, 2, 1], 4569));
        let read = |elements: &[Element<'_>]| {
            let mut buffer = ElementBuffer::new();
            for element in elements {
                buffer.push(element);
            }
            let (offer, ..) = Offer::read(from.into(), buffer.as_elements());
            (offer.wanted, offer.formats)
        };
        let old = [Element::Format(narrow), Element::Capability(narrow)];
        assert_eq!(read(&old), (narrow, narrow));
        let new = [Element::Format2(wide), Element::Capability2(wide)];
        assert_eq!(read(&new), (wide, wide));
        // The old ones can say half of it, or nothing, wherever they stand.
        let both = [new[0], new[1], Element::Format(none), Element::Capability(narrow)];
        assert_eq!(read(&both), (wide, wide));
        let without_wish = [Element::Format(none), Element::Capability(narrow)];
        assert_eq!(read(&without_wish), (none, narrow));
    }

    #[test]
    fn sixty_four_variables_of_a_new_are_taken_and_the_rest_is_counted() {
        let mut buffer = ElementBuffer::new();
        for n in 0..9_900 {
            buffer.push(&Element::Variable(alloc::format!("{n}").as_str().into()));
        }
        let (offer, _, left_out) = Offer::read(path(), buffer.as_elements());
        assert_eq!(offer.variables.len(), 64);
        assert_eq!(offer.variables[63].0, "63");
        assert_eq!(left_out, 9_900 - 64);
    }

    #[test]
    fn eight_kilobytes_of_variables_are_taken_and_no_value_lacks_its_middle() {
        let mut buffer = ElementBuffer::new();
        for _ in 0..40 {
            push_variable(&mut buffer, "a", &"7".repeat(200));
        }
        // It would fit, but what comes before it did not.
        for _ in 0..3 {
            push_variable(&mut buffer, "b", "");
        }
        push_variable(&mut buffer, "a", &"8".repeat(200));
        push_variable(&mut buffer, "b", "9");
        let (offer, _, left_out) = Offer::read(path(), buffer.as_elements());
        let [(a, sevens), (b, nothing)] = &offer.variables[..] else { panic!() };
        assert_eq!((a.as_str(), sevens.len()), ("a", 8_000));
        assert_eq!((b.as_str(), nothing.as_str(), left_out), ("b", "", 2));
    }

    #[test]
    fn the_newer_elements_of_formats_go_before_the_old_ones() {
        let one = |format: Format| [format].into_iter().collect::<FormatSet>();
        let mut elements = [
            Element::Format2(one(Format::OPUS)),
            Element::Capability2(one(Format::OPUS)),
            Element::Format(one(Format::GSM)),
            Element::Capability(one(Format::GSM)),
        ];
        for _ in 0..2 {
            let mut buffer = ElementBuffer::new();
            elements.iter().for_each(|element| buffer.push(element));
            let (offer, ..) = Offer::read(path(), buffer.as_elements());
            assert_eq!((offer.wanted, offer.formats), (one(Format::OPUS), one(Format::OPUS)));
            elements.reverse();
        }
    }

    #[test]
    fn an_offer_without_capability_can_do_what_it_wants() {
        let mut buffer = ElementBuffer::new();
        buffer.push(&Element::Format([Format::GSM].into_iter().collect()));
        let (offer, ..) = Offer::read(path(), buffer.as_elements());
        assert!(offer.formats.contains(Format::GSM));
        assert_eq!(offer.called_number, "s");
    }

    #[test]
    fn the_sampling_rates_of_a_caller_are_told() {
        for (content, rates) in [(0x0005, &[8_000, 16_000][..]), (16_000, &[16_000])] {
            let mut buffer = ElementBuffer::new();
            buffer.push(&Element::SamplingRate(content));
            let (offer, ..) = Offer::read(path(), buffer.as_elements());
            assert_eq!(offer.sampling_rates.iter().collect::<Vec<_>>(), rates);
        }
    }

    #[test]
    fn audio_goes_before_video_in_what_a_new_call_asks_for() {
        let mut call = NewCall::to("600");
        call.formats = alloc::vec![Format::H264, Format::ALAW, Format::VP8, Format::ULAW];
        let (offer, ..) = Offer::read(path(), call.elements().as_elements());
        let expected = [Format::ALAW, Format::ULAW, Format::H264, Format::VP8];
        assert_eq!(offer.preferences, expected);
        assert_eq!(offer.wanted, [Format::ALAW, Format::H264, Format::VP8].into_iter().collect());
        assert_eq!(offer.formats, call.format_set());
    }
}
