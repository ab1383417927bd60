//! The session of a call: what is offered and agreed upon, and the media that goes with it.

use std::net::{IpAddr, SocketAddr};

use oneport_wire::Format;

use super::inner::Leg;
use super::media::{MediaEvent, MediaPlane, MediaPort, Meter, NoPort};
use super::sdp::{
    self, Capabilities, Direction, Local, MasterKey, Negotiated, Order, SdpError, Srtp, SrtpUse,
};
use super::settings::{Carrier, Keys};

/// A session. Dropping it frees its port.
pub(crate) struct Session {
    port: MediaPort,
    capabilities: Capabilities,
    local: Local,
    agreed: Option<Negotiated>,
    /// Whether we have put the other side on hold.
    holds: bool,
}

impl Session {
    /// A session in one of `formats`, best first, with somebody who sees us at `ours` and signals from
    /// `theirs`.
    ///
    /// # Errors
    /// No port is left.
    pub(crate) fn open(
        plane: &MediaPlane,
        (ours, theirs): (IpAddr, IpAddr),
        carrier: &Carrier,
        formats: Vec<Format>,
    ) -> Result<Self, NoPort> {
        let port = plane.open()?;
        let address = SocketAddr::new(ours, port.local().port());
        port.described(address);
        port.expect_host(theirs);
        let capabilities = Capabilities {
            formats,
            order: Order::Ours,
            telephone_event: carrier.keys == Keys::Events,
            srtp: carrier.srtp,
            ilbc: carrier.ilbc,
            ..Capabilities::default()
        };
        let mut local = Local::new(address, u64::from(fastrand::u32(1..)));
        if carrier.srtp != SrtpUse::Off {
            local.key = Some(MasterKey::draw().map_err(|error| NoPort::System(error.into()))?);
            local.fingerprint = Some(plane.fingerprint());
        }
        Ok(Self { port, capabilities, local, agreed: None, holds: false })
    }

    /// What is counted of its media.
    pub(crate) fn meter(&self) -> Meter {
        self.port.meter()
    }

    /// What we offer: from now on it may come.
    pub(crate) fn offer(&self) -> String {
        if let Some(expected) = sdp::expected(&self.capabilities) {
            self.port.expect(&expected);
        }
        if self.capabilities.srtp == SrtpUse::Handshake {
            self.port.expect_handshake();
        }
        self.told();
        sdp::offer(&self.capabilities, &self.local)
    }

    /// Of `formats` those in which an offer can be answered.
    ///
    /// # Errors
    /// There is none: why it cannot be answered in any.
    pub(crate) fn common(&self, offer: &str, formats: &[Format]) -> Result<Vec<Format>, SdpError> {
        let all = Capabilities { formats: formats.to_vec(), ..self.capabilities.clone() };
        sdp::answer(offer, &all, &self.local)?;
        let speaks = |format: &Format| {
            let one = Capabilities { formats: vec![*format], ..self.capabilities.clone() };
            sdp::answer(offer, &one, &self.local).is_ok()
        };
        Ok(formats.iter().copied().filter(speaks).collect())
    }

    /// Takes the answer to our offer.
    ///
    /// # Errors
    /// It is of no use.
    pub(crate) fn accept(&mut self, answer: &str) -> Result<Format, SdpError> {
        let agreed = sdp::accept(answer, &self.capabilities, &self.local, self.agreed.as_ref())?;
        Ok(self.agree(agreed))
    }

    /// What we have described leaves now.
    pub(crate) fn told(&self) {
        self.port.told();
    }

    /// Speaks this format alone from now on.
    pub(crate) fn settle_on(&mut self, format: Format) {
        self.capabilities.formats = vec![format];
    }

    /// Answers an offer: the description, and whether the other side holds us now.
    ///
    /// # Errors
    /// There is nothing in it that we can speak.
    pub(crate) fn answer(&mut self, offer: &str) -> Result<(String, bool), SdpError> {
        if self.agreed.is_some() {
            self.local.version += 1;
        }
        let (text, agreed) = sdp::answer(offer, &self.capabilities, &self.local)?;
        let held = agreed.is_held();
        self.agree(agreed);
        Ok((text, held))
    }

    /// What we describe where we are asked, and when we hold the other side or take it back.
    pub(crate) fn describe(&mut self, holds: bool) -> String {
        self.holds = holds;
        self.capabilities.direction = if holds { Direction::SendOnly } else { Direction::SendRecv };
        self.local.version += 1;
        match &self.agreed {
            Some(agreed) => sdp::offer_again(&self.capabilities, &self.local, agreed),
            None => sdp::offer(&self.capabilities, &self.local),
        }
    }

    /// What we have described last, to be said again.
    pub(crate) fn again(&self) -> String {
        match &self.agreed {
            Some(agreed) => sdp::offer_again(&self.capabilities, &self.local, agreed),
            None => sdp::offer(&self.capabilities, &self.local),
        }
    }

    /// Whether we hold the other side.
    pub(crate) const fn holds(&self) -> bool {
        self.holds
    }

    fn agree(&mut self, agreed: Negotiated) -> Format {
        let format = agreed.format;
        if let Some(Srtp::Handshake(handshake)) = &agreed.srtp {
            self.local.begins = Some(handshake.begins);
        }
        self.port.negotiated(&agreed);
        self.agreed = Some(agreed);
        format
    }

    /// What is agreed upon, if something is.
    pub(crate) fn format(&self) -> Option<Format> {
        self.agreed.as_ref().map(|agreed| agreed.format)
    }

    /// Whether both sides should be heard now: the call is answered, and nobody holds the other.
    pub(crate) fn watch(&self, held: bool) {
        self.port.watch_both_ways(!held && !self.holds);
    }

    /// Joins it with a leg that speaks `format`: the voice of each is heard by the other.
    pub(crate) fn join(&self, leg: &Leg, format: Format) {
        self.port.attach(leg.id(), format);
    }

    /// What happens to the media next; none when media has ended.
    pub(crate) async fn next_event(&mut self) -> Option<MediaEvent> {
        self.port.next_event().await
    }
}
