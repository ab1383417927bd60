//! How much callers without a name may have.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::config::GuestLimits;

/// Calls of guests now.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    calls: HashMap<IpAddr, usize>,
    all: usize,
}

impl Guests {
    /// Counts a call, or says which limit stands against it.
    pub(crate) fn enter(&mut self, limits: &GuestLimits, address: IpAddr) -> Result<(), String> {
        if !limits.enabled {
            return Err("guests are not welcome (guests.enabled)".into());
        }
        if self.all >= limits.calls {
            return Err(format!(
                "too many guests, {} of {} (guests.max_calls)",
                self.all, limits.calls
            ));
        }
        let calls = self.calls.entry(address).or_default();
        if *calls >= limits.calls_per_address {
            let most = limits.calls_per_address;
            return Err(format!(
                "too many calls from this address, {calls} of {most} (guests.max_calls_per_address)"
            ));
        }
        *calls += 1;
        self.all += 1;
        Ok(())
    }

    /// A guest's call is over.
    pub(crate) fn leave(&mut self, address: IpAddr) {
        if let Some(calls) = self.calls.get_mut(&address) {
            *calls -= 1;
            self.all -= 1;
            if *calls == 0 {
                self.calls.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn limits_hold_for_all_and_for_each_address() {
        let limits = GuestLimits {
            enabled: true,
            calls: 3,
            calls_per_address: 2,
            duration: Duration::from_secs(1),
        };
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut guests = Guests::default();
        assert_eq!(guests.enter(&limits, address(1)), Ok(()));
        assert_eq!(guests.enter(&limits, address(1)), Ok(()));
        let refusal = guests.enter(&limits, address(1)).unwrap_err();
        assert!(refusal.contains("2 of 2 (guests.max_calls_per_address)"), "{refusal}");
        assert_eq!(guests.enter(&limits, address(2)), Ok(()));
        let refusal = guests.enter(&limits, address(3)).unwrap_err();
        assert!(refusal.contains("3 of 3 (guests.max_calls)"), "{refusal}");
        guests.leave(address(1));
        assert_eq!(guests.enter(&limits, address(3)), Ok(()));
    }
}
