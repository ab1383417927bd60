//! LPC-10 (FS-1015, 2,400 bit/s), by libspandsp.
//!
//! A frame is 180 samples, 22.5 ms, in 54 bits: 7 bytes, of which the last two bits say nothing. No number of
//! milliseconds is a frame, so that the encoder keeps what is less than one for the next time.

use std::ffi::{c_int, c_void};

use crate::{Decoder, Encoder};

/// Samples of a frame.
pub const FRAME: usize = 180;
/// Its bytes.
const BYTES: usize = 7;
/// Frames of a payload that are heard: a second.
const MOST_FRAMES: usize = 45;

#[link(name = "spandsp")]
#[expect(unsafe_code, reason = "libspandsp is written in C")]
unsafe extern "C" {
    fn lpc10_encode_init(state: *mut c_void, error_correction: c_int) -> *mut c_void;
    fn lpc10_encode_free(state: *mut c_void) -> c_int;
    fn lpc10_encode(state: *mut c_void, code: *mut u8, samples: *const i16, len: c_int) -> c_int;
    fn lpc10_decode_init(state: *mut c_void, error_correction: c_int) -> *mut c_void;
    fn lpc10_decode_free(state: *mut c_void) -> c_int;
    fn lpc10_decode(state: *mut c_void, samples: *mut i16, code: *const u8, len: c_int) -> c_int;
}

/// Samples into LPC-10.
///
/// ```
/// use oneport_media::Encoder as _;
/// use oneport_media::lpc10::Lpc10Encoder;
///
/// // 20 ms are 160 samples, too few for a frame of 180; eight times as much is seven frames.
/// let (mut encoder, mut payload) = (Lpc10Encoder::default(), Vec::new());
/// encoder.encode(&[0; 160], &mut payload);
/// assert!(payload.is_empty());
/// encoder.encode(&[0; 7 * 160], &mut payload);
/// assert_eq!(payload.len(), 7 * 7);
/// ```
pub struct Lpc10Encoder {
    state: *mut c_void,
    frame: [i16; FRAME],
    /// How many samples of the frame are there.
    kept: usize,
}

// SAFETY: the state belongs to this encoder alone; libspandsp ties it to no thread.
#[expect(unsafe_code, reason = "pointers of C")]
unsafe impl Send for Lpc10Encoder {}

impl std::fmt::Debug for Lpc10Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lpc10Encoder")
    }
}

impl Default for Lpc10Encoder {
    /// One that has heard nothing yet.
    ///
    /// # Panics
    /// There is no memory.
    fn default() -> Self {
        #[expect(unsafe_code, reason = "libspandsp is written in C")]
        // SAFETY: without a place it takes one itself.
        let state = unsafe { lpc10_encode_init(std::ptr::null_mut(), 0) };
        assert!(!state.is_null(), "no memory for an encoder");
        Self { state, frame: [0; FRAME], kept: 0 }
    }
}

impl Drop for Lpc10Encoder {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "libspandsp is written in C")]
        // SAFETY: the state was made by `lpc10_encode_init`, and is not used again.
        unsafe {
            lpc10_encode_free(self.state);
        }
    }
}

impl Encoder for Lpc10Encoder {
    fn encode(&mut self, mut samples: &[i16], out: &mut Vec<u8>) {
        while !samples.is_empty() {
            let count = samples.len().min(FRAME - self.kept);
            let (first, rest) = samples.split_at(count);
            self.frame[self.kept..self.kept + count].copy_from_slice(first);
            self.kept = (self.kept + count) % FRAME;
            samples = rest;
            if self.kept == 0 {
                let mut code = [0_u8; BYTES];
                #[expect(unsafe_code, reason = "libspandsp is written in C")]
                // SAFETY: the state is alive and ours; a frame is read, and its bytes are written.
                unsafe {
                    lpc10_encode(
                        self.state,
                        code.as_mut_ptr(),
                        self.frame.as_ptr(),
                        FRAME as c_int,
                    );
                }
                out.extend(code);
            }
        }
    }
}

/// LPC-10 into samples.
///
/// ```
/// use oneport_media::Decoder as _;
/// use oneport_media::lpc10::{FRAME, Lpc10Decoder};
///
/// // Two frames, and the beginning of a third, which is left out.
/// let mut samples = Vec::new();
/// Lpc10Decoder::default().decode(&[0; 2 * 7 + 3], &mut samples);
/// assert_eq!(samples.len(), 2 * FRAME);
/// ```
pub struct Lpc10Decoder(*mut c_void);

// SAFETY: the state belongs to this decoder alone; libspandsp ties it to no thread.
#[expect(unsafe_code, reason = "pointers of C")]
unsafe impl Send for Lpc10Decoder {}

impl std::fmt::Debug for Lpc10Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lpc10Decoder")
    }
}

impl Default for Lpc10Decoder {
    /// One that has heard nothing yet.
    ///
    /// # Panics
    /// There is no memory.
    fn default() -> Self {
        #[expect(unsafe_code, reason = "libspandsp is written in C")]
        // SAFETY: without a place it takes one itself.
        let state = unsafe { lpc10_decode_init(std::ptr::null_mut(), 0) };
        assert!(!state.is_null(), "no memory for a decoder");
        Self(state)
    }
}

impl Drop for Lpc10Decoder {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "libspandsp is written in C")]
        // SAFETY: the state was made by `lpc10_decode_init`, and is not used again.
        unsafe {
            lpc10_decode_free(self.0);
        }
    }
}

impl Decoder for Lpc10Decoder {
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        for code in payload.as_chunks::<BYTES>().0.iter().take(MOST_FRAMES) {
            let mut samples = [0; FRAME];
            #[expect(unsafe_code, reason = "libspandsp is written in C")]
            // SAFETY: the state is alive and ours; the bytes of a frame are read, and its samples are
            // written.
            unsafe {
                lpc10_decode(self.0, samples.as_mut_ptr(), code.as_ptr(), BYTES as c_int);
            }
            out.extend(samples);
        }
    }
}
