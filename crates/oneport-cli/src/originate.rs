//! `oneport originate`: a running switch places a call.

use clap::Args;
use oneport_switch::api::model::{CallView, Originate};

use crate::api::ApiArgs;
use crate::exit::{Failure, failed};

/// Has a running switch ring somebody, and lead it on when it answers
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport originate peer:ann 100                 as if ann had called 100
  oneport originate peer:ann/201 peer:carrier/12125550100 --number 12125550199
  oneport originate peer:ann builtin:conference/sales --timeout 60

It prints the call's id as soon as the first is being rung.")]
pub(crate) struct OriginateArgs {
    /// Who is rung first: peer:NAME or peer:NAME/NUMBER
    ring: String,
    /// Where it is led then: a number, or peer:NAME/NUMBER, or builtin:NAME
    to: String,
    /// The context in which the number is looked up
    #[arg(long)]
    context: Option<String>,
    /// The caller's number that both are shown
    #[arg(long)]
    number: Option<String>,
    /// The caller's name that both are shown
    #[arg(long)]
    name: Option<String>,
    /// How long the first may ring, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: Option<u64>,
    /// Prints the call as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl OriginateArgs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let asked = Originate {
            ring: self.ring,
            to: self.to,
            context: self.context,
            calling_number: self.number,
            calling_name: self.name,
            timeout_seconds: self.timeout,
        };
        let call: CallView = self.api.client()?.post("/v1/calls", &asked)?;
        match self.json {
            true => say!("{}", serde_json::to_string_pretty(&call).map_err(failed)?),
            false => say!("{}", call.id),
        }
        Ok(())
    }
}
