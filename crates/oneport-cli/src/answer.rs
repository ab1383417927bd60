//! `oneport answer`: takes calls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use oneport::{
    Call, CallEnd, CallEvent, CauseCode, DtmfPhase, Format, IncomingCall, Phone, PhoneConfig,
    Registration, RegistrationConfig, Target,
};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::exit::{Failure, failed, usage};
use crate::interrupt::Interrupt;
use crate::places::Fallbacks;
use crate::quality::Quality;
use crate::secret::SecretArgs;
use crate::speech;

/// Answers calls with an echo, a file or a recorder
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport answer --listen 127.0.0.1:4570
  oneport answer --record call.wav --calls 1
  oneport answer --play hello.wav --register iax:site@pbx.example.org")]
pub(crate) struct Answer {
    /// Sends back what is heard; so it does without --play and --record
    #[arg(long, conflicts_with_all = ["play", "record"])]
    echo: bool,
    /// WAV file to play; then it hangs up
    #[arg(long, value_name = "FILE")]
    play: Option<PathBuf>,
    /// WAV file to write what is heard into; further calls get -2, -3, … before its dot
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Records what a listener hears: at a steady pace behind the jitter buffer, with what is late or
    /// lost made up, and not each frame at its timestamp
    #[arg(long, requires = "record")]
    as_heard: bool,
    /// Address to listen on; may be given several times
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:4569")]
    listen: Vec<SocketAddr>,
    /// Registers there, so that the number leads here
    #[arg(long, value_name = "TARGET")]
    register: Option<Target>,
    #[command(flatten)]
    fallbacks: Fallbacks,
    /// Ends after so many calls
    #[arg(long, value_name = "N")]
    calls: Option<u64>,
    /// Codecs to speak, best first
    #[arg(long, value_name = "CODECS", value_delimiter = ',', value_parser = crate::call::codec,
          default_value = "ulaw,alaw,slin,slin16")]
    codec: Vec<Format>,
    #[command(flatten)]
    secret: SecretArgs,
    /// Prints one line of JSON for each call
    #[arg(long)]
    json: bool,
}

/// One call, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    from: String,
    called: String,
    seconds: f64,
    cause: u8,
    cause_text: &'static str,
    digits: String,
    texts: Vec<String>,
    quality: Quality,
}

impl Answer {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if let Some(path) = &self.play {
            speech::read(path, 8000)?;
        }
        if let Some(path) = &self.record {
            speech::writable(path)?;
        }
        let listen = self.listen.clone();
        let formats = self.codec.clone();
        let config = PhoneConfig { listen, formats, ..PhoneConfig::default() };
        let phone = Phone::bind(config)
            .map_err(|error| failed(error).hint("--listen 127.0.0.1:4570 takes another port"))?;
        let list: Vec<String> = phone.local_addresses().iter().map(ToString::to_string).collect();
        eprintln!("listening on UDP {}", list.join(" and "));
        let registration = self.register(&phone).await?;
        let mut interrupt = Interrupt::new()?;
        let this = Arc::new(self);
        let (mut taken, mut up) = (0, JoinSet::new());
        while this.calls.is_none_or(|calls| taken < calls) {
            tokio::select! {
                incoming = phone.incoming() => {
                    let Some(incoming) = incoming else { break };
                    taken += 1;
                    let (this, interrupt) = (Arc::clone(&this), interrupt.clone());
                    up.spawn(async move { this.serve(incoming, taken, interrupt).await });
                }
                Some(served) = up.join_next() => served.map_err(failed)??,
                () = interrupt.heard() => break,
            }
        }
        // Those that are up hear of Ctrl-C themselves.
        while let Some(served) = up.join_next().await {
            served.map_err(failed)??;
        }
        if let Some(registration) = registration {
            registration.unregister().await;
        }
        phone.stop().await;
        Ok(())
    }

    async fn register(&self, phone: &Phone) -> Result<Option<Registration>, Failure> {
        let Some(target) = &self.register else { return Ok(None) };
        let config =
            registration(target, &self.fallbacks, &self.secret, Duration::from_secs(60)).await?;
        phone.register(config).await.map(Some).map_err(failed)
    }

    /// Goes through one call. A caller that gives up is no failure.
    async fn serve(
        &self,
        incoming: IncomingCall,
        number: u64,
        mut interrupt: Interrupt,
    ) -> Result<(), Failure> {
        let offer = incoming.offer();
        let from = offer.calling_number.clone().unwrap_or_else(|| offer.path.to_string());
        let called = offer.called_number.clone();
        let Ok(mut call) = incoming.answer().await else { return Ok(()) };
        let begun = Instant::now();
        let mut recording = None;
        if self.play.is_none() && self.record.is_none() {
            let _ = call.echo().await;
        }
        if let Some(path) = &self.record {
            let (reader, _) = call.audio().await.map_err(failed)?;
            let format = call.format().unwrap_or(Format::ULAW);
            let record = if self.as_heard { speech::record_as_heard } else { speech::record };
            recording = Some(record(reader, format, numbered(path, number))?);
        }
        if let Some(path) = &self.play {
            let speaker = call.speaker().map_err(failed)?;
            let samples = speech::read(path, speaker.sample_rate())?;
            tokio::select! {
                () = speaker.play(&samples) => call.hangup(CauseCode::NORMAL_CLEARING),
                () = interrupt.heard() => call.hangup(CauseCode::NORMAL_CLEARING),
            }
        }
        let (mut digits, mut texts) = (String::new(), Vec::new());
        let end = wait(&mut call, &mut interrupt, &mut digits, &mut texts).await?;
        drop(call);
        if let Some(recording) = recording {
            recording.await.map_err(failed)?.map_err(failed)?;
        }
        let seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        let quality = Quality::of(&end.stats);
        let (cause, cause_text) = (end.cause.0, end.cause.name());
        let report = Report { from, called, seconds, cause, cause_text, digits, texts, quality };
        if self.json {
            say!("{}", serde_json::to_string(&report).map_err(failed)?);
        } else {
            let Report { from, called, digits, .. } = &report;
            say!("{from} called {called}: {seconds} s, ended by {cause_text}; keys {digits:?}");
            say!("{}", report.quality.table().trim_end());
        }
        Ok(())
    }
}

/// Waits for the end of a call; Ctrl-C hangs up.
async fn wait(
    call: &mut Call,
    interrupt: &mut Interrupt,
    digits: &mut String,
    texts: &mut Vec<String>,
) -> Result<CallEnd, Failure> {
    loop {
        tokio::select! {
            event = call.next_event() => match event {
                Some(CallEvent::Ended(end)) => return Ok(*end),
                Some(CallEvent::Dtmf { digit, phase: DtmfPhase::End }) => {
                    digits.push(char::from(digit));
                }
                Some(CallEvent::Text(text)) => texts.push(text),
                Some(_) => {}
                None => return Err(failed("the phone has stopped")),
            },
            () = interrupt.heard() => call.hangup(CauseCode::NORMAL_CLEARING),
        }
    }
}

/// `path` for the first call, then with a number before its dot.
fn numbered(path: &Path, number: u64) -> PathBuf {
    if number == 1 {
        return path.into();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{number}.{extension}"))
}

/// How to register at `target`, or where it does not answer at a fallback.
pub(crate) async fn registration(
    target: &Target,
    fallbacks: &Fallbacks,
    secret: &SecretArgs,
    refresh: Duration,
) -> Result<RegistrationConfig, Failure> {
    let Some(username) = target.user.clone() else {
        return Err(usage(format!("{target} does not say as whom to register"))
            .hint("write it as iax:name@host"));
    };
    let mut places = fallbacks.places(target).await?;
    let (to, others) = (places.remove(0).address, places);
    let allow_plaintext = secret.allow_plaintext;
    let key = secret.read_key()?;
    let secret = secret.read(Some(&username))?;
    Ok(RegistrationConfig { to, others, username, secret, key, allow_plaintext, refresh })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_get_numbers() {
        let path = Path::new("/tmp/call.wav");
        assert_eq!(numbered(path, 1), path);
        assert_eq!(numbered(path, 3), Path::new("/tmp/call-3.wav"));
    }
}
