//! The HTTP API of a running switch, from its command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use oneport_switch::api::{Refused, state_directory, token_file};
use oneport_switch::{ApiConfig, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::exit::{Code, Failure, failed, usage};
use crate::serve::explain;
use crate::websocket::WebSocket;

/// The file that is looked for where no other is named.
const USUAL_FILE: &str = "oneport.toml";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Entries asked for at once.
const PAGE: usize = 500;

/// Where the API is, and who asks.
#[derive(Args, Debug)]
pub(crate) struct ApiArgs {
    /// Address of the switch's API; otherwise that of the configuration file, or 127.0.0.1:8569
    #[arg(long, global = true, value_name = "ADDRESS", env = "ONEPORT_API")]
    api: Option<String>,
    /// Configuration file of the switch
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File with a token; otherwise ONEPORT_API_TOKEN, or what the switch has written
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A connection to it.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
}

impl ApiArgs {
    /// Finds out where it is.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_within(PATIENCE)
    }

    /// The same; its answers may take so long.
    pub(crate) fn client_within(&self, patience: Duration) -> Result<Client, Failure> {
        let (base, port) = match &self.api {
            Some(text) => {
                let base = match text.contains("://") {
                    true => text.trim_end_matches('/').to_string(),
                    false => format!("http://{text}"),
                };
                let uri: ureq::http::Uri = base.parse().map_err(|error| {
                    usage(format!("`{text}` is no address of an API: {error}"))
                        .hint("write it as 127.0.0.1:8569, or as http://127.0.0.1:8569")
                })?;
                (base, uri.port_u16().unwrap_or(80))
            }
            None => {
                let address = self.configured()?;
                (format!("http://{address}"), address.port())
            }
        };
        let config = Agent::config_builder()
            .timeout_global(Some(patience))
            .http_status_as_error(false)
            // It is on this machine, or reached by its own address.
            .proxy(None)
            .build();
        Ok(Client { agent: config.into(), base, token: self.token(port)? })
    }

    fn configured(&self) -> Result<SocketAddr, Failure> {
        let usual = Path::new(USUAL_FILE);
        let file = match &self.config {
            Some(file) => Some(file.as_path()),
            None => usual.exists().then_some(usual),
        };
        let mut address = match file {
            Some(file) => Config::api_address(file).map_err(|error| explain(&error))?,
            None => ApiConfig::default().listen,
        };
        // It listens on all addresses, of which the loopback is one.
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Ok(address)
    }

    fn token(&self, port: u16) -> Result<Option<String>, Failure> {
        let trimmed = |text: String| text.trim().to_string();
        if let Some(file) = &self.token_file {
            let text = std::fs::read_to_string(file).map_err(|error| {
                usage(format!("{}: {error}", file.display())).hint("check --token-file")
            })?;
            return Ok(Some(trimmed(text)));
        }
        if let Ok(token) = std::env::var("ONEPORT_API_TOKEN") {
            return Ok(Some(trimmed(token)));
        }
        // If it is not there, or not ours, the switch says what is missing.
        Ok(std::fs::read_to_string(token_file(&state_directory(), port)).ok().map(trimmed))
    }
}

impl Client {
    /// Where it is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Asks for one thing.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.call())
    }

    /// All entries of a list, page by page.
    pub(crate) fn all<T: DeserializeOwned>(
        &self,
        path: &str,
        list: &str,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut next = format!("{path}{separator}limit={PAGE}");
        loop {
            let mut page: Value = self.get(&next)?;
            let entries = page.get_mut(list).map(Value::take).unwrap_or_default();
            let entries: Vec<T> = serde_json::from_value(entries).map_err(other_version)?;
            all.extend(entries);
            let after = match page.get("next") {
                Some(Value::String(after)) => encoded(after),
                Some(Value::Number(after)) => after.to_string(),
                _ => return Ok(all),
            };
            next = format!("{path}{separator}limit={PAGE}&after={after}");
        }
    }

    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.send_json(body))
    }

    /// Asks for something that takes its time.
    pub(crate) fn post_patiently<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.config().timeout_global(None).build();
        self.read(request.send_empty())
    }

    /// Tells it to do something to which it has nothing to say.
    pub(crate) fn tell(&self, path: &str) -> Result<(), Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.send_empty()).map(drop)
    }

    /// Asks for something that comes bit by bit, for as long as it takes.
    pub(crate) fn stream(&self, path: &str) -> Result<impl std::io::Read + use<>, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.config().timeout_global(None).build();
        Ok(self.answer(request.send_empty())?.into_body().into_reader())
    }

    /// Asks for something that goes on and on.
    pub(crate) fn follow(&self, path: &str) -> Result<impl std::io::Read + use<>, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.config().timeout_global(None).build();
        Ok(self.answer(request.call())?.into_body().into_reader())
    }

    /// Asks for a WebSocket.
    pub(crate) fn websocket(&self, path: &str) -> Result<WebSocket, Failure> {
        let Some(host) = self.base.strip_prefix("http://") else {
            return Err(usage(format!("{} is not reached in the clear", self.base))
                .hint("name the address of the switch itself by --api"));
        };
        let with_port = host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
        let host = if with_port { host.to_string() } else { format!("{host}:80") };
        WebSocket::open(&host, path, self.token.as_deref())
    }

    /// Tells it something by a PUT, to which it has nothing to say.
    pub(crate) fn put(&self, path: &str, body: &impl Serialize) -> Result<(), Failure> {
        let mut request = self.agent.put(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.send_json(body)).map(drop)
    }

    /// Deletes something, and gives the answer.
    pub(crate) fn delete_for<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.read(request.call())
    }

    pub(crate) fn delete(&self, path: &str) -> Result<(), Failure> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.answer(request.call()).map(drop)
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<T, Failure> {
        self.answer(answer)?.body_mut().read_json().map_err(other_version)
    }

    /// The answer, unless it is a no.
    fn answer(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let mut answer = answer.map_err(|error| {
            Failure::new(Code::Unreachable, format!("{} does not answer: {error}", self.base)).hint(
                "see whether `oneport serve` runs, and whether --api is where its API listens",
            )
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let code = match status.as_u16() {
            401 | 403 => Code::Unauthorised,
            422 => Code::Usage,
            _ => Code::Failed,
        };
        let refused = answer.body_mut().read_json::<Refused>();
        let refused = refused.map_err(|_| {
            failed(format!("{} answers {status}", self.base)).with_status(status.as_u16())
        })?;
        let failure = Failure::new(code, refused.error).with_status(status.as_u16());
        let token = "--token-file names a file with a token; the switch's own is in its state \
                     directory, for its user";
        Err(match (code, refused.hint) {
            (Code::Unauthorised, _) if status == 401 => failure.hint(token),
            (_, Some(hint)) => failure.hint(hint),
            (_, None) => failure,
        })
    }
}

fn other_version(error: impl std::fmt::Display) -> Failure {
    failed(format!("the answer is not understood: {error}"))
        .hint("is that a switch of the same version?")
}

/// A value as it may stand in a query or path.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
