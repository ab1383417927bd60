//! Handles of what an endpoint holds.

use core::fmt;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            pub(crate) slot: u32,
            pub(crate) generation: u32,
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}.{}"), self.slot, self.generation)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

handle! {
    /// One call leg. A handle kept after its call has ended finds nothing.
    CallId, "call"
}
handle! {
    /// Our standing registration at a peer.
    RegistrationId, "registration"
}
handle! {
    /// A peer's request to register here, from its first REGREQ to the end of that exchange.
    RequestId, "request"
}
handle! {
    /// One POKE under way.
    PokeId, "poke"
}
handle! {
    /// Firmware being fetched.
    FirmwareId, "firmware"
}
handle! {
    /// A device being set up, on either side.
    ProvisionId, "provision"
}
