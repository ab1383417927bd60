//! Who is registered here, and where we are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A peer that has registered here.
///
/// ```
/// use oneport_switch::api::model::RegisteredHere;
///
/// let json = r#"{"name": "ann", "address": "192.0.2.7:4569", "expires_seconds": 39}"#;
/// let registered_here: RegisteredHere = serde_json::from_str(json)?;
/// assert_eq!((registered_here.name.as_str(), registered_here.expires_seconds), ("ann", 39));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegisteredHere {
    /// Its name.
    pub name: String,
    /// From where.
    pub address: String,
    /// Until it is forgotten, unless it comes again.
    pub expires_seconds: u64,
}

/// How a registration of ours stands.
///
/// ```
/// use oneport_switch::api::model::RegistrationState;
///
/// let state: RegistrationState = serde_json::from_str(r#""failed""#)?;
/// assert_eq!(state, RegistrationState::Failed);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    /// The registrar has not answered yet.
    Trying,
    /// It has us.
    Registered,
    /// It has refused, or does not answer.
    Failed,
}

/// A registration of ours elsewhere.
///
/// ```
/// use oneport_switch::api::model::{RegisteredThere, RegistrationState};
///
/// let json = r#"{
///     "registrar": "198.51.100.9:4569", "username": "site", "state": "failed", "refresh_seconds": 60,
///     "apparent_address": null, "failure": "registration refused (29)"
/// }"#;
/// let registered_there: RegisteredThere = serde_json::from_str(json)?;
/// assert_eq!(registered_there.state, RegistrationState::Failed);
/// println!("{}: {}", registered_there.registrar, registered_there.failure.unwrap_or_default());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegisteredThere {
    /// The registrar.
    pub registrar: String,
    /// The name it knows us by.
    pub username: String,
    /// How it stands.
    pub state: RegistrationState,
    /// For how long it was granted, or is asked for.
    pub refresh_seconds: u64,
    /// Where the registrar sees us.
    pub apparent_address: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// Registrations both ways.
///
/// ```
/// use oneport_switch::api::model::Registrations;
///
/// let json = r#"{
///     "here": [{"name": "ann", "address": "192.0.2.7:4569", "expires_seconds": 39}],
///     "elsewhere": [], "total": 214, "next": "ann"
/// }"#;
/// let registrations: Registrations = serde_json::from_str(json)?;
/// assert_eq!(registrations.here[0].name, "ann");
/// // The page behind it is `GET /v1/registrations?after=ann`.
/// assert_eq!(registrations.next.as_deref(), Some("ann"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Registrations {
    /// Peers registered here, by name; a page of them.
    pub here: Vec<RegisteredHere>,
    /// Where we register; all of it.
    pub elsewhere: Vec<RegisteredThere>,
    /// How many are registered here in all.
    pub total: usize,
    /// Where the next page begins: the value for `after`.
    pub next: Option<String>,
}
