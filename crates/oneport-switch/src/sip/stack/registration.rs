//! Registrations of ours elsewhere.

use std::net::SocketAddr;

use rsipstack::dialog::registration::Registration;
use rsipstack::sip::{Param, Scheme, StatusCodeKind, Uri, typed};

use super::super::settings::{Login, Transport};
use super::{Stack, as_library, credential, host_of};

impl Stack {
    /// A registration, to be begun and renewed.
    pub(crate) fn registration(
        &self,
        login: &Login,
        host: &str,
        to: SocketAddr,
        transport: Transport,
    ) -> Registering {
        let mut registration = Registration::new(self.endpoint.clone(), Some(credential(login)));
        registration.outbound_proxy = Some(to);
        if let Some(uri) = self.contact(&login.username, to, transport) {
            let contact = typed::Contact { display_name: None, uri, params: Vec::new() };
            registration.contact = Some(contact);
        }
        Registering { stack: self.clone(), host: host.into(), to, registration }
    }
}

/// A registration of ours.
pub(crate) struct Registering {
    stack: Stack,
    host: String,
    to: SocketAddr,
    registration: Registration,
}

impl Registering {
    /// Registers for `expires` seconds, 0 to end it: for how long that is granted.
    ///
    /// # Errors
    /// The answer that refuses it; 0 where none came.
    pub(crate) async fn register(
        &mut self,
        domain: &str,
        transport: Transport,
        expires: u32,
    ) -> Result<u32, (u16, String)> {
        let reached = self.stack.reach(&self.host, self.to, transport).await;
        reached.map_err(|error| (0, error))?;
        let host = host_of(domain, None).map_err(|error| (0, error))?;
        let mut server = Uri { scheme: Some(Scheme::Sip), host_with_port: host, ..Uri::default() };
        if transport != Transport::Udp {
            server.params.push(Param::Transport(as_library(transport)));
        }
        match self.registration.register(server, Some(expires)).await {
            Ok(response) if response.status_code.kind() == StatusCodeKind::Successful => {
                let granted = self.registration.granted_expires;
                Ok(granted.filter(|granted| *granted > 0).unwrap_or(expires))
            }
            Ok(response) => Err((response.status_code.code(), response.status_code.to_string())),
            Err(error) => Err((0, error.to_string())),
        }
    }
}
