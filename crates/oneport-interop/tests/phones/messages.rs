//! How a phone is told of its messages, by the word of its `mwi`. sipp registers and subscribes; who listens at its
//! address thereafter sees what it is told.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

use oneport_interop::PATIENCE;
use oneport_interop::gateway::{gateway, loopback};

use crate::sipp::{REGISTERS, sipp_at};

const SUBSCRIBES: &str = include_str!("scenarios/subscribes.xml");
/// What a subscription that is taken brings at once.
const IS_TOLD: &str = r#"<recv response="200"></recv>
<recv request="NOTIFY"></recv>
<send><![CDATA[

SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0


]]></send>"#;
const IS_REFUSED: &str = r#"<recv response="404"></recv>"#;

/// What a phone is told.
#[derive(Debug)]
struct Told {
    call_id: String,
    /// New and old messages.
    count: String,
}

fn value<'a>(message: &'a str, header: &str) -> &'a str {
    let mut lines = message.lines();
    let found = lines.find_map(|line| line.strip_prefix(header)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {header} in {message}"))
}

/// Where a phone has registered, when sipp has left.
struct Desk(UdpSocket);

impl Desk {
    fn at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).expect("sipp has left");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self(socket)
    }

    /// The next that is told, which is acknowledged. Copies may come.
    fn told(&self) -> Told {
        let mut buffer = [0; 4_096];
        loop {
            let (len, from) = self.0.recv_from(&mut buffer).expect("told in time");
            let message = String::from_utf8_lossy(&buffer[..len]);
            if !message.starts_with("NOTIFY ") {
                continue;
            }
            let kept = ["Via", "From", "To", "Call-ID", "CSeq"];
            let kept = kept.map(|header| format!("{header}: {}\r\n", value(&message, header)));
            let answer = format!("SIP/2.0 200 OK\r\n{}Content-Length: 0\r\n\r\n", kept.concat());
            self.0.send_to(answer.as_bytes(), from).expect("sent");
            assert_eq!(value(&message, "Event"), "message-summary");
            return Told {
                call_id: value(&message, "Call-ID").into(),
                count: value(&message, "Voice-Message").into(),
            };
        }
    }

    /// All that is told until so many messages wait.
    fn told_until(&self, count: &str) -> Vec<Told> {
        let mut all = Vec::new();
        while all.last().is_none_or(|told: &Told| told.count != count) {
            all.push(self.told());
        }
        all
    }
}

fn leave_message(mailbox: &Path, number: u32) {
    fs::create_dir_all(mailbox.join("INBOX")).expect("writable");
    fs::write(mailbox.join(format!("INBOX/msg{number:04}.txt")), "").expect("writable");
}

/// `auto` tells who has not asked, and whoever asks from then on only in its subscription; `subscribed` tells nobody
/// who has not asked; `unsolicited` tells everybody and takes no subscription.
#[tokio::test(flavor = "multi_thread")]
async fn each_word_of_mwi_tells_those_whom_it_says() {
    for (word, unasked, may_ask) in
        [("auto", true, true), ("subscribed", false, true), ("unsolicited", true, false)]
    {
        let directory = tempfile::tempdir().expect("a directory");
        let mailbox = directory.path().join("100");
        leave_message(&mailbox, 0);
        let system = gateway(&format!(
            "[peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nqualify = false\n\
             mailbox = {mailbox:?}\nmwi = \"{word}\"\n"
        ));
        let at = loopback();
        let login = ("desk", "secret");
        sipp_at(at, REGISTERS, system.sip, login, "u1").finished();
        if unasked {
            let told = Desk::at(at).told();
            assert_eq!(told.count, "1/0", "{word}");
        }
        let asks = SUBSCRIBES.replace("[field2]", if may_ask { IS_TOLD } else { IS_REFUSED });
        let mut sipp = sipp_at(at, &asks, system.sip, login, "u1");
        sipp.finished();
        let exchange = sipp.messages();
        drop(sipp);
        let own = value(&exchange, "Call-ID").to_string();
        // What it was told before it had asked would be of another call.
        let told = exchange.split("message received").skip(1);
        let told: Vec<&str> = told.filter(|message| message.contains("NOTIFY sip:")).collect();
        assert_eq!(told.len(), usize::from(may_ask), "{word}: {told:?}");
        assert!(told.iter().all(|told| value(told, "Call-ID") == own), "{word}: {told:?}");
        let desk = Desk::at(at);
        for (number, count) in [(1, "2/0"), (2, "3/0")] {
            leave_message(&mailbox, number);
            let told = desk.told_until(count);
            let in_subscription = told.iter().all(|told| told.call_id == own);
            assert_eq!(in_subscription, may_ask, "{word}: {own}, {told:?}");
        }
    }
}
