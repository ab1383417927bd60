//! Call tokens: proof of a source address before any state is spent on it.
//!
//! A first NEW, REGREQ or REGREL gets a CALLTOKEN reply and nothing else; the same request with the
//! token in it shows that its sender receives what is sent to its address. The token is an HMAC
//! over that address and the time under a key that rotates, so nothing is stored per address
//! (the CALLTOKEN extension to RFC 5456; found in all peers since advisory AST-2009-006).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::clock::Instant;

/// Bytes of a token on the wire: short, so that the answer to the shortest possible request (a bare
/// header and an empty CALLTOKEN element, 14 bytes) stays under three times its size.
pub(crate) const TOKEN_LEN: usize = 24;

/// A key of HMAC-SHA-256's own block size.
type Key = [u8; 64];

/// Keys live this long, and as long again as the previous key.
const KEY_LIFETIME: Duration = Duration::from_secs(300);

/// Who may come without a call token. By default nobody.
///
/// The rule for one request: the entry of its user name decides if it says yes, no or auto;
/// otherwise the address list does. NEW looks among the users, REGREQ and REGREL among the peers;
/// a request without a user name counts as `guest`.
///
/// ```
/// use oneport_proto::{CallTokenPolicy, DropReason, EndpointConfig, Handled, Network};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (_, mut there) = two_ends(now);
/// // A phone so old that it knows no call tokens is let in only from the network of the office.
/// let mut old = old_phone("ann");
/// let handled = there.handle_datagram(now, HERE.into(), &mut old, &mut ());
/// assert_eq!(handled, Handled::Dropped(DropReason::CallTokenMissing));
///
/// let office = Network { address: "192.0.2.0".parse()?, prefix: 24 };
/// let call_token = CallTokenPolicy { optional_networks: vec![office], ..CallTokenPolicy::default() };
/// there.reconfigure(EndpointConfig { call_token, ..EndpointConfig::default() });
/// let handled = there.handle_datagram(now, HERE.into(), &mut old, &mut ());
/// assert_eq!(handled, Handled::Consumed);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CallTokenPolicy {
    /// Networks whose members need no token, unless their entry says otherwise.
    pub optional_networks: Vec<Network>,
    /// Rules for callers, by user name.
    pub users: BTreeMap<String, TokenRule>,
    /// Rules for those who register, by user name.
    pub peers: BTreeMap<String, TokenRule>,
}

/// What an entry says of call tokens.
///
/// ```
/// use oneport_proto::{CallTokenPolicy, DropReason, EndpointConfig, Handled, TokenRule};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (_, mut there) = two_ends(now);
/// let mut call_token = CallTokenPolicy::default();
/// call_token.users.insert("ann".into(), TokenRule::No);
/// there.reconfigure(EndpointConfig { call_token, ..EndpointConfig::default() });
/// // Both have phones that know no call tokens.
/// let handled = there.handle_datagram(now, HERE.into(), &mut old_phone("bob"), &mut ());
/// assert_eq!(handled, Handled::Dropped(DropReason::CallTokenMissing));
/// let handled = there.handle_datagram(now, HERE.into(), &mut old_phone("ann"), &mut ());
/// assert_eq!(handled, Handled::Consumed);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TokenRule {
    /// Nothing: the address list decides.
    #[default]
    Unset,
    /// A token is always needed.
    Yes,
    /// None is needed.
    No,
    /// None is needed until the entry has once come with one; from then on it is.
    Auto,
}

/// Which kind of entry a request looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EntryKind {
    User,
    Peer,
}

impl CallTokenPolicy {
    fn entries(&self, kind: EntryKind) -> &BTreeMap<String, TokenRule> {
        match kind {
            EntryKind::User => &self.users,
            EntryKind::Peer => &self.peers,
        }
    }

    /// Whether a request from `address` under `name` must carry a token.
    #[must_use]
    pub(crate) fn requires(&self, kind: EntryKind, name: Option<&str>, address: IpAddr) -> bool {
        match self.entries(kind).get(name.unwrap_or("guest")).copied().unwrap_or_default() {
            TokenRule::Yes => true,
            TokenRule::No | TokenRule::Auto => false,
            TokenRule::Unset => {
                !self.optional_networks.iter().any(|network| network.contains(address))
            }
        }
    }

    /// Notes that `name` has come with a good token: `Auto` turns into `Yes`.
    pub(crate) fn came_with_token(&mut self, kind: EntryKind, name: Option<&str>) {
        let entries = match kind {
            EntryKind::User => &mut self.users,
            EntryKind::Peer => &mut self.peers,
        };
        if let Some(rule) = entries.get_mut(name.unwrap_or("guest"))
            && *rule == TokenRule::Auto
        {
            *rule = TokenRule::Yes;
        }
    }

    /// A name that needed a token under the policy before is not let off because its entry says
    /// `Auto`.
    pub(crate) fn keep_learned(&mut self, before: &Self) {
        for (entries, before) in
            [(&mut self.users, &before.users), (&mut self.peers, &before.peers)]
        {
            for (name, rule) in entries {
                if *rule == TokenRule::Auto && before.get(name) == Some(&TokenRule::Yes) {
                    *rule = TokenRule::Yes;
                }
            }
        }
    }
}

/// An IP network: an address and how many of its leading bits count.
///
/// ```
/// use oneport_proto::Network;
///
/// let office = Network { address: "198.51.100.0".parse()?, prefix: 24 };
/// assert!(office.contains("198.51.100.77".parse()?));
/// assert!(office.contains("::ffff:198.51.100.77".parse()?));
/// assert!(!office.contains("198.51.101.1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// Any address of the network.
    pub address: IpAddr,
    /// Leading bits, 0 to 32 or 128.
    pub prefix: u8,
}

impl Network {
    /// Whether `address` lies in this network. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differing = ours.to_bits() ^ theirs.to_bits();
                differing.leading_zeros() >= prefix.min(32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differing = ours.to_bits() ^ theirs.to_bits();
                differing.leading_zeros() >= prefix.min(128)
            }
            _ => false,
        }
    }
}

/// What call tokens are made of, so that another process takes those of this one.
///
/// ```
/// use oneport_proto::CallTokenKeys;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (old, mut new) = two_ends(now);
/// // From one process to the next, so that no caller has to ask twice.
/// let handed_over = old.call_token_keys(now).to_bytes();
/// let keys = CallTokenKeys::from_bytes(&handed_over).ok_or("they are whole")?;
/// new.adopt_call_token_keys(now, &keys);
/// assert!(CallTokenKeys::from_bytes(&handed_over[1..]).is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CallTokenKeys {
    current: Key,
    previous: Key,
    /// The time in tokens, in ms.
    clock: u32,
    rotates_in: Duration,
}

impl fmt::Debug for CallTokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl CallTokenKeys {
    /// Bytes of the whole.
    pub const LEN: usize = 64 + 64 + 4 + 4;

    /// Both keys, the clock in ms, and in how many ms the keys change, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let rotates_in = u32::try_from(self.rotates_in.as_millis()).unwrap_or(u32::MAX);
        let numbers = [self.clock.to_be_bytes(), rotates_in.to_be_bytes()].concat();
        [&self.current[..], &self.previous, &numbers].concat()
    }

    /// The same, read; `None`: those are not so many bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (current, rest) = bytes.split_first_chunk::<64>()?;
        let (previous, rest) = rest.split_first_chunk::<64>()?;
        let (clock, rest) = rest.split_first_chunk::<4>()?;
        let rotates_in = u32::from_be_bytes(rest.try_into().ok()?);
        Some(Self {
            current: *current,
            previous: *previous,
            clock: u32::from_be_bytes(*clock),
            rotates_in: Duration::from_millis(rotates_in.into()),
        })
    }
}

/// By how much the clock of tokens goes on with whoever takes over: one that was minted while the keys were on
/// their way must not seem to be from the future.
const LEEWAY_MS: u32 = 1_000;

/// Makes and checks tokens.
pub(crate) struct TokenMint {
    lifetime: Duration,
    origin: Instant,
    /// What the clock of tokens, in ms, is ahead of the time since then.
    ahead: u32,
    current: Key,
    previous: Key,
    rotate_at: Instant,
}

impl TokenMint {
    /// Tokens are good for so long from now on, those handed out before too.
    pub(crate) fn set_lifetime(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
    }

    pub(crate) fn new(lifetime: Duration, rng: &mut ChaCha12Rng, now: Instant) -> Self {
        let mut mint = Self {
            lifetime,
            origin: now,
            ahead: 0,
            current: [0; 64],
            previous: [0; 64],
            rotate_at: now + KEY_LIFETIME,
        };
        rng.fill_bytes(&mut mint.current);
        rng.fill_bytes(&mut mint.previous);
        mint
    }

    /// For another process.
    pub(crate) fn keys(&self, now: Instant) -> CallTokenKeys {
        CallTokenKeys {
            current: self.current,
            previous: self.previous,
            clock: self.clock(now),
            rotates_in: self.rotate_at.since(now),
        }
    }

    /// Goes on with the keys of another process.
    pub(crate) fn adopt(&mut self, now: Instant, keys: &CallTokenKeys) {
        (self.current, self.previous) = (keys.current, keys.previous);
        let since = now.millis_since(self.origin);
        self.ahead = keys.clock.wrapping_add(LEEWAY_MS).wrapping_sub(since);
        self.rotate_at = now + keys.rotates_in.min(KEY_LIFETIME);
    }

    /// Takes over again from a process that had these keys too.
    pub(crate) fn take_back(&mut self) {
        self.ahead = self.ahead.wrapping_add(2 * LEEWAY_MS);
    }

    fn clock(&self, now: Instant) -> u32 {
        now.millis_since(self.origin).wrapping_add(self.ahead)
    }

    /// Replaces the key when it is old. Called with each use, so that it needs no timer.
    fn rotate(&mut self, rng: &mut ChaCha12Rng, now: Instant) {
        if now < self.rotate_at {
            return;
        }
        self.previous = self.current;
        rng.fill_bytes(&mut self.current);
        if now.since(self.rotate_at) >= KEY_LIFETIME {
            // Both keys are past their time.
            rng.fill_bytes(&mut self.previous);
        }
        self.rotate_at = now + KEY_LIFETIME;
    }

    /// A token for `from`, good for the configured time.
    pub(crate) fn mint(
        &mut self,
        rng: &mut ChaCha12Rng,
        now: Instant,
        from: SocketAddr,
    ) -> [u8; TOKEN_LEN] {
        self.rotate(rng, now);
        let millis = self.clock(now);
        encode(millis, &tag(&self.current, millis, from))
    }

    /// Whether `token` was minted for `from` and is neither too old nor from the future.
    pub(crate) fn check(
        &mut self,
        rng: &mut ChaCha12Rng,
        now: Instant,
        from: SocketAddr,
        token: &[u8],
    ) -> bool {
        self.rotate(rng, now);
        let Some((millis, given)) = decode(token) else { return false };
        let genuine = [&self.current, &self.previous]
            .iter()
            .fold(subtle::Choice::from(0), |any, key| any | tag(key, millis, from).ct_eq(&given));
        // A time in the future wraps into a very great age.
        let age = self.clock(now).wrapping_sub(millis);
        bool::from(genuine) && u128::from(age) < self.lifetime.as_millis()
    }
}

/// 14 bytes of HMAC-SHA-256 over the time and the address.
fn tag(key: &Key, millis: u32, from: SocketAddr) -> [u8; 14] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new(key.into());
    mac.update(&millis.to_be_bytes());
    match from.ip() {
        IpAddr::V4(ip) => mac.update(&ip.octets()),
        IpAddr::V6(ip) => mac.update(&ip.octets()),
    }
    mac.update(&from.port().to_be_bytes());
    let full = mac.finalize().into_bytes();
    let mut cut = [0; 14];
    for (to, from) in cut.iter_mut().zip(full) {
        *to = from;
    }
    cut
}

/// Time and tag, 18 bytes, as 24 characters: base64 of RFC 4648 §5, since peers keep tokens as text.
fn encode(millis: u32, tag: &[u8; 14]) -> [u8; TOKEN_LEN] {
    let mut raw = [0_u8; 18];
    for (to, from) in raw.iter_mut().zip(millis.to_be_bytes().iter().chain(tag)) {
        *to = *from;
    }
    let mut text = [0; TOKEN_LEN];
    let encoded = Base64UrlUnpadded::encode(&raw, &mut text);
    debug_assert!(encoded.is_ok(), "18 bytes are 24 characters");
    text
}

fn decode(text: &[u8]) -> Option<(u32, [u8; 14])> {
    if text.len() != TOKEN_LEN {
        return None;
    }
    let mut raw = [0_u8; 18];
    let raw = Base64UrlUnpadded::decode(text, &mut raw).ok()?;
    let (millis, tag) = raw.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*millis), tag.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn setup() -> (TokenMint, ChaCha12Rng, SocketAddr) {
        let mut rng = ChaCha12Rng::from_seed([7; 32]);
        let now = Instant::from_micros(1_000_000_000);
        let mint = TokenMint::new(Duration::from_secs(10), &mut rng, now);
        (mint, rng, "192.0.2.1:4569".parse().unwrap())
    }

    #[test]
    fn tokens_of_a_process_are_taken_by_the_one_that_has_its_keys_and_by_no_other() {
        let (mut mint, mut rng, from) = setup();
        let token = mint.mint(&mut rng, at(5_000), from);
        let keys = mint.keys(at(5_001));
        let carried = CallTokenKeys::from_bytes(&keys.to_bytes()).unwrap();
        assert_eq!(carried, keys);
        assert_eq!(CallTokenKeys::from_bytes(&keys.to_bytes()[1..]), None);
        // Its clock begins elsewhere, and may be read a little earlier.
        let early = Instant::from_micros(77);
        let mut heir = TokenMint::new(Duration::from_secs(10), &mut rng, early);
        assert!(!heir.check(&mut rng, early, from, &token));
        heir.adopt(early, &carried);
        assert!(heir.check(&mut rng, early, from, &token));
        let other = "192.0.2.2:4569".parse().unwrap();
        assert!(!heir.check(&mut rng, early, other, &token));
        let late = early + Duration::from_secs(10);
        assert!(!heir.check(&mut rng, late, from, &token), "it is too old");
        // And the older one takes those of the newer, if it has to serve again.
        let newer = heir.mint(&mut rng, early, from);
        mint.take_back();
        assert!(mint.check(&mut rng, at(5_001), from, &newer));
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + ms * 1000)
    }

    #[test]
    fn a_token_is_good_for_its_address_and_its_time_only() {
        let (mut mint, mut rng, from) = setup();
        let token = mint.mint(&mut rng, at(5_000), from);
        assert!(mint.check(&mut rng, at(5_000), from, &token));
        assert!(mint.check(&mut rng, at(14_999), from, &token));
        assert!(!mint.check(&mut rng, at(15_000), from, &token), "age equal to the limit");
        assert!(!mint.check(&mut rng, at(4_999), from, &token), "from the future");
        let other_port = "192.0.2.1:4570".parse().unwrap();
        let other_ip = "192.0.2.2:4569".parse().unwrap();
        assert!(!mint.check(&mut rng, at(5_001), other_port, &token));
        assert!(!mint.check(&mut rng, at(5_001), other_ip, &token));
    }

    #[test]
    fn a_damaged_token_is_refused() {
        let (mut mint, mut rng, from) = setup();
        let token = mint.mint(&mut rng, at(0), from);
        for n in 0..TOKEN_LEN {
            let mut damaged = token;
            damaged[n] = if damaged[n] == b'A' { b'B' } else { b'A' };
            assert!(!mint.check(&mut rng, at(1), from, &damaged), "byte {n}");
        }
        assert!(!mint.check(&mut rng, at(1), from, &[b'A'; 255]));
        assert!(!mint.check(&mut rng, at(1), from, b"?"));
    }

    #[test]
    fn a_token_outlives_one_change_of_key_but_not_two() {
        let (mut mint, mut rng, from) = setup();
        let token = mint.mint(&mut rng, at(299_999), from);
        assert!(mint.check(&mut rng, at(300_001), from, &token));
        let old_key = mint.previous;
        mint.rotate(&mut rng, at(700_000));
        mint.rotate(&mut rng, at(5_000_000));
        assert_ne!(mint.previous, old_key);
        assert_ne!(mint.current, old_key);
    }

    #[test]
    fn networks_match_by_prefix_and_family() {
        let network = Network { address: "10.1.0.0".parse().unwrap(), prefix: 16 };
        assert!(network.contains("10.1.255.1".parse().unwrap()));
        assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(!network.contains("::1".parse().unwrap()));
        let all = Network { address: "0.0.0.0".parse().unwrap(), prefix: 0 };
        assert!(all.contains("203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn networks_of_ipv6_match_by_prefix_too() {
        let network = |prefix| Network { address: "2001:db8::".parse().unwrap(), prefix };
        assert!(network(32).contains("2001:db8:ffff::1".parse().unwrap()));
        assert!(!network(33).contains("2001:db8:ffff::1".parse().unwrap()));
        assert!(!network(32).contains("2001:db9::1".parse().unwrap()));
        assert!(network(128).contains("2001:db8::".parse().unwrap()));
        assert!(!network(128).contains("2001:db8::1".parse().unwrap()));
        assert!(network(255).contains("2001:db8::".parse().unwrap()), "more bits than there are");
        assert!(network(0).contains("::2".parse().unwrap()));
    }

    #[test]
    fn another_policy_keeps_what_was_learned_of_names_that_still_are_auto() {
        let policy = |rules: &[(&str, TokenRule)]| {
            let rules: BTreeMap<String, TokenRule> =
                rules.iter().map(|(name, rule)| ((*name).into(), *rule)).collect();
            CallTokenPolicy { users: rules.clone(), peers: rules, ..CallTokenPolicy::default() }
        };
        use TokenRule::{Auto, No, Yes};
        let mut before = policy(&[("came", Auto), ("silent", Auto), ("freed", Auto)]);
        before.came_with_token(EntryKind::User, Some("came"));
        before.came_with_token(EntryKind::User, Some("freed"));
        before.came_with_token(EntryKind::Peer, Some("silent"));
        let mut policy = policy(&[("came", Auto), ("silent", Auto), ("freed", No), ("new", Auto)]);
        policy.keep_learned(&before);
        let rules = |rules: &BTreeMap<String, TokenRule>| {
            ["came", "silent", "freed", "new"].map(|name| rules[name])
        };
        assert_eq!(rules(&policy.users), [Yes, Auto, No, Auto]);
        assert_eq!(rules(&policy.peers), [Auto, Yes, No, Auto]);
    }

    #[test]
    fn another_lifetime_holds_for_tokens_handed_out_before() {
        let (mut mint, mut rng, from) = setup();
        let token = mint.mint(&mut rng, at(0), from);
        mint.set_lifetime(Duration::from_secs(5));
        assert!(mint.check(&mut rng, at(4_999), from, &token));
        assert!(!mint.check(&mut rng, at(5_000), from, &token));
    }

    #[test]
    fn a_key_lasts_five_minutes_and_as_long_again_as_the_one_before() {
        let (mut mint, mut rng, from) = setup();
        mint.set_lifetime(Duration::from_secs(86_400));
        let token = mint.mint(&mut rng, at(0), from);
        assert!(mint.check(&mut rng, at(299_999), from, &token));
        for ms in [300_000, 300_001, 599_999] {
            assert!(mint.check(&mut rng, at(ms), from, &token), "the key before, at {ms}");
        }
        assert!(!mint.check(&mut rng, at(600_000), from, &token));
        let token = mint.mint(&mut rng, at(600_001), from);
        assert!(!mint.check(&mut rng, at(5_000_000), from, &token), "nobody came for long");
    }
}
