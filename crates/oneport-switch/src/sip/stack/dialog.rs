//! Dialogs: how a call is taken on, answered, changed and ended.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_wire::CauseCode;
use rsipstack::dialog::DialogId;
use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver};
use rsipstack::dialog::invitation::InviteAsyncResult;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::{Header, StatusCode, StatusCodeKind};
use rsipstack::transaction::key::TransactionRole;
use tokio::task::JoinHandle;

use super::super::causes;
use super::super::replaces::DialogKey;
use super::super::session_timer::{SessionTimer, Side};
use super::super::settings::Transport;
use super::events::sdp_in;
use super::flows::Flow;
use super::reliable::Reliable;
use super::requests::Incoming;
use super::{ALLOW, SUPPORTED, Stack, lock};

/// How long a BYE waits for what the other side is told before it.
const LAST_WORD: Duration = Duration::from_secs(2);
/// How long an answer to it may still come when a dialog is over (64 × T1).
const LATE: Duration = Duration::from_secs(32);
/// How often a change is tried that meets one of the other side's (RFC 3261 §14.1).
const MOST_GLARES: usize = 3;

/// What a dialog is known by, as the library has it.
pub(super) fn key_of(DialogId { call_id, local_tag, remote_tag }: DialogId) -> DialogKey {
    DialogKey { call_id, our_tag: local_tag, their_tag: remote_tag }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Early,
    Answered,
    Over,
}

/// Whom a dialog is with by TLS, where we have opened the connection: by that name it proves itself again
/// when that is gone.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
}

/// A dialog. Dropping it ends the call.
pub(crate) struct Dialog {
    pub(super) stack: Stack,
    pub(super) dialog: InviteDialog,
    pub(super) states: DialogStateReceiver,
    /// How our INVITE ends.
    pub(super) outcome: Option<JoinHandle<InviteAsyncResult>>,
    /// For a caller who acknowledges provisional answers.
    pub(super) reliable: Option<Reliable>,
    /// What it is being told of a transfer.
    pub(super) telling: Option<JoinHandle<()>>,
    pub(super) stage: Stage,
    pub(super) server: Option<Server>,
    /// The connection by which it is.
    pub(super) flow: Option<Flow>,
}

impl Dialog {
    fn id(&self) -> DialogId {
        self.dialog.id()
    }

    /// Sees to it that there is a way to the other side. The library would want a server to prove its
    /// address, and not its name.
    fn way(&self) -> impl Future<Output = ()> + use<> {
        let (stack, server) = (self.stack.clone(), self.server.clone());
        async move {
            let Some(Server { host, address }) = server else { return };
            if let Err(error) = stack.reach(&host, address, Transport::Tls).await {
                tracing::debug!("SIP: {error}");
            }
        }
    }

    /// Its name in logs, the same on both sides.
    pub(crate) fn call_id(&self) -> String {
        self.id().call_id
    }

    /// It rings here; with a description, what is heard comes already.
    pub(crate) fn ring(&self, sdp: Option<String>) {
        if let Some(reliable) = &self.reliable {
            return reliable.ring(sdp);
        }
        let headers = sdp.is_some().then(|| vec![Header::ContentType("application/sdp".into())]);
        self.tried(self.dialog.ringing(headers, sdp.map(String::into_bytes)));
    }

    /// Somebody has answered here.
    pub(crate) fn answer(&self, sdp: String, timer: Option<SessionTimer>) {
        let mut headers = vec![
            Header::ContentType("application/sdp".into()),
            Header::Other("Allow".into(), ALLOW.into()),
            Header::Other("Supported".into(), SUPPORTED.into()),
        ];
        if let Some(timer) = timer {
            headers.push(Header::Other("Session-Expires".into(), timer.header(Side::Called)));
            if !timer.ours {
                headers.push(Header::Other("Require".into(), "timer".into()));
            }
        }
        match &self.reliable {
            Some(reliable) => reliable.answer(headers, sdp.into_bytes()),
            None => self.tried(self.dialog.accept(Some(headers), Some(sdp.into_bytes()))),
        }
    }

    fn tried(&self, result: rsipstack::Result<()>) {
        if let Err(error) = result {
            tracing::debug!("SIP: {}: {error}", self.call_id());
        }
    }

    /// Changes the session to what this says, and gives the other side's description. It goes on where nobody
    /// waits for that any more: an answer that comes late is to be acknowledged, too.
    pub(crate) fn change(
        &self,
        sdp: String,
        timer: Option<SessionTimer>,
    ) -> JoinHandle<Option<String>> {
        let (dialog, stack, way) = (self.dialog.clone(), self.stack.clone(), self.way());
        tokio::spawn(async move {
            way.await;
            let mut headers = vec![Header::ContentType("application/sdp".into())];
            // In each request of its own we are the caller.
            headers.extend(
                timer.map(|timer| {
                    Header::Other("Session-Expires".into(), timer.header(Side::Caller))
                }),
            );
            for _ in 0..MOST_GLARES {
                let answer = {
                    let _changing = Changing::begin(&stack, &dialog.id());
                    let body = sdp.clone().into_bytes();
                    tokio::select! {
                        answer = dialog.reinvite(Some(headers.clone()), Some(body)) => answer,
                        () = is_past(&dialog) => return None,
                    }
                };
                let status = match &answer {
                    Ok(Some(response)) => response.status_code.clone(),
                    Ok(None) => return None,
                    Err(error) => {
                        tracing::debug!("SIP: {}: {error}", dialog.id());
                        return None;
                    }
                };
                if status.kind() == StatusCodeKind::Successful {
                    return answer.ok().flatten().as_ref().and_then(sdp_in);
                }
                if status != StatusCode::RequestPending {
                    return None;
                }
                // Both have begun at once; whoever has begun the call waits longer.
                let pause = match dialog.role() {
                    TransactionRole::Client => 2_100..4_000,
                    TransactionRole::Server => 0..2_000,
                };
                tokio::time::sleep(Duration::from_millis(fastrand::u64(pause))).await;
            }
            None
        })
    }

    /// Tells the other side a key (INFO with `application/dtmf-relay`).
    pub(crate) fn tell_key(&self, digit: char, millis: u64) {
        let (dialog, way) = (self.dialog.clone(), self.way());
        tokio::spawn(async move {
            way.await;
            let headers = vec![Header::ContentType("application/dtmf-relay".into())];
            let body = format!("Signal={digit}\r\nDuration={millis}\r\n");
            let _ = dialog.info(Some(headers), Some(body.into_bytes())).await;
        });
    }

    /// Tells the other side what has come of what it wanted (REFER, RFC 3515 §2.4.4).
    pub(crate) fn tell_referred(&mut self, status: u16) {
        let dialog = self.dialog.clone();
        let headers = vec![
            Header::Event("refer".into()),
            Header::SubscriptionState("terminated;reason=noresource".into()),
            Header::ContentType("message/sipfrag".into()),
        ];
        let body = format!("SIP/2.0 {}\r\n", StatusCode::from(status)).into_bytes();
        let way = self.way();
        self.telling = Some(tokio::spawn(async move {
            way.await;
            if let Err(error) = dialog.notify(Some(headers), Some(body)).await {
                tracing::debug!("SIP: {}: {error}", dialog.id());
            }
        }));
    }

    /// What it is known by.
    pub(crate) fn key(&self) -> DialogKey {
        key_of(self.id())
    }

    /// Ends it: refuses a call from outside, gives one of ours up, or hangs up.
    pub(crate) fn hang_up(&mut self, cause: CauseCode) {
        self.hang_up_saying(cause, None);
    }

    /// The same with words that say more.
    pub(crate) fn hang_up_saying(&mut self, cause: CauseCode, text: Option<&str>) {
        if self.stage == Stage::Over {
            return;
        }
        let unanswered = self.stage == Stage::Early
            && self.dialog.role() == TransactionRole::Server
            && !matches!(
                self.dialog.state(),
                DialogState::WaitAck(..) | DialogState::Confirmed(..)
            );
        self.stage = Stage::Over;
        let reason = causes::reason(cause, text);
        if unanswered {
            let status = causes::status_for(cause);
            return self.tried(self.dialog.reject(Some(status.into()), Some(reason)));
        }
        let (dialog, stack, way) = (self.dialog.clone(), self.stack.clone(), self.way());
        let (outcome, telling) = (self.outcome.take(), self.telling.take());
        let flow = self.flow.take();
        tokio::spawn(async move {
            if let Some(telling) = telling {
                // A dialog that is over cannot be told anything.
                let _ = tokio::time::timeout(LAST_WORD, telling).await;
            }
            way.await;
            let header = vec![Header::Reason(reason.into())];
            if let Err(error) = dialog.hangup_with_headers(Some(header)).await {
                tracing::debug!("SIP: {}: {error}", dialog.id());
            }
            if let Some(outcome) = outcome {
                // A final answer still comes, and is acknowledged.
                let _ = outcome.await;
            }
            stack.forget(&dialog.id());
            drop(flow);
        });
    }
}

/// Waits until nothing more comes of a dialog.
async fn is_past(dialog: &InviteDialog) {
    dialog.cancel_token().cancelled().await;
    tokio::time::sleep(LATE).await;
}

/// A change of ours that the other side has not answered yet.
struct Changing {
    stack: Stack,
    dialog: String,
}

impl Changing {
    fn begin(stack: &Stack, dialog: &DialogId) -> Self {
        let changing = Self { stack: stack.clone(), dialog: dialog.to_string() };
        lock(&stack.changing).insert(changing.dialog.clone());
        changing
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        lock(&self.stack.changing).remove(&self.dialog);
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        match self.stage {
            Stage::Over => self.stack.forget(&self.id()),
            _ => self.hang_up(CauseCode::NORMAL_CLEARING),
        }
    }
}

impl Stack {
    /// Takes a call from outside on, to be answered later.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(crate) fn take(
        &self,
        incoming: Incoming,
        user: &str,
        transport: Transport,
        server: Option<Server>,
    ) -> Result<Dialog, String> {
        let Incoming { transport: by, from, invitation, mut transaction, .. } = incoming;
        let flow = self.flows.begin(by, from);
        let contact = self.contact(user, from, transport);
        let (sender, states) = self.layer.new_dialog_state_channel();
        let dialog = self
            .layer
            .get_or_create_server_invite(&transaction, sender, None, contact)
            .map_err(|error| error.to_string())?;
        let mut handled = dialog.clone();
        tokio::spawn(async move {
            if let Err(error) = handled.handle(&mut transaction).await {
                tracing::debug!("SIP: INVITE in {}: {error}", handled.id());
            }
        });
        let reliable =
            invitation.needs_prack.then(|| Reliable::begin(dialog.clone(), &self.acknowledgements));
        let (outcome, telling, stage) = (None, None, Stage::Early);
        let stack = self.clone();
        Ok(Dialog { stack, dialog, states, outcome, reliable, telling, stage, server, flow })
    }

    fn forget(&self, id: &DialogId) {
        self.layer.remove_dialog(id);
        lock(&self.causes).remove(&id.to_string());
    }
}
