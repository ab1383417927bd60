//! Phones that speak SIP, as the switch knows them: registrations that the gateway has proved are kept
//! like those of IAX2, and the gateway is told where its phones are.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use oneport::WeakDriver;
use oneport_proto::Instant;
use tokio::sync::oneshot;

use super::{Switch, printable, records};
use crate::book::Then;
use crate::news::What;
use crate::qualify::Status;
use crate::registrar::{Change, GRACE, Proved};
use crate::sip::phones::{Binding, Registry};
use crate::store::{Record, StoredRegistration};

/// How the gateway reaches the switch.
pub(super) struct Desk(pub(super) WeakDriver<Switch>);

impl Registry for Desk {
    fn register(
        &self,
        name: &str,
        binding: Option<(Binding, Duration)>,
    ) -> oneshot::Receiver<bool> {
        let (kept, answer) = oneshot::channel();
        let name = name.to_string();
        self.0.post(move |_, switch, now| {
            let proved = Proved { at: now, date: switch.book.now() };
            switch.phone_registers(now, Waiting { name, proved, binding, kept });
        });
        answer
    }

    fn refused(&self, name: &str, from: SocketAddr) {
        let name = printable(name);
        self.0.post(move |_, switch, _| switch.phone_refused(&name, from));
    }

    fn seen(&self, name: &str, status: Status) {
        let name = name.to_string();
        self.0.post(move |_, switch, _| switch.phone_seen(name, status));
    }
}

/// What a phone wants that waits until it is written.
struct Waiting {
    name: String,
    /// When it asked, and had proved who it is.
    proved: Proved,
    /// Where it is from now on, and for how long; `None`: nowhere.
    binding: Option<(Binding, Duration)>,
    /// Told whether that is kept.
    kept: oneshot::Sender<bool>,
}

/// What is known of phones.
#[derive(Default)]
pub(super) struct Telephones {
    /// By what the ledger gives back.
    waiting: HashMap<u64, Waiting>,
    next: u64,
    /// The transport and URI of those that are registered, or were.
    contacts: BTreeMap<String, String>,
}

impl Telephones {
    /// A registration of an earlier life goes on.
    pub(super) fn restore(&mut self, name: &str, contact: String) {
        self.contacts.insert(name.into(), contact);
    }

    /// How a phone that is registered is reached.
    pub(super) fn contact(&self, name: &str) -> Option<String> {
        self.contacts.get(name).cloned()
    }

    /// A phone is none any more; `true`: it was one.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        self.contacts.remove(name).is_some()
    }
}

impl Switch {
    /// A phone has proved who it is: what it wants is written first, and done then.
    fn phone_registers(&mut self, now: Instant, waiting: Waiting) {
        if !self.config.phones.contains_key(&waiting.name) {
            // It is gone since it asked.
            let _ = waiting.kept.send(false);
            return;
        }
        let registered = waiting.proved.date;
        let peer = waiting.name.clone();
        let switch = self.book.switch().map(Into::into);
        let record = match &waiting.binding {
            None => Record::Unregistered { peer, switch, registered: None },
            Some((binding, granted)) => Record::Registered(StoredRegistration {
                peer,
                address: binding.address.to_string(),
                registered,
                expires: registered.after(*granted + GRACE),
                contact: Some(binding.text()),
                switch,
            }),
        };
        match self.book.ledger_mut() {
            None => self.phone_registered(now, waiting),
            Some(ledger) if ledger.is_full() => {
                let (behind, most) = (ledger.behind(), ledger.most());
                tracing::warn!("registration refused: {behind} of {most} records wait");
                let _ = waiting.kept.send(false);
            }
            Some(ledger) => {
                let number = self.telephones.next;
                self.telephones.next += 1;
                self.telephones.waiting.insert(number, waiting);
                ledger.append(record, Some(Then::GrantPhone(number)));
            }
        }
    }

    /// What a phone wants is written.
    pub(super) fn grant_phone(&mut self, now: Instant, number: u64) {
        if let Some(waiting) = self.telephones.waiting.remove(&number) {
            self.phone_registered(now, waiting);
        }
    }

    fn phone_registered(&mut self, now: Instant, waiting: Waiting) {
        let Waiting { name, proved, binding, kept } = waiting;
        if !self.config.phones.contains_key(&name) {
            self.book.forget_registration(&name, None);
            let _ = kept.send(false);
            return;
        }
        match binding {
            None => {
                if self.registrar.release(&name) {
                    tracing::info!("{name} unregistered");
                    self.news.tell(|| What::Registration { peer: name.clone(), address: None });
                }
                self.phone_gone(&name);
            }
            Some((binding, granted)) => {
                let (address, by) = (binding.address, binding.transport.name());
                let seconds = granted.as_secs();
                let change = self.registrar.bind((proved, now), &name, address, granted);
                match change {
                    Change::New => {
                        tracing::info!(
                            "{name} registered at {address} by SIP ({by}) for {seconds} s"
                        );
                    }
                    Change::Moved { from } => {
                        tracing::info!("{name} moved from {from} to {address}")
                    }
                    Change::Renewed => tracing::debug!("{name} renewed at {address}"),
                    Change::Superseded => tracing::info!("{name} has registered elsewhere since"),
                }
                if matches!(change, Change::New | Change::Moved { .. }) {
                    let address = Some(address.to_string());
                    self.news.tell(|| What::Registration { peer: name.clone(), address });
                }
                if change != Change::Superseded {
                    self.telephones.contacts.insert(name.clone(), binding.text());
                    self.tell_of_phone(&name, Some(binding));
                }
            }
        }
        // Who has not waited for it is told when it asks again.
        let _ = kept.send(true);
    }

    fn tell_of_phone(&self, name: &str, binding: Option<Binding>) {
        if let Some(link) = &self.gateway {
            link.phones.place(name, binding);
        }
    }

    /// A registration has expired or is over: the gateway is told if it was a phone's.
    pub(super) fn phone_gone(&mut self, name: &str) {
        if self.telephones.forget(name) {
            self.tell_of_phone(name, None);
        }
    }

    /// The gateway is told where all phones are.
    pub(super) fn place_phones(&self, now: Instant) {
        for (name, contact) in &self.telephones.contacts {
            if let Some(address) = self.registrar.find(now, name)
                && self.config.phones.contains_key(name)
            {
                self.tell_of_phone(name, Binding::read(address, contact));
            }
        }
    }

    /// Whether a phone answers.
    pub(super) fn phone_status(&self, name: &str) -> Status {
        self.gateway.as_ref().map_or(Status::Unknown, |link| link.phones.status(name))
    }

    fn phone_refused(&mut self, name: &str, from: SocketAddr) {
        let why = match self.config.phones.get(name) {
            Some(phone) if !phone.permits(from.ip()) => {
                format!("{name} may not come from {}", from.ip())
            }
            Some(_) => "wrong secret".to_string(),
            None => records::unproved(name, None, from.ip()).why,
        };
        tracing::warn!("SIP: {name} at {from} refused: {why}");
        self.sip_refused(name, from, &why);
    }

    fn phone_seen(&mut self, name: String, status: Status) {
        match status {
            Status::Unreachable => tracing::warn!("{name} is {status}"),
            _ => tracing::info!("{name} is {status}"),
        }
        self.news.tell(|| What::Peer { peer: name, state: status.into() });
    }
}
