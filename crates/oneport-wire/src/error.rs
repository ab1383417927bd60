//! Why bytes are not a frame.

use thiserror::Error;

/// What is wrong with a datagram, and at which of its bytes.
///
/// ```
/// use oneport_wire::{Datagram, DecodeError, Elements};
///
/// let error = Datagram::decode(&[0x80, 2, 0]).expect_err("it is cut");
/// assert_eq!(error, DecodeError::TooShort { what: "frame", needed: 4, len: 3 });
/// let error = Elements::parse(&[19, 2, 0, 60, 1, 3, b'6']).expect_err("a number of one digit");
/// assert_eq!(
///     error.to_string(),
///     "information element 1 at offset 4 says 3 bytes, but 1 are left"
/// );
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the header has.
    #[error("a {what} needs {needed} bytes, but only {len} came")]
    TooShort {
        /// Which header.
        what: &'static str,
        /// Bytes it has.
        needed: usize,
        /// Bytes that came.
        len: usize,
    },
    /// A meta frame other than trunk and video.
    #[error("meta command {0} is unknown")]
    UnknownMetaCommand(u8),
    /// A trunk frame whose flags are neither 0 nor 1.
    #[error("trunk flags {0} are unknown")]
    UnknownTrunkFlags(u8),
    /// An information element runs past the end of the frame.
    #[error("information element {id} at offset {offset} says {len} bytes, but {left} are left")]
    ElementOverrun {
        /// Its number.
        id: u8,
        /// Where it begins, from the first element.
        offset: usize,
        /// Its length as it says.
        len: usize,
        /// Bytes there are.
        left: usize,
    },
    /// One byte after the last element, too few for another.
    #[error("a stray byte follows the information elements at offset {offset}")]
    StrayByte {
        /// Where, from the first element.
        offset: usize,
    },
}
