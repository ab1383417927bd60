//! Which of the paths need no token, and which an administrator's.

/// What anybody may ask who reaches the port: balancers and supervisors have no token.
pub(super) const OPEN: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];

/// What changes the switch itself.
pub(super) const ADMIN: [&str; 3] = ["/v1/reload", "/v1/drain", "/v1/upgrade"];

/// What an administrator alone sees, since it tells who may do what, and sets.
pub(super) const CONFIGURATIONS: [&str; 2] = ["/v1/configuration", "/v1/cluster/configuration"];

/// What an operator sees and a viewer does not: it tells of everybody, in words.
pub(super) const LOG: &str = "/v1/log";

/// The end of paths that tell what was said to set a call up.
pub(super) const LADDER: &str = "/ladder";

/// Whether a path is one of the console's own: its files, and those by which somebody signs in.
pub(super) fn is_of_console(path: &str) -> bool {
    path == "/" || path == "/console" || path.starts_with("/console/")
}

/// Whether a path is about users of the console, whom an administrator alone sees.
pub(super) fn is_of_users(path: &str) -> bool {
    path == "/v1/users" || path.starts_with("/v1/users/")
}
