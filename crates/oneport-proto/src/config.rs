//! What an endpoint is told at its start.

use core::time::Duration;

use crate::token::CallTokenPolicy;

/// Limits and timers of an `Endpoint`. The defaults are those operators know
/// from Asterisk where both have the same knob.
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
    /// Calls from addresses that proved nothing (no call token), all together; 8,192.
    pub max_unvalidated_calls: usize,
    /// How long the number of an ended call is not used again; 60 s. In that time repeated frames
    /// of the ended call are still acknowledged.
    pub number_quarantine: Duration,
    /// Time between PINGs of a call; 21 s.
    pub ping_interval: Duration,
    /// Time between LAGRQs of a call; 10 s.
    pub lag_interval: Duration,
    /// Time between polls of a registrar (POKE) that has us; 20 s. NATs close an idle way after 30 s,
    /// sooner than any registration is renewed. `None`: never.
    pub keep_alive: Option<Duration>,
    /// How long an offered call waits for the application's or the peer's next word; 30 s.
    pub decision_timeout: Duration,
    /// How long a call placed here waits for ACCEPT or REJECT; 60 s.
    pub setup_timeout: Duration,
    /// How long the answer to a failed proof is held back, so that guessing is slow; 1 s.
    pub reject_delay: Duration,
    /// Challenges unanswered at once for one user name; 64. More are refused.
    pub max_challenges_per_user: usize,
    /// Whether calls follow a peer that asks for a transfer (TXREQ), if the application says nothing
    /// else of a call; `false`. It makes us send a few datagrams to an address the peer names.
    pub accept_transfers: bool,
    /// How long a call keeps the key of what we send, where both sides can change it; 120 s. `None`:
    /// for ever.
    pub key_rotation: Option<Duration>,
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
            max_unvalidated_calls: 8_192,
            number_quarantine: Duration::from_secs(60),
            ping_interval: Duration::from_secs(21),
            lag_interval: Duration::from_secs(10),
            keep_alive: Some(Duration::from_secs(20)),
            decision_timeout: Duration::from_secs(30),
            setup_timeout: Duration::from_secs(60),
            reject_delay: Duration::from_secs(1),
            max_challenges_per_user: 64,
            accept_transfers: false,
            key_rotation: Some(Duration::from_secs(120)),
            retransmission: RetransmissionConfig::default(),
            transmit_buffer: 4 << 20,
        }
    }
}

/// The schedule of reliable delivery: the first interval is twice the round trip, each further one
/// twice the one before, until the peer is given up.
///
/// Asterisk multiplies by ten and sends four times in all; doubling loses far fewer calls on a bad
/// link and still ends in the same 32 s.
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
