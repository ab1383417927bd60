//! Who is heard at all: carriers, and whoever may be a phone. It joins what each of the two knows.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::phones::Phones;
use super::settings::SipConfig;
use super::stack::Door;
use super::standing::Carriers;
use super::streams::Most;

/// Stands at the door.
pub(super) struct Porter {
    pub(super) carriers: Arc<Carriers>,
    pub(super) phones: Arc<Phones>,
    pub(super) config: Arc<Mutex<SipConfig>>,
}

impl Porter {
    fn is_carrier(&self, address: IpAddr) -> bool {
        self.carriers.at(address).is_some()
    }
}

impl Door for Porter {
    fn knows(&self, address: IpAddr) -> bool {
        self.is_carrier(address) || self.phones.may_come_from(address)
    }

    fn admits(&self, from: IpAddr, registers: bool, user_agent: Option<&str>) -> bool {
        let most =
            self.config.lock().unwrap_or_else(PoisonError::into_inner).max_requests_per_second;
        // A phone may be where a carrier is, and registers all the same.
        (self.is_carrier(from) && !registers)
            || self.phones.admits(from, registers, user_agent, most)
    }

    fn is_called_back(&self, address: IpAddr) -> bool {
        !self.is_carrier(address) && self.phones.are_at(address)
    }

    fn lives_at(&self, address: IpAddr) -> bool {
        self.is_carrier(address) || self.phones.are_at(address)
    }

    fn most_connections(&self) -> Most {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).max_connections
    }
}
