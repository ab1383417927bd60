//! `oneport record`: a running switch records a call.

use clap::Args;
use oneport_switch::api::model::RecordingView;

use crate::api::{ApiArgs, encoded};
use crate::exit::Failure;
use crate::table::count;

/// Has a running switch record a call that is up
#[derive(Args)]
#[command(after_help = "\
The file is a WAV with two channels, left the caller and right who was called, in the directory
audio.record of the switch. It ends with the call, at the latest.

Examples:
  oneport record 01890a5d-ac96-774b-bcce-b302099a8057
  oneport record --off 01890a5d-ac96-774b-bcce-b302099a8057")]
pub(crate) struct Record {
    /// The call, as `oneport show calls` names it
    call: String,
    /// Ends its recording
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl Record {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.api.client()?;
        let path = format!("/v1/calls/{}/recording", encoded(&self.call));
        if !self.off {
            let view: RecordingView = client.post(&path, &serde_json::Value::Null)?;
            say!("{}", view.file);
            return Ok(());
        }
        let view: RecordingView = client.delete_for(&path)?;
        let left_out = match view.frames_left_out {
            0 => String::new(),
            frames => format!(", {} left out", count(frames as usize, "frame")),
        };
        say!("{}: {:.1} s{left_out}", view.file, view.seconds);
        Ok(())
    }
}
