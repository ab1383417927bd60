//! TLS to carriers: whom we believe, and connections to servers that have proved their names.
//!
//! The SIP library would believe nobody where no authorities are named, and would want a server that was
//! found by a name to prove its address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rsipstack::transport::tls::{TlsConfig, TlsConnection};
use rsipstack::transport::{SipAddr, SipConnection, TransportLayer};
use tokio_util::sync::CancellationToken;

/// Where systems keep the certificates of the usual authorities; `SSL_CERT_FILE` goes before them.
const USUAL: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How long it may take to connect, and to prove everything.
const PATIENCE: Duration = Duration::from_secs(5);

/// The certificates of the usual authorities (PEM), if this system has them.
pub(crate) fn usual_authorities() -> Option<Vec<u8>> {
    let named = std::env::var_os("SSL_CERT_FILE");
    let named = named.as_deref().map(Path::new);
    named.into_iter().chain(USUAL.iter().map(Path::new)).find_map(|path| std::fs::read(path).ok())
}

/// Connections to servers of carriers.
pub(super) struct Secured {
    config: TlsConfig,
    stop: CancellationToken,
    open: Mutex<HashMap<(SocketAddr, String), SipConnection>>,
}

impl Secured {
    pub(super) fn new(config: TlsConfig, stop: CancellationToken) -> Self {
        Self { config, stop, open: Mutex::default() }
    }

    /// Sees to it that there is a connection to the server at `to` that has proved to be `host`.
    ///
    /// # Errors
    /// In words, why there is none.
    pub(super) async fn reach(
        &self,
        transports: &TransportLayer,
        host: &str,
        to: SocketAddr,
    ) -> Result<(), String> {
        let known = (to, host.to_string());
        if self.is_open(&known) {
            return Ok(());
        }
        let config = TlsConfig { sni_hostname: Some(host.into()), ..self.config.clone() };
        let target = SipAddr { r#type: Some(rsipstack::sip::Transport::Tls), addr: to.into() };
        let stop = Some(self.stop.child_token());
        let connect = TlsConnection::connect(&target, Some(&config), None, stop);
        let connected = tokio::time::timeout(PATIENCE, connect).await;
        let connection = connected
            .map_err(|_| format!("no connection to {to} within {PATIENCE:?}"))?
            .map_err(|error| format!("no connection to {to}: {error}"))?;
        let connection = SipConnection::from(connection);
        transports.add_connection(connection.clone());
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(known, connection);
        Ok(())
    }

    fn is_open(&self, known: &(SocketAddr, String)) -> bool {
        let lives = |connection: &SipConnection| {
            connection.cancel_token().is_some_and(|token| !token.is_cancelled())
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, connection| lives(connection));
        open.contains_key(known)
    }
}
