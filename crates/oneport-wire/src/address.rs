//! APPARENT_ADDR: a socket address as a raw structure (RFC 5456 §8.6.17).

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::read::exact;

const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// IPv6 on the BSDs and macOS.
const IPV6_OTHERS: [u8; 3] = [24, 28, 30];

/// Bytes of the IPv4 and the IPv6 form.
const IPV4_LEN: usize = 16;
const IPV6_LEN: usize = 28;

/// Reads either form. The family may be in either byte order, or BSD's length and family.
pub(crate) fn decode(data: &[u8]) -> Option<SocketAddr> {
    let family = match data.first_chunk()? {
        [family, 0] | [_, family] => *family,
    };
    match data.len() {
        IPV4_LEN if family == IPV4 => {
            let [_, _, p0, p1, a, b, c, d, ..] = exact::<IPV4_LEN>(data)?;
            let port = u16::from_be_bytes([p0, p1]);
            Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into())
        }
        IPV6_LEN if family == IPV6 || IPV6_OTHERS.contains(&family) => {
            let port = crate::read::u16_at(data, 2)?;
            let flow = crate::read::u32_at(data, 4)?;
            let ip = exact::<16>(data.get(8..24)?)?;
            let scope = exact::<4>(data.get(24..28)?)?;
            let scope = u32::from_le_bytes(scope);
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
        }
        _ => None,
    }
}

/// Writes the form that a little-endian Linux has in memory; the length comes with it.
pub(crate) fn encode(address: SocketAddr) -> ([u8; IPV6_LEN], usize) {
    let mut out = [0; IPV6_LEN];
    let mut put = |offset: usize, bytes: &[u8]| {
        if let Some(field) = out.get_mut(offset..offset + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    };
    put(2, &address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            put(0, &[IPV4]);
            put(4, &v4.ip().octets());
            (out, IPV4_LEN)
        }
        SocketAddr::V6(v6) => {
            put(0, &[IPV6]);
            put(4, &v6.flowinfo().to_be_bytes());
            put(8, &v6.ip().octets());
            put(24, &v6.scope_id().to_le_bytes());
            (out, IPV6_LEN)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_go_there_and_back() {
        for text in ["192.0.2.1:4569", "[2001:db8::1]:4569"] {
            let address: SocketAddr = text.parse().unwrap();
            let (bytes, len) = encode(address);
            assert_eq!(decode(&bytes[..len]), Some(address));
            assert_eq!(decode(&bytes[..len - 1]), None);
        }
    }

    #[test]
    fn the_family_may_come_in_other_byte_orders() {
        let mut bytes = [2, 0, 0x11, 0xD9, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let expected: SocketAddr = "192.0.2.1:4569".parse().unwrap();
        assert_eq!(decode(&bytes), Some(expected));
        bytes[..2].copy_from_slice(&[0, 2]);
        assert_eq!(decode(&bytes), Some(expected));
        bytes[..2].copy_from_slice(&[16, 2]);
        assert_eq!(decode(&bytes), Some(expected));
        bytes[..2].copy_from_slice(&[9, 9]);
        assert_eq!(decode(&bytes), None);
    }
}
