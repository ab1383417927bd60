//! `oneport call`: places a call.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use oneport::media::{Codec, wav::WavError};
use oneport::{
    Call, CallEnd, CallEvent, CauseCode, DtmfPhase, EncryptionPolicy, EndReason, Format, NewCall,
    Phone, PhoneConfig, Progress, Target,
};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time;

use crate::exit::{self, Failure, failed};
use crate::interrupt::Interrupt;
use crate::live::{self, Live};
use crate::places::{self, Fallbacks};
use crate::quality::Quality;
use crate::secret::SecretArgs;
use crate::speech;

/// How long a call goes on behind the last that is played.
const AFTER_PLAYBACK: Duration = Duration::from_secs(1);

/// Places a call, plays and records WAV files
#[derive(Args)]
#[command(after_help = "\
TARGET is iax:[user@]host[:port][/number[?context]], or just host/number.

Examples:
  oneport call 127.0.0.1/echo --play hello.wav --record back.wav
  oneport call iax:dialer@pbx.example.org/18005551212 --duration 30s
  oneport call pbx.example.org/600 --dtmf 1234 --json")]
pub(crate) struct CallArgs {
    /// Whom to call
    target: Target,
    #[command(flatten)]
    fallbacks: Fallbacks,
    /// WAV file to play when the call is answered
    #[arg(long, value_name = "FILE")]
    play: Option<PathBuf>,
    /// WAV file to write what is heard into
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Records what a listener hears: at a steady pace behind the jitter buffer, with what is late or
    /// lost made up, and not each frame at its timestamp
    #[arg(long, requires = "record")]
    as_heard: bool,
    /// Keys to press when the call is answered: 0-9, A-D, * and #
    #[arg(long, value_name = "DIGITS", value_parser = digits)]
    dtmf: Option<String>,
    /// Hangs up so long after the answer. Without it the call ends one second after the playback,
    /// or when the other side hangs up
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Codecs to offer, best first, such as g722,ulaw,gsm; docs/media.md lists them
    #[arg(long, value_name = "CODECS", value_delimiter = ',', value_parser = codec,
          default_value = "ulaw,alaw")]
    codec: Vec<Format>,
    /// The number we call from
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// Whether the call is encrypted; it needs a secret for that
    #[arg(long, value_name = "RULE", value_enum, default_value_t)]
    encryption: Encryption,
    #[command(flatten)]
    secret: SecretArgs,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
}

/// Whether a call is encrypted.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Encryption {
    /// Never
    #[default]
    Off,
    /// Where the peer can
    Allowed,
    /// Always: otherwise there is no call
    Required,
}

impl From<Encryption> for EncryptionPolicy {
    fn from(rule: Encryption) -> Self {
        match rule {
            Encryption::Off => Self::Off,
            Encryption::Allowed => Self::Allowed,
            Encryption::Required => Self::Required,
        }
    }
}

pub(crate) fn codec(name: &str) -> Result<Format, String> {
    let format = Format::from_name(name).filter(|format| Codec::for_format(*format).is_some());
    format.ok_or_else(|| {
        let spoken: Vec<&str> = Codec::ALL.iter().map(|codec| codec.format().name()).collect();
        format!("it is one of {}", spoken.join(", "))
    })
}

pub(crate) fn digits(text: &str) -> Result<String, String> {
    let key = |key: char| "0123456789ABCDabcd*#".contains(key);
    if text.chars().all(key) { Ok(text.into()) } else { Err("keys are 0-9, A-D, * and #".into()) }
}

/// The result, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    outcome: &'static str,
    target: String,
    answered: bool,
    format: Option<String>,
    encrypted: bool,
    /// From the answer to the end.
    seconds: f64,
    cause: u8,
    cause_text: &'static str,
    digits: String,
    texts: Vec<String>,
    quality: Quality,
}

/// Waits for the script to end, once; without one, for ever.
async fn finished(script: &mut Option<JoinHandle<()>>) -> Result<(), Failure> {
    let Some(running) = script else { return std::future::pending().await };
    let result = running.await.map_err(failed);
    *script = None;
    result
}

/// A call under way.
struct Conversation {
    call: Call,
    live: Live,
    state: &'static str,
    begun: Instant,
    answered: Option<Instant>,
    digits: String,
    texts: Vec<String>,
    /// The other side has refused without hanging up.
    said_no: Option<CauseCode>,
    recording: Option<JoinHandle<Result<(), WavError>>>,
}

impl CallArgs {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        // What is wrong with files shall be known before anybody's telephone rings.
        if let Some(path) = &self.play {
            speech::read(path, 8000)?;
        }
        if let Some(path) = &self.record {
            speech::writable(path)?;
        }
        let secret = self.secret.read(self.target.user.as_deref())?;
        let places = self.fallbacks.places(&self.target).await?;
        let formats = self.codec.clone();
        let config = PhoneConfig { formats: formats.clone(), ..PhoneConfig::default() };
        let phone = Phone::bind(config).map_err(failed)?;
        let to = places::first_there(&phone, &places).await?;
        let mut new = NewCall::to(self.target.number.clone().unwrap_or_else(|| "s".into()));
        new.called_context = self.target.context.clone();
        new.username = self.target.user.clone();
        new.calling_number = self.from.clone();
        new.secret = secret;
        new.key = self.secret.read_key()?;
        new.encryption = self.encryption.into();
        new.allow_plaintext = self.secret.allow_plaintext;
        new.formats = formats;
        // Before it Ctrl-C ends the process, from here on the call: the other side may know of it.
        let interrupt = Interrupt::new()?;
        let call = phone.call(to, new).await.map_err(failed)?;
        let mut conversation = Conversation {
            call,
            live: Live::new(),
            state: "calling",
            begun: Instant::now(),
            answered: None,
            digits: String::new(),
            texts: Vec::new(),
            recording: None,
            said_no: None,
        };
        let end = self.converse(&mut conversation, interrupt).await?;
        conversation.live.clear();
        let answered = conversation.answered;
        let format = conversation.call.format();
        let Conversation { call, digits, texts, recording, .. } = conversation;
        drop(call);
        if let Some(recording) = recording {
            recording.await.map_err(failed)?.map_err(failed)?;
        }
        phone.stop().await;
        let failure = exit::of_call(&end, answered.is_some());
        let report = Report {
            outcome: exit::name(failure.as_ref().map(Failure::code)),
            target: self.target.to_string(),
            answered: answered.is_some(),
            format: format.map(|format| format.to_string()),
            encrypted: end.stats.encrypted,
            seconds: answered.map_or(0.0, |at| (at.elapsed().as_secs_f64() * 10.0).round() / 10.0),
            cause: end.cause.0,
            cause_text: end.cause.name(),
            digits,
            texts,
            quality: Quality::of(&end.stats),
        };
        self.print(&report)?;
        failure.map_or(Ok(()), Err)
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        if self.json {
            say!("{}", serde_json::to_string_pretty(report).map_err(failed)?);
        } else if report.answered {
            let format = report.format.as_deref().unwrap_or("-");
            let encrypted = if report.encrypted { ", encrypted" } else { "" };
            say!("{} s in {format}{encrypted}, ended by {}", report.seconds, report.cause_text);
            say!("{}", report.quality.table().trim_end());
        }
        Ok(())
    }

    /// Goes through the call to its end.
    async fn converse(
        &self,
        conversation: &mut Conversation,
        mut interrupt: Interrupt,
    ) -> Result<CallEnd, Failure> {
        let mut clock = time::interval(live::PERIOD);
        // Far away, until there is a reason to hang up.
        let hang_up = time::sleep(Duration::from_secs(u32::MAX.into()));
        tokio::pin!(hang_up);
        let mut script: Option<JoinHandle<()>> = None;
        loop {
            tokio::select! {
                event = conversation.call.next_event() => {
                    let Some(event) = event else { return Err(failed("the phone has stopped")) };
                    if let CallEvent::Ended(mut end) = event {
                        if let Some(cause) = conversation.said_no {
                            (end.reason, end.cause) = (EndReason::RemoteReject, cause);
                        }
                        return Ok(*end);
                    }
                    if self.follow(conversation, event).await? {
                        script = self.perform(conversation)?;
                        if let Some(duration) = self.duration {
                            hang_up.as_mut().reset(time::Instant::now() + duration);
                        }
                    }
                }
                _ = clock.tick() => {
                    let stats = conversation.call.stats().await;
                    let elapsed = conversation.answered.unwrap_or(conversation.begun).elapsed();
                    conversation.live.show(conversation.state, elapsed, stats.as_ref());
                }
                () = &mut hang_up => conversation.call.hangup(CauseCode::NORMAL_CLEARING),
                () = interrupt.heard() => conversation.call.hangup(CauseCode::NORMAL_CLEARING),
                done = finished(&mut script) =>
                {
                    done?;
                    if self.duration.is_none() {
                        hang_up.as_mut().reset(time::Instant::now() + AFTER_PLAYBACK);
                    }
                }
            }
        }
    }

    /// Notes what an event says; `true` when it is the answer.
    async fn follow(
        &self,
        conversation: &mut Conversation,
        event: CallEvent,
    ) -> Result<bool, Failure> {
        match event {
            CallEvent::Accepted(format) => {
                conversation.state = "accepted";
                if let Some(path) = &self.record {
                    let (reader, _) = conversation.call.audio().await.map_err(failed)?;
                    let record =
                        if self.as_heard { speech::record_as_heard } else { speech::record };
                    conversation.recording = Some(record(reader, format, path.clone())?);
                }
            }
            CallEvent::Progress(Progress::Ringing) => conversation.state = "ringing",
            // Asterisk says so, and leaves it to us to hang up.
            CallEvent::Progress(no @ (Progress::Busy | Progress::Congestion))
                if conversation.answered.is_none() =>
            {
                let cause = match no {
                    Progress::Busy => CauseCode::USER_BUSY,
                    _ => CauseCode::CIRCUIT_CONGESTION,
                };
                conversation.said_no = Some(cause);
                conversation.call.hangup(cause);
            }
            CallEvent::Answered => {
                conversation.state = "answered";
                conversation.answered = Some(Instant::now());
                return Ok(true);
            }
            CallEvent::Dtmf { digit, phase: DtmfPhase::End } => {
                conversation.digits.push(char::from(digit));
            }
            CallEvent::Text(text) => {
                conversation.live.clear();
                if !self.json {
                    say!("text: {text}");
                }
                conversation.texts.push(text);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Presses the keys, then plays the file.
    fn perform(&self, conversation: &Conversation) -> Result<Option<JoinHandle<()>>, Failure> {
        if self.play.is_none() && self.dtmf.is_none() {
            return Ok(None);
        }
        let speaker = conversation.call.speaker().map_err(failed)?;
        let samples = match &self.play {
            Some(path) => speech::read(path, speaker.sample_rate())?,
            None => Vec::new(),
        };
        let keys = self.dtmf.clone().unwrap_or_default();
        let keypad = conversation.call.keypad();
        Ok(Some(tokio::spawn(async move {
            // If the call ends meanwhile, its last event says why.
            let _ = keypad.press(&keys).await;
            speaker.play(&samples).await;
        })))
    }
}
