//! Linear audio as IAX2 peers send it: `slin` (8 kHz) in network byte order, `slin16` (16 kHz) as
//! it lies in an x86's memory, little-endian. Neither RFC 5456 nor any header says so.

/// Appends the samples of a `slin` payload.
pub fn decode_big_endian(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(payload.as_chunks().0.iter().map(|bytes| i16::from_be_bytes(*bytes)));
}

/// Appends samples as a `slin` payload.
pub fn encode_big_endian(samples: &[i16], out: &mut Vec<u8>) {
    out.extend(samples.iter().flat_map(|sample| sample.to_be_bytes()));
}

/// Appends the samples of a `slin16` payload.
pub fn decode_little_endian(payload: &[u8], out: &mut Vec<i16>) {
    out.extend(payload.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)));
}

/// Appends samples as a `slin16` payload.
pub fn encode_little_endian(samples: &[i16], out: &mut Vec<u8>) {
    out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
}
