//! Asking a peer whether it is there, without a call (RFC 5456 §6.7).

use oneport_wire::CallNumber;

use crate::clock::Instant;
use crate::id::RegistrationId;
use crate::path::Path;

/// A POKE on its way: sent once, never repeated, so that what is lost shows.
#[derive(Debug)]
pub(crate) struct Poke {
    pub(crate) path: Path,
    pub(crate) ours: CallNumber,
    pub(crate) sent: Instant,
    pub(crate) deadline: Instant,
    /// The registration that it keeps alive; the application hears nothing of it.
    pub(crate) owner: Option<RegistrationId>,
}
