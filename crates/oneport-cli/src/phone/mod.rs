//! `oneport phone`: a softphone in a terminal.
//!
//! [`state`] decides, [`screen`] draws it, [`run`] joins both with the network; [`line`] goes through one
//! call, [`voice`] through its sound, by a [`sound`] card or files.

mod bells;
#[cfg(feature = "sound")]
mod card;
#[cfg(feature = "sound")]
mod echo;
mod line;
mod run;
mod screen;
mod sound;
mod state;
mod voice;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use oneport::media::progress::{COUNTRIES, Country};
use oneport::{Format, PhoneConfig, RegistrationConfig, Target};

use crate::answer::registration;
use crate::call::Encryption;
use crate::exit::{Failure, usage};
use crate::places::Fallbacks;
use crate::secret::SecretArgs;
use crate::terminal;
use sound::{Files, Sound};

/// A softphone in the terminal: registers, rings, calls
#[derive(Args)]
#[command(after_help = "\
Type a number and Enter to call; `a` answers, `h` holds, `t` transfers, `x` hangs up, `?` shows all
keys.

Examples:
  oneport phone iax:ann@pbx.example.org --secret-file ann.secret
  oneport phone iax:ann@pbx.example.org --in hello.wav --out heard.wav
  oneport phone --listen 0.0.0.0:4569")]
pub(crate) struct PhoneArgs {
    /// As whom and where to register and to call: iax:user@host[:port]. Without it calls go to
    /// host/number only
    account: Option<Target>,
    #[command(flatten)]
    fallbacks: Fallbacks,
    /// Calls there, but does not register: nobody calls us through it
    #[arg(long, requires = "account")]
    no_register: bool,
    /// For how long to ask to be registered; the registrar decides
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    refresh: Duration,
    /// Address to listen on, any free port by default; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
    /// WAV file that is heard in place of the microphone, from its beginning in each call
    #[arg(long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// WAV file to write what is heard into, in place of the loudspeaker
    #[arg(long = "out", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leaves the sound card alone
    #[arg(long)]
    no_sound: bool,
    /// Leaves the echo of the loudspeaker in what the microphone hears, as with a headset
    #[arg(long)]
    no_echo_cancellation: bool,
    /// Codecs to speak, best first
    #[arg(long, value_name = "CODECS", value_delimiter = ',', value_parser = crate::call::codec,
          default_value = "ulaw,alaw,g722,slin16,slin")]
    codec: Vec<Format>,
    /// The country whose tone is heard while it rings at the other side, by its code
    #[arg(long, value_name = "CODE", value_parser = country, default_value = "us")]
    tones: &'static Country,
    /// The number we call from
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// Whether calls that we place are encrypted; they need a secret for that
    #[arg(long, value_name = "RULE", value_enum, default_value_t)]
    encryption: Encryption,
    #[command(flatten)]
    secret: SecretArgs,
}

/// As whom we call and register.
struct Account {
    target: Target,
    config: RegistrationConfig,
}

/// Calls as they are placed.
struct Habits {
    account: Option<Account>,
    formats: Vec<Format>,
    from: Option<String>,
    encryption: Encryption,
    country: &'static Country,
}

fn country(code: &str) -> Result<&'static Country, String> {
    Country::find(code).ok_or_else(|| {
        let codes: Vec<&str> = COUNTRIES.iter().map(|country| country.code).collect();
        format!("one of {}", codes.join(", "))
    })
}

impl PhoneArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        terminal::check("phone", "`oneport call` and `oneport answer`")?;
        let account = match &self.account {
            None => None,
            Some(target) => {
                let config =
                    registration(target, &self.fallbacks, &self.secret, self.refresh).await?;
                Some(Account { target: target.clone(), config })
            }
        };
        let files = Files::open(self.input.as_deref(), self.output.as_deref())?;
        let choice = self.choice();
        let (listen, default) = (self.listen, PhoneConfig::default());
        let config = PhoneConfig {
            listen: if listen.is_empty() { default.listen } else { listen },
            formats: self.codec.clone(),
            ..PhoneConfig::default()
        };
        let phone = oneport::Phone::bind(config)
            .map_err(|error| usage(error).hint("--listen 127.0.0.1:4570 takes another port"))?;
        let register = account.is_some() && !self.no_register;
        let habits = Habits {
            account,
            formats: self.codec,
            from: self.from,
            encryption: self.encryption,
            country: self.tones,
        };
        run::run(phone, habits, register, move || open(choice, files)).await
    }

    /// What is heard and spoken through.
    fn choice(&self) -> Choice {
        let named = |path: &Option<PathBuf>, nothing: &str| {
            path.as_ref().map_or_else(|| nothing.into(), |path| path.display().to_string())
        };
        if self.input.is_some() || self.output.is_some() {
            let (input, output) = (named(&self.input, "silence"), named(&self.output, "nobody"));
            return Choice::Files(format!("{input} speaks, {output} hears"));
        }
        if self.no_sound {
            return Choice::Files("off; --in and --out name files instead".into());
        }
        Choice::Card { cancel_echo: !self.no_echo_cancellation }
    }
}

enum Choice {
    /// Files; and the sentence that says so.
    Files(String),
    Card {
        #[cfg_attr(not(feature = "sound"), expect(dead_code, reason = "there are no cards then"))]
        cancel_echo: bool,
    },
}

/// What a phone does without a sound card.
const SILENCE: &str = "--in and --out name files instead";

/// Opens what was chosen, and says what it is. Without a sound card it is files, or silence.
fn open(choice: Choice, files: Files) -> (Box<dyn Sound>, String) {
    match choice {
        Choice::Files(sentence) => (Box::new(files), sentence),
        #[cfg(feature = "sound")]
        Choice::Card { cancel_echo } => match card::Card::open(cancel_echo) {
            Ok((card, sentence)) => (Box::new(card), sentence),
            Err(why) => (Box::new(files), format!("{why}; {SILENCE}")),
        },
        #[cfg(not(feature = "sound"))]
        Choice::Card { .. } => {
            (Box::new(files), format!("this build has no sound cards; {SILENCE}"))
        }
    }
}
