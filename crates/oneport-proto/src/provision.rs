//! Setting up devices from afar (PROVISION), in both roles.
//!
//! ```text
//! server                                    device
//!   PROVISION →
//!                                             ← ACCEPT or REJECT
//!   ACK →                                     now the settings are in force
//! ```
//!
//! Settings travel in the clear, passwords with them, and nothing proves where they come from but
//! the address. So a device takes them from peers only that it is registered at or in a call with,
//! and only when the server has acknowledged its ACCEPT at that address.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use md5::{Digest, Md5};
use oneport_wire::{
    CauseCode, Element, ElementBuffer, Elements, FullHeader, IaxSubclass, ProvisioningElement,
    provisioning_elements,
};

use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::endpoint::{Endpoint, Handled};
use crate::error::CommandError;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::id::ProvisionId;
use crate::path::Path;
use crate::slots::Role;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a device says of itself in NEW and REGREQ.
///
/// A server knows from a call which settings and firmware the caller has:
///
/// ```
/// use oneport_proto::{Device, NewCall};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// here.set_device(Device {
///     device_type: Some("desk phone".into()),
///     firmware_version: Some(12),
///     ..Device::default()
/// });
/// # let (_, _, offer) = offered(now, &mut here, &mut there, NewCall::to("100"));
/// assert_eq!(offer.device.device_type.as_deref(), Some("desk phone"));
/// assert_eq!(offer.device.firmware_version, Some(12));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Device {
    /// Its kind, for which there may be firmware (DEVICETYPE).
    pub device_type: Option<String>,
    /// Which one it is, such as the twelve hexadecimal digits of its MAC address (SERVICEIDENT).
    pub service_ident: Option<String>,
    /// The version of its settings (PROVVER): [`Settings::version`] of the last ones, 0 for none.
    pub provisioning_version: Option<u32>,
    /// The version of its firmware (FIRMWAREVER).
    pub firmware_version: Option<u16>,
}

impl Device {
    pub(crate) fn push(&self, elements: &mut ElementBuffer) {
        if let Some(name) = &self.device_type {
            elements.push(&Element::DeviceType(name.as_str().into()));
        }
        if let Some(ident) = &self.service_ident {
            elements.push(&Element::ServiceIdent(ident.as_str().into()));
        }
        if let Some(version) = self.firmware_version {
            elements.push(&Element::FirmwareVersion(version));
        }
        if let Some(version) = self.provisioning_version {
            elements.push(&Element::ProvisioningVersion(version));
        }
    }

    pub(crate) fn read(elements: Elements<'_>) -> Self {
        let mut device = Self::default();
        for element in elements.iter() {
            match element {
                Element::DeviceType(name) => device.device_type = Some(name.to_string()),
                Element::ServiceIdent(ident) => device.service_ident = Some(ident.to_string()),
                Element::ProvisioningVersion(value) => device.provisioning_version = Some(value),
                Element::FirmwareVersion(value) => device.firmware_version = Some(value),
                _ => {}
            }
        }
        device
    }
}

/// The settings of a device and their signature, as one PROVISIONING element carries them. They
/// print as their version alone: there are passwords among them.
///
/// ```
/// use oneport_proto::Settings;
/// use oneport_wire::ProvisioningElement;
///
/// let elements = |password: &'static str| {
///     [ProvisioningElement::ServerUser("ann".into()), ProvisioningElement::ServerPassword(password.into())]
/// };
/// let settings = Settings::new(&elements("a secret"))?;
/// // The version is a signature: others have another.
/// assert_ne!(settings.version(), Settings::new(&elements("another"))?.version());
/// assert_eq!(settings.iter().last(), Some(ProvisioningElement::Version(settings.version())));
/// assert!(!format!("{settings:?}").contains("a secret"));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    bytes: Vec<u8>,
    version: u32,
}

impl Settings {
    /// Signs settings. A [`Version`](ProvisioningElement::Version) among them is left out.
    ///
    /// # Errors
    /// They do not fit into one element, which has 255 bytes.
    pub fn new(settings: &[ProvisioningElement<'_>]) -> Result<Self, CommandError> {
        let mut bytes = Vec::new();
        for setting in settings {
            if !matches!(setting, ProvisioningElement::Version(_)) {
                setting.encode(&mut bytes);
            }
        }
        let version = signature(&bytes, u32::from_le_bytes);
        ProvisioningElement::Version(version).encode(&mut bytes);
        if bytes.len() > 255 {
            return Err(CommandError::TooLong);
        }
        Ok(Self { bytes, version })
    }

    /// Reads the data of a PROVISIONING element; `None` when it is not whole or not what its
    /// signature says.
    #[must_use]
    pub fn decode(data: &[u8]) -> Option<Self> {
        let (signed, last) = data.split_at_checked(data.len().checked_sub(6)?)?;
        let [ProvisioningElement::VERSION, 4, version @ ..] = last else { return None };
        // All before the signature must be whole by itself.
        let whole = provisioning_elements(signed).is_some();
        let version = u32::from_be_bytes(version.try_into().ok()?);
        // The words of the digest are added up as the server's host has them.
        let right = signature(signed, u32::from_le_bytes) == version
            || signature(signed, u32::from_be_bytes) == version;
        (whole && right).then(|| Self { bytes: data.into(), version })
    }

    /// The signature, by which it is known whether a device has these settings.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The settings, the signature last.
    pub fn iter(&self) -> impl Iterator<Item = ProvisioningElement<'_>> {
        provisioning_elements(&self.bytes).into_iter().flatten()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({:#010x})", self.version)
    }
}

/// The four words of MD5 over `data`, joined by exclusive or.
fn signature(data: &[u8], word: fn([u8; 4]) -> u32) -> u32 {
    let digest: [u8; 16] = Md5::digest(data).into();
    let (words, _) = digest.as_chunks::<4>();
    words.iter().fold(0, |all, four| all ^ word(*four))
}

/// How setting up a device ended, on either side.
///
/// ```
/// use oneport_proto::{EndpointConfig, Event, ProvisionOutcome, Settings};
/// use oneport_wire::ProvisioningElement;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # call_up(now, &mut here, &mut there);
/// // Who is in a call with us may set us up, if we say so.
/// here.reconfigure(EndpointConfig { accept_provisioning: true, ..EndpointConfig::default() });
/// let settings = Settings::new(&[ProvisioningElement::Language("en".into())])?;
/// let provision = there.provision(now, HERE, &settings)?;
/// exchange(now, &mut here, &mut there);
/// let Some(Event::ProvisionOffered { provision: theirs, .. }) = here.poll_event() else { panic!() };
/// here.accept_provision(now, theirs)?;
/// exchange(now, &mut here, &mut there);
/// let outcome = ProvisionOutcome::Accepted;
/// assert_eq!(there.poll_event(), Some(Event::ProvisionEnded { provision, outcome }));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProvisionOutcome {
    /// The device has taken the settings, and the server knows it: they are in force.
    Accepted,
    /// The device would not have them.
    Rejected {
        /// The cause code, if any.
        cause: Option<CauseCode>,
        /// The device's words, if any.
        text: Option<String>,
    },
    /// The peer knows nothing of this (UNSUPPORT), or has lost it.
    Unsupported,
    /// The peer, or the application, did not answer in time.
    TimedOut,
}

/// A device that we set up.
#[derive(Debug)]
pub(crate) struct Provisioning {
    pub(crate) exchange: Exchange,
    ends: Instant,
}

impl Provisioning {
    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        Some(self.exchange.deadline(cx).map_or(self.ends, |deadline| deadline.min(self.ends)))
    }
}

/// A server that sets us up.
#[derive(Debug)]
pub(crate) struct Provisioned {
    pub(crate) exchange: Exchange,
    /// ACCEPT is on its way.
    accepted: bool,
    ends: Instant,
}

impl Provisioned {
    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        Some(self.exchange.deadline(cx).map_or(self.ends, |deadline| deadline.min(self.ends)))
    }

    /// It is over when the server has acknowledged that we accept.
    fn settled(&self) -> Result<(), ProvisionOutcome> {
        if self.accepted && self.exchange.full.reliable.is_settled() {
            return Err(ProvisionOutcome::Accepted);
        }
        Ok(())
    }
}

/// Setting up devices.
impl Endpoint {
    /// Sends settings to a device. [`Event::ProvisionEnded`] follows.
    ///
    /// Passwords among them go in the clear. Only an address that has proved itself should get them,
    /// such as that of a registration.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn provision(
        &mut self,
        now: Instant,
        to: SocketAddr,
        settings: &Settings,
    ) -> Result<ProvisionId, CommandError> {
        let mut exchange = self.opening_exchange(now, to)?;
        let mut elements = ElementBuffer::new();
        elements.push(&Element::Provisioning(&settings.bytes));
        exchange.send_iax(&mut self.cx, now, IaxSubclass::Provision, &elements);
        let provisioning = Provisioning { exchange, ends: now + PATIENCE };
        let (slot, generation) =
            self.slots.insert(Role::Provisioning(Box::new(provisioning)), false);
        self.slots.schedule(&mut self.cx, slot);
        Ok(ProvisionId { slot, generation })
    }

    /// Takes the settings of [`Event::ProvisionOffered`]. They are in force when
    /// [`Event::ProvisionEnded`] says that they were accepted, not before: until then somebody may
    /// have sent them who only pretends to be at that address.
    ///
    /// # Errors
    /// It has ended, or is decided.
    pub fn accept_provision(&mut self, now: Instant, id: ProvisionId) -> Result<(), CommandError> {
        let Self { cx, slots } = self;
        let provisioned =
            offered(slots.get_mut(id.slot, id.generation).map(|slot| &mut slot.role))?;
        provisioned.exchange.send_iax(cx, now, IaxSubclass::Accept, &ElementBuffer::new());
        provisioned.accepted = true;
        slots.schedule(cx, id.slot);
        Ok(())
    }

    /// Refuses the settings of [`Event::ProvisionOffered`].
    ///
    /// # Errors
    /// It has ended, or is decided.
    pub fn reject_provision(&mut self, now: Instant, id: ProvisionId) -> Result<(), CommandError> {
        let Self { cx, slots } = self;
        let provisioned =
            offered(slots.get_mut(id.slot, id.generation).map(|slot| &mut slot.role))?;
        let cause = CauseCode::FACILITY_REJECTED;
        let mut elements = ElementBuffer::new();
        elements.push(&Element::CauseCode(cause));
        provisioned.exchange.send_iax(cx, now, IaxSubclass::Reject, &elements);
        let outcome = ProvisionOutcome::Rejected { cause: Some(cause), text: None };
        self.end_provision(now, id.slot, outcome);
        Ok(())
    }

    /// A PROVISION without a number of ours.
    pub(crate) fn open_provision(
        &mut self,
        now: Instant,
        from: Path,
        header: &FullHeader,
        existing: Option<u32>,
        elements: Elements<'_>,
    ) -> Result<(), DropReason> {
        let settings = elements.iter().find_map(|element| match element {
            Element::Provisioning(data) => Some(Settings::decode(data)),
            _ => None,
        });
        let result = if !self.cx.config.accept_provisioning {
            Err(DropReason::NotEnabled)
        } else if !self.slots.is_registered_at(now, from.remote)
            && !self.slots.is_in_call_with(from.remote)
        {
            Err(DropReason::UnknownProvisioner)
        } else {
            settings.flatten().ok_or(DropReason::BadSettings)
        };
        let result = result.map_err(|reason| (reason, None));
        let opened = result.and_then(|settings| {
            let exchange = self.open_exchange(now, from, header, existing);
            let full = |limit| (DropReason::TooManyCallsForAddress, Some(limit));
            Ok((exchange.map_err(full)?, settings))
        });
        let (exchange, settings) = match opened {
            Ok(opened) => opened,
            Err((reason, limit)) => {
                self.cx.reply_stateless(from, header, IaxSubclass::Reject, Elements::EMPTY);
                self.cx.tell_refused(now, from, None, reason, limit);
                return Err(reason);
            }
        };
        let provisioned = Provisioned { exchange, accepted: false, ends: now + PATIENCE };
        let role = Role::Provisioned(Box::new(provisioned));
        let (slot, generation) = self.slots.insert(role, true);
        self.slots.schedule(&mut self.cx, slot);
        let provision = ProvisionId { slot, generation };
        self.cx.tell(Event::ProvisionOffered { provision, from, settings });
        Ok(())
    }

    /// An answer of a device that we set up, with or without state there.
    pub(crate) fn handle_provisioning(
        &mut self,
        now: Instant,
        index: u32,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Handled {
        let outcome = match subclass {
            IaxSubclass::Accept => ProvisionOutcome::Accepted,
            IaxSubclass::Reject | IaxSubclass::Hangup => {
                let (mut cause, mut text) = (None, None);
                for element in elements.iter() {
                    match element {
                        Element::CauseCode(code) => cause = Some(code),
                        Element::Cause(words) => text = Some(words.to_string()),
                        _ => {}
                    }
                }
                ProvisionOutcome::Rejected { cause, text }
            }
            IaxSubclass::Unsupport | IaxSubclass::Inval => ProvisionOutcome::Unsupported,
            IaxSubclass::Ack | IaxSubclass::Vnak => return Handled::Consumed,
            _ => return Handled::Dropped(DropReason::Unexpected),
        };
        if let Some(exchange) = self.slots.at(index).and_then(|slot| slot.role.exchange_mut()) {
            exchange.full.reliable.clear();
        }
        self.end_provision(now, index, outcome);
        Handled::Consumed
    }

    /// What a server says that sets us up.
    pub(crate) fn handle_provisioned(
        &mut self,
        now: Instant,
        index: u32,
        subclass: IaxSubclass,
    ) -> Handled {
        let Some(Role::Provisioned(provisioned)) = self.slots.at(index).map(|slot| &slot.role)
        else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        let result = match subclass {
            IaxSubclass::Hangup | IaxSubclass::Inval | IaxSubclass::Reject => {
                Err(ProvisionOutcome::TimedOut)
            }
            _ => provisioned.settled(),
        };
        if let Err(outcome) = result {
            self.end_provision(now, index, outcome);
        }
        Handled::Consumed
    }

    pub(crate) fn handle_provision_timeout(&mut self, now: Instant, index: u32) {
        let Self { cx, slots } = self;
        let (exchange, ends) = match slots.at(index).map(|slot| &mut slot.role) {
            Some(Role::Provisioning(provisioning)) => {
                (&mut provisioning.exchange, provisioning.ends)
            }
            Some(Role::Provisioned(provisioned)) => (&mut provisioned.exchange, provisioned.ends),
            _ => return,
        };
        if exchange.handle_timeout(cx, now).is_err() || ends <= now {
            exchange.full.reliable.clear();
            self.end_provision(now, index, ProvisionOutcome::TimedOut);
        }
    }

    /// The last event, and the number rests.
    pub(crate) fn end_provision(&mut self, now: Instant, index: u32, outcome: ProvisionOutcome) {
        let Some(slot) = self.slots.at(index) else { return };
        let provision = ProvisionId { slot: index, generation: slot.generation };
        self.cx.tell(Event::ProvisionEnded { provision, outcome });
        self.rest(now, index, None);
    }
}

/// What was offered to us and is not decided.
fn offered(role: Option<&mut Role>) -> Result<&mut Provisioned, CommandError> {
    match role {
        Some(Role::Provisioned(provisioned)) if !provisioned.accepted => Ok(provisioned),
        Some(Role::Provisioned(_)) => Err(CommandError::WrongPhase),
        _ => Err(CommandError::UnknownProvision),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> [ProvisioningElement<'static>; 3] {
        [
            ProvisioningElement::ServerUser("site".into()),
            ProvisioningElement::ServerPassword("right".into()),
            ProvisioningElement::ServerPort(4569),
        ]
    }

    #[test]
    fn settings_carry_a_signature_that_any_change_breaks() {
        let signed = Settings::new(&settings()).unwrap();
        assert_eq!(Settings::decode(&signed.bytes).as_ref(), Some(&signed));
        let read: Vec<_> = signed.iter().collect();
        assert_eq!(read[..3], settings());
        assert_eq!(read[3], ProvisioningElement::Version(signed.version()));
        for at in 0..signed.bytes.len() {
            let mut changed = signed.bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Settings::decode(&changed), None, "byte {at}");
            assert_eq!(Settings::decode(&signed.bytes[..at]), None, "cut at {at}");
        }
        assert_eq!(alloc::format!("{signed:?}").len(), "Settings(0x12345678)".len());
    }

    #[test]
    fn a_server_of_the_other_byte_order_is_understood() {
        let mut bytes = Vec::new();
        settings().iter().for_each(|setting| setting.encode(&mut bytes));
        let version = signature(&bytes, u32::from_be_bytes);
        ProvisioningElement::Version(version).encode(&mut bytes);
        assert_eq!(Settings::decode(&bytes).unwrap().version(), version);
    }

    #[test]
    fn more_than_fits_is_refused() {
        let long = "x".repeat(200);
        let settings = [
            ProvisioningElement::User((*long).into()),
            ProvisioningElement::Password((*long).into()),
        ];
        assert_eq!(Settings::new(&settings), Err(CommandError::TooLong));
    }
}
