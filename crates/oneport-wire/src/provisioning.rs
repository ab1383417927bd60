//! The elements inside PROVISIONING, by which a device is set up.

use core::net::Ipv4Addr;

use crate::element::Elements;
use crate::format::FormatSet;
use crate::read::exact;
use crate::text::Str;

/// One setting of a device.
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
    use alloc::vec::Vec;

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
}
