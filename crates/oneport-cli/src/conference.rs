//! `oneport conference`: members of conferences of a running switch.

use clap::{Args, Subcommand};
use oneport_switch::api::Gain;

use crate::api::{ApiArgs, encoded};
use crate::exit::Failure;

/// Mutes members of a conference, sets how loud they are, or puts them out
#[derive(Args)]
#[command(after_help = "\
`oneport show conferences` names rooms and members.

Example:
  oneport conference mute sales 01890a5d-ac96-774b-bcce-b302099a8057
  oneport conference gain sales 01890a5d-ac96-774b-bcce-b302099a8057 -6")]
pub(crate) struct Conference {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Subcommand)]
enum What {
    /// The others hear a member no more
    Mute(Member),
    /// The others hear it again
    Unmute(Member),
    /// Makes it louder or softer for the others
    Gain(MemberGain),
    /// Puts it out, and hangs it up
    Kick(Member),
}

#[derive(Args)]
struct MemberGain {
    #[command(flatten)]
    member: Member,
    /// Louder than it speaks by so many dB, -40 to 20
    #[arg(allow_negative_numbers = true)]
    db: f32,
}

#[derive(Args)]
struct Member {
    /// The conference
    room: String,
    /// The call of the member
    call: String,
}

impl Member {
    fn path(&self, what: &str) -> String {
        let (room, call) = (encoded(&self.room), encoded(&self.call));
        format!("/v1/conferences/{room}/members/{call}{what}")
    }
}

impl Conference {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.api.client()?;
        match self.what {
            What::Mute(member) => client.tell(&member.path("/mute")),
            What::Unmute(member) => client.delete(&member.path("/mute")),
            What::Gain(MemberGain { member, db }) => {
                client.put(&member.path("/gain"), &Gain { db })
            }
            What::Kick(member) => client.delete(&member.path("")),
        }
    }
}
