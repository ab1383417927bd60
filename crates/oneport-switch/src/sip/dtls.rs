//! Handshakes beside the media that bring the keys of SRTP (RFC 5763, RFC 5764): DTLS 1.2.
//!
//! A certificate proves nothing by itself: it has to be the one of the description. No socket, and no clock:
//! the moment is handed in. It knows no streams.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Output, SrtpProfile};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use thiserror::Error;

use super::sdp::{CryptoSuite, Fingerprint, Handshake, MasterKey};

/// The longest that a handshake may take: most callers have hung up before.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// When a flight that is not answered is sent again; twice as long after each time.
const FIRST_REPETITION: Duration = Duration::from_millis(500);

/// So often it is.
const REPETITIONS: usize = 6;

/// The largest datagram of ours: it passes any network.
const LARGEST: usize = 1_200;

/// Whether a datagram that comes to a port of media is one of a handshake (RFC 7983 §7).
#[must_use]
pub fn is_handshake(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

/// Whether it is one by which somebody begins a handshake: a ClientHello that nothing protects.
pub(super) fn begins_handshake(datagram: &[u8]) -> bool {
    // Behind the type: version, epoch, number and length.
    matches!(datagram, [22, _, _, 0, 0, _, _, _, _, _, _, _, _, 1, ..])
}

/// There is no certificate of our own.
///
/// ```
/// use oneport_switch::sip::dtls::{Identity, NoIdentity};
///
/// fn print() -> Result<String, NoIdentity> {
///     Ok(Identity::draw()?.fingerprint().to_string())
/// }
///
/// assert!(print()?.starts_with("sha-256 "));
/// # Ok::<(), NoIdentity>(())
/// ```
#[derive(Debug, Error)]
#[error("no certificate for handshakes can be made: {0}")]
pub struct NoIdentity(String);

/// Who we are in handshakes: a certificate of our own making, with a key on P-256.
///
/// ```
/// use oneport_switch::sip::dtls::Identity;
///
/// let (one, other) = (Identity::draw()?, Identity::draw()?);
/// assert_ne!(one.fingerprint(), other.fingerprint());
/// # Ok::<(), oneport_switch::sip::dtls::NoIdentity>(())
/// ```
#[derive(Debug)]
pub struct Identity {
    certificate: DtlsCertificate,
    fingerprint: Fingerprint,
    config: Arc<Config>,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn draw() -> Result<Self, NoIdentity> {
        let wrong = |error: rcgen::Error| NoIdentity(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "oneport");
        let certificate = parameters.self_signed(&key).map_err(wrong)?.der().to_vec();
        let fingerprint = Fingerprint::of(&certificate);
        let certificate = DtlsCertificate { certificate, private_key: key.serialize_der() };
        let config = Config::builder()
            .mtu(LARGEST)
            .flight_start_rto(FIRST_REPETITION)
            .flight_retries(REPETITIONS)
            .handshake_timeout(PATIENCE)
            .dtls13_cipher_suites(&[])
            .build()
            .map_err(|error| NoIdentity(error.to_string()))?;
        Ok(Self { certificate, fingerprint, config: Arc::new(config) })
    }

    /// What descriptions say of it.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// The keys that a handshake has brought.
///
/// ```
/// use oneport_switch::sip::dtls::Secured;
/// use oneport_switch::sip::srtp::SrtpContext;
///
/// /// Who encrypts what is sent, and who reads what comes.
/// fn contexts(secured: &Secured) -> (SrtpContext, SrtpContext) {
///     let Secured { suite, ours, theirs } = secured;
///     (SrtpContext::new(*suite, ours), SrtpContext::new(*suite, theirs))
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secured {
    /// How both encrypt.
    pub suite: CryptoSuite,
    /// The key of what we send.
    pub ours: MasterKey,
    /// The key of what comes.
    pub theirs: MasterKey,
}

/// Why a handshake has brought none.
///
/// ```
/// use oneport_switch::sip::dtls::Insecure;
///
/// let sentence = Insecure::NotInTime.to_string();
/// assert!(sentence.ends_with("the handshake (DTLS) was not completed in time"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum Insecure {
    /// Whoever it was is not who the description says.
    #[error(
        "voice cannot be encrypted: its certificate is not that of its description, but has {0}"
    )]
    WrongCertificate(Fingerprint),
    /// It was not completed.
    #[error("voice cannot be encrypted: the handshake (DTLS) was not completed in time")]
    NotInTime,
    /// They speak it in no way that we do, or break it off: most likely the certificate is not ECDSA.
    #[error("voice cannot be encrypted: the handshake (DTLS) has failed")]
    Failed,
    /// There is no method of SRTP in common.
    #[error("voice cannot be encrypted: the handshake (DTLS) has chosen no SRTP")]
    NoSrtp,
}

impl From<dimpl::Error> for Insecure {
    fn from(error: dimpl::Error) -> Self {
        tracing::debug!("DTLS: {error}");
        match error {
            dimpl::Error::Timeout(_) => Self::NotInTime,
            _ => Self::Failed,
        }
    }
}

/// What a handshake wants now.
///
/// ```
/// use std::net::UdpSocket;
///
/// use oneport_switch::sip::dtls::{Association, Step};
///
/// /// Does what is to be done now; whether the handshake is over, and how.
/// fn turn(association: &mut Association, socket: &UdpSocket) -> std::io::Result<Option<bool>> {
///     loop {
///         match association.step() {
///             Step::Send(datagram) => drop(socket.send(datagram)?),
///             Step::Secured(_) => return Ok(Some(true)),
///             Step::Over(why) => {
///                 println!("{why}");
///                 return Ok(Some(false));
///             }
///             Step::Wait(_) => return Ok(None),
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub enum Step<'a> {
    /// This is to be sent.
    Send(&'a [u8]),
    /// It has brought the keys. It goes on: what is lost of its end is repeated.
    Secured(Box<Secured>),
    /// It is over.
    Over(Insecure),
    /// It waits for datagrams, or for this moment.
    Wait(Instant),
}

/// One handshake.
///
/// ```
/// use std::time::Instant;
///
/// use oneport_switch::sip::dtls::{Association, Identity, Secured, Step, is_handshake};
/// use oneport_switch::sip::sdp::{Fingerprint, Handshake};
///
/// /// Hands on what one has to say to the other; its keys, once it has some.
/// fn turn(now: Instant, one: &mut Association, other: &mut Association) -> Option<Box<Secured>> {
///     loop {
///         match one.step() {
///             Step::Send(datagram) => {
///                 assert!(is_handshake(datagram));
///                 other.receive(now, datagram);
///             }
///             Step::Secured(secured) => return Some(secured),
///             Step::Wait(_) => return None,
///             Step::Over(why) => panic!("{why}"),
///         }
///     }
/// }
///
/// let (now, caller, called) = (Instant::now(), Identity::draw()?, Identity::draw()?);
/// let expects = |begins, print: Fingerprint| Handshake { begins, theirs: vec![print], id: None };
/// let mut one = Association::new(&caller, &expects(true, called.fingerprint()), now);
/// let mut other = Association::new(&called, &expects(false, caller.fingerprint()), now);
/// let (mut ours, mut theirs) = (None, None);
/// while ours.is_none() || theirs.is_none() {
///     ours = ours.or(turn(now, &mut one, &mut other));
///     theirs = theirs.or(turn(now, &mut other, &mut one));
/// }
/// assert_eq!(ours.map(|keys| keys.ours), theirs.map(|keys| keys.theirs));
/// # Ok::<(), oneport_switch::sip::dtls::NoIdentity>(())
/// ```
pub struct Association {
    dtls: Dtls,
    begins: bool,
    theirs: Vec<Fingerprint>,
    /// Their certificate is the right one.
    proved: bool,
    /// Both have said that it is complete.
    complete: bool,
    /// It has brought keys.
    keyed: bool,
    over: Option<Insecure>,
    buffer: Box<[u8; 2_048]>,
}

impl Association {
    /// One that is begun at `now`, by us or by them.
    #[must_use]
    pub fn new(identity: &Identity, handshake: &Handshake, now: Instant) -> Self {
        let (config, certificate) = (identity.config.clone(), identity.certificate.clone());
        let mut dtls = Dtls::new_12(config, certificate, now);
        dtls.set_active(handshake.begins);
        let mut association = Self {
            dtls,
            begins: handshake.begins,
            theirs: handshake.theirs.clone(),
            proved: false,
            complete: false,
            keyed: false,
            over: None,
            buffer: Box::new([0; 2_048]),
        };
        association.handle_timeout(now);
        association
    }

    /// Takes a datagram. Behind it, it wants to be asked for its [`step`](Self::step)s.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) {
        self.handle_timeout(now);
        if self.over.is_none() {
            self.over = self.dtls.handle_packet(datagram).err().map(Insecure::from);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.over.is_none() {
            self.over = self.dtls.handle_timeout(now).err().map(Insecure::from);
        }
    }

    /// What it wants next, until it waits.
    pub fn step(&mut self) -> Step<'_> {
        loop {
            if let Some(why) = self.over {
                return Step::Over(why);
            }
            match self.dtls.poll_output(&mut self.buffer[..]) {
                Output::Packet(datagram) => {
                    let length = datagram.len();
                    return Step::Send(&self.buffer[..length]);
                }
                Output::Timeout(_) if self.complete && !self.keyed => {
                    self.over = Some(Insecure::NoSrtp);
                }
                Output::Timeout(at) => return Step::Wait(at),
                Output::PeerCert(certificate) => {
                    self.proved = self.theirs.iter().any(|theirs| theirs.is_of(certificate));
                    if !self.proved {
                        let came = Fingerprint::of(certificate);
                        self.over = Some(Insecure::WrongCertificate(came));
                    }
                }
                Output::Connected => self.complete = true,
                Output::KeyingMaterial(material, profile) if self.proved => {
                    match split(&material, profile, self.begins) {
                        Some(secured) => {
                            self.keyed = true;
                            return Step::Secured(Box::new(secured));
                        }
                        None => self.over = Some(Insecure::NoSrtp),
                    }
                }
                Output::BufferTooSmall { .. } => self.over = Some(Insecure::Failed),
                // There is no data to be closed, and the signalling tells when the call ends.
                _ => {}
            }
        }
    }
}

/// The keys of both, in the order of RFC 5764 §4.2: of the one that begins, of the other, and the salts so.
fn split(material: &[u8], profile: SrtpProfile, begins: bool) -> Option<Secured> {
    let (suite, key, salt) = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => (CryptoSuite::AesCm128HmacSha1_80, 16, 14),
        SrtpProfile::AEAD_AES_128_GCM => (CryptoSuite::AeadAes128Gcm, 16, 12),
        SrtpProfile::AEAD_AES_256_GCM => (CryptoSuite::AeadAes256Gcm, 32, 12),
        _ => return None,
    };
    let (first_key, rest) = material.split_at_checked(key)?;
    let (other_key, rest) = rest.split_at_checked(key)?;
    let (first_salt, rest) = rest.split_at_checked(salt)?;
    let (other_salt, _) = rest.split_at_checked(salt)?;
    let first = MasterKey::new(first_key, first_salt);
    let other = MasterKey::new(other_key, other_salt);
    let (ours, theirs) = if begins { (first, other) } else { (other, first) };
    Some(Secured { suite, ours, theirs })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ends, and what became of each.
    struct Pair {
        ends: [Association; 2],
        secured: [Option<Secured>; 2],
        over: [Option<Insecure>; 2],
        now: Instant,
        /// How many datagrams have left.
        sent: usize,
    }

    impl Pair {
        /// The first begins; `told`: whose certificate each was told the other has.
        fn new(identities: [&Identity; 2], told: [Fingerprint; 2]) -> Self {
            let now = Instant::now();
            let end = |place: usize| {
                let theirs = vec![told[place]];
                let handshake = Handshake { begins: place == 0, theirs, id: None };
                Association::new(identities[place], &handshake, now)
            };
            let ends = [end(0), end(1)];
            Self { ends, secured: [None, None], over: [None, None], now, sent: 0 }
        }

        /// Goes on until both wait for longer than a handshake takes; `arrives`: which datagrams do.
        fn run(&mut self, mut arrives: impl FnMut(usize) -> bool) {
            for _ in 0..1_000 {
                let mut due = Vec::new();
                for place in 0..2 {
                    loop {
                        let datagram = match self.ends[place].step() {
                            Step::Send(datagram) => datagram.to_vec(),
                            Step::Secured(secured) => {
                                self.secured[place] = Some(*secured);
                                continue;
                            }
                            Step::Over(why) => {
                                self.over[place] = Some(why);
                                break;
                            }
                            Step::Wait(at) => {
                                due.push(at);
                                break;
                            }
                        };
                        assert!(is_handshake(&datagram) && datagram.len() <= LARGEST);
                        self.sent += 1;
                        if arrives(self.sent) {
                            self.ends[1 - place].receive(self.now, &datagram);
                            due.push(self.now);
                        }
                    }
                }
                let Some(next) = due.into_iter().min() else { return };
                if next > self.now + 2 * PATIENCE {
                    return;
                }
                self.now = self.now.max(next);
                self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
            }
            panic!("it never ends");
        }
    }

    fn identities() -> [Identity; 2] {
        [Identity::draw().expect("randomness"), Identity::draw().expect("randomness")]
    }

    fn check_keys(pair: &Pair) {
        let [Some(one), Some(other)] = &pair.secured else { panic!("{:?}", pair.over) };
        assert_eq!((&one.ours, &one.theirs), (&other.theirs, &other.ours));
        assert_eq!(one.suite, other.suite);
        assert_ne!(one.ours, one.theirs);
    }

    #[test]
    fn both_ends_get_the_keys_of_each_other() {
        let [one, other] = identities();
        let told = [other.fingerprint(), one.fingerprint()];
        let mut pair = Pair::new([&one, &other], told);
        pair.run(|_| true);
        check_keys(&pair);
        assert_eq!(
            pair.secured[0].as_ref().map(|keys| keys.suite),
            Some(CryptoSuite::AeadAes256Gcm)
        );
    }

    #[test]
    fn what_is_lost_is_sent_again_whichever_datagram_it_is() {
        let [one, other] = identities();
        let told = [other.fingerprint(), one.fingerprint()];
        for lost in 1..=7 {
            let mut pair = Pair::new([&one, &other], told);
            let begun = pair.now;
            pair.run(|sent| sent != lost);
            check_keys(&pair);
            assert!(pair.now - begun < PATIENCE, "{lost}");
        }
    }

    #[test]
    fn a_certificate_that_is_not_the_described_one_brings_no_keys_on_either_side() {
        let [one, other] = identities();
        let stranger = Identity::draw().expect("randomness").fingerprint();
        for (told, deceived, came) in [
            ([stranger, one.fingerprint()], 0, other.fingerprint()),
            ([other.fingerprint(), stranger], 1, one.fingerprint()),
        ] {
            let mut pair = Pair::new([&one, &other], told);
            pair.run(|_| true);
            assert_eq!(pair.over[deceived], Some(Insecure::WrongCertificate(came)));
            assert_eq!(pair.secured[deceived], None);
        }
    }

    #[test]
    fn a_handshake_that_nobody_answers_is_over_in_time() {
        let [one, other] = identities();
        let told = [other.fingerprint(), one.fingerprint()];
        let mut pair = Pair::new([&one, &other], told);
        let begun = pair.now;
        pair.run(|_| false);
        assert_eq!(pair.over, [Some(Insecure::NotInTime), None], "who waits only waits");
        assert!(pair.now - begun <= PATIENCE);
        assert!((REPETITIONS..=REPETITIONS + 1).contains(&pair.sent), "{}", pair.sent);
    }

    #[test]
    fn datagrams_are_told_apart_by_their_first_byte() {
        for (first, is) in
            [(19, false), (20, true), (22, true), (63, true), (64, false), (128, false)]
        {
            assert_eq!(is_handshake(&[first]), is, "{first}");
        }
        assert!(!is_handshake(&[]));
        let [one, other] = identities();
        let mut pair = Pair::new([&one, &other], [other.fingerprint(), one.fingerprint()]);
        let Step::Send(hello) = pair.ends[0].step() else { panic!("it begins") };
        assert!(begins_handshake(hello));
        assert!(!begins_handshake(&hello[..13]) && !begins_handshake(&[20; 60]));
    }

    #[test]
    fn each_profile_has_keys_of_its_length() {
        let material: Vec<u8> = (0..88).collect();
        let secured = split(&material, SrtpProfile::AEAD_AES_256_GCM, true).expect("known");
        let expected = MasterKey::new(&material[..32], &material[64..76]);
        assert_eq!((&secured.ours, secured.suite), (&expected, CryptoSuite::AeadAes256Gcm));
        let other = split(&material, SrtpProfile::AEAD_AES_256_GCM, false).expect("known");
        assert_eq!((secured.ours, secured.theirs), (other.theirs, other.ours));
        for (profile, length) in
            [(SrtpProfile::AES128_CM_SHA1_80, 60), (SrtpProfile::AEAD_AES_128_GCM, 56)]
        {
            assert!(split(&material[..length], profile, true).is_some());
            assert_eq!(split(&material[..length - 1], profile, true), None);
        }
    }
}
