//! How the command ends: its exit codes, and one clear sentence with a hint.

use std::fmt;
use std::process::ExitCode;

use oneport::{CallEnd, CauseCode, EndReason};

/// The exit codes. 0 is success.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    /// Something else went wrong.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The called party is busy.
    Busy = 10,
    /// The call was rejected.
    Rejected = 11,
    /// The secret or the name is wrong, or missing.
    Unauthorised = 12,
    /// Nobody answers at that address.
    Unreachable = 13,
    /// There is no such number.
    NoSuchNumber = 14,
    /// No line is free.
    Congestion = 15,
    /// There is no codec both sides speak.
    NoCodec = 16,
    /// It rang, and nobody answered.
    NoAnswer = 17,
}

/// What `--help` says of them.
pub(crate) const HELP: &str = "\
Exit codes: 0 success, 1 other failure, 2 wrong usage or configuration, 10 busy, 11 rejected,
12 unauthorised, 13 unreachable, 14 no such number, 15 congestion, 16 no common codec,
17 no answer";

/// A failure as the user sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    sentence: String,
    hint: Option<String>,
    /// The status of HTTP by which a switch has said so.
    status: Option<u16>,
}

impl Failure {
    pub(crate) fn new(code: Code, sentence: impl fmt::Display) -> Self {
        Self { code, sentence: sentence.to_string(), hint: None, status: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let mut text = crate::style::paint(red, "error");
        text.push_str(": ");
        text.push_str(&self.sentence);
        eprintln!("{text}");
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(self.code as u8)
    }
}

/// Wrong input without a place of its own.
pub(crate) fn usage(error: impl fmt::Display) -> Failure {
    Failure::new(Code::Usage, error)
}

/// Anything without a code of its own.
pub(crate) fn failed(error: impl fmt::Display) -> Failure {
    Failure::new(Code::Failed, error)
}

/// What the end of a call means for one who placed it; `None` when all is well.
pub(crate) fn of_call(end: &CallEnd, answered: bool) -> Option<Failure> {
    let said = end.text.as_deref().map(|text| format!(", saying {text:?}")).unwrap_or_default();
    let why = format!("{}{said}", end.cause);
    let failure = |code, what: &str, hint: &str| {
        Some(Failure::new(code, format!("{what}: {why}")).hint(hint))
    };
    match end.reason {
        EndReason::LocalHangup => None,
        EndReason::RemoteHangup if answered && end.cause == CauseCode::NORMAL_CLEARING => None,
        EndReason::TimedOut if answered => {
            failure(Code::Unreachable, "the other side was lost", "look at the network between")
        }
        EndReason::TimedOut | EndReason::Unanswered | EndReason::SetupTimedOut => failure(
            Code::Unreachable,
            "nobody answers at that address",
            "check host and port, and that UDP 4569 passes the firewalls; `oneport ping` asks \
             without a call",
        ),
        EndReason::EncryptionRefused => failure(
            Code::Unauthorised,
            "the peer would not encrypt the call",
            "set encryption=yes there and give a secret here, or leave --encryption required away",
        ),
        EndReason::CannotAuthenticate => failure(
            Code::Unauthorised,
            "the other side wants a secret",
            "give it by --secret-file or ONEPORT_SECRET, and the name as iax:name@host/number",
        ),
        _ => match end.cause {
            CauseCode::USER_BUSY => failure(Code::Busy, "busy", "try again later"),
            CauseCode::FACILITY_NOT_SUBSCRIBED | CauseCode::OUTGOING_BARRED => failure(
                Code::Unauthorised,
                "the other side does not accept who we are",
                "check the name (iax:name@host/number) and its secret",
            ),
            CauseCode::UNALLOCATED | CauseCode::NO_ROUTE | CauseCode::INVALID_NUMBER => failure(
                Code::NoSuchNumber,
                "there is no such number",
                "check the number, and the context behind a `?` if the other side needs one",
            ),
            CauseCode::CIRCUIT_CONGESTION | CauseCode::SWITCH_CONGESTION => {
                failure(Code::Congestion, "no line is free", "try again later")
            }
            CauseCode::BEARER_NOT_AVAILABLE => failure(
                Code::NoCodec,
                "both sides speak no common codec",
                "offer others by --codec, such as --codec ulaw,alaw,slin",
            ),
            CauseCode::NO_ANSWER | CauseCode::NO_USER_RESPONSE => {
                failure(Code::NoAnswer, "nobody answered", "try again later")
            }
            _ if answered => None,
            _ => failure(
                Code::Rejected,
                "the call was rejected",
                "the log of the other side says more",
            ),
        },
    }
}

/// The word by which `--json` names the outcome.
pub(crate) fn name(code: Option<Code>) -> &'static str {
    match code {
        None => "ok",
        Some(Code::Failed) => "failed",
        Some(Code::Usage) => "usage",
        Some(Code::Busy) => "busy",
        Some(Code::Rejected) => "rejected",
        Some(Code::Unauthorised) => "unauthorised",
        Some(Code::Unreachable) => "unreachable",
        Some(Code::NoSuchNumber) => "no_such_number",
        Some(Code::Congestion) => "congestion",
        Some(Code::NoCodec) => "no_codec",
        Some(Code::NoAnswer) => "no_answer",
    }
}

impl Failure {
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }

    pub(crate) const fn status(&self) -> Option<u16> {
        self.status
    }

    /// The sentence, and behind it what mends it.
    pub(crate) fn words(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}: {hint}", self.sentence),
            None => self.sentence.clone(),
        }
    }
}
