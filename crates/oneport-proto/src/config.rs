//! What an endpoint is told at its start.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::firmware::FirmwareImage;
use crate::provision::Device;
use crate::token::CallTokenPolicy;

/// Limits and timers of an `Endpoint`. The defaults are those operators know
/// from Asterisk where both have the same knob.
///
/// ```
/// use oneport_proto::{CommandError, Endpoint, EndpointConfig, Instant, NewCall};
///
/// let now = Instant::from_micros(0);
/// let config = EndpointConfig { max_calls: 1, ..EndpointConfig::default() };
/// let mut endpoint = Endpoint::new(config, [1; 32], now);
/// let peer = "192.0.2.1:4569".parse()?;
/// endpoint.place_call(now, peer, NewCall::to("100"))?;
/// let second = endpoint.place_call(now, peer, NewCall::to("101"));
/// assert_eq!(second, Err(CommandError::TooManyCalls));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Who may come without a call token.
    pub call_token: CallTokenPolicy,
    /// How long a call token is good for; 10 s.
    pub call_token_lifetime: Duration,
    /// Calls, registrations and polls held at once, those resting included; 100,000.
    pub max_calls: usize,
    /// The same for one remote IP address, whatever its port; 2,048.
    pub max_calls_per_address: usize,
    /// An address for which the limit before does not hold: what is there belongs to us. None.
    pub exempt_address: Option<IpAddr>,
    /// An address whose calls are ours in any case: what begins there begins here, also when a newer process takes all
    /// else ([`Endpoint::retire`](crate::Endpoint::retire)). None.
    pub own_address: Option<SocketAddr>,
    /// Calls from addresses that proved nothing (no call token), all together; 8,192.
    pub max_unvalidated_calls: usize,
    /// How long the number of an ended call is not used again; 60 s. In that time repeated frames
    /// of the ended call are still acknowledged.
    pub number_quarantine: Duration,
    /// Time between PINGs of a call; 21 s. While a full frame of the call is repeated, it waits for that to be
    /// acknowledged.
    pub ping_interval: Duration,
    /// Time between LAGRQs of a call; 10 s. They wait as PINGs do.
    pub lag_interval: Duration,
    /// Time between polls of a registrar (POKE) that has us; 20 s. NATs close an idle way after 30 s,
    /// sooner than any registration is renewed. `None`: never.
    pub keep_alive: Option<Duration>,
    /// How long an offered call waits for the application's or the peer's next word; 30 s.
    pub decision_timeout: Duration,
    /// How long a call placed here waits for ACCEPT or REJECT; 60 s.
    pub setup_timeout: Duration,
    /// A call placed here ends when the peer has said nothing at all within twice this time, as by
    /// Asterisk's `autokill`, whose `yes` is 2 s. `None`, as there: it waits for all repetitions of
    /// its NEW. A call may have a time of its own ([`NewCall::autokill`](crate::NewCall::autokill)).
    pub autokill: Option<Duration>,
    /// Pause after the first failure to register; each further one is twice as long. 5 s.
    pub first_registration_pause: Duration,
    /// Longest pause between two attempts to register; 60 s.
    pub longest_registration_pause: Duration,
    /// How long the answer to a failed proof is held back, so that guessing is slow; 1 s.
    pub reject_delay: Duration,
    /// Challenges unanswered at once for one user name; 64. More are refused. Asterisk allows 3
    /// (`maxauthreq`), so that three silent callers shut everybody else of that name out, and a trunk
    /// that places four calls within one round trip loses one. Each of these has shown by a call
    /// token that its address is real, and a wrong answer waits for `reject_delay`.
    pub max_challenges_per_user: usize,
    /// Whether calls follow a peer that asks for a transfer (TXREQ), if the application says nothing
    /// else of a call; `false`. It makes us send a few datagrams to an address the peer names.
    pub accept_transfers: bool,
    /// How long a call keeps the key of what we send, where both sides can change it; 120 s. `None`:
    /// for ever.
    pub key_rotation: Option<Duration>,
    /// What we say of ourselves in NEW and REGREQ, if we are a device; nothing.
    pub device: Device,
    /// Whether a peer that we are registered at, or in a call with, may set us up (PROVISION); `false`.
    pub accept_provisioning: bool,
    /// Firmware that is served (FWDOWNL) to whoever shows that it receives at its address; none.
    pub firmware: Vec<FirmwareImage>,
    /// When unacknowledged frames are sent again.
    pub retransmission: RetransmissionConfig,
    /// Bytes of datagrams kept until `poll_transmit` takes them;
    /// 4 MiB. Beyond it media is dropped; signalling is not.
    pub transmit_buffer: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            call_token: CallTokenPolicy::default(),
            call_token_lifetime: Duration::from_secs(10),
            max_calls: 100_000,
            max_calls_per_address: 2_048,
            exempt_address: None,
            own_address: None,
            max_unvalidated_calls: 8_192,
            number_quarantine: Duration::from_secs(60),
            ping_interval: Duration::from_secs(21),
            lag_interval: Duration::from_secs(10),
            keep_alive: Some(Duration::from_secs(20)),
            decision_timeout: Duration::from_secs(30),
            setup_timeout: Duration::from_secs(60),
            autokill: None,
            first_registration_pause: Duration::from_secs(5),
            longest_registration_pause: Duration::from_secs(60),
            reject_delay: Duration::from_secs(1),
            max_challenges_per_user: 64,
            accept_transfers: false,
            key_rotation: Some(Duration::from_secs(120)),
            device: Device::default(),
            accept_provisioning: false,
            firmware: Vec::new(),
            retransmission: RetransmissionConfig::default(),
            transmit_buffer: 4 << 20,
        }
    }
}

/// No timer that comes again is shorter than this, so that a wrong configuration costs no more than
/// datagrams.
const SHORTEST: Duration = Duration::from_millis(10);

impl EndpointConfig {
    /// The same with all that would make no sense made sense of: timers that come again are at least
    /// 10 ms long, and the greatest interval of repetition is not below the least.
    pub(crate) fn bounded(mut self) -> Self {
        let repetition = &mut self.retransmission;
        for timer in [
            &mut self.ping_interval,
            &mut self.lag_interval,
            &mut self.first_registration_pause,
            &mut repetition.first,
            &mut repetition.least,
        ] {
            *timer = (*timer).max(SHORTEST);
        }
        for timer in [&mut self.keep_alive, &mut self.key_rotation].into_iter().flatten() {
            *timer = (*timer).max(SHORTEST);
        }
        repetition.greatest = repetition.greatest.max(repetition.least);
        let longest = self.longest_registration_pause;
        self.longest_registration_pause = longest.max(self.first_registration_pause);
        self
    }
}

/// The schedule of reliable delivery: the first interval is twice the round trip, each further one
/// twice the one before, until the peer is given up.
///
/// Asterisk multiplies by ten and sends four times in all; doubling loses far fewer calls on a bad
/// link and still ends in the same 32 s.
///
/// To a peer that is not there a call goes out four times in four seconds:
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Endpoint, EndpointConfig, Instant, NewCall, RetransmissionConfig, TransmitBuffer};
///
/// let retransmission = RetransmissionConfig {
///     first: Duration::from_millis(500),
///     give_up: Duration::from_secs(4),
///     ..RetransmissionConfig::default()
/// };
/// let mut now = Instant::from_micros(0);
/// let config = EndpointConfig { retransmission, ..EndpointConfig::default() };
/// let mut endpoint = Endpoint::new(config, [1; 32], now);
/// endpoint.place_call(now, "192.0.2.1:4569".parse()?, NewCall::to("100"))?;
/// let (mut out, mut sent_at) = (TransmitBuffer::with_capacity(1_500, 1), Vec::new());
/// while endpoint.calls() > 0 {
///     while endpoint.poll_transmit(&mut out).is_some() {
///         sent_at.push(now.as_micros() / 1_000);
///     }
///     now = endpoint.poll_timeout().ok_or("a call has a timer")?;
///     endpoint.handle_timeout(now);
/// }
/// assert_eq!(sent_at, [0, 500, 1_500, 3_500]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RetransmissionConfig {
    /// First interval while the round trip is unknown; 1 s.
    pub first: Duration,
    /// Least interval; 100 ms.
    pub least: Duration,
    /// Greatest interval; 10 s.
    pub greatest: Duration,
    /// Time after the first transmission at which the peer is given up; 32 s.
    pub give_up: Duration,
}

impl Default for RetransmissionConfig {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            least: Duration::from_millis(100),
            greatest: Duration::from_secs(10),
            give_up: Duration::from_secs(32),
        }
    }
}
