//! The elements inside PROVISIONING, by which a device is set up.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::element::Elements;
use crate::format::FormatSet;
use crate::read::exact;
use crate::text::Str;

/// One setting of a device.
///
/// ```
/// use oneport_wire::{DEFAULT_PORT, ProvisioningElement, provisioning_elements};
///
/// let mut data = Vec::new();
/// ProvisioningElement::ServerPort(DEFAULT_PORT).encode(&mut data);
/// assert_eq!(data, [16, 2, 0x11, 0xD9]);
/// let mut settings = provisioning_elements(&data).expect("they are whole");
/// assert_eq!(settings.next(), Some(ProvisioningElement::ServerPort(4569)));
/// // Half of an element is none.
/// assert!(provisioning_elements(&data[..3]).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProvisioningElement<'a> {
    /// The address came by DHCP.
    UsedDhcp,
    /// Address of the device.
    Address(Ipv4Addr),
    /// Network mask.
    Subnet(Ipv4Addr),
    /// Gateway.
    Gateway(Ipv4Addr),
    /// UDP port of the device.
    Port(u16),
    /// User name for those who call the device.
    User(Str<'a>),
    /// Password for those.
    Password(Str<'a>),
    /// User name at the server.
    ServerUser(Str<'a>),
    /// Password at the server.
    ServerPassword(Str<'a>),
    /// Language tag.
    Language(Str<'a>),
    /// IP type of service.
    TypeOfService(u8),
    /// 1 register, 2 secure, 4 heartbeat, 8 debug, 16 no caller id, 32 no call waiting, 64 no
    /// caller id on call waiting, 128 no three-way calls.
    Flags(u32),
    /// Formats.
    Format(FormatSet),
    /// AES key.
    AesKey([u8; 16]),
    /// Server.
    Server(Ipv4Addr),
    /// UDP port of the server.
    ServerPort(u16),
    /// The next AES key.
    NewAesKey([u8; 16]),
    /// Signature of all before it.
    Version(u32),
    /// Second server.
    AlternateServer(Ipv4Addr),
    /// Another number, or the wrong size.
    Unknown {
        /// Its number.
        id: u8,
        /// Its data.
        data: &'a [u8],
    },
}

impl ProvisioningElement<'_> {
    /// The number of [`Version`](Self::Version).
    pub const VERSION: u8 = 18;

    /// Appends it to the data of a PROVISIONING element. Text longer than 255 bytes is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        use ProvisioningElement as P;
        let mut put = |id: u8, data: &[u8]| {
            let data = data.get(..255).unwrap_or(data);
            out.extend([id, u8::try_from(data.len()).unwrap_or(u8::MAX)]);
            out.extend_from_slice(data);
        };
        match *self {
            P::UsedDhcp => put(1, &[]),
            P::Address(address) => put(2, &address.octets()),
            P::Subnet(mask) => put(3, &mask.octets()),
            P::Gateway(address) => put(4, &address.octets()),
            P::Port(port) => put(5, &port.to_be_bytes()),
            P::User(text) => put(6, text.as_bytes()),
            P::Password(text) => put(7, text.as_bytes()),
            P::ServerUser(text) => put(8, text.as_bytes()),
            P::ServerPassword(text) => put(9, text.as_bytes()),
            P::Language(text) => put(10, text.as_bytes()),
            P::TypeOfService(tos) => put(11, &[tos]),
            P::Flags(flags) => put(12, &flags.to_be_bytes()),
            P::Format(formats) => put(13, &formats.low32().to_be_bytes()),
            P::AesKey(key) => put(14, &key),
            P::Server(address) => put(15, &address.octets()),
            P::ServerPort(port) => put(16, &port.to_be_bytes()),
            P::NewAesKey(key) => put(17, &key),
            P::Version(version) => put(Self::VERSION, &version.to_be_bytes()),
            P::AlternateServer(address) => put(19, &address.octets()),
            P::Unknown { id, data } => put(id, data),
        }
    }
}

/// The settings in the data of a PROVISIONING element; `None` when they are not whole.
#[must_use]
pub fn provisioning_elements(data: &[u8]) -> Option<impl Iterator<Item = ProvisioningElement<'_>>> {
    Some(Elements::parse(data).ok()?.raw().map(|(id, data)| read(id, data)))
}

fn read(id: u8, data: &[u8]) -> ProvisioningElement<'_> {
    use ProvisioningElement as P;
    let address = || exact::<4>(data).map(Ipv4Addr::from);
    let port = || exact::<2>(data).map(u16::from_be_bytes);
    let word = || exact::<4>(data).map(u32::from_be_bytes);
    let known = match id {
        1 => data.is_empty().then_some(P::UsedDhcp),
        2 => address().map(P::Address),
        3 => address().map(P::Subnet),
        4 => address().map(P::Gateway),
        5 => port().map(P::Port),
        6 => Some(P::User(data.into())),
        7 => Some(P::Password(data.into())),
        8 => Some(P::ServerUser(data.into())),
        9 => Some(P::ServerPassword(data.into())),
        10 => Some(P::Language(data.into())),
        11 => exact::<1>(data).map(|[tos]| P::TypeOfService(tos)),
        12 => word().map(P::Flags),
        13 => word().map(|mask| P::Format(FormatSet(mask.into()))),
        14 => exact(data).map(P::AesKey),
        15 => address().map(P::Server),
        16 => port().map(P::ServerPort),
        17 => exact(data).map(P::NewAesKey),
        18 => word().map(P::Version),
        19 => address().map(P::AlternateServer),
        _ => None,
    };
    known.unwrap_or(P::Unknown { id, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_wrong_sizes_kept() {
        let data = [1, 0, 5, 2, 0x11, 0xD9, 6, 2, b'm', b'e', 12, 1, 9, 99, 0];
        let read: Vec<_> = provisioning_elements(&data).unwrap().collect();
        let expected = [
            ProvisioningElement::UsedDhcp,
            ProvisioningElement::Port(4569),
            ProvisioningElement::User("me".into()),
            ProvisioningElement::Unknown { id: 12, data: &[9] },
            ProvisioningElement::Unknown { id: 99, data: &[] },
        ];
        assert_eq!(read, expected);
        assert!(provisioning_elements(&[5, 2, 0]).is_none());
    }

    #[test]
    fn every_setting_is_read_as_it_was_written() {
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let all = [
            ProvisioningElement::UsedDhcp,
            ProvisioningElement::Address(address),
            ProvisioningElement::Subnet(Ipv4Addr::new(255, 255, 255, 0)),
            ProvisioningElement::Gateway(address),
            ProvisioningElement::Port(4569),
            ProvisioningElement::User("me".into()),
            ProvisioningElement::Password("word".into()),
            ProvisioningElement::ServerUser("you".into()),
            ProvisioningElement::ServerPassword("other".into()),
            ProvisioningElement::Language("de".into()),
            ProvisioningElement::TypeOfService(0x10),
            ProvisioningElement::Flags(0x1234_5678),
            ProvisioningElement::Format(FormatSet(0x8000_000C)),
            ProvisioningElement::AesKey([7; 16]),
            ProvisioningElement::Server(address),
            ProvisioningElement::ServerPort(4570),
            ProvisioningElement::NewAesKey([8; 16]),
            ProvisioningElement::Version(0x8765_4321),
            ProvisioningElement::AlternateServer(address),
            ProvisioningElement::Unknown { id: 99, data: &[1, 2] },
        ];
        let mut data = Vec::new();
        all.iter().for_each(|setting| setting.encode(&mut data));
        let read: Vec<_> = provisioning_elements(&data).unwrap().collect();
        assert_eq!(read, all);
    }
}
