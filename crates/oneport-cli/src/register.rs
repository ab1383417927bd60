//! `oneport register`: registers and shows what becomes of it.

use std::time::Duration;

use clap::Args;
use oneport::{MessageCount, Phone, PhoneConfig, RegistrationEvent, RegistrationFailure, Target};
use serde::Serialize;

use crate::answer::registration;
use crate::exit::{self, Code, Failure, failed};
use crate::interrupt::Interrupt;
use crate::places::Fallbacks;
use crate::secret::SecretArgs;

/// Registers, and renews it until Ctrl-C
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport register iax:site@pbx.example.org --secret-file site.secret
  oneport register iax:site@pbx.example.org --once --json")]
pub(crate) struct Register {
    /// Where and as whom: iax:user@host[:port]
    target: Target,
    #[command(flatten)]
    fallbacks: Fallbacks,
    /// For how long to ask; the registrar decides
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    refresh: Duration,
    /// Unregisters and ends after the first answer
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    secret: SecretArgs,
    /// Prints one line of JSON for each change
    #[arg(long)]
    json: bool,
}

/// A change, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    state: &'static str,
    registrar: Option<String>,
    refresh_seconds: Option<u64>,
    apparent_address: Option<String>,
    new_messages: Option<u8>,
    old_messages: Option<u8>,
    retry_seconds: Option<u64>,
}

impl Register {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config =
            registration(&self.target, &self.fallbacks, &self.secret, self.refresh).await?;
        let several = !config.others.is_empty();
        let phone = Phone::bind(PhoneConfig::default()).map_err(failed)?;
        let mut registration = phone.register(config).await.map_err(failed)?;
        let mut interrupt = Interrupt::new()?;
        let result = loop {
            let event = tokio::select! {
                event = registration.next_event() => event,
                () = interrupt.heard() => break Ok(()),
            };
            let Some(event) = event else { break Err(failed("the phone has stopped")) };
            let failure = self.show(&event, several)?;
            // Another is tried at once.
            let goes_on =
                matches!(&event, RegistrationEvent::Failed { retry_in: Duration::ZERO, .. });
            if self.once && !goes_on {
                break failure.map_or(Ok(()), Err);
            }
            if let Some(failure) = failure {
                failure.report();
            }
        };
        registration.unregister().await;
        phone.stop().await;
        result
    }

    /// Prints an event, and at which of `several` registrars; gives what is wrong.
    fn show(&self, event: &RegistrationEvent, several: bool) -> Result<Option<Failure>, Failure> {
        let mut report = Report {
            state: "unregistered",
            registrar: None,
            refresh_seconds: None,
            apparent_address: None,
            new_messages: None,
            old_messages: None,
            retry_seconds: None,
        };
        let mut failure = None;
        match event {
            RegistrationEvent::Registered {
                registrar,
                refresh,
                apparent_address,
                messages,
                ..
            } => {
                report.state = "registered";
                report.registrar = Some(registrar.to_string());
                report.refresh_seconds = Some(refresh.as_secs());
                report.apparent_address = apparent_address.map(|address| address.to_string());
                report.new_messages = messages.map(|messages| messages.new);
                report.old_messages = messages.map(|messages| messages.old);
                if !self.json {
                    let address = report.apparent_address.as_deref().unwrap_or("?");
                    let seconds = refresh.as_secs();
                    let at = if several { format!(" at {registrar}") } else { String::new() };
                    say!("registered{at} for {seconds} s; we are seen at {address}");
                    if let Some(messages) = messages {
                        say!("{}", waiting(*messages));
                    }
                }
            }
            RegistrationEvent::MessagesWaiting { count, .. } => {
                report.state = "messages";
                report.new_messages = count.map(|count| count.new);
                report.old_messages = count.map(|count| count.old);
                if !self.json {
                    match count {
                        Some(count) => say!("{}", waiting(*count)),
                        None => say!("messages wait"),
                    }
                }
            }
            RegistrationEvent::Failed { registrar, failure: why, retry_in } => {
                let (code, mut sentence) = describe(why);
                if several {
                    sentence = format!("{registrar}: {sentence}");
                }
                report.registrar = Some(registrar.to_string());
                report.state = exit::name(Some(code));
                report.retry_seconds = Some(retry_in.as_secs());
                let hint = match code {
                    Code::Unreachable => "check host and port, and that UDP 4569 passes",
                    _ => "check the name and its secret (--secret-file or ONEPORT_SECRET)",
                };
                failure = Some(Failure::new(code, sentence).hint(hint));
            }
            _ => {}
        }
        if self.json {
            say!("{}", serde_json::to_string(&report).map_err(failed)?);
        }
        Ok(failure)
    }
}

/// What waits in the mailbox.
fn waiting(count: MessageCount) -> String {
    // 0xFFFF: there are some.
    if count == (MessageCount { old: u8::MAX, new: u8::MAX }) {
        return "messages wait".into();
    }
    format!("{} new messages wait, and {} old ones", count.new, count.old)
}

pub(crate) fn describe(failure: &RegistrationFailure) -> (Code, String) {
    match failure {
        RegistrationFailure::Refused { text: Some(text), .. } => {
            (Code::Unauthorised, format!("the registrar refuses, saying {text:?}"))
        }
        RegistrationFailure::Refused { .. } => (Code::Unauthorised, "the registrar refuses".into()),
        RegistrationFailure::TimedOut => {
            (Code::Unreachable, "the registrar does not answer".into())
        }
        RegistrationFailure::CannotAuthenticate => {
            (Code::Unauthorised, "the registrar wants a secret in a way we do not give it".into())
        }
        _ => (Code::Failed, "no call number is free".into()),
    }
}
