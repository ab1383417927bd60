//! `oneport probe`: what a link is good for, before calls are trusted to it.

mod measure;
mod nagios;
mod nat;
mod page;
pub(crate) mod poll;
pub(crate) mod polls;
mod prober;
mod ramp;
mod report;
mod verdict;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use oneport::probe::SEEN_LENGTH;
use oneport::{DriverConfig, EndpointConfig, Format, NewCall, Target};
use oneport_proto::RetransmissionConfig;

use crate::call::Encryption;
use crate::exit::{Code, Failure, failed, usage};
use crate::load::{format, frame_bytes};
use crate::secret::SecretArgs;
use measure::{CallFound, Wishes};
use nagios::Thresholds;
use poll::any_towards;
use prober::Script;
use report::Report;

/// Numbers that are tried where none is given: Oneport's far end of a probe, and what others call so.
const NUMBERS: [&str; 2] = ["probe", "echo"];
/// Polls, and how long one call speaks: of a whole probe, and of a check by a monitor.
const POLLS: u32 = 30;
const NAGIOS_POLLS: u32 = 10;
const SPEECH: Duration = Duration::from_secs(10);
const NAGIOS_SPEECH: Duration = Duration::from_secs(4);
/// The most calls at once: of a probe where nothing is said, and that may be asked for.
const CALLS: u16 = 16;
const MOST_CALLS: u16 = 200;
/// How long a call may speak, and sockets be silent.
const LONGEST_SPEECH: Duration = Duration::from_secs(120);
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// Measures a link before calls are trusted to it, and says what is wrong with it
#[derive(Args)]
#[command(after_help = "\
HOST is iax:[user@]host[:port][/number[?context]], or just host, or host/number. Polls need
nothing of the other end. Voice needs a number there that sends it back: `probe` of Oneport,
which also says what it saw, so that the ways there and back are told apart, or any echo.
Without a number those are tried.

It sends little: 30 polls, some of up to 1,500 bytes, one call of 10 s, then up to 16 calls at
once for 2 s a step, alone and in a trunk, and stops where voice begins to suffer.

Examples:
  oneport probe pbx.example.org
  oneport probe iax:site@pbx.example.org/600 --secret-file site.secret --html link.html
  oneport probe pbx.example.org --deep 2m --also other.example.org
  oneport probe pbx.example.org --calls 1 --json
  oneport probe pbx.example.org/probe --nagios --warn-rtt 100 --critical-loss 3")]
pub(crate) struct Probe {
    /// Whom to probe
    target: Target,
    /// How long one call speaks, 2 s to 2 m; 10s where nothing is said, 4s with --nagios
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// The most calls at once; 1 tries no more than one, 0 places no call
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=i64::from(MOST_CALLS)))]
    calls: Option<u16>,
    /// The codec that calls speak; its frames hold marks, not sound
    #[arg(long, value_name = "CODEC", value_parser = format, default_value = "ulaw")]
    codec: Format,
    /// Tries no long datagrams
    #[arg(long)]
    no_lengths: bool,
    /// Also is silent for up to so long, 5 minutes at most, to see when a NAT forgets us
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deep: Option<Duration>,
    /// A second host with Oneport, which is asked where it sees us: whether a NAT gives us other ports for it
    #[arg(long, value_name = "HOST")]
    also: Option<Target>,
    /// The number we call from
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// Whether calls are encrypted; it needs a secret for that
    #[arg(long, value_name = "RULE", value_enum, default_value_t)]
    encryption: Encryption,
    #[command(flatten)]
    secret: SecretArgs,
    /// Writes the report as one page of HTML, with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Prints the report as JSON
    #[arg(long, conflicts_with = "nagios")]
    json: bool,
    /// Prints one line for Nagios, and exits with its codes: 10 polls, and a call of 4 s where a number
    /// is given
    #[arg(long)]
    nagios: bool,
    #[command(flatten)]
    thresholds: Thresholds,
}

/// Length of a frame, in ms.
const FRAME_MS: u16 = 20;

/// What calls are placed with: whoever does not answer soon is given up.
fn driver_config(to: SocketAddr) -> DriverConfig {
    let retransmission =
        RetransmissionConfig { give_up: measure::SET_UP, ..RetransmissionConfig::default() };
    let endpoint = EndpointConfig {
        setup_timeout: measure::SET_UP,
        retransmission,
        ..EndpointConfig::default()
    };
    DriverConfig { listen: vec![any_towards(to)], endpoint, ..DriverConfig::default() }
}

impl Probe {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match (self.nagios, self.measure().await) {
            (false, result) => result,
            (true, Ok(code)) => Ok(code),
            (true, Err(failure)) => {
                say!("IAX2 UNKNOWN - {}: {}", self.target, failure.sentence().replace('|', " "));
                Ok(nagios::State::Unknown.exit_code())
            }
        }
    }

    async fn measure(&self) -> Result<ExitCode, Failure> {
        let to = self.target.resolve().await.map_err(|error| {
            Failure::new(Code::Unreachable, error).hint("check the host's name")
        })?;
        let wishes = self.wishes(to).await?;
        let tell = |what: &str| {
            if std::io::stderr().is_terminal() && !self.nagios {
                eprint!("\r\x1b[K{what}…");
            }
        };
        let measured = tokio::select! {
            measured = measure::measure(&wishes, &tell) => measured,
            _ = tokio::signal::ctrl_c() => Err(failed("interrupted")),
        };
        if std::io::stderr().is_terminal() && !self.nagios {
            eprint!("\r\x1b[K");
        }
        let found = measured?;
        let at = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string();
        let report = Report::of(&self.target, to, at, FRAME_MS, &found);
        if let Some(path) = &self.html {
            let page = page::page(&report, &found).map_err(failed)?;
            std::fs::write(path, page).map_err(|error| {
                failed(format!("{}: {error}", path.display())).hint("check --html")
            })?;
        }
        if self.nagios {
            let (state, line) = nagios::line(&report, &self.thresholds);
            say!("{line}");
            return Ok(state.exit_code());
        }
        if self.json {
            say!("{}", serde_json::to_string_pretty(&report).map_err(failed)?);
        } else {
            say!("{}", report.page().trim_end());
        }
        let unreachable = || Failure::new(Code::Unreachable, format!("{to} does not answer"));
        match found.polls.received {
            0 => Err(match report.findings.first().and_then(|finding| finding.remedy) {
                Some(remedy) => unreachable().hint(remedy),
                None => unreachable(),
            }),
            _ => self.wanted_call(&found.call).map_or(Ok(ExitCode::SUCCESS), Err),
        }
    }

    /// A failure where a number was given, and no voice came back from it.
    fn wanted_call(&self, call: &CallFound) -> Option<Failure> {
        self.target.number.as_ref()?;
        match call {
            CallFound::Refused { end: Some(end), .. } => crate::exit::of_call(end, false),
            CallFound::Refused { end: None, .. } => {
                Some(Failure::new(Code::NoAnswer, "nobody answered"))
            }
            CallFound::Unechoed { .. } => Some(failed("no voice came back")),
            CallFound::NotTried | CallFound::Spoke(_) => None,
        }
    }

    async fn wishes(&self, to: SocketAddr) -> Result<Wishes, Failure> {
        let frame_bytes = frame_bytes(self.codec, FRAME_MS)
            .filter(|bytes| *bytes >= SEEN_LENGTH)
            .ok_or_else(|| {
            let said = format!("frames of {} have no room for marks", self.codec);
            usage(said).hint("take one with longer frames, such as --codec ulaw")
        })?;
        let also =
            match &self.also {
                Some(also) => Some(also.resolve().await.map_err(|error| {
                    Failure::new(Code::Unreachable, error).hint("check --also")
                })?),
                None => None,
            };
        let (polls, speech, calls) = match self.nagios {
            true => (NAGIOS_POLLS, NAGIOS_SPEECH, 1),
            false => (POLLS, SPEECH, CALLS),
        };
        let calls = self.calls.unwrap_or(calls);
        let duration = self.duration.unwrap_or(speech);
        if duration < Duration::from_secs(2) || duration > LONGEST_SPEECH {
            return Err(usage("a call speaks for 2 s to 2 m").hint("check --duration"));
        }
        if self.deep.is_some_and(|deep| deep > LONGEST_SILENCE) {
            return Err(
                usage("nobody needs to be silent for more than 5 minutes").hint("check --deep")
            );
        }
        let numbers = match &self.target.number {
            _ if calls == 0 => Vec::new(),
            Some(number) => vec![number.clone()],
            // A monitor that is refused at each check would fill the other end's log.
            None if self.nagios => Vec::new(),
            None => NUMBERS.map(String::from).to_vec(),
        };
        let mut call = NewCall::to("");
        call.called_context = self.target.context.clone();
        call.username = self.target.user.clone();
        call.calling_number = self.from.clone();
        call.secret = self.secret.read(self.target.user.as_deref())?;
        call.key = self.secret.read_key()?;
        call.encryption = self.encryption.into();
        call.allow_plaintext = self.secret.allow_plaintext;
        call.formats = vec![self.codec];
        Ok(Wishes {
            to,
            also,
            polls,
            lengths: !self.no_lengths && !self.nagios,
            numbers,
            call,
            script: Script {
                to,
                frame_ms: FRAME_MS,
                frame_bytes,
                run: getrandom::u32().map_err(failed)?,
                epoch: Instant::now(),
            },
            duration,
            calls: calls.into(),
            deep: self.deep,
        })
    }
}
