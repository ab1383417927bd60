//! Firmware of devices (FWDOWNL, FWDATA): fetched, and served where that is switched on.
//!
//! ```text
//! device                                    server
//!   FWDOWNL, device and block 0 →
//!                                             ← CALLTOKEN; FWDOWNL again with the token
//!                                             ← FWDATA, block 0
//!   FWDOWNL, block 1 →                        ← FWDATA, block 1
//!   …                                         ← FWDATA, shorter than a block: that was all
//! ```
//!
//! What goes over the wire is the image without the header of its file, as in Asterisk.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use md5::{Digest, Md5};
use oneport_wire::{
    CauseCode, Element, ElementBuffer, Elements, FirmwareHeader, FullHeader, IaxSubclass, Str,
    Timestamp,
};
use thiserror::Error;

use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::{DropReason, Limit};
use crate::endpoint::Endpoint;
use crate::error::CommandError;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::id::FirmwareId;
use crate::path::Path;
use crate::slots::Role;

/// Bytes of a block that we ask for: all that an element carries.
const BLOCK: u8 = 255;

/// CALLTOKEN replies followed in one transfer.
const TOKEN_ATTEMPTS: u8 = 3;

/// Peers take a token for about 10 s.
const OLD_TOKEN: Duration = Duration::from_secs(5);

/// How long either side waits for the other's next word: longer than a lost frame is repeated (32 s), so
/// that this ends only what was heard and not answered.
const PATIENCE: Duration = Duration::from_secs(40);

/// An image of firmware for one kind of device.
///
/// ```
/// use oneport_proto::FirmwareImage;
///
/// let image = FirmwareImage::new("desk phone", 12, b"the program of a phone")?;
/// let read = FirmwareImage::parse(&image.to_file())?;
/// assert_eq!((read.device(), read.version()), ("desk phone", 12));
/// assert_eq!(read.data(), b"the program of a phone");
/// # Ok::<(), oneport_proto::FirmwareError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct FirmwareImage {
    version: u16,
    device: String,
    data: Arc<[u8]>,
}

/// A file is no firmware image.
///
/// ```
/// use oneport_proto::{FirmwareError, FirmwareImage};
///
/// let mut file = FirmwareImage::new("desk phone", 12, b"the program of a phone")?.to_file();
/// let last = file.pop();
/// assert_eq!(
///     FirmwareImage::parse(&file).err(),
///     Some(FirmwareError::WrongLength { said: 22, found: 21 }),
/// );
/// file.push(!last.unwrap_or_default());
/// assert_eq!(FirmwareImage::parse(&file).err(), Some(FirmwareError::WrongDigest));
/// # Ok::<(), FirmwareError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum FirmwareError {
    /// It does not begin with the header of firmware.
    #[error("it does not begin with the header of IAX2 firmware")]
    NotFirmware,
    /// It names no device.
    #[error("its header names no device")]
    NoDevice,
    /// The image is not as long as the header says.
    #[error("its header tells of {said} bytes, and {found} follow")]
    WrongLength {
        /// What the header says.
        said: u32,
        /// What there is.
        found: usize,
    },
    /// The image is not the one whose MD5 the header has.
    #[error("its MD5 is not that of its header")]
    WrongDigest,
    /// More than [`FirmwareImage::LONGEST`].
    #[error("it is longer than 16 MiB")]
    TooLong,
}

impl FirmwareImage {
    /// Longest image that is fetched or served: 16 MiB.
    pub const LONGEST: usize = 16 << 20;

    /// An image that has no header yet. A device name longer than 16 bytes is cut.
    ///
    /// # Errors
    /// It names no device, or is too long.
    pub fn new(device: &str, version: u16, data: &[u8]) -> Result<Self, FirmwareError> {
        let mut end = device.len().min(16);
        while !device.is_char_boundary(end) {
            end -= 1;
        }
        let device = device.get(..end).unwrap_or_default();
        if device.is_empty() {
            return Err(FirmwareError::NoDevice);
        }
        if data.len() > Self::LONGEST {
            return Err(FirmwareError::TooLong);
        }
        Ok(Self { version, device: device.into(), data: data.into() })
    }

    /// Reads a file: 42 bytes of header, then the image that the header tells of.
    ///
    /// # Errors
    /// It is no firmware, or not whole.
    pub fn parse(file: &[u8]) -> Result<Self, FirmwareError> {
        let header = FirmwareHeader::decode(file).ok_or(FirmwareError::NotFirmware)?;
        let data = file.get(FirmwareHeader::LEN..).unwrap_or_default();
        let said = header.len;
        if u32::try_from(data.len()) != Ok(said) {
            return Err(FirmwareError::WrongLength { said, found: data.len() });
        }
        if <[u8; 16]>::from(Md5::digest(data)) != header.md5 {
            return Err(FirmwareError::WrongDigest);
        }
        Self::new(&header.device.to_string(), header.version, data)
    }

    /// The file that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        let header = FirmwareHeader {
            version: self.version,
            device: self.device.as_str().into(),
            len: u32::try_from(self.data.len()).unwrap_or(u32::MAX),
            md5: self.md5(),
        };
        let mut file = header.encode().to_vec();
        file.extend_from_slice(&self.data);
        file
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// The device it is for, 16 bytes at most.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The image without its header.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// MD5 over the image.
    #[must_use]
    pub fn md5(&self) -> [u8; 16] {
        Md5::digest(&self.data).into()
    }

    /// What a block description asks for: the high 24 bits number blocks of as many bytes as the low
    /// eight say. Nothing behind the end, and `None` for blocks of no size.
    fn block(&self, description: u32) -> Option<&[u8]> {
        let size = usize::try_from(description & 0xFF).ok().filter(|size| *size > 0)?;
        let number = usize::try_from(description >> 8).unwrap_or(usize::MAX);
        let start = number.saturating_mul(size);
        let rest = self.data.get(start..).unwrap_or_default();
        Some(rest.get(..size).unwrap_or(rest))
    }
}

impl fmt::Debug for FirmwareImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({} bytes)", self.device, self.version, self.data.len())
    }
}

/// The image for a device that names itself so.
pub(crate) fn find_image<'a>(
    images: &'a [FirmwareImage],
    device: &str,
) -> Option<&'a FirmwareImage> {
    images.iter().filter(|image| image.device == device).max_by_key(|image| image.version)
}

/// Why firmware could not be fetched.
///
/// ```
/// use oneport_proto::{Event, FirmwareFailure};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// let fetch = here.fetch_firmware(now, THERE, "desk phone")?;
/// exchange(now, &mut here, &mut there);
/// // It has none for anybody.
/// let failure = FirmwareFailure::Unsupported;
/// assert_eq!(here.poll_event(), Some(Event::FirmwareFailed { fetch, failure }));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FirmwareFailure {
    /// The server refused: it has none for this device, or does not let us have it.
    Refused {
        /// Its cause code, if any.
        cause: Option<CauseCode>,
        /// Its words, if any.
        text: Option<String>,
    },
    /// The server does not serve firmware (UNSUPPORT).
    Unsupported,
    /// The server did not answer, or fell silent.
    TimedOut,
    /// What it sent makes no sense, or is longer than [`FirmwareImage::LONGEST`].
    Malformed,
}

/// Firmware being fetched.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) exchange: Exchange,
    device: String,
    /// The block asked for.
    block: u32,
    data: Vec<u8>,
    tokens: u8,
    token_came: Option<Instant>,
    ends: Instant,
}

/// How a fetch ended: the image, or why not.
type Fetched = Result<Vec<u8>, FirmwareFailure>;

impl Fetch {
    fn begin(cx: &mut Context, now: Instant, mut exchange: Exchange, device: &str) -> Self {
        let ends = now + cx.config.setup_timeout;
        let mut elements = Self::elements(device, 0);
        elements.push(&Element::CallToken(&[]));
        exchange.send_iax(cx, now, IaxSubclass::FwDownl, &elements);
        let device = device.into();
        Self { exchange, device, block: 0, data: Vec::new(), tokens: 0, token_came: None, ends }
    }

    fn elements(device: &str, block: u32) -> ElementBuffer {
        let mut elements = ElementBuffer::new();
        elements.push(&Element::DeviceType(device.into()));
        elements.push(&Element::FirmwareBlockDescription(describe(block)));
        elements
    }

    fn receive(
        &mut self,
        cx: &mut Context,
        now: Instant,
        timestamp: Timestamp,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Result<(), Fetched> {
        match subclass {
            IaxSubclass::FwData => return self.take_block(cx, now, elements),
            IaxSubclass::Reject | IaxSubclass::Hangup => return Err(Err(refused(elements))),
            IaxSubclass::Unsupport => return Err(Err(FirmwareFailure::Unsupported)),
            IaxSubclass::Inval => {
                self.exchange.full.reliable.clear();
                return Err(Err(FirmwareFailure::TimedOut));
            }
            IaxSubclass::Ping => self.exchange.answer_ping(cx, now, timestamp),
            IaxSubclass::Ack | IaxSubclass::Vnak => {}
            _ => cx.counters.drop(DropReason::Unexpected),
        }
        Ok(())
    }

    fn take_block(
        &mut self,
        cx: &mut Context,
        now: Instant,
        elements: Elements<'_>,
    ) -> Result<(), Fetched> {
        let (mut described, mut block) = (None, None);
        for element in elements.iter() {
            match element {
                Element::FirmwareBlockDescription(description) => described = Some(description),
                Element::FirmwareBlockData(data) => block = Some(data),
                _ => {}
            }
        }
        let Some(block) = block else { return Err(Err(FirmwareFailure::Malformed)) };
        if described.is_some_and(|described| described != describe(self.block)) {
            // Not the block that was asked for.
            cx.counters.drop(DropReason::Unexpected);
            return Ok(());
        }
        self.data.extend_from_slice(block);
        if self.data.len() > FirmwareImage::LONGEST {
            // The server is told to wait for no more.
            self.exchange.send_iax(cx, now, IaxSubclass::Hangup, &ElementBuffer::new());
            return Err(Err(FirmwareFailure::Malformed));
        }
        if block.len() < usize::from(BLOCK) {
            return Err(Ok(core::mem::take(&mut self.data)));
        }
        self.block += 1;
        self.ends = now + PATIENCE;
        let elements = Self::elements(&self.device, self.block);
        self.exchange.send_iax(cx, now, IaxSubclass::FwDownl, &elements);
        Ok(())
    }

    /// Takes an answer from somebody who keeps no state.
    fn receive_stateless(
        &mut self,
        cx: &mut Context,
        now: Instant,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Result<(), Fetched> {
        let token = match subclass {
            IaxSubclass::CallToken if self.tokens < TOKEN_ATTEMPTS => {
                self.tokens += 1;
                self.token_came = Some(now);
                let token = elements.iter().find_map(|element| match element {
                    Element::CallToken(token) => Some(token),
                    _ => None,
                });
                token.unwrap_or_default()
            }
            // It was lost so often that its token grew old on the way: ask for another.
            IaxSubclass::Reject
                if self.tokens < TOKEN_ATTEMPTS
                    && self.token_came.is_some_and(|came| now.since(came) >= OLD_TOKEN) =>
            {
                self.token_came = None;
                &[]
            }
            IaxSubclass::Reject => return Err(Err(refused(elements))),
            IaxSubclass::Unsupport => return Err(Err(FirmwareFailure::Unsupported)),
            _ => {
                cx.counters.drop(DropReason::Unexpected);
                return Ok(());
            }
        };
        let mut again = Self::elements(&self.device, 0);
        again.push(&Element::CallToken(token));
        self.exchange.reopen(cx, now, IaxSubclass::FwDownl, &again);
        Ok(())
    }

    fn handle_timeout(&mut self, cx: &mut Context, now: Instant) -> Result<(), Fetched> {
        if self.exchange.handle_timeout(cx, now).is_err() || self.ends <= now {
            return Err(Err(FirmwareFailure::TimedOut));
        }
        Ok(())
    }

    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        Some(self.exchange.deadline(cx).map_or(self.ends, |deadline| deadline.min(self.ends)))
    }
}

/// Number and size of a block as FWBLOCKDESC has them.
const fn describe(block: u32) -> u32 {
    block << 8 | BLOCK as u32
}

fn refused(elements: Elements<'_>) -> FirmwareFailure {
    let (mut cause, mut text) = (None, None);
    for element in elements.iter() {
        match element {
            Element::CauseCode(code) => cause = Some(code),
            Element::Cause(words) => text = Some(words.to_string()),
            _ => {}
        }
    }
    FirmwareFailure::Refused { cause, text }
}

/// A device that fetches firmware here. What it asks for stands in each of its requests.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) exchange: Exchange,
    pub(crate) ends: Instant,
}

impl Serving {
    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        Some(self.exchange.deadline(cx).map_or(self.ends, |deadline| deadline.min(self.ends)))
    }
}

/// What a FWDOWNL asks for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    device: Str<'a>,
    description: u32,
}

impl<'a> Wanted<'a> {
    /// Reads the elements; `None` when one is missing.
    pub(crate) fn read(elements: Elements<'a>) -> Option<Self> {
        let (mut device, mut description) = (None, None);
        for element in elements.iter() {
            match element {
                Element::DeviceType(name) => device = Some(name),
                Element::FirmwareBlockDescription(value) => description = Some(value),
                _ => {}
            }
        }
        Some(Self { device: device?, description: description? })
    }

    /// Whether there is such an image, and such a block.
    pub(crate) fn is_here(self, images: &[FirmwareImage]) -> bool {
        self.answer(images).is_some()
    }

    /// The answer, and whether it is the last; `None` when there is no such image or block.
    fn answer(self, images: &[FirmwareImage]) -> Option<(ElementBuffer, bool)> {
        let block = find_image(images, self.device.to_str()?)?.block(self.description)?;
        let mut elements = ElementBuffer::new();
        elements.push(&Element::FirmwareBlockDescription(self.description));
        elements.push(&Element::FirmwareBlockData(block));
        let full = u32::try_from(block.len()) == Ok(self.description & 0xFF);
        Some((elements, !full))
    }
}

/// Firmware.
impl Endpoint {
    /// Fetches the firmware of `device` from a server. [`Event::FirmwareFetched`] or
    /// [`Event::FirmwareFailed`] follows.
    ///
    /// What comes is the image as the server has it; nothing proves that it is genuine.
    ///
    /// # Errors
    /// The name is empty or longer than 255 bytes, or a limit is reached.
    pub fn fetch_firmware(
        &mut self,
        now: Instant,
        from: SocketAddr,
        device: &str,
    ) -> Result<FirmwareId, CommandError> {
        if device.is_empty() || device.len() > 255 {
            return Err(CommandError::InvalidDevice);
        }
        let exchange = self.opening_exchange(now, from)?;
        let fetch = Fetch::begin(&mut self.cx, now, exchange, device);
        let (slot, generation) =
            self.slots.insert(Role::Fetch(alloc::boxed::Box::new(fetch)), false);
        self.slots.schedule(&mut self.cx, slot);
        Ok(FirmwareId { slot, generation })
    }

    /// Serves these images from now on, and no others; none: firmware is not served at all, as at
    /// the start. They are served to whoever shows that it receives at its address.
    pub fn serve_firmware(&mut self, images: Vec<FirmwareImage>) {
        self.cx.config.firmware = images;
    }

    pub(crate) fn handle_fetched(
        &mut self,
        now: Instant,
        index: u32,
        header: &FullHeader,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) {
        let Self { cx, slots } = self;
        let Some(Role::Fetch(fetch)) = slots.at(index).map(|slot| &mut slot.role) else { return };
        if let Err(end) = fetch.receive(cx, now, header.timestamp, subclass, elements) {
            self.end_fetch(now, index, end);
        }
    }

    pub(crate) fn handle_fetched_stateless(
        &mut self,
        now: Instant,
        index: u32,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) {
        let Self { cx, slots } = self;
        let Some(Role::Fetch(fetch)) = slots.at(index).map(|slot| &mut slot.role) else { return };
        if let Err(end) = fetch.receive_stateless(cx, now, subclass, elements) {
            // Nobody is there who would acknowledge it.
            fetch.exchange.full.reliable.clear();
            self.end_fetch(now, index, end);
        }
    }

    pub(crate) fn handle_fetch_timeout(&mut self, now: Instant, index: u32) {
        let Self { cx, slots } = self;
        let Some(Role::Fetch(fetch)) = slots.at(index).map(|slot| &mut slot.role) else { return };
        if let Err(end) = fetch.handle_timeout(cx, now) {
            fetch.exchange.full.reliable.clear();
            self.end_fetch(now, index, end);
        }
    }

    fn end_fetch(&mut self, now: Instant, index: u32, end: Fetched) {
        let Some(slot) = self.slots.at(index) else { return };
        let fetch = FirmwareId { slot: index, generation: slot.generation };
        self.cx.tell(match end {
            Ok(data) => Event::FirmwareFetched { fetch, data },
            Err(failure) => Event::FirmwareFailed { fetch, failure },
        });
        self.rest(now, index, None);
    }

    /// The first FWDOWNL of a device whose address is proved.
    pub(crate) fn open_firmware(
        &mut self,
        now: Instant,
        from: Path,
        header: &FullHeader,
        existing: Option<u32>,
        wanted: Wanted<'_>,
    ) -> Result<(), Limit> {
        let exchange = self.open_exchange(now, from, header, existing)?;
        let serving = Serving { exchange, ends: now + PATIENCE };
        let (slot, _) = self.slots.insert(Role::Serving(alloc::boxed::Box::new(serving)), false);
        self.serve(now, slot, wanted);
        self.slots.schedule(&mut self.cx, slot);
        Ok(())
    }

    /// Answers one FWDOWNL. Behind the last block nothing is expected any more.
    fn serve(&mut self, now: Instant, index: u32, wanted: Wanted<'_>) {
        let Self { cx, slots } = self;
        let Some(Role::Serving(serving)) = slots.at(index).map(|slot| &mut slot.role) else {
            return;
        };
        let answer = wanted.answer(&cx.config.firmware);
        let (subclass, elements, last) = match answer {
            Some((elements, last)) => (IaxSubclass::FwData, elements, last),
            None => (IaxSubclass::Reject, ElementBuffer::new(), true),
        };
        serving.exchange.send_iax(cx, now, subclass, &elements);
        serving.ends = now + PATIENCE;
        if last {
            self.rest(now, index, None);
        }
    }

    pub(crate) fn handle_served(
        &mut self,
        now: Instant,
        index: u32,
        header: &FullHeader,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) {
        let Self { cx, slots } = self;
        let Some(Role::Serving(serving)) = slots.at(index).map(|slot| &mut slot.role) else {
            return;
        };
        match (subclass, Wanted::read(elements)) {
            (IaxSubclass::FwDownl, Some(wanted)) => self.serve(now, index, wanted),
            (IaxSubclass::Hangup | IaxSubclass::Reject | IaxSubclass::Inval, _) => {
                serving.exchange.full.reliable.clear();
                self.rest(now, index, None);
            }
            (IaxSubclass::Ping, _) => serving.exchange.answer_ping(cx, now, header.timestamp),
            (IaxSubclass::Ack | IaxSubclass::Vnak, _) => {}
            _ => cx.counters.drop(DropReason::Unexpected),
        }
    }

    pub(crate) fn handle_serving_timeout(&mut self, now: Instant, index: u32) {
        let Self { cx, slots } = self;
        let Some(Role::Serving(serving)) = slots.at(index).map(|slot| &mut slot.role) else {
            return;
        };
        if serving.exchange.handle_timeout(cx, now).is_err() || serving.ends <= now {
            serving.exchange.full.reliable.clear();
            self.rest(now, index, None);
        }
    }

    /// Whether firmware is served here; if not, says so.
    pub(crate) fn serves_firmware(
        &mut self,
        from: Path,
        header: &FullHeader,
    ) -> Result<(), DropReason> {
        if !self.cx.config.firmware.is_empty() {
            return Ok(());
        }
        let mut unknown = ElementBuffer::new();
        unknown.push(&Element::IaxUnknown(IaxSubclass::FwDownl.subclass()));
        self.cx.reply_stateless(from, header, IaxSubclass::Unsupport, unknown.as_elements());
        Err(DropReason::NotEnabled)
    }
}
