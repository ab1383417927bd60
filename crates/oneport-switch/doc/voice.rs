// Two sides of a SIP call that agree on voice: the examples of the documentation include this.

use oneport_switch::sip::sdp::{Capabilities, Local, MasterKey, Negotiated, SrtpUse, answer, offer};

/// What the answering side has agreed upon; `srtp`: whether with encrypted voice.
pub fn agreed(srtp: SrtpUse) -> Negotiated {
    let capabilities = Capabilities { srtp, ..Capabilities::default() };
    let side = |address: &str, byte| Local {
        key: Some(MasterKey::from([byte; 30])),
        ..Local::new(address.parse().expect("an address"), byte.into())
    };
    let offer = offer(&capabilities, &side("192.0.2.1:4000", 1));
    let (_, agreed) = answer(&offer, &capabilities, &side("192.0.2.2:5000", 2)).expect("they fit");
    agreed
}
