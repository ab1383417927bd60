//! `/v1/users`: who may use the console.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{Problem, Refused};
use super::extract::Body;
use super::records::unread;
use super::token::Role;
use super::{Inner, Shared};
use crate::console::{LONGEST, SHORTEST, hash};
use crate::store::StoredUser;

/// The longest name of a user, in characters.
const LONGEST_NAME: usize = 64;

/// A user of the console.
///
/// ```
/// use oneport_switch::api::{Role, UserView};
///
/// let user: UserView = serde_json::from_str(r#"{"name": "eve", "role": "viewer", "listen": false}"#)?;
/// assert_eq!((user.name.as_str(), user.role), ("eve", Role::Viewer));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// The name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may listen to calls.
    pub listen: bool,
}

/// All users of the console.
///
/// ```
/// use oneport_switch::api::Users;
///
/// let users: Users =
///     serde_json::from_str(r#"{"users": [{"name": "eve", "role": "admin", "listen": true}]}"#)?;
/// assert!(users.users.iter().any(|user| user.listen));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Users {
    /// By their names.
    pub users: Vec<UserView>,
}

/// A user to be made.
///
/// ```
/// use oneport_switch::api::{NewUser, Role};
///
/// let password = "correct horse battery".to_string();
/// let user = NewUser { name: "eve".into(), role: Role::Operator, listen: false, password };
/// assert_eq!(serde_json::to_value(&user)?["role"], "operator");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewUser {
    /// The name: 1 to 64 characters without spaces and slashes.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may listen to calls.
    #[serde(default)]
    pub listen: bool,
    /// The password, 10 characters or more.
    pub password: String,
}

/// What of a user changes; what is null stays.
///
/// ```
/// use oneport_switch::api::{ChangedUser, Role};
///
/// // The password stays as it is.
/// let change = ChangedUser { role: Some(Role::Admin), listen: None, password: None };
/// assert_eq!(serde_json::to_value(&change)?["role"], "admin");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ChangedUser {
    /// What they may do.
    #[serde(default)]
    pub role: Option<Role>,
    /// Whether they may listen to calls.
    #[serde(default)]
    pub listen: Option<bool>,
    /// The password, 10 characters or more.
    #[serde(default)]
    pub password: Option<String>,
}

impl From<StoredUser> for UserView {
    fn from(user: StoredUser) -> Self {
        Self { name: user.name, role: user.role, listen: user.listens }
    }
}

/// A name that a user may have.
pub(super) fn checked_name(name: &str) -> Result<String, Problem> {
    let good = |sign: char| !sign.is_control() && !sign.is_whitespace() && sign != '/';
    match name.chars().count() {
        1..=LONGEST_NAME if name.chars().all(good) => Ok(name.into()),
        _ => Err(Problem::wrong("a name has 1 to 64 characters, and no space or slash")),
    }
}

/// A password that a user may have.
pub(super) fn checked_password(password: String) -> Result<String, Problem> {
    if password.chars().count() < SHORTEST {
        return Err(Problem::wrong(format!("a password has {SHORTEST} characters or more")));
    }
    if password.len() > LONGEST {
        return Err(Problem::wrong(format!("a password has {LONGEST} bytes at most")));
    }
    Ok(password)
}

/// The hash of a password.
pub(super) async fn hashed(shared: &Inner, password: String) -> Result<String, Problem> {
    shared.hashing(move || hash(&password)).await?.map_err(Problem::unavailable)
}

/// Users of the console.
#[utoipa::path(
    get,
    path = "/v1/users",
    operation_id = "users",
    tag = "users",
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "All of them, by name", body = Users),
        (status = 409, description = "The switch keeps no users", body = Refused),
    )
)]
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Users>, Problem> {
    let users = shared.users().await?.into_iter().map(UserView::from).collect();
    Ok(Json(Users { users }))
}

/// Makes a user.
#[utoipa::path(
    post,
    path = "/v1/users",
    operation_id = "add_user",
    tag = "users",
    request_body = NewUser,
    security(("token" = ["admin"])),
    responses(
        (status = 201, description = "The user", body = UserView),
        (status = 409, description = "There is one of this name, or no users are kept", body = Refused),
        (status = 422, description = "The name or the password is none", body = Refused),
    )
)]
pub(super) async fn add(
    State(shared): State<Shared>,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<UserView>), Problem> {
    let (name, password) = (checked_name(&new.name)?, checked_password(new.password)?);
    let _alone = shared.changing_users.lock().await;
    if shared.users().await?.iter().any(|one| one.name == name) {
        return Err(Problem::conflict(format!("there is a user `{name}` already")));
    }
    let password = hashed(&shared, password).await?;
    let user = StoredUser { name, role: new.role, listens: new.listen, password };
    shared.store()?.put_user(&user).await.map_err(unread)?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

fn no_such_user(name: &str) -> Problem {
    Problem::not_found(format!("there is no user `{name}`"))
}

/// Users without whom nobody is left who may change users are kept.
fn leaves_an_admin(users: &[StoredUser], but: &str) -> Result<(), Problem> {
    match users.iter().any(|one| one.name != but && one.role == Role::Admin) {
        true => Ok(()),
        false => Err(Problem::conflict(format!("`{but}` is the last administrator"))),
    }
}

/// Changes a user, whose sessions end.
#[utoipa::path(
    put,
    path = "/v1/users/{name}",
    operation_id = "change_user",
    tag = "users",
    params(("name" = String, Path, description = "The user")),
    request_body = ChangedUser,
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "As they are now", body = UserView),
        (status = 404, description = "There is no such user", body = Refused),
        (status = 409, description = "They are the last administrator, or no users are kept", body = Refused),
        (status = 422, description = "The password is none", body = Refused),
    )
)]
pub(super) async fn change(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Body(changed): Body<ChangedUser>,
) -> Result<Json<UserView>, Problem> {
    let _alone = shared.changing_users.lock().await;
    let users = shared.users().await?;
    let known = users.iter().find(|one| one.name == name).cloned();
    let mut user = known.ok_or_else(|| no_such_user(&name))?;
    if user.role == Role::Admin && changed.role.is_some_and(|role| role < Role::Admin) {
        leaves_an_admin(&users, &name)?;
    }
    if let Some(password) = changed.password {
        user.password = hashed(&shared, checked_password(password)?).await?;
    }
    user.role = changed.role.unwrap_or(user.role);
    user.listens = changed.listen.unwrap_or(user.listens);
    shared.store()?.put_user(&user).await.map_err(unread)?;
    shared.sessions.end_all_of(&name);
    Ok(Json(user.into()))
}

/// Forgets a user, whose sessions end.
#[utoipa::path(
    delete,
    path = "/v1/users/{name}",
    operation_id = "remove_user",
    tag = "users",
    params(("name" = String, Path, description = "The user")),
    security(("token" = ["admin"])),
    responses(
        (status = 204, description = "They are gone"),
        (status = 404, description = "There is no such user", body = Refused),
        (status = 409, description = "They are the last administrator, or no users are kept", body = Refused),
    )
)]
pub(super) async fn remove(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let _alone = shared.changing_users.lock().await;
    let users = shared.users().await?;
    let known = users.iter().find(|one| one.name == name).ok_or_else(|| no_such_user(&name))?;
    if known.role == Role::Admin {
        leaves_an_admin(&users, &name)?;
    }
    shared.store()?.remove_user(&name).await.map_err(unread)?;
    shared.sessions.end_all_of(&name);
    Ok(StatusCode::NO_CONTENT)
}
