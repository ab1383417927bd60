//! `oneport route`: where a number leads, and why.

use std::path::PathBuf;

use clap::Args;
use oneport_switch::{Config, Decision};

use crate::exit::{Code, Failure, usage};
use crate::serve::explain;

/// Says where a number leads, step by step, without calling it
#[derive(Args)]
#[command(after_help = "\
Example:
  oneport route 12125550100 --from dialer --config oneport.toml")]
pub(crate) struct Route {
    /// The number called
    number: String,
    /// Who calls: a peer of the configuration; left out, a guest
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// The context the caller asks for
    #[arg(long)]
    context: Option<String>,
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "oneport.toml")]
    config: PathBuf,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

impl Route {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = Config::load_alone(&self.config).map_err(|error| explain(&error))?;
        let (from, context) = (self.from.as_deref(), self.context.as_deref());
        let decision = Decision::new(&config, from, &self.number, context)
            .map_err(|error| usage(error).hint("--from names one of [peers.NAME]"))?;
        if self.json {
            let steps: Vec<_> = decision
                .steps
                .iter()
                .map(|(route, chosen, why)| serde_json::json!({ "route": route, "chosen": chosen, "why": why }))
                .collect();
            say!(
                "{}",
                serde_json::json!({
                    "number": self.number,
                    "from": self.from,
                    "steps": steps,
                    "targets": decision.targets,
                    "summary": decision.summary,
                })
            );
        } else {
            say!("{decision}");
        }
        if decision.targets.is_empty() {
            return Err(Failure::new(Code::NoSuchNumber, "the number leads nowhere")
                .hint("add a route for it, or call from another peer or context"));
        }
        Ok(())
    }
}
