//! `oneport ladder`: the messages of a call of a running switch, as a ladder. How a ladder looks is here, whatever it
//! is of.

pub(crate) mod draw;
pub(crate) mod svg;

use std::collections::BTreeMap;
use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use clap::Args;
use oneport_switch::api::model::Ladder;

use crate::api::{ApiArgs, encoded};
use crate::exit::{Failure, failed};
use draw::{Line, Look, Tone, draw};

/// Columns where the terminal does not say how many it has.
const WIDTH: usize = 80;

/// Shows the messages of a call of a running switch as a ladder
#[derive(Args)]
#[command(after_help = "\
A ladder has the messages by which the call came about, as far as they are among the last MiB of
signalling that a switch keeps. Both legs stand on one axis of time: seconds from the beginning of
the call.

Examples:
  oneport ladder 01890a5d-ac96-774b-bcce-b302099a8057
  oneport ladder --ascii 01890a5d-ac96-774b-bcce-b302099a8057 > ladder.txt")]
pub(crate) struct LadderArgs {
    /// The call, as `oneport show calls` names it
    call: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Draws with ASCII alone
    #[arg(long)]
    ascii: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl LadderArgs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let path = format!("/v1/calls/{}/ladder", encoded(&self.call));
        let ladder: Ladder = self.api.client()?.get(&path)?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&ladder).map_err(failed)?);
            return Ok(());
        }
        if ladder.messages.is_empty() {
            let gone = "the beginning of this call is no longer among the signalling that is kept";
            return Err(failed(gone).hint("`oneport capture` has all that comes from now on"));
        }
        say!("{}", painted(&draw(&ladder, "switch", &BTreeMap::new(), look(self.ascii))));
        Ok(())
    }
}

/// How standard output shows a ladder.
pub(crate) fn look(ascii: bool) -> Look {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default().to_uppercase();
    let unicode = !ascii && (locale.contains("UTF-8") || locale.contains("UTF8"));
    Look { unicode, columns: columns.unwrap_or(WIDTH).max(WIDTH) }
}

const fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Heading => Style::new().bold(),
        Tone::Quiet => Style::new().dimmed(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Again => AnsiColor::Yellow.on_default(),
        Tone::Note => AnsiColor::Yellow.on_default(),
    }
}

/// Lines as text, with colours on a terminal that has not been asked for none.
pub(crate) fn painted(lines: &[Line]) -> String {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let piece = |(tone, text): &(Tone, String)| {
        let style = style(*tone);
        match colours && style != Style::new() && !text.is_empty() {
            true => format!("{style}{text}{style:#}"),
            false => text.clone(),
        }
    };
    let line = |line: &Line| line.iter().map(piece).collect::<String>();
    let lines: Vec<String> = lines.iter().map(line).collect();
    lines.join("\n")
}
