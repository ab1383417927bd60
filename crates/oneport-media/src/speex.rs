//! Speex, narrow and wide, by libspeex.

mod layout;

use std::ffi::{c_char, c_int, c_void};

use layout::Next;

use crate::{Decoder, Encoder};

/// Bytes of a payload that are looked at: what libspeex takes without allocating.
const LONGEST: usize = 2_000;
/// Frames of a payload that are heard: 320 ms. A hostile one would have a thousand in a few hundred bytes.
const MOST_FRAMES: usize = 16;
/// Samples of a frame of the wider band.
const WIDE_FRAME: usize = 320;

/// Which band is spoken: the number of libspeex's mode.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::speex::{Band, SpeexEncoder};
///
/// // The wide band says the narrow one, and something more.
/// let bytes = |band, samples: &[i16]| {
///     let mut payload = Vec::new();
///     SpeexEncoder::new(band).encode(samples, &mut payload);
///     payload.len()
/// };
/// assert!(bytes(Band::Wide, &[0; 320]) > bytes(Band::Narrow, &[0; 160]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Band {
    /// 8 kHz.
    Narrow = 0,
    /// 16 kHz.
    Wide = 1,
}

impl Band {
    /// Samples of a frame: 20 ms.
    const fn frame(self) -> usize {
        match self {
            Self::Narrow => WIDE_FRAME / 2,
            Self::Wide => WIDE_FRAME,
        }
    }
}

/// `SpeexBits` of speex_bits.h.
#[repr(C)]
struct Bits {
    chars: *mut c_char,
    bits: c_int,
    char_at: c_int,
    bit_at: c_int,
    owner: c_int,
    overflow: c_int,
    size: c_int,
    reserved: c_int,
    reserved_too: *mut c_void,
}

#[link(name = "speex")]
#[expect(unsafe_code, reason = "libspeex is written in C")]
unsafe extern "C" {
    fn speex_lib_get_mode(mode: c_int) -> *const c_void;
    fn speex_encoder_init(mode: *const c_void) -> *mut c_void;
    fn speex_encoder_destroy(state: *mut c_void);
    fn speex_encode_int(state: *mut c_void, samples: *mut i16, bits: *mut Bits) -> c_int;
    fn speex_decoder_init(mode: *const c_void) -> *mut c_void;
    fn speex_decoder_destroy(state: *mut c_void);
    fn speex_decode_int(state: *mut c_void, bits: *mut Bits, samples: *mut i16) -> c_int;
    fn speex_bits_init(bits: *mut Bits);
    fn speex_bits_destroy(bits: *mut Bits);
    fn speex_bits_reset(bits: *mut Bits);
    fn speex_bits_read_from(bits: *mut Bits, bytes: *const c_char, len: c_int);
    fn speex_bits_write(bits: *mut Bits, bytes: *mut c_char, most: c_int) -> c_int;
    fn speex_bits_remaining(bits: *mut Bits) -> c_int;
}

impl Bits {
    fn new() -> Self {
        let nothing = std::ptr::null_mut;
        let mut bits = Self {
            chars: nothing(),
            bits: 0,
            char_at: 0,
            bit_at: 0,
            owner: 0,
            overflow: 0,
            size: 0,
            reserved: 0,
            reserved_too: std::ptr::null_mut(),
        };
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: it is given a place of the right layout, and fills all of it.
        unsafe {
            speex_bits_init(&raw mut bits);
        }
        bits
    }
}

impl Drop for Bits {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: it was made by `speex_bits_init`, and is not used again.
        unsafe {
            speex_bits_destroy(self);
        }
    }
}

/// Samples into Speex, all frames of a payload in one row of bits.
///
/// ```
/// use oneport_media::speex::{Band, SpeexEncoder};
/// use oneport_media::{Codec, Encoder as _};
///
/// // Three frames of 20 ms are one payload.
/// let (mut payload, mut samples) = (Vec::new(), Vec::new());
/// SpeexEncoder::new(Band::Narrow).encode(&[0; 480], &mut payload);
/// Codec::Speex.decode(&payload, &mut samples);
/// assert_eq!(samples.len(), 480);
/// ```
pub struct SpeexEncoder {
    band: Band,
    state: *mut c_void,
    bits: Bits,
}

// SAFETY: the state belongs to this encoder alone; libspeex ties it to no thread.
#[expect(unsafe_code, reason = "pointers of C")]
unsafe impl Send for SpeexEncoder {}

impl std::fmt::Debug for SpeexEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpeexEncoder({:?})", self.band)
    }
}

impl SpeexEncoder {
    /// One that has heard nothing yet.
    #[must_use]
    pub fn new(band: Band) -> Self {
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: 0 and 1 are modes that every libspeex has.
        let state = unsafe { speex_encoder_init(speex_lib_get_mode(band as c_int)) };
        assert!(!state.is_null(), "no memory for an encoder");
        Self { band, state, bits: Bits::new() }
    }
}

impl Drop for SpeexEncoder {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: the state was made by `speex_encoder_init`, and is not used again.
        unsafe {
            speex_encoder_destroy(self.state);
        }
    }
}

impl Encoder for SpeexEncoder {
    fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let bits = &raw mut self.bits;
        let mut bytes = [0_u8; LONGEST];
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: state and bits are alive and ours; a frame has as many samples as the band's, and the
        // length that is given is that of the buffer.
        let written = unsafe {
            speex_bits_reset(bits);
            for part in samples.chunks(self.band.frame()) {
                let mut frame = [0; WIDE_FRAME];
                frame[..part.len()].copy_from_slice(part);
                speex_encode_int(self.state, frame.as_mut_ptr(), bits);
            }
            speex_bits_write(bits, bytes.as_mut_ptr().cast(), LONGEST as c_int)
        };
        out.extend(&bytes[..usize::try_from(written).unwrap_or_default().min(LONGEST)]);
    }
}

/// Speex into samples.
///
/// ```
/// use oneport_media::Decoder as _;
/// use oneport_media::speex::{Band, SpeexDecoder};
///
/// // What is lost is made up in whole frames.
/// let mut samples = Vec::new();
/// assert!(SpeexDecoder::new(Band::Wide).conceal(400, &mut samples));
/// assert_eq!(samples.len(), 2 * 320);
/// ```
pub struct SpeexDecoder {
    band: Band,
    state: *mut c_void,
    bits: Bits,
}

// SAFETY: the state belongs to this decoder alone; libspeex ties it to no thread.
#[expect(unsafe_code, reason = "pointers of C")]
unsafe impl Send for SpeexDecoder {}

impl std::fmt::Debug for SpeexDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpeexDecoder({:?})", self.band)
    }
}

impl SpeexDecoder {
    /// One that has heard nothing yet.
    #[must_use]
    pub fn new(band: Band) -> Self {
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: 0 and 1 are modes that every libspeex has.
        let state = unsafe { speex_decoder_init(speex_lib_get_mode(band as c_int)) };
        assert!(!state.is_null(), "no memory for a decoder");
        Self { band, state, bits: Bits::new() }
    }

    fn lost(&mut self, out: &mut Vec<i16>) {
        let mut frame = [0; WIDE_FRAME];
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: the state is alive and ours; without bits it says what may have been; no frame has
        // more samples than there is room for.
        unsafe {
            speex_decode_int(self.state, std::ptr::null_mut(), frame.as_mut_ptr());
        }
        out.extend(&frame[..self.band.frame()]);
    }
}

impl Drop for SpeexDecoder {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: the state was made by `speex_decoder_init`, and is not used again.
        unsafe {
            speex_decoder_destroy(self.state);
        }
    }
}

impl Decoder for SpeexDecoder {
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        let payload = &payload[..payload.len().min(LONGEST)];
        let bits = &raw mut self.bits;
        #[expect(unsafe_code, reason = "libspeex is written in C")]
        // SAFETY: the bits are alive and ours; the length is that of the payload, which is copied.
        unsafe {
            speex_bits_read_from(bits, payload.as_ptr().cast(), payload.len() as c_int);
        }
        let mut at = 0;
        for _ in 0..MOST_FRAMES {
            match layout::next(payload, at, self.band) {
                Next::Frame => {}
                Next::End => return,
                Next::Broken => return self.lost(out),
            }
            let mut frame = [0; WIDE_FRAME];
            #[expect(unsafe_code, reason = "libspeex is written in C")]
            // SAFETY: state and bits are alive and ours; no frame has more samples than there is room
            // for. libspeex reads no bits behind those that it was given.
            let (result, left) = unsafe {
                let result = speex_decode_int(self.state, bits, frame.as_mut_ptr());
                (result, speex_bits_remaining(bits))
            };
            match (result, usize::try_from(left)) {
                (0, Ok(left)) => {
                    out.extend(&frame[..self.band.frame()]);
                    at = payload.len() * 8 - left;
                }
                // The end.
                (-1, _) => return,
                _ => return self.lost(out),
            }
        }
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        for _ in 0..samples.div_ceil(self.band.frame()) {
            self.lost(out);
        }
        true
    }
}
