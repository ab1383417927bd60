//! OpenSSL as the other end of a handshake (DTLS-SRTP): both get the same keys.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oneport_interop::PATIENCE;
use oneport_switch::sip::dtls::{Association, Identity, Secured, Step};
use oneport_switch::sip::sdp::{CryptoSuite, Fingerprint, Handshake, MasterKey};
use oneport_testkit::peers::certificates::{Authority, Certificate};
use oneport_testkit::peers::free_port;

/// Each profile by its name there, and the bytes of its key and its salt.
const PROFILES: [(CryptoSuite, &str, usize, usize); 3] = [
    (CryptoSuite::AesCm128HmacSha1_80, "SRTP_AES128_CM_SHA1_80", 16, 14),
    (CryptoSuite::AeadAes128Gcm, "SRTP_AEAD_AES_128_GCM", 16, 12),
    (CryptoSuite::AeadAes256Gcm, "SRTP_AEAD_AES_256_GCM", 32, 12),
];

/// openssl, which says what it exports of a handshake. Dropping it kills it.
struct Openssl {
    process: Child,
    output: std::path::PathBuf,
}

impl Openssl {
    fn start(
        directory: &Path,
        words: &[&str],
        own: &Certificate,
        profile: &str,
        bytes: usize,
    ) -> Self {
        let output = directory.join("output");
        let file = std::fs::File::create(&output).expect("writable");
        let process = Command::new("openssl")
            .args(words)
            .args(["-dtls1_2", "-use_srtp", profile, "-keymatexport", "EXTRACTOR-dtls_srtp"])
            .args(["-keymatexportlen", &bytes.to_string()])
            .arg("-cert")
            .arg(&own.certificate)
            .arg("-key")
            .arg(&own.key)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().expect("one more handle"))
            .stderr(file)
            .spawn()
            .expect("openssl starts");
        Self { process, output }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// What it has exported, as soon as it says so.
    fn exported(&self) -> Vec<u8> {
        let begun = Instant::now();
        loop {
            let log = self.log();
            let said = log.lines().find_map(|line| line.trim().strip_prefix("Keying material: "));
            if let Some(said) = said {
                let pairs = said.trim().as_bytes().chunks_exact(2);
                let byte =
                    |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                return pairs.map(|pair| byte(pair).expect("two digits")).collect();
            }
            assert!(begun.elapsed() < PATIENCE, "{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The bytes (DER) of a certificate.
fn der(certificate: &Certificate) -> Vec<u8> {
    let made = Command::new("openssl")
        .args(["x509", "-outform", "DER", "-in"])
        .arg(&certificate.certificate)
        .output();
    made.expect("it runs").stdout
}

/// Goes on until there are keys. Who is called is known when it calls.
fn shake(mut association: Association, socket: &UdpSocket, openssl: &Openssl) -> Secured {
    let begun = Instant::now();
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time");
    let mut secured = None;
    let mut buffer = [0; 4_096];
    loop {
        loop {
            match association.step() {
                Step::Send(datagram) => drop(socket.send(datagram)),
                Step::Secured(keys) => secured = Some(*keys),
                Step::Over(why) => panic!("{why}; {}", openssl.log()),
                Step::Wait(_) => break,
            }
        }
        if let Some(secured) = secured {
            return secured;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", openssl.log());
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.connect(from).expect("an address");
            association.receive(Instant::now(), &buffer[..length]);
        }
        association.handle_timeout(Instant::now());
    }
}

#[test]
fn openssl_gets_the_same_keys_of_each_profile_whoever_begins() {
    let authority = Authority::new();
    let theirs = authority.certificate("theirs", "DNS:theirs");
    let identity = Identity::draw().expect("randomness");
    let print = Fingerprint::of(&der(&theirs));
    for (suite, profile, key, salt) in PROFILES {
        for begins in [true, false] {
            let directory = tempfile::tempdir().expect("a directory");
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            let bytes = 2 * (key + salt);
            let port = free_port().to_string();
            let own = socket.local_addr().expect("bound").to_string();
            let words = match begins {
                true => vec!["s_server", "-accept", &port, "-verify", "1", "-4"],
                false => vec!["s_client", "-connect", &own],
            };
            let openssl = Openssl::start(directory.path(), &words, &theirs, profile, bytes);
            if begins {
                let begun = Instant::now();
                while !openssl.log().contains("ACCEPT") {
                    assert!(begun.elapsed() < PATIENCE, "{}", openssl.log());
                    std::thread::sleep(Duration::from_millis(20));
                }
                socket.connect(format!("127.0.0.1:{port}")).expect("an address");
            }
            let handshake = Handshake { begins, theirs: vec![print], id: None };
            let association = Association::new(&identity, &handshake, Instant::now());
            let secured = shake(association, &socket, &openssl);
            let exported = openssl.exported();
            let (keys, salts) = exported.split_at(2 * key);
            let first = MasterKey::new(&keys[..key], &salts[..salt]);
            let other = MasterKey::new(&keys[key..], &salts[salt..]);
            let (ours, theirs) = if begins { (first, other) } else { (other, first) };
            assert_eq!(secured, Secured { suite, ours, theirs }, "{profile}, {begins}");
        }
    }
}
