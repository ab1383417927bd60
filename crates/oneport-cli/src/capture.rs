//! `oneport capture`: the datagrams of one call of a running switch, as a file.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::api::{ApiArgs, encoded};
use crate::exit::{Failure, failed};

/// Captures the datagrams of a call of a running switch
#[derive(Args)]
#[command(after_help = "\
The file is a pcapng with the datagrams of this call alone, and its id as comment. It ends with the
call, after --seconds, or when it has --bytes.

Examples:
  oneport capture 01890a5d-ac96-774b-bcce-b302099a8057
  oneport capture --write - 01890a5d-ac96-774b-bcce-b302099a8057 | tshark -r -")]
pub(crate) struct Capture {
    /// The call, as `oneport show calls` names it
    call: String,
    /// How long, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many bytes the file may have
    #[arg(
        long,
        default_value_t = 16 << 20,
        value_parser = clap::value_parser!(u64).range(4096..=256 << 20)
    )]
    bytes: u64,
    /// The file, or - for standard output; otherwise the call's id and .pcapng
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    #[command(flatten)]
    api: ApiArgs,
}

impl Capture {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let call = encoded(&self.call);
        let (seconds, bytes) = (self.seconds, self.bytes);
        let path = format!("/v1/calls/{call}/capture?seconds={seconds}&bytes={bytes}");
        let mut packets = self.api.client()?.stream(&path)?;
        let file = self.write.unwrap_or_else(|| format!("{}.pcapng", self.call).into());
        let to_stdout = file.as_os_str() == "-";
        let mut out: Box<dyn Write> = match to_stdout {
            true => Box::new(io::stdout()),
            false => Box::new(File::create(&file).map_err(|error| {
                failed(format!("{}: {error}", file.display())).hint("name another by --write")
            })?),
        };
        let written = io::copy(&mut packets, &mut out).map_err(failed)?;
        if !to_stdout {
            say!("{}: {written} bytes", file.display());
        }
        Ok(())
    }
}
