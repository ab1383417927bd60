//! `[api]`: where the HTTP API listens, and who may use it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use super::schema::role_words;
use super::secret::places;
use super::source::Source;
use super::spanned::Spanned;
use crate::api::{Role, Token};

/// Where it listens unless told otherwise: on the loopback, at TCP port 8569.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8569);

/// A token shorter than this is guessed too soon.
const SHORTEST_TOKEN: usize = 16;

/// The API as it is configured.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::Config;
///
/// let api = Config::parse(Path::new("oneport.toml"), "[api]\nlisten = \"127.0.0.1:8080\"")?.api;
/// assert!(api.enabled && api.chosen);
/// assert_eq!(api.listen.port(), 8080);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// Where it listens (TCP).
    pub listen: SocketAddr,
    /// Whether `listen` was chosen; then it is a failure if that address is not free.
    pub chosen: bool,
    /// Names by which it is reached, beside its addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
    /// Who may use it; nobody: one token is made at the start.
    pub(crate) tokens: Vec<Token>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: DEFAULT_LISTEN,
            chosen: false,
            hosts: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiKeys {
    /// Whether there is an API.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
    /// TCP address and port. It speaks HTTP in the clear: for other addresses than the loopback put
    /// a proxy with TLS in front. If it is not set and the port is taken, the switch serves without
    /// an API; if it is set, that is a failure.
    #[schemars(extend("default" = "127.0.0.1:8569"))]
    listen: Option<Spanned<String>>,
    /// Names by which it is reached. Beside these only addresses and `localhost` are answered, so
    /// that no web page can point a name of its own at it (DNS rebinding).
    hosts: Vec<Spanned<String>>,
    /// Tables, see below.
    tokens: BTreeMap<Spanned<String>, TokenKeys>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
struct TokenKeys {
    /// The token, 16 characters or more; `openssl rand -hex 32` makes a good one. It stands in one of
    /// these three places.
    secret: Option<Spanned<String>>,
    /// A file with the token.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with the token.
    secret_env: Option<Spanned<String>>,
    /// `viewer` looks; `operator` places, ends and transfers calls too; `admin` reloads too.
    #[schemars(transform = role_words, extend("default" = "viewer"))]
    role: Option<Spanned<String>>,
    /// Whether its holder may listen to calls that are up, whatever its role: no role has that of
    /// itself.
    #[schemars(extend("default" = false))]
    listen: Option<bool>,
}

impl ApiKeys {
    pub(super) fn address(&self, source: &Source<'_>) -> Result<SocketAddr, ConfigError> {
        let Some(text) = &self.listen else { return Ok(DEFAULT_LISTEN) };
        let wrong = |_| {
            let what = format!("`{}` is no address with a port", text.get_ref());
            source.wrong(text, what).with_help("write it as \"127.0.0.1:8569\"")
        };
        text.get_ref().parse().map_err(wrong)
    }

    pub(super) fn check(self, source: &Source<'_>) -> Result<ApiConfig, ConfigError> {
        let mut api = ApiConfig::default();
        api.enabled = self.enabled.unwrap_or(api.enabled);
        api.listen = self.address(source)?;
        api.chosen = self.listen.is_some();
        for host in &self.hosts {
            let name = host.get_ref();
            if name.is_empty() || name.contains(['/', ':', ' ', '@']) {
                let what = format!("`{name}` is no host name");
                let help = "write the name alone, such as \"pbx.example.org\"";
                return Err(source.wrong(host, what).with_help(help));
            }
            api.hosts.push(name.to_ascii_lowercase());
        }
        for (name, keys) in self.tokens {
            api.tokens.push(keys.check(source, &name)?);
        }
        Ok(api)
    }
}

impl TokenKeys {
    fn check(self, source: &Source<'_>, name: &Spanned<String>) -> Result<Token, ConfigError> {
        let mut named =
            places(self.secret.as_ref(), self.secret_file.as_ref(), self.secret_env.as_ref());
        let help = "it has one of `secret`, `secret_file`, `secret_env`; \
                    `openssl rand -hex 32` makes a good one";
        let (Some((span, place)), None) = (named.next(), named.next()) else {
            let what = format!("token `{}` has not exactly one secret", name.get_ref());
            return Err(source.wrong(name, what).with_help(help));
        };
        let wrong =
            |what| ConfigError::at(source.path, source.text, span.clone(), what).with_help(help);
        let secret = source.secret(span.clone(), &place)?;
        if secret.expose().len() < SHORTEST_TOKEN {
            return Err(wrong(format!("a token has {SHORTEST_TOKEN} characters or more")));
        }
        let role = match &self.role {
            None => Role::Viewer,
            Some(word) => match Role::ALL.into_iter().find(|role| role.name() == word.get_ref()) {
                Some(role) => role,
                None => return Err(source.unknown_word(word, "role", &Role::ALL.map(Role::name))),
            },
        };
        let token = Token::new(name.get_ref(), secret.expose().as_bytes(), role);
        Ok(token.listening(self.listen.unwrap_or(false)))
    }
}
