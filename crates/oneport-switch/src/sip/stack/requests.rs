//! Requests that come in: those that begin something are handed on, those of a dialog are for that, and the
//! others are answered here.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_wire::CauseCode;
use rsipstack::dialog::dialog::{Dialog, DialogState};
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Method, Request, StatusCode};
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::super::causes;
use super::super::message::{Invitation, unknown_in};
use super::super::settings::Transport;
use super::doorway::source_of;
use super::register::RegisterRequest;
use super::subscribe::SubscribeRequest;
use super::{ALLOW, SUPPORTED, Stack, lock};

/// How long a re-INVITE waits for the ACK of the answer before it.
const ACK_PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether the ACK has come.
const ACK_LOOK: Duration = Duration::from_millis(10);

/// A call from outside, and what may be done with it.
pub(crate) struct Incoming {
    pub(crate) transport: Transport,
    pub(crate) from: SocketAddr,
    pub(crate) invitation: Invitation,
    /// The user part of its URI as it is written, and proofs of who sends it.
    pub(crate) user: String,
    pub(crate) proofs: Vec<String>,
    pub(super) transaction: Transaction,
}

impl Incoming {
    /// The value of a header, by its name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.transaction.original.header_value(name)
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        values(&self.transaction.original, name)
    }
}

/// What comes from outside and is no part of a dialog.
pub(crate) struct Requests {
    pub(crate) calls: UnboundedReceiver<Incoming>,
    pub(crate) registers: UnboundedReceiver<RegisterRequest>,
    pub(crate) subscribes: UnboundedReceiver<SubscribeRequest>,
}

/// Those who take it.
pub(super) struct Takers {
    pub(super) calls: UnboundedSender<Incoming>,
    pub(super) registers: UnboundedSender<RegisterRequest>,
    pub(super) subscribes: UnboundedSender<SubscribeRequest>,
}

impl Stack {
    /// Takes requests until the endpoint stops.
    pub(super) async fn receive(self, mut requests: TransactionReceiver, takers: Takers) {
        while let Some(transaction) = requests.recv().await {
            let is_in_dialog = transaction
                .original
                .to_header()
                .and_then(|to| to.tag())
                .is_ok_and(|tag| tag.is_some());
            match transaction.original.method {
                Method::Invite if !is_in_dialog => {
                    let Some((transport, from)) = source_of(&transaction.original) else {
                        continue;
                    };
                    let request = &transaction.original;
                    let user = request.uri.user().unwrap_or_default().to_string();
                    let invitation =
                        Invitation::read(&user, &request.body, |name| request.header_value(name));
                    let proofs = values(request, "Authorization");
                    let call = Incoming { transport, from, invitation, user, proofs, transaction };
                    if takers.calls.send(call).is_err() {
                        return;
                    }
                }
                Method::Register if !is_in_dialog => {
                    if let Some(request) = RegisterRequest::read(transaction) {
                        // A gateway that stops registers nobody.
                        let _ = takers.registers.send(request);
                    }
                }
                Method::Subscribe => {
                    if let Some(request) = SubscribeRequest::read(transaction) {
                        // A gateway that stops tells nobody anything.
                        let _ = takers.subscribes.send(request);
                    }
                }
                _ if is_in_dialog => drop(tokio::spawn(self.clone().handle(transaction))),
                _ => drop(tokio::spawn(answer_outside(transaction))),
            }
        }
    }

    /// A request inside a dialog.
    async fn handle(self, mut transaction: Transaction) {
        let method = transaction.original.method;
        let Some(mut dialog) = self.layer.match_dialog(&transaction) else {
            let status = match method {
                Method::Ack => return,
                // Of a call that is not answered yet, the library knows no dialogs.
                Method::Update if self.is_calling(&transaction.original) => {
                    StatusCode::RequestPending
                }
                Method::Bye
                | Method::Invite
                | Method::Update
                | Method::Info
                | Method::Refer
                | Method::Options
                | Method::PRack
                | Method::Notify
                | Method::Message
                | Method::Subscribe => StatusCode::CallTransactionDoesNotExist,
                _ => StatusCode::MethodNotAllowed,
            };
            let _ = transaction.reply(status).await;
            return;
        };
        if method == Method::Bye
            && let Some(cause) = reason_of(&transaction.original)
        {
            lock(&self.causes).insert(dialog.id().to_string(), cause);
        }
        if method == Method::PRack {
            let rack = transaction.original.header_value("RAck");
            if !self.acknowledgements.note(&dialog.id().to_string(), rack.as_deref()) {
                let _ = transaction.reply(StatusCode::CallTransactionDoesNotExist).await;
                return;
            }
        }
        let offers = match method {
            Method::Invite => true,
            Method::Update => !transaction.original.body.is_empty(),
            _ => false,
        };
        // RFC 3261 §14.2, RFC 3311 §5.2: there is an INVITE in progress, theirs or ours.
        let pending = offers && lock(&self.changing).contains(&dialog.id().to_string());
        if pending || method == Method::Invite && !self.is_acknowledged(&dialog).await {
            return answer(transaction, StatusCode::RequestPending, Vec::new());
        }
        if let Err(error) = dialog.handle(&mut transaction).await {
            tracing::debug!("SIP: {method} in {}: {error}", dialog.id());
        }
    }

    /// Whether we call somebody under the Call-ID of this request.
    fn is_calling(&self, request: &Request) -> bool {
        request
            .call_id_header()
            .is_ok_and(|call| !self.layer.get_client_dialog_by_call_id(call.value()).is_empty())
    }

    /// Waits until the ACK of a dialog's first answer has come. The library would take what comes
    /// before it for that first INVITE, and never answer.
    async fn is_acknowledged(&self, dialog: &Dialog) -> bool {
        let looks = ACK_PATIENCE.as_millis() / ACK_LOOK.as_millis();
        for _ in 0..looks {
            match dialog.state() {
                DialogState::Confirmed(..) => return true,
                DialogState::Terminated(..) => return false,
                _ => tokio::time::sleep(ACK_LOOK).await,
            }
        }
        false
    }

    /// Answers a call from outside with a refusal, and keeps nothing of it.
    pub(crate) fn refuse(&self, incoming: Incoming, status: u16, retry_after: Option<u32>) {
        let header = retry_after.map(|seconds| ("Retry-After", seconds.to_string()));
        self.refuse_with(incoming, status, header);
    }

    /// The same with a header that says more.
    pub(crate) fn refuse_with(
        &self,
        incoming: Incoming,
        status: u16,
        header: Option<(&'static str, String)>,
    ) {
        answer_with(incoming.transaction, status, header);
    }

    /// Asks whoever calls from outside who it is, and keeps nothing of it.
    pub(crate) fn challenge(&self, incoming: Incoming, challenges: Vec<String>) {
        let headers = challenges.into_iter().map(|one| ("WWW-Authenticate", one));
        answer_with(incoming.transaction, 401, headers);
    }
}

/// Answers a request that no dialog is kept of, and stays until its transaction is over: the ACK of a refusal ends
/// it, and copies of the request get the same answer meanwhile.
pub(super) fn answer(mut transaction: Transaction, status: StatusCode, headers: Vec<Header>) {
    tokio::spawn(async move {
        let _ = transaction.reply_with(status, headers, None).await;
        while transaction.receive().await.is_some() {}
    });
}

/// The same with headers by their names.
pub(super) fn answer_with(
    transaction: Transaction,
    status: u16,
    headers: impl IntoIterator<Item = (&'static str, String)>,
) {
    let header = |(name, value): (&str, String)| Header::Other(name.into(), value);
    answer(transaction, status.into(), headers.into_iter().map(header).collect());
}

/// A request outside of any dialog that begins no call.
async fn answer_outside(mut transaction: Transaction) {
    let allow = vec![Header::Other("Allow".into(), ALLOW.into())];
    let required = transaction.original.header_value("Require");
    let unknown = required.as_deref().and_then(unknown_in);
    let _ = match (transaction.original.method, unknown) {
        (Method::Ack, _) => Ok(()),
        (_, Some(unknown)) => {
            let unsupported = vec![Header::Unsupported(unknown.into())];
            transaction.reply_with(StatusCode::BadExtension, unsupported, None).await
        }
        (method, None) => answer_known(&mut transaction, method, allow).await,
    };
    while transaction.receive().await.is_some() {}
}

/// The same where it requires nothing that is not known here.
async fn answer_known(
    transaction: &mut Transaction,
    method: Method,
    allow: Vec<Header>,
) -> rsipstack::Result<()> {
    match method {
        Method::Options => {
            let mut headers = allow;
            headers.push(Header::Accept("application/sdp".into()));
            headers.push(Header::Other("Supported".into(), SUPPORTED.into()));
            transaction.reply_with(StatusCode::OK, headers, None).await
        }
        Method::Bye | Method::PRack | Method::Update | Method::Info | Method::Refer => {
            transaction.reply(StatusCode::CallTransactionDoesNotExist).await
        }
        Method::Notify => transaction.reply(StatusCode::OK).await,
        _ => transaction.reply_with(StatusCode::MethodNotAllowed, allow, None).await,
    }
}

fn reason_of(request: &Request) -> Option<CauseCode> {
    causes::cause_in_reason(&request.header_value("Reason")?)
}

/// All values of a header.
pub(super) fn values(request: &Request, name: &str) -> Vec<String> {
    let mut values = Vec::new();
    for header in request.headers.iter().filter(|header| header.name().eq_ignore_ascii_case(name)) {
        values.push(header.value().trim().to_string());
    }
    values
}
