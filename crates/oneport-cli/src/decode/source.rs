//! Captures in files, or from standard input: read packet by packet, and what is wrong with them in words.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use oneport_decode::{CaptureError, End, Packet};

use crate::exit::{Failure, failed};

/// How far a capture was read.
pub(crate) enum Reached {
    /// To its end, or as far as was wanted.
    End(End),
    /// Until it made no sense any more; what came before counts.
    Damaged(CaptureError),
}

/// Reads a file, or standard input where it is `-`.
///
/// # Errors
/// It is no capture, or cannot be opened.
pub(crate) fn packets(
    path: &Path,
    each: impl FnMut(Packet<'_>) -> ControlFlow<()>,
) -> Result<Reached, Failure> {
    let wrong = |error: CaptureError| {
        let hint = match &error {
            CaptureError::NoCapture => {
                "a capture by tcpdump, Wireshark or `oneport capture` is one; unpack it if it is compressed"
            }
            CaptureError::Empty => "whoever wrote it may have it in a buffer still (tcpdump -U)",
            CaptureError::Damaged { .. } | CaptureError::TooLarge { .. } => {
                "what came before was read"
            }
            _ => "check the file",
        };
        failed(format!("{}: {error}", path.display())).hint(hint)
    };
    let end = if path.as_os_str() == "-" {
        oneport_decode::read(io::stdin(), each)
    } else {
        let file = File::open(path).map_err(|error| wrong(error.into()))?;
        oneport_decode::read(file, each)
    };
    match end {
        Ok(end) => Ok(Reached::End(end)),
        Err(error @ (CaptureError::Damaged { .. } | CaptureError::TooLarge { .. })) => {
            Ok(Reached::Damaged(error))
        }
        Err(error) => Err(wrong(error)),
    }
}
