//! Requests that we send outside of dialogs: calls that begin, and questions whether somebody is there.

use std::net::SocketAddr;

use rsipstack::dialog::invitation::InviteOption;
use rsipstack::sip::{
    Header, HostWithPort, Method, Param, Request, Response, Scheme, SipMessage, StatusCodeKind,
    Uri, typed,
};
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::make_tag;
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::SipAddr;

use super::super::message::{escape, quote};
use super::super::settings::{Login, Transport};
use super::dialog::{Dialog, Server, Stage};
use super::{ALLOW, Stack, as_library, credential, host_of};

/// A call that is placed.
pub(crate) struct Call<'a> {
    pub(crate) to: SocketAddr,
    pub(crate) transport: Transport,
    /// Host and port of the number's URI.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    pub(crate) number: String,
    /// The URI that is called, where it is not made of the three.
    pub(crate) contact: Option<&'a str>,
    /// Who calls, for the From header.
    pub(crate) from: String,
    pub(crate) from_name: Option<String>,
    pub(crate) domain: String,
    /// Where we are called back.
    pub(crate) our_user: &'a str,
    pub(crate) login: Option<&'a Login>,
    pub(crate) call_id: String,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) sdp: String,
}

impl Stack {
    /// Calls somebody.
    ///
    /// # Errors
    /// In words, why that is not possible.
    pub(crate) fn call(&self, call: Call<'_>) -> Result<Dialog, String> {
        let contact = self
            .contact(call.our_user, call.to, call.transport)
            .ok_or_else(|| format!("there is no way to {}", call.to))?;
        let uri = |user: &str, host: &HostWithPort| Uri {
            scheme: Some(Scheme::Sip),
            auth: Some(escape(user).into()),
            host_with_port: host.clone(),
            params: Vec::new(),
            headers: Vec::new(),
        };
        let callee = match call.contact {
            Some(contact) => Uri::try_from(contact)
                .map_err(|error| format!("`{contact}` cannot be called: {error}"))?,
            None => {
                let mut callee = uri(&call.number, &host_of(call.host, call.port)?);
                if call.transport != Transport::Udp {
                    callee.params.push(Param::Transport(as_library(call.transport)));
                }
                callee
            }
        };
        let caller = uri(&call.from, &host_of(&call.domain, None)?);
        let mut headers: Vec<Header> = call
            .headers
            .iter()
            .map(|(name, value)| Header::Other((*name).to_string(), value.clone()))
            .collect();
        headers.push(Header::Other("Allow".into(), ALLOW.into()));
        headers.push(Header::Other("Supported".into(), "replaces".into()));
        let option = InviteOption {
            caller_display_name: call.from_name.as_deref().map(display_name),
            caller,
            callee,
            destination: Some(SipAddr {
                r#type: Some(as_library(call.transport)),
                addr: call.to.into(),
            }),
            offer: Some(call.sdp.into_bytes()),
            contact,
            credential: call.login.map(credential),
            headers: Some(headers),
            support_prack: true,
            call_id: Some(call.call_id.clone()),
            ..InviteOption::default()
        };
        self.elsewhere.begins(&call.call_id);
        let (sender, states) = self.layer.new_dialog_state_channel();
        let placed = self.layer.do_invite_async(option, sender);
        let (dialog, outcome) = placed.map_err(|error| error.to_string())?;
        let (outcome, reliable, telling) = (Some(outcome), None, None);
        // A phone is reached by the connection that it has opened, or not at all.
        let is_server = call.transport == Transport::Tls && call.contact.is_none();
        let server = is_server.then(|| Server { host: call.host.into(), address: call.to });
        let (stack, stage) = (self.clone(), Stage::Early);
        let flow = self.flows.begin(call.transport, call.to);
        Ok(Dialog { stack, dialog, states, outcome, reliable, telling, stage, server, flow })
    }

    /// Asks whether somebody is there; any answer shows it. Its status, or none in time.
    pub(crate) async fn ask(
        &self,
        host: &str,
        port: Option<u16>,
        to: SocketAddr,
        transport: Transport,
    ) -> Option<u16> {
        if let Err(error) = self.reach(host, to, transport).await {
            tracing::debug!("SIP: {error}");
            return None;
        }
        let host = host_of(host, port).ok()?;
        let target = Uri { scheme: Some(Scheme::Sip), host_with_port: host, ..Uri::default() };
        self.ask_uri(target, to, transport).await
    }

    /// The same of somebody by the URI that it has named.
    pub(crate) async fn ask_at(
        &self,
        contact: &str,
        to: SocketAddr,
        transport: Transport,
    ) -> Option<u16> {
        self.ask_uri(Uri::try_from(contact).ok()?, to, transport).await
    }

    async fn ask_uri(&self, target: Uri, to: SocketAddr, transport: Transport) -> Option<u16> {
        let via = self.via(transport)?;
        let ours = self.contact("oneport", to, transport)?;
        let own = Uri { params: Vec::new(), ..ours.clone() };
        let from = typed::From { display_name: None, uri: own, params: Vec::new() };
        let named = typed::To { display_name: None, uri: target.clone(), params: vec![] };
        let mut request = self.endpoint.make_request(
            Method::Options,
            target,
            via,
            from.with_tag(make_tag()),
            named,
            self.layer.increment_last_seq(),
            None,
        );
        let contact = typed::Contact { display_name: None, uri: ours, params: Vec::new() };
        request.headers.push(Header::Contact(contact.into()));
        request.headers.push(Header::Accept("application/sdp".into()));
        request.headers.push(Header::ContentLength(0_u32.into()));
        let answer = self.transact(request, to, transport).await?;
        Some(answer.status_code.code())
    }

    /// Sends a request outside of the library's dialogs; its final answer, if one comes.
    pub(super) async fn transact(
        &self,
        request: Request,
        to: SocketAddr,
        transport: Transport,
    ) -> Option<Response> {
        let key = TransactionKey::from_request(&request, TransactionRole::Client).ok()?;
        let mut transaction = Transaction::new_client(key, request, self.endpoint.clone(), None);
        transaction.destination =
            Some(SipAddr { r#type: Some(as_library(transport)), addr: to.into() });
        transaction.send().await.ok()?;
        while let Some(message) = transaction.receive().await {
            if let SipMessage::Response(response) = message
                && response.status_code.kind() != StatusCodeKind::Provisional
            {
                return Some(response);
            }
        }
        None
    }
}

/// A name as the library has it, which puts it between quotation marks itself. For the requests that follow it
/// reads that again, and takes the first `<` for that of the URI and a mark at the end for its own.
fn display_name(name: &str) -> String {
    let quoted = quote(&name.replace(['<', '>'], "'"));
    let inside = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut inside = inside.unwrap_or_default().to_string();
    if inside.ends_with('"') {
        inside.push(' ');
    }
    inside
}
