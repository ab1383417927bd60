//! Writing information elements.

use alloc::vec::Vec;

use crate::address;
use crate::element::{Element, Elements};
use crate::format::Format;
use crate::preferences::CodecPreferences;

/// Elements being put together for a frame.
///
/// ```
/// use oneport_wire::{Element, ElementBuffer, Format};
///
/// let mut elements = ElementBuffer::new();
/// elements.push(&Element::Version(2));
/// elements.push(&Element::CalledNumber("600".into()));
/// elements.push_codec_preferences(&[Format::ALAW, Format::ULAW]);
/// let bytes = elements.as_elements().as_bytes();
/// assert_eq!(bytes, b"\x0b\x02\x00\x02\x01\x03600\x2d\x02ED");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ElementBuffer {
    bytes: Vec<u8>,
}

impl ElementBuffer {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Appends an element. Data longer than 255 bytes is cut, text at the end of a character.
    pub fn push(&mut self, element: &Element<'_>) {
        let id = element.id();
        match *element {
            Element::CalledNumber(text)
            | Element::CallingNumber(text)
            | Element::CallingAni(text)
            | Element::CallingName(text)
            | Element::CalledContext(text)
            | Element::Username(text)
            | Element::Password(text)
            | Element::Language(text)
            | Element::Dnid(text)
            | Element::Md5Result(text)
            | Element::RsaResult(text)
            | Element::Cause(text)
            | Element::MusicOnHold(text)
            | Element::Rdnis(text)
            | Element::DeviceType(text)
            | Element::ServiceIdent(text)
            | Element::Variable(text) => self.text(id, text.as_bytes()),
            Element::Challenge(data)
            | Element::Provisioning(data)
            | Element::AesProvisioning(data)
            | Element::FirmwareBlockData(data)
            | Element::EncryptionKey(data)
            | Element::CallToken(data) => self.data(id, data),
            Element::IaxUnknown(value)
            | Element::CallingPresentation(value)
            | Element::CallingTypeOfNumber(value) => self.data(id, &[value]),
            Element::Version(value)
            | Element::AdsiCpe(value)
            | Element::Refresh(value)
            | Element::FirmwareVersion(value)
            | Element::CallingTransitNetwork(value)
            | Element::SamplingRate(value)
            | Element::ReceivedDelay(value) => self.data(id, &value.to_be_bytes()),
            Element::TransferId(value)
            | Element::FirmwareBlockDescription(value)
            | Element::ProvisioningVersion(value)
            | Element::ReceivedJitter(value)
            | Element::ReceivedFrames(value)
            | Element::ReceivedDropped(value)
            | Element::ReceivedOutOfOrder(value)
            | Element::CallingAni2(value) => self.data(id, &value.to_be_bytes()),
            Element::Capability(formats) | Element::Format(formats) => {
                self.data(id, &formats.low32().to_be_bytes())
            }
            Element::Capability2(formats) | Element::Format2(formats) => {
                self.bytes.extend([id, 9, 0]);
                self.bytes.extend(formats.0.to_be_bytes());
            }
            Element::AuthMethods(methods) => self.data(id, &methods.0.to_be_bytes()),
            Element::Encryption(methods) => self.data(id, &methods.0.to_be_bytes()),
            Element::DialplanStatus(status) => self.data(id, &status.0.to_be_bytes()),
            Element::CallNumber(number) => self.data(id, &number.get().to_be_bytes()),
            Element::CauseCode(code) => self.data(id, &[code.0]),
            Element::MessageCount(count) => self.data(id, &[count.old, count.new]),
            Element::AutoAnswer => self.data(id, &[]),
            Element::DateTime(time) => self.data(id, &time.to_packed().to_be_bytes()),
            Element::CodecPreferences(list) => self.data(id, list.as_bytes()),
            Element::ReceivedLoss { percent, count } => {
                let [_, high, middle, low] = count.to_be_bytes();
                self.data(id, &[percent, high, middle, low]);
            }
            Element::OspToken { index, data } => {
                let data = data.get(..254).unwrap_or(data);
                let len = u8::try_from(data.len() + 1).unwrap_or(u8::MAX);
                self.bytes.extend([id, len, index]);
                self.bytes.extend(data);
            }
            Element::ApparentAddress(socket) => {
                let (bytes, len) = address::encode(socket);
                self.data(id, bytes.get(..len).unwrap_or_default());
            }
            Element::Unknown { id, data } | Element::Malformed { id, data } => self.data(id, data),
        }
    }

    /// Appends an order of preference, best first. Formats without a letter, and those beyond the
    /// 31st, are left out.
    pub fn push_codec_preferences(&mut self, formats: &[Format]) {
        let letters = formats.iter().filter_map(|format| format.preference_letter());
        let letters: Vec<u8> = letters.take(CodecPreferences::MAX_LEN).collect();
        self.push(&Element::CodecPreferences(CodecPreferences::new(&letters)));
    }

    fn data(&mut self, id: u8, data: &[u8]) {
        let data = data.get(..255).unwrap_or(data);
        self.bytes.extend([id, u8::try_from(data.len()).unwrap_or(u8::MAX)]);
        self.bytes.extend(data);
    }

    fn text(&mut self, id: u8, text: &[u8]) {
        let mut end = text.len().min(255);
        // A byte 10xxxxxx goes on with a character.
        while end < text.len() && end > 0 && text.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
            end -= 1;
        }
        self.data(id, text.get(..end).unwrap_or_default());
    }

    /// The elements so far.
    #[must_use]
    pub fn as_elements(&self) -> Elements<'_> {
        Elements::written(&self.bytes)
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
