//! Being registered somewhere.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{RegistrationFailure, RegistrationId};
use oneport_wire::MessageCount;
use tokio::sync::mpsc;

use crate::driver::Driver;
use crate::phone::Lines;

/// What becomes of a registration.
///
/// ```no_run
/// # async fn example(mut registration: oneport::Registration) {
/// use oneport::RegistrationEvent;
///
/// while let Some(event) = registration.next_event().await {
///     match event {
///         RegistrationEvent::Registered { refresh, .. } => println!("registered for {refresh:?}"),
///         RegistrationEvent::Failed { retry_in, .. } => println!("again in {retry_in:?}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum RegistrationEvent {
    /// The registrar has us, for the first time or again.
    Registered {
        /// Who it is: one of several, where there are.
        registrar: SocketAddr,
        /// For how long.
        refresh: Duration,
        /// Our address as it sees it.
        apparent_address: Option<SocketAddr>,
        /// Messages that wait there.
        messages: Option<MessageCount>,
        /// The version of the firmware that it has for our kind of device.
        firmware_version: Option<u16>,
    },
    /// A peer says how many messages wait for us now (MWI).
    MessagesWaiting {
        /// Who.
        from: SocketAddr,
        /// How many, if it said so.
        count: Option<MessageCount>,
    },
    /// An attempt failed; the next follows by itself.
    Failed {
        /// At whom.
        registrar: SocketAddr,
        /// Why.
        failure: RegistrationFailure,
        /// When the next begins.
        retry_in: Duration,
    },
    /// It is over.
    Unregistered,
}

/// A standing registration, renewed until it is given back or dropped.
///
/// ```no_run
/// # async fn example(phone: oneport::Phone) -> Result<(), oneport::Stopped> {
/// use std::time::Duration;
///
/// use oneport::{RegistrationConfig, Secret};
///
/// let config = RegistrationConfig {
///     to: ([192, 0, 2, 1], 4569).into(),
///     others: Vec::new(),
///     username: "site".into(),
///     secret: Some(Secret::from("correct horse")),
///     key: None,
///     allow_plaintext: false,
///     refresh: Duration::from_secs(60),
/// };
/// let mut registration = phone.register(config).await?;
/// println!("{:?}", registration.next_event().await);
/// registration.unregister().await;
/// # Ok(())
/// # }
/// ```
pub struct Registration {
    driver: Driver<Lines>,
    id: RegistrationId,
    events: mpsc::Receiver<RegistrationEvent>,
}

impl Registration {
    pub(crate) fn new(
        driver: Driver<Lines>,
        id: RegistrationId,
        events: mpsc::Receiver<RegistrationEvent>,
    ) -> Self {
        Self { driver, id, events }
    }

    /// The next event; `None` when it is over.
    pub async fn next_event(&mut self) -> Option<RegistrationEvent> {
        self.events.recv().await
    }

    /// Gives it back, and returns when the registrar has heard of it or does not answer.
    pub async fn unregister(mut self) {
        let id = self.id;
        self.driver.post(move |endpoint, _, now| endpoint.unregister(now, id));
        while let Some(event) = self.next_event().await {
            if event == RegistrationEvent::Unregistered {
                break;
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let id = self.id;
        self.driver.post(move |endpoint, _, now| endpoint.unregister(now, id));
    }
}
