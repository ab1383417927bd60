//! `oneport listen`: what both sides of a call of a running switch say, while it is up.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use oneport::media::wav;
use serde::Deserialize;

use crate::api::{ApiArgs, encoded};
use crate::exit::{Failure, failed, usage};
use crate::websocket::{Message, WebSocket};

/// Listens to a call of a running switch
#[derive(Args)]
#[command(after_help = "\
Left is the caller, right the called. Without --wav, 16-bit samples, little-endian, left and right \
by turns, go to standard output. It ends with the call. It needs a token with listen = true, as the \
switch's own has.

Examples:
  oneport listen --wav call.wav 01890a5d-ac96-774b-bcce-b302099a8057
  oneport listen 01890a5d-ac96-774b-bcce-b302099a8057 | aplay -f S16_LE -c 2 -r 8000")]
pub(crate) struct Listen {
    /// The call, as `oneport show calls` names it
    call: String,
    /// A WAV file to write it into
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
    /// Samples in a second
    #[arg(long, default_value = "8000", value_parser = ["8000", "16000", "48000"])]
    rate: String,
    /// Ends after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Deserialize)]
struct Begins {
    rate: u32,
}

#[derive(Deserialize)]
struct Lost {
    lost_ms: u64,
    lost_frames: u64,
}

/// Where it goes.
enum Out {
    Wav(wav::Writer),
    Raw(io::Stdout),
}

impl Out {
    fn begin(file: Option<&Path>, rate: u32) -> Result<Self, Failure> {
        Ok(match file {
            Some(file) => Self::Wav(wav::Writer::create_stereo(file, rate).map_err(failed)?),
            None => Self::Raw(io::stdout()),
        })
    }

    /// `false`: nobody reads it any more.
    fn write(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        match self {
            Self::Wav(writer) => {
                let samples = bytes.as_chunks().0.iter().map(|pair| i16::from_le_bytes(*pair));
                writer.write(&samples.collect::<Vec<i16>>()).map_err(failed)?;
                Ok(true)
            }
            Self::Raw(stdout) => Ok(stdout.write_all(bytes).and_then(|()| stdout.flush()).is_ok()),
        }
    }
}

impl Listen {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.wav.is_none() && io::stdout().is_terminal() {
            return Err(usage("samples are nothing for a terminal")
                .hint("write them into a file by --wav, or pipe them into a player"));
        }
        let path = format!("/v1/calls/{}/audio?rate={}", encoded(&self.call), self.rate);
        let mut socket: WebSocket = self.api.client()?.websocket(&path)?;
        let Message::Text(begins) = socket.next()? else {
            return Err(failed("the switch does not say what it sends"));
        };
        let Begins { rate } = serde_json::from_str(&begins).map_err(failed)?;
        let mut out = Out::begin(self.wav.as_deref(), rate)?;
        let most = self.seconds.map(|seconds| seconds.saturating_mul(rate.into()));
        let (mut frames, mut lost_ms, mut cut) = (0_u64, 0, None);
        loop {
            match socket.next()? {
                Message::Binary(bytes) => {
                    frames += bytes.len() as u64 / 4;
                    if !out.write(&bytes)? || most.is_some_and(|most| frames >= most) {
                        break;
                    }
                }
                Message::Text(text) => {
                    let lost: Lost = serde_json::from_str(&text).map_err(failed)?;
                    lost_ms += lost.lost_ms;
                    let Lost { lost_ms, lost_frames } = lost;
                    eprintln!("too slow: {lost_ms} ms and {lost_frames} frames are lost");
                }
                Message::Close(why) => {
                    cut = why;
                    break;
                }
            }
        }
        if let Out::Wav(writer) = out {
            writer.finish().map_err(failed)?;
        }
        if let Some(file) = &self.wav {
            let seconds = frames as f64 / f64::from(rate);
            say!("{}: {seconds:.1} s, {lost_ms} ms lost", file.display());
        }
        match cut {
            Some(why) => Err(failed(format!("the switch lets nobody listen any more: {why}"))),
            None => Ok(()),
        }
    }
}
