//! Which of the paths need no token, and which an administrator's.

/// What anybody may ask who reaches the port: balancers and supervisors have no token.
pub(super) const OPEN: [&str; 3] = ["/healthz", "/readyz", "/openapi.json"];

/// What changes the switch itself.
pub(super) const ADMIN: [&str; 2] = ["/v1/reload", "/v1/drain"];
