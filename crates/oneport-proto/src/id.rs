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
    ///
    /// ```
    /// use oneport_wire::CauseCode;
    ///
    /// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
    /// # let now = oneport_proto::Instant::from_micros(0);
    /// # let (mut here, mut there) = two_ends(now);
    /// # let (call, _) = call_up(now, &mut here, &mut there);
    /// assert!(here.call_stats(call).is_some());
    /// here.hangup(now, call, CauseCode::NORMAL_CLEARING, None)?;
    /// assert!(here.call_stats(call).is_none());
    /// # Ok::<(), oneport_proto::CommandError>(())
    /// ```
    CallId, "call"
}
handle! {
    /// Our standing registration at a peer.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oneport_proto::{Event, RegistrationConfig};
    ///
    /// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
    /// # let now = oneport_proto::Instant::from_micros(0);
    /// # let (mut here, mut there) = two_ends(now);
    /// # let config = RegistrationConfig {
    /// #     to: THERE, others: vec![], username: "ann".into(), secret: None, key: None,
    /// #     allow_plaintext: false, refresh: Duration::from_secs(60),
    /// # };
    /// let registration = here.register(now, config);
    /// here.unregister(now, registration);
    /// assert_eq!(here.poll_event(), Some(Event::Unregistered { registration }));
    /// ```
    RegistrationId, "registration"
}
handle! {
    /// A peer's request to register here, from its first REGREQ to the end of that exchange.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oneport_proto::{CommandError, Event, RegistrationConfig, RequestOutcome};
    ///
    /// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
    /// # let now = oneport_proto::Instant::from_micros(0);
    /// # let (mut here, mut there) = two_ends(now);
    /// # here.register(now, RegistrationConfig {
    /// #     to: THERE, others: vec![], username: "ann".into(), secret: None, key: None,
    /// #     allow_plaintext: false, refresh: Duration::from_secs(60),
    /// # });
    /// # exchange(now, &mut here, &mut there);
    /// let Some(Event::RegisterRequested { request, .. }) = there.poll_event() else { panic!() };
    /// there.refuse(now, request)?;
    /// let outcome = RequestOutcome::Refused;
    /// assert_eq!(there.poll_event(), Some(Event::RegisterEnded { request, outcome }));
    /// assert_eq!(there.refuse(now, request), Err(CommandError::UnknownRequest));
    /// # Ok::<(), CommandError>(())
    /// ```
    RequestId, "request"
}
handle! {
    /// One POKE under way.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oneport_proto::Event;
    ///
    /// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
    /// # let now = oneport_proto::Instant::from_micros(0);
    /// # let (mut here, mut there) = two_ends(now);
    /// let poke = here.poke(now, THERE, Duration::from_secs(1))?;
    /// exchange(now, &mut here, &mut there);
    /// assert_eq!(here.poll_event(), Some(Event::Pong { poke, rtt: Duration::ZERO }));
    /// # Ok::<(), oneport_proto::CommandError>(())
    /// ```
    PokeId, "poke"
}
handle! {
    /// Firmware being fetched.
    ///
    /// ```
    /// use oneport_proto::{Event, FirmwareImage};
    ///
    /// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
    /// # let now = oneport_proto::Instant::from_micros(0);
    /// # let (mut here, mut there) = two_ends(now);
    /// let image = FirmwareImage::new("desk phone", 12, &[7; 1_000])?;
    /// let file = image.data().to_vec();
    /// there.serve_firmware(vec![image]);
    /// let fetch = here.fetch_firmware(now, THERE, "desk phone")?;
    /// exchange(now, &mut here, &mut there);
    /// assert_eq!(here.poll_event(), Some(Event::FirmwareFetched { fetch, data: file }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    FirmwareId, "firmware"
}
handle! {
    /// A device being set up, on either side.
    ///
    /// A device that does not want to be set up says so:
    ///
    /// ```
    /// use oneport_proto::{Event, ProvisionOutcome, Settings};
    /// use oneport_wire::ProvisioningElement;
    ///
    /// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
    /// # let now = oneport_proto::Instant::from_micros(0);
    /// # let (mut here, mut there) = two_ends(now);
    /// let settings = Settings::new(&[ProvisioningElement::Language("en".into())])?;
    /// let provision = here.provision(now, THERE, &settings)?;
    /// exchange(now, &mut here, &mut there);
    /// let outcome = ProvisionOutcome::Rejected { cause: None, text: None };
    /// assert_eq!(here.poll_event(), Some(Event::ProvisionEnded { provision, outcome }));
    /// # Ok::<(), oneport_proto::CommandError>(())
    /// ```
    ProvisionId, "provision"
}
