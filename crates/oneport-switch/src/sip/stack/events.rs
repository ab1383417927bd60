//! What happens in a dialog, and what is due to it.

use std::io;

use oneport_wire::CauseCode;
use rsipstack::dialog::dialog::{DialogState, TransactionHandle};
use rsipstack::dialog::invitation::InviteAsyncResult;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Method, Response, StatusCodeKind};
use rsipstack::transaction::key::TransactionRole;

use super::super::causes;
use super::super::message::{Party, Refused};
use super::super::replaces::DialogKey;
use super::super::session_timer::{SessionTimer, Side};
use super::dialog::{Dialog, Stage, key_of};
use super::{ALLOW, lock};

/// What happens in a dialog.
pub(crate) enum DialogEvent {
    /// It goes on, short of an answer.
    Progress {
        status: u16,
        /// What is described already, if something is.
        sdp: Option<String>,
        /// What the early dialog of whoever says so is known by, if it has begun one.
        dialog: Option<DialogKey>,
    },
    /// It was answered by the other side, with a description, and how long the session holds.
    Answered(Option<String>, Option<SessionTimer>),
    /// Our answer has arrived; what the other side described only then.
    Acknowledged(Option<String>),
    /// The other side wants something changed, or keeps the session up.
    Changed {
        /// What it describes now, if it does.
        sdp: Option<String>,
        /// Whether it wants to hear what we describe (INVITE, not UPDATE).
        asks: bool,
        /// What is due to it.
        reply: Reply,
    },
    /// Something is told: kind and content.
    Told(String, String, Reply),
    /// The other side wants us to go on with somebody else: `Refer-To`.
    Referred(String, Reply),
    /// The call was not taken.
    Refused(Refused),
    /// The other side has ended it, or given it up.
    Ended(CauseCode),
}

/// What is due to a request in a dialog. Dropping it refuses.
pub(crate) struct Reply {
    handle: TransactionHandle,
}

impl Reply {
    /// Answers, with a description where there is one.
    pub(crate) async fn answer(
        self,
        status: u16,
        sdp: Option<String>,
        headers: Vec<(&str, String)>,
    ) {
        let mut all: Vec<Header> = headers
            .into_iter()
            .map(|(name, value)| Header::Other(name.to_string(), value))
            .collect();
        if sdp.is_some() {
            all.push(Header::ContentType("application/sdp".into()));
        }
        let _ = self.handle.respond(status.into(), Some(all), sdp.map(String::into_bytes)).await;
    }
}

impl Dialog {
    /// The next event; `None` behind the last.
    pub(crate) async fn next_event(&mut self) -> Option<DialogEvent> {
        if self.stage == Stage::Over {
            return None;
        }
        loop {
            let state = match &mut self.outcome {
                Some(outcome) => tokio::select! {
                    biased;
                    state = self.states.recv() => state,
                    ended = outcome => {
                        self.outcome = None;
                        match self.invited(ended.map_err(io::Error::other)) {
                            Some(event) => return Some(event),
                            None => continue,
                        }
                    }
                },
                None => self.states.recv().await,
            };
            let Some(state) = state else {
                self.stage = Stage::Over;
                return Some(DialogEvent::Ended(CauseCode::NORMAL_CLEARING));
            };
            if let Some(event) = self.event_of(state) {
                return Some(event);
            }
        }
    }

    /// Our INVITE has ended.
    fn invited(&mut self, ended: io::Result<InviteAsyncResult>) -> Option<DialogEvent> {
        let refused = match ended {
            Ok(Ok((_, Some(response)))) => {
                if response.status_code.kind() == StatusCodeKind::Successful {
                    return None;
                }
                let status = response.status_code.code();
                let contact = response.header_value("Contact").filter(|_| status < 400);
                let retry_after = response.header_value("Retry-After");
                Refused {
                    status,
                    reason: reason_in(&response),
                    silent: false,
                    instead: contact.as_deref().and_then(Party::read),
                    least_session: response
                        .header_value("Min-SE")
                        .and_then(|least| least.split(';').next()?.trim().parse().ok()),
                    retry_after: retry_after
                        .and_then(|after| after.split([';', '(', ' ']).next()?.parse().ok()),
                }
            }
            Ok(Ok((_, None))) => Refused::silent(408),
            Ok(Err(error)) => {
                tracing::debug!("SIP: {}: {error}", self.call_id());
                Refused::silent(503)
            }
            Err(_) => Refused::silent(500),
        };
        self.stage = Stage::Over;
        Some(DialogEvent::Refused(refused))
    }

    fn event_of(&mut self, state: DialogState) -> Option<DialogEvent> {
        let is_client = self.dialog.role() == TransactionRole::Client;
        match state {
            DialogState::Trying(_) if is_client => {
                Some(DialogEvent::Progress { status: 100, sdp: None, dialog: None })
            }
            DialogState::Early(id, response) if is_client => Some(DialogEvent::Progress {
                status: response.status_code.code(),
                sdp: sdp_in(&response),
                dialog: Some(key_of(id)).filter(|key| !key.their_tag.is_empty()),
            }),
            DialogState::Confirmed(_, response) if self.stage == Stage::Early => {
                self.stage = Stage::Answered;
                if is_client {
                    let timer = response.header_value("Session-Expires");
                    let timer =
                        timer.and_then(|header| SessionTimer::read(&header, Side::Caller, ""));
                    return Some(DialogEvent::Answered(sdp_in(&response), timer));
                }
                let ack = self.dialog.last_remote_ack();
                let sdp = ack.filter(|ack| !ack.body.is_empty());
                let sdp = sdp.map(|ack| String::from_utf8_lossy(&ack.body).into_owned());
                Some(DialogEvent::Acknowledged(sdp))
            }
            DialogState::Updated(_, request, handle) => {
                let sdp = String::from_utf8_lossy(&request.body).into_owned();
                let sdp = Some(sdp).filter(|sdp| !sdp.is_empty());
                let asks = request.method == Method::Invite;
                Some(DialogEvent::Changed { sdp, asks, reply: Reply { handle } })
            }
            DialogState::Info(_, request, handle) => {
                let kind = request.header_value("Content-Type").unwrap_or_default();
                let body = String::from_utf8_lossy(&request.body).into_owned();
                Some(DialogEvent::Told(kind, body, Reply { handle }))
            }
            DialogState::Refer(_, request, handle) => {
                let to = request.header_value("Refer-To").unwrap_or_default();
                Some(DialogEvent::Referred(to, Reply { handle }))
            }
            DialogState::Options(_, _, handle) | DialogState::Notify(_, _, handle) => {
                let reply = Reply { handle };
                tokio::spawn(reply.answer(200, None, vec![("Allow", ALLOW.into())]));
                None
            }
            DialogState::Terminated(id, _) => {
                if is_client && self.stage == Stage::Early {
                    // How it was refused says its outcome.
                    return None;
                }
                self.stage = Stage::Over;
                let named = lock(&self.stack.causes).remove(&id.to_string());
                Some(DialogEvent::Ended(named.unwrap_or(CauseCode::NORMAL_CLEARING)))
            }
            _ => None,
        }
    }
}

fn reason_in(response: &Response) -> Option<CauseCode> {
    causes::cause_in_reason(&response.header_value("Reason")?)
}

pub(super) fn sdp_in(response: &Response) -> Option<String> {
    let text = String::from_utf8_lossy(&response.body).into_owned();
    (!text.is_empty()).then_some(text)
}
