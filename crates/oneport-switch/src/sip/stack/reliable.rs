//! Provisional answers that a caller wants to acknowledge (100rel, RFC 3262): each is said until its
//! PRACK comes, one after the other, and the final answer behind them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rsipstack::dialog::dialog::DialogState;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::{Header, StatusCode};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

/// Pause before the first repetition; each further one is twice as long (RFC 3262 §3: T1).
const FIRST: Duration = Duration::from_millis(500);
/// How long a PRACK is waited for: then the call is refused (64 × T1).
const PATIENCE: Duration = Duration::from_secs(32);

/// Calls whose provisional answers wait for their PRACK, and which number was acknowledged last.
#[derive(Clone, Default)]
pub(super) struct Acknowledgements(Arc<Mutex<HashMap<String, watch::Sender<u32>>>>);

impl Acknowledgements {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A PRACK has come; `rack` is its RAck header. `false`: it acknowledges nothing that was said.
    pub(super) fn note(&self, dialog: &str, rack: Option<&str>) -> bool {
        let number = rack.and_then(|rack| rack.split_whitespace().next()?.parse().ok());
        match (self.lock().get(dialog), number) {
            // Not by us, so it is for the library to say.
            (None, _) => true,
            (Some(last), Some(number)) if *last.borrow() + 1 == number => last.send(number).is_ok(),
            (Some(last), number) => number == Some(*last.borrow()),
        }
    }
}

enum Said {
    Ringing(Option<String>),
    Answer(Vec<Header>, Vec<u8>),
}

/// What a caller is told who acknowledges it.
pub(super) struct Reliable {
    said: mpsc::UnboundedSender<Said>,
}

impl Reliable {
    /// For a call that has just come in.
    pub(super) fn begin(dialog: InviteDialog, acknowledgements: &Acknowledgements) -> Self {
        let (said, what) = mpsc::unbounded_channel();
        // RFC 3262 §3: it begins anywhere in the lower half of its range.
        let before = fastrand::u32(1..1 << 30);
        let (sender, receiver) = watch::channel(before);
        let id = dialog.id().to_string();
        acknowledgements.lock().insert(id.clone(), sender);
        let acknowledgements = acknowledgements.clone();
        tokio::spawn(async move {
            say(&dialog, what, receiver, before).await;
            acknowledgements.lock().remove(&id);
        });
        Self { said }
    }

    /// It rings; with a description, what is heard comes already.
    pub(super) fn ring(&self, sdp: Option<String>) {
        // A call that is over hears nothing more.
        let _ = self.said.send(Said::Ringing(sdp));
    }

    /// Somebody has answered.
    pub(super) fn answer(&self, headers: Vec<Header>, sdp: Vec<u8>) {
        let _ = self.said.send(Said::Answer(headers, sdp));
    }
}

async fn say(
    dialog: &InviteDialog,
    mut what: mpsc::UnboundedReceiver<Said>,
    mut acknowledged: watch::Receiver<u32>,
    before: u32,
) {
    let mut number = before;
    while let Some(said) = what.recv().await {
        let sdp = match said {
            Said::Ringing(sdp) => sdp,
            Said::Answer(headers, sdp) => {
                if let Err(error) = dialog.accept(Some(headers), Some(sdp)) {
                    tracing::debug!("SIP: {}: {error}", dialog.id());
                }
                return;
            }
        };
        number += 1;
        let begun = Instant::now();
        let mut pause = FIRST;
        loop {
            if what.is_closed() || matches!(dialog.state(), DialogState::Terminated(..)) {
                return;
            }
            let mut headers = vec![
                Header::Other("Require".into(), "100rel".into()),
                Header::Other("RSeq".into(), number.to_string()),
            ];
            headers.extend(sdp.is_some().then(|| Header::ContentType("application/sdp".into())));
            if dialog.ringing(Some(headers), sdp.clone().map(String::into_bytes)).is_err() {
                return;
            }
            let come = acknowledged.wait_for(|last| *last == number);
            match timeout(pause, come).await {
                Ok(Ok(_)) => break,
                Ok(Err(_)) => return,
                Err(_) if begun.elapsed() < PATIENCE => pause *= 2,
                Err(_) => {
                    tracing::info!("SIP: {}: no PRACK has come", dialog.id());
                    let _ = dialog.reject(Some(StatusCode::ServerTimeOut), None);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prack_counts_for_what_was_said_and_for_nothing_else() {
        let acknowledgements = Acknowledgements::default();
        let (sender, receiver) = watch::channel(7);
        acknowledgements.lock().insert("call".into(), sender);
        for (rack, counts, last) in [
            (None, false, 7),
            (Some("9 1 INVITE"), false, 7),
            (Some("soon 1 INVITE"), false, 7),
            (Some("8 1 INVITE"), true, 8),
            // It comes again where our answer to it was lost.
            (Some("8 1 INVITE"), true, 8),
            (Some("7 1 INVITE"), false, 8),
        ] {
            assert_eq!(acknowledgements.note("call", rack), counts, "{rack:?}");
            assert_eq!(*receiver.borrow(), last, "{rack:?}");
        }
        assert!(acknowledgements.note("another", None), "that is for the library to say");
    }
}
