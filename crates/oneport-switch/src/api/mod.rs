//! The HTTP API: what the switch shows of itself, and what it does when asked.
//!
//! It runs on a thread of its own and reaches the switch by commands on the driver's thread, each of
//! which shows a page at most; so no request delays a frame by more than that. Handlers know nothing
//! of tokens: `guard` has let a request pass before. Descriptions of all paths are made from the
//! handlers, and committed as docs/openapi.json.

#![expect(unused_qualifications, reason = "descriptions of parameters are made with whole paths")]

mod asker;
mod audio;
mod calls;
mod capture;
mod carriers;
mod cluster;
mod configuration;
mod description;
mod drain;
mod error;
mod events;
mod extract;
mod guard;
mod ladder;
mod listener;
mod log;
mod login;
mod metrics;
pub mod model;
mod older;
mod overview;
mod paths;
mod peers;
mod prometheus;
mod pulse;
mod radio;
mod recording;
mod records;
mod reload;
mod rooms;
mod routes;
mod switches;
mod system;
mod token;
mod upgrade;
mod users;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use oneport::Driver;
use oneport_proto::{Endpoint, Instant};
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::Switch;
use crate::cluster::SharedConfiguration;
use crate::config::ApiConfig;
use crate::console::Sessions;
use crate::log_tail::LogTail;
use crate::store::Store;
use error::Problem;

pub use cluster::{NewShared, SetShared};
pub use error::Refused;
pub(crate) use pulse::Beat;
pub use reload::{ReloadError, Reloader};
pub use rooms::Gain;
pub(crate) use token::random_secret;
pub use token::{Role, Token, state_directory, token_file};
pub use upgrade::{USUAL_PATIENCE, UpgradeRequest, Upgrades};
pub use users::{ChangedUser, NewUser, UserView, Users};

/// The greatest body of a request in bytes.
const GREATEST_BODY: usize = 64 * 1024;

/// How long the switch may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listeners to events at once.
const MOST_LISTENERS: usize = 32;

/// How long answers under way may still take when the API stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// The API cannot start.
///
/// ```
/// use std::net::TcpListener;
///
/// use oneport_switch::ApiConfig;
/// use oneport_switch::api::{Api, ApiError};
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// let taken = TcpListener::bind("127.0.0.1:0")?;
/// let mut config = ApiConfig::default();
/// (config.listen, config.chosen) = (taken.local_addr()?, true);
/// let error = Api::start(&config, &start(""), None, None, None, &std::env::temp_dir()).err();
/// assert!(matches!(error, Some(ApiError::Bind { address, .. }) if address == config.listen));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
pub enum ApiError {
    /// The address cannot be used.
    #[error("cannot listen on TCP {address} for the API: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No token is configured, and one that was made cannot be written.
    #[error("cannot write the API's token to {file}: {source}")]
    Token {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("the system is short of something: {0}")]
    System(io::Error),
}

/// What handlers share.
pub(crate) struct Inner {
    driver: Driver<Switch>,
    store: Option<Arc<dyn Store>>,
    log: Option<LogTail>,
    tokens: Arc<token::Tokens>,
    reloader: Option<Reloader>,
    upgrades: Option<Upgrades>,
    hosts: Vec<String>,
    rates: guard::Rates,
    /// How many passwords each address may still try.
    guesses: guard::Rates,
    /// One hash is computed at a time.
    hashing: Arc<Semaphore>,
    /// Held while users change, each of which is a look and a write.
    changing_users: tokio::sync::Mutex<()>,
    sessions: Sessions,
    /// The name of the console's cookie.
    cookie: String,
    /// What the link for the first user ends with.
    code: String,
    pulse: pulse::Pulse,
    listeners: Arc<Semaphore>,
    started: tokio::time::Instant,
    missed: std::sync::atomic::AtomicU64,
    document: utoipa::openapi::OpenApi,
}

pub(crate) type Shared = Arc<Inner>;

impl Inner {
    /// Asks the switch, on its thread.
    async fn ask<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Endpoint, &mut Switch, Instant) -> R + Send + 'static,
    ) -> Result<R, Problem> {
        match tokio::time::timeout(PATIENCE, self.driver.with(act)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(stopped)) => Err(Problem::unavailable(stopped.to_string())),
            Err(_) => Err(Problem::unavailable("the switch does not answer in time")),
        }
    }
}

/// What an API starts with beside its configuration.
///
/// ```no_run
/// use std::path::Path;
///
/// use oneport_switch::KnownHosts;
/// use oneport_switch::api::{Api, Given};
/// use oneport_switch::cluster::SharedConfiguration;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (file, state) = (Path::new("/etc/oneport/oneport.toml"), Path::new("/var/lib/oneport"));
/// let (config, shared) = SharedConfiguration::at_start(file, &KnownHosts::new(), state).await?;
/// let given = Given { shared, ..Given::default() };
/// let driver = start("");
/// let api = Api::start_with(&config.api, &driver, None, Some(file), None, state, given)?;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Given {
    /// Its listener, where another process or systemd has bound that.
    pub listener: Option<std::net::TcpListener>,
    /// The token that another process has made and written, by its hash.
    pub token: Option<[u8; 32]>,
    /// To whoever starts another process on request.
    pub upgrades: Option<Upgrades>,
    /// What the switch shares of its configuration with others.
    pub shared: SharedConfiguration,
}

/// A running API. It stops when dropped; then the driver that it was given is free again.
///
/// ```
/// use oneport_switch::ApiConfig;
/// use oneport_switch::api::{Api, token_file};
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// let state = tempfile::tempdir()?;
/// let mut config = ApiConfig::default();
/// config.listen = "127.0.0.1:0".parse()?;
/// let driver = start("");
/// let api = Api::start(&config, &driver, None, None, None, state.path())?;
/// // Who may read this file may use it.
/// assert!(token_file(state.path(), api.address().port()).exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Api {
    address: SocketAddr,
    listener: std::net::TcpListener,
    token: Option<[u8; 32]>,
    reloader: Option<Reloader>,
    store: Option<Arc<dyn Store>>,
    code: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "API on {}", self.address)
    }
}

impl Api {
    /// Starts it for the switch of `driver`, whose records are in `store` and whose configuration came
    /// from `file`. It shows the log of `log`. Where no token is
    /// configured, one is made and written to [`token_file`] in `state`.
    ///
    /// # Errors
    /// The address or the directory cannot be used.
    pub fn start(
        config: &ApiConfig,
        driver: &Driver<Switch>,
        store: Option<Arc<dyn Store>>,
        file: Option<&Path>,
        log: Option<LogTail>,
        state: &Path,
    ) -> Result<Self, ApiError> {
        Self::start_with(config, driver, store, file, log, state, Given::default())
    }

    /// The same with what another process has left.
    ///
    /// # Errors
    /// The address or the directory cannot be used.
    pub fn start_with(
        config: &ApiConfig,
        driver: &Driver<Switch>,
        store: Option<Arc<dyn Store>>,
        file: Option<&Path>,
        log: Option<LogTail>,
        state: &Path,
        given: Given,
    ) -> Result<Self, ApiError> {
        let Given { listener, token, upgrades, shared: configuration } = given;
        let bind = |source| ApiError::Bind { address: config.listen, source };
        let listener = match listener {
            Some(listener) => listener,
            None => std::net::TcpListener::bind(config.listen).map_err(bind)?,
        };
        let kept = listener.try_clone().map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let made = match (config.tokens.is_empty(), token) {
            (false, _) => None,
            (true, Some(hash)) => Some(token::made_by_hash(hash)),
            (true, None) => {
                let path = token_file(state, address.port());
                let wrong = |source| ApiError::Token { file: path.display().to_string(), source };
                Some(token::make_token(&path).map_err(wrong)?)
            }
        };
        let token = made.as_ref().map(Token::hash);
        let tokens = Arc::new(token::Tokens::new(made));
        tokens.replace(config.tokens.clone());
        let reloader = file
            .map(|file| Reloader::with_tokens(file, driver, tokens.clone(), configuration.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ApiError::System)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let code = random_secret().map_err(ApiError::System)?;
        let shared = Inner {
            driver: driver.clone(),
            store: store.clone(),
            log,
            tokens,
            reloader: reloader.clone(),
            upgrades,
            hosts: config.hosts.clone(),
            rates: guard::Rates::default(),
            guesses: guard::Rates::new(login::GUESSES, login::GUESSES_PER_SECOND),
            hashing: Arc::new(Semaphore::new(1)),
            changing_users: tokio::sync::Mutex::default(),
            sessions: Sessions::default(),
            cookie: format!("oneport-{}", address.port()),
            code: code.clone(),
            pulse: pulse::Pulse::default(),
            listeners: Arc::new(Semaphore::new(MOST_LISTENERS)),
            started: tokio::time::Instant::now(),
            missed: std::sync::atomic::AtomicU64::new(0),
            document: document(),
        };
        let body = move || runtime.block_on(serve(listener, Arc::new(shared), stopped));
        let thread = thread::Builder::new().name("oneport-api".into()).spawn(body);
        let thread = Some(thread.map_err(ApiError::System)?);
        let stop = Some(stop);
        Ok(Self { address, listener: kept, token, reloader, store, code, stop, thread })
    }

    /// Its listener, and the hash of the token that it has made: what another process goes on with.
    ///
    /// # Errors
    /// The system gives no descriptor.
    pub fn leave(&self) -> io::Result<(std::net::TcpListener, Option<[u8; 32]>)> {
        Ok((self.listener.try_clone()?, self.token))
    }

    /// Where it listens, with the port that the system chose where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link by which the first user of the console is made, as long as there is none. It is good until
    /// then or until the API stops, and for whoever knows it.
    pub async fn first_link(&self) -> Option<String> {
        let users = self.store.as_ref()?.users().await.ok()?;
        users.is_empty().then(|| format!("{}#/first/{}", self.console(), self.code))
    }

    /// Where the console is.
    #[must_use]
    pub fn console(&self) -> String {
        let mut address = self.address;
        // It listens on all addresses, of which the loopback is one.
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}/console/")
    }

    /// Reads the configuration again; none where that did not come from a file.
    #[must_use]
    pub const fn reloader(&self) -> Option<&Reloader> {
        self.reloader.as_ref()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.reloader = None;
        self.store = None;
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves until `stopped` closes; what is under way then gets a moment, and those who listen for
/// events none.
async fn serve(listener: std::net::TcpListener, shared: Shared, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener::Bounded::new(listener),
        Err(error) => return tracing::error!("API: {error}"),
    };
    // It is gone with the runtime.
    tokio::spawn(pulse::beat(shared.clone()));
    let router = router(shared);
    let service = router.into_make_service_with_connect_info::<listener::Client>();
    let (hurry, hurried) = oneshot::channel::<()>();
    let stopping = async move {
        let _ = stopped.await;
        drop(hurry);
    };
    let server = axum::serve(listener, service).with_graceful_shutdown(stopping);
    let farewell = async {
        let _ = hurried.await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        served = async { server.await } => {
            if let Err(error) = served {
                tracing::error!("API: {error}");
            }
        }
        () = farewell => {}
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Oneport",
        description = "The HTTP API of the IAX2 switch Oneport.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "calls", description = "Calls and their legs"),
        (name = "records", description = "Records of calls that have ended or were refused"),
        (name = "peers", description = "Peers and registrations"),
        (name = "switch", description = "The switch itself"),
        (name = "users", description = "Users of the console"),
    ),
    components(schemas(Refused)),
    modifiers(&BearerToken),
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

fn documented() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(system::health))
        .routes(routes!(system::ready))
        .routes(routes!(system::status))
        .routes(routes!(system::reload))
        .routes(routes!(system::limits))
        .routes(routes!(overview::overview))
        .routes(routes!(system::capacity))
        .routes(routes!(configuration::show))
        .routes(routes!(drain::show, drain::drain, drain::undrain))
        .routes(routes!(upgrade::upgrade))
        .routes(routes!(metrics::metrics))
        .routes(routes!(peers::peers))
        .routes(routes!(peers::peer))
        .routes(routes!(peers::registrations))
        .routes(routes!(carriers::carriers))
        .routes(routes!(switches::switches))
        .routes(
            routes!(cluster::show, cluster::set).layer(DefaultBodyLimit::max(cluster::GREATEST)),
        )
        .routes(routes!(calls::list, calls::originate))
        .routes(routes!(calls::show, calls::hang_up))
        .routes(routes!(calls::netstats))
        .routes(routes!(calls::table))
        .routes(routes!(calls::transfer))
        .routes(routes!(calls::timeline))
        .routes(routes!(ladder::ladder))
        .routes(routes!(capture::capture))
        .routes(routes!(audio::audio))
        .routes(routes!(recording::record, recording::end))
        .routes(routes!(rooms::conferences))
        .routes(routes!(rooms::mute, rooms::unmute))
        .routes(routes!(rooms::gain))
        .routes(routes!(rooms::kick))
        .routes(routes!(rooms::parking))
        .routes(routes!(radio::radio))
        .routes(routes!(records::story))
        .routes(routes!(records::cdrs))
        .routes(routes!(records::refusals))
        .routes(routes!(records::refusal_counts))
        .routes(routes!(routes::routes))
        .routes(routes!(routes::decide))
        .routes(routes!(events::events))
        .routes(routes!(log::log))
        .routes(routes!(users::list, users::add))
        .routes(routes!(users::change, users::remove))
}

/// The description of all paths (OpenAPI 3.1).
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = documented().into_openapi();
    let components = document.components.get_or_insert_default();
    components.schemas.values_mut().for_each(description::leave_examples_out);
    document
}

fn router(shared: Shared) -> Router {
    let (router, _) = documented().split_for_parts();
    router
        .route("/openapi.json", get(system::openapi))
        .route("/", get(login::home))
        .route("/console", get(login::home))
        .route("/console/", get(login::page))
        .route("/console/{*path}", get(login::file))
        .route(
            "/console/session",
            get(login::standing).post(login::sign_in).delete(login::sign_off),
        )
        .route("/console/first", post(login::first))
        .route("/console/password", put(login::change_password))
        .fallback(|| async { Problem::not_found("there is no such path") })
        .method_not_allowed_fallback(|| async { Problem::wrong_method() })
        .layer(axum::middleware::from_fn_with_state(shared.clone(), guard::guard))
        .layer(DefaultBodyLimit::max(GREATEST_BODY))
        .with_state(shared)
}
