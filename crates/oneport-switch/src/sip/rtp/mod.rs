//! Packets of RTP and RTCP (RFC 3550): reading, writing and counting. No clock, no socket.

mod clock;
mod header;
mod rtcp;
mod sequence;

pub(crate) use clock::{SenderClock, Spacing};
pub use header::{HEADER_BYTES, Header, Packet, RtpError, is_rtcp};
pub use rtcp::{Block, Compound, Ntp, Report, SenderInfo, read_compound, write_report};
pub use sequence::{Come, Reception, Sequence};
