//! The torture messages of RFC 4475, byte for byte, through the gateway's own socket.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use oneport_interop::PATIENCE;
use oneport_testkit::peers::own_loopback;

use crate::shared::{System, carrier, gateway, route};

/// Statuses of the answers that may come.
type Answers = std::ops::RangeInclusive<u16>;

macro_rules! message {
    ($name:literal, $answers:expr) => {
        (
            $name,
            include_bytes!(concat!("../../../../testdata/rfc4475/", $name, ".dat")).as_slice(),
            $answers,
        )
    };
}

/// Nothing is answered. So it is with what would register, for there are no phones here.
const NOTHING: Answers = 0..=0;

/// §3.1.1, in which all is right.
const VALID: [(&str, &[u8], Answers); 13] = [
    // It has a tag: it belongs to a call that is not here.
    message!("wsinv", 481..=481),
    message!("intmeth", 501..=501),
    message!("esc01", 404..=404),
    message!("escnull", NOTHING),
    message!("esc02", 501..=501),
    message!("lwsdisp", 200..=200),
    message!("longreq", 404..=404),
    // Two requests in one datagram, of which the second is none.
    message!("dblreq", NOTHING),
    message!("semiuri", 200..=200),
    message!("transports", 200..=200),
    message!("mpart01", 405..=405),
    // Answers to nothing that was asked.
    message!("unreason", NOTHING),
    message!("noreason", NOTHING),
];

/// §3.1.2, in which something is wrong, and §3.2.
const INVALID: [(&str, &[u8], Answers); 20] = [
    message!("badinv01", 400..=400),
    message!("clerr", 400..=400),
    message!("ncl", 400..=400),
    message!("scalar02", 400..=400),
    message!("scalarlg", NOTHING),
    message!("quotbal", 400..=400),
    message!("ltgtruri", 400..=400),
    message!("lwsruri", 400..=400),
    message!("lwsstart", 400..=400),
    message!("trws", 400..=400),
    message!("escruri", 400..=400),
    message!("baddn", 400..=400),
    // What is wrong in these does not matter here: a date, blanks in a URI.
    message!("baddate", 404..=404),
    message!("badaspec", 200..=200),
    message!("regbadct", NOTHING),
    message!("badvers", 505..=505),
    message!("mismatch01", 400..=400),
    message!("mismatch02", 501..=501),
    message!("bigcode", NOTHING),
    message!("badbranch", 200..=200),
];

/// §3.3, in which the syntax is right and the sense is odd.
const ODD: [(&str, &[u8], Answers); 13] = [
    message!("insuf", 400..=400),
    message!("unkscm", 416..=416),
    message!("novelsc", 416..=416),
    message!("unksm2", 400..=400),
    message!("bext01", 420..=420),
    message!("invut", 415..=415),
    message!("regaut01", NOTHING),
    message!("multi01", 400..=400),
    message!("mcl01", 400..=400),
    message!("bcast", NOTHING),
    message!("zeromf", 200..=200),
    message!("cparam01", NOTHING),
    message!("sdp01", 406..=406),
];

/// The rest of §3.3, and §3.4, which is of RFC 2543 and has no tag.
const ALIKE: [(&str, &[u8], Answers); 3] =
    [message!("cparam02", NOTHING), message!("regescrt", NOTHING), message!("inv2543", 400..=400)];

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Whoever sends them: a carrier at an address of its own, at the port where answers go.
struct Sender {
    socket: UdpSocket,
    system: System,
    asked: u32,
}

impl Sender {
    fn start() -> Self {
        let own = SocketAddr::from((own_loopback(), 5060));
        let socket = UdpSocket::bind(own).expect("free");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        let system = gateway(&(carrier("acme", own, "") + &route("\"busy\"")));
        Self { socket, system, asked: 0 }
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.system.sip).expect("sent");
    }

    /// The first final answer with this in it, and all that came before.
    fn answer(&self, name: &str) -> (u16, Vec<String>) {
        let begun = Instant::now();
        let mut others = Vec::new();
        let mut buffer = [0; 65_535];
        while begun.elapsed() < PATIENCE {
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let status = text.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok());
            match status.filter(|status| *status >= 200 && text.contains(name)) {
                Some(status) => return (status, others),
                None => others.push(text),
            }
        }
        panic!("{name} is not answered, of {} messages", others.len());
    }

    fn request(&mut self, method: &str, user: &str) -> String {
        self.asked += 1;
        let (n, sip) = (self.asked, self.system.sip);
        let us = self.socket.local_addr().expect("bound");
        let call = format!("sound-{n}-x");
        let text = format!(
            "{method} sip:{user}@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bKsound{n}\r\n\
             From: <sip:a@{us}>;tag=1\r\nTo: <sip:{user}@{sip}>\r\nCall-ID: {call}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:a@{us}>\r\nMax-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.send(text.as_bytes());
        call
    }

    /// Sends all, and sees how each is answered. Then a call is still led on.
    fn tortures(mut self, messages: &[(&str, &[u8], Answers)]) {
        for (name, bytes, answers) in messages {
            self.send(bytes);
            if *answers == NOTHING {
                // What is asked behind it is answered: then it has been looked at.
                let call = self.request("OPTIONS", "x");
                let (_, others) = self.answer(&call);
                let answered = others.iter().find(|text| text.contains(name));
                assert_eq!(answered, None, "{name} is answered");
                continue;
            }
            // What is in its Call-ID, or in its Via where it has none.
            let mark = if *name == "mpart01" { "3d9485ad0c49859b" } else { name };
            let (status, _) = self.answer(mark);
            assert!(answers.contains(&status), "{name}: {status} is not among {answers:?}");
        }
        let call = self.request("INVITE", "600");
        assert_eq!(self.answer(&call).0, 486, "a call is led on");
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "the gateway has panicked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_torture_are_answered_as_they_deserve_and_calls_go_on() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some("oneport-sip") {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(panic);
    }));
    for messages in [VALID.as_slice(), INVALID.as_slice(), ODD.as_slice(), ALIKE.as_slice()] {
        tokio::task::block_in_place(|| Sender::start().tortures(messages));
    }
}
