//! A carrier that speaks SIP as it is told to, message by message.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::installed::free;
use crate::serving::PATIENCE;

/// One side of a dialog with the switch, as the carrier that has begun it.
#[derive(Clone)]
pub(crate) struct Dialog {
    call_id: String,
    number: String,
    /// The To header, with the switch's tag when it has given one.
    to: String,
    sequence: u32,
}

/// A message that has come.
#[derive(Clone, Debug)]
pub(crate) struct Message(String);

impl Message {
    pub(crate) fn header(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        line.unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    pub(crate) fn is(&self, start: &str) -> bool {
        self.0.starts_with(start)
    }

    /// Whether it answers a request of this method.
    fn answers(&self, method: &str) -> bool {
        self.is("SIP/2.0") && self.header("CSeq").ends_with(method)
    }

    pub(crate) fn is_about(&self, dialog: &Dialog) -> bool {
        self.header("Call-ID") == dialog.call_id
    }
}

/// How messages go.
enum Line {
    Datagrams(UdpSocket),
    /// And what has come of the next message.
    Stream(TcpStream, Vec<u8>),
}

/// How long it is waited for the next message at once.
const LOOK: Duration = Duration::from_millis(50);

/// How long the message is with which this begins, if it is whole.
fn whole(come: &[u8]) -> Option<usize> {
    let head = come.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&come[..head]).into_owned();
    let body: usize = Message(text).header("Content-Length").parse().expect("a number");
    (come.len() >= head + body).then_some(head + body)
}

/// The carrier.
pub(crate) struct Wire {
    line: Line,
    switch: SocketAddr,
    address: SocketAddr,
    /// A stream has ended.
    pub(crate) is_closed: bool,
    /// All that has come.
    pub(crate) came: Vec<Message>,
    /// Headers that an INVITE has beside the usual ones.
    more: String,
}

impl Wire {
    /// A carrier of a switch that is to be at this address.
    pub(crate) fn to(switch: SocketAddr) -> Self {
        let socket = UdpSocket::bind(free()).expect("free");
        socket.set_read_timeout(Some(LOOK)).expect("set");
        let address = socket.local_addr().expect("bound");
        let line = Line::Datagrams(socket);
        Self { line, switch, address, is_closed: false, came: Vec::new(), more: String::new() }
    }

    /// The same by TCP, to a switch that is there.
    pub(crate) fn by_stream_to(switch: SocketAddr) -> Self {
        let stream = TcpStream::connect(switch).expect("it listens");
        stream.set_read_timeout(Some(LOOK)).expect("set");
        let address = stream.local_addr().expect("bound");
        let line = Line::Stream(stream, Vec::new());
        Self { line, switch, address, is_closed: false, came: Vec::new(), more: String::new() }
    }

    /// What its INVITEs say from now on beside the usual: whole headers.
    pub(crate) fn says_too(&mut self, headers: &str) {
        self.more = headers.into();
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    fn transport(&self) -> &'static str {
        if matches!(self.line, Line::Datagrams(_)) { "UDP" } else { "TCP" }
    }

    fn send(&self, text: &str) {
        match &self.line {
            Line::Datagrams(socket) => {
                let sent = socket.send_to(text.as_bytes(), self.switch).expect("sent");
                assert_eq!(sent, text.len());
            }
            Line::Stream(stream, _) => {
                let mut stream = stream;
                stream.write_all(text.as_bytes()).expect("sent");
            }
        }
    }

    /// The next message.
    fn next(&mut self) -> Option<Message> {
        let mut buffer = [0; 8_192];
        let text = match &mut self.line {
            Line::Datagrams(socket) => {
                let (length, _) = socket.recv_from(&mut buffer).ok()?;
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            }
            Line::Stream(stream, come) => match whole(come) {
                Some(length) => {
                    String::from_utf8_lossy(&come.drain(..length).collect::<Vec<_>>()).into_owned()
                }
                None => {
                    let length = stream.read(&mut buffer).ok()?;
                    self.is_closed |= length == 0;
                    come.extend(&buffer[..length]);
                    return None;
                }
            },
        };
        let message = Message(text);
        self.came.push(message.clone());
        Some(message)
    }

    /// Waits for the end of the stream.
    pub(crate) fn is_left(&mut self) {
        let begun = Instant::now();
        while !self.is_closed {
            assert!(begun.elapsed() < PATIENCE, "it stays");
            let _ = self.next();
        }
    }

    /// Waits for a message.
    pub(crate) fn hears(&mut self, what: &str, is: impl Fn(&Message) -> bool) -> Message {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(message) = self.next().filter(&is) {
                return message;
            }
        }
        panic!("no {what} in {:#?}", self.came)
    }

    /// Whether one comes within so much time.
    pub(crate) fn hears_within(&mut self, time: Duration, is: impl Fn(&Message) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if self.next().is_some_and(|message| is(&message)) {
                return true;
            }
        }
        false
    }

    fn description(&self) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
            self.address().port()
        )
    }

    fn request(&self, method: &str, dialog: &Dialog, branch: &str, body: &str) {
        let more = if method == "INVITE" { self.more.as_str() } else { "" };
        self.request_with(method, dialog, branch, more, body);
    }

    fn request_with(&self, method: &str, dialog: &Dialog, branch: &str, more: &str, body: &str) {
        let Dialog { call_id, number, to, sequence } = dialog;
        let (us, switch, transport) = (self.address(), self.switch, self.transport());
        let kind = match body {
            "" => "",
            _ if method == "INFO" => "Content-Type: application/dtmf-relay\r\n",
            _ => "Content-Type: application/sdp\r\n",
        };
        self.send(&format!(
            "{method} sip:{number}@{switch} SIP/2.0\r\nVia: SIP/2.0/{transport} {us};branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:carrier@{us}>;tag=wire\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {sequence} {method}\r\nContact: <sip:carrier@{us};transport={transport}>\r\n\
             {more}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }

    /// The branch of a request.
    fn branch(dialog: &Dialog) -> String {
        format!("z9hG4bK{}{}", dialog.call_id, dialog.sequence)
    }

    /// Sends an INVITE, which may be sent again.
    pub(crate) fn invites(&self, dialog: &Dialog) {
        self.request("INVITE", dialog, &Self::branch(dialog), &self.description());
    }

    /// A dialog that is to be.
    pub(crate) fn dialog(&self, call_id: &str, number: &str) -> Dialog {
        let to = format!("<sip:{number}@{}>", self.switch);
        Dialog { call_id: call_id.into(), number: number.into(), to, sequence: 1 }
    }

    /// Calls a number that answers.
    pub(crate) fn talks(&mut self, call_id: &str, number: &str) -> Dialog {
        let mut dialog = self.dialog(call_id, number);
        self.invites(&dialog);
        self.is_let_in(&mut dialog);
        dialog
    }

    /// Waits until a call that it has begun is answered.
    pub(crate) fn is_let_in(&mut self, dialog: &mut Dialog) {
        let answered = self.is_answered("INVITE", dialog, "200");
        dialog.to = answered.header("To").into();
        self.acknowledges(dialog);
    }

    pub(crate) fn acknowledges(&self, dialog: &Dialog) {
        self.request("ACK", dialog, &format!("{}ack", Self::branch(dialog)), "");
    }

    /// Waits for an answer.
    pub(crate) fn is_answered(&mut self, method: &str, dialog: &Dialog, status: &str) -> Message {
        let start = format!("SIP/2.0 {status}");
        self.hears(&format!("{status} to {method}"), |message| {
            message.is(&start) && message.answers(method) && message.is_about(dialog)
        })
    }

    /// Changes the session.
    pub(crate) fn changes(&mut self, dialog: &mut Dialog, attribute: &str) {
        dialog.sequence += 1;
        let body = format!("{}{attribute}\r\n", self.description());
        self.request("INVITE", dialog, &Self::branch(dialog), &body);
        self.is_answered("INVITE", dialog, "200");
        self.acknowledges(dialog);
    }

    /// Renews the session, which is answered with how long it holds.
    pub(crate) fn renews(&mut self, dialog: &mut Dialog) {
        dialog.sequence += 1;
        self.request("INVITE", dialog, &Self::branch(dialog), &self.description());
        let answer = self.is_answered("INVITE", dialog, "200");
        assert!(answer.header("Session-Expires").starts_with("90;"), "{answer:?}");
        self.acknowledges(dialog);
    }

    /// Transfers a call to another that it has (RFC 5589): the status that it is told of.
    pub(crate) fn transfers(&mut self, dialog: &mut Dialog, other: &Dialog) -> String {
        let tag = other.to.split_once(";tag=").expect("it is answered").1;
        let replaces = format!("{}%3Bto-tag%3D{tag}%3Bfrom-tag%3Dwire", other.call_id);
        self.transfers_to(dialog, &other.number, &format!("?Replaces={replaces}"))
    }

    /// Transfers a call to a number (RFC 3515): the status that it is told of. `more`: what is behind the number.
    pub(crate) fn transfers_to(&mut self, dialog: &mut Dialog, number: &str, more: &str) -> String {
        dialog.sequence += 1;
        let more = format!("Refer-To: <sip:{number}@{}{more}>\r\n", self.switch);
        self.request_with("REFER", dialog, &Self::branch(dialog), &more, "");
        self.is_answered("REFER", dialog, "202");
        let is_final = |message: &Message| {
            message.is("NOTIFY") && message.is_about(dialog) && !message.0.contains("SIP/2.0 100")
        };
        let told = self.hears("what came of it", is_final);
        self.answers(&told, "200 OK");
        let status = told.0.lines().rev().find_map(|line| line.strip_prefix("SIP/2.0 "));
        status.and_then(|status| status.get(..3)).unwrap_or_default().into()
    }

    /// Presses a key.
    pub(crate) fn presses(&mut self, dialog: &mut Dialog, key: char) {
        dialog.sequence += 1;
        let body = format!("Signal={key}\r\nDuration=100\r\n");
        self.request("INFO", dialog, &Self::branch(dialog), &body);
        self.is_answered("INFO", dialog, "200");
    }

    /// Hangs up.
    pub(crate) fn hangs_up(&mut self, mut dialog: Dialog) {
        dialog.sequence += 1;
        self.request("BYE", &dialog, &Self::branch(&dialog), "");
        self.is_answered("BYE", &dialog, "200");
    }

    /// Waits until the switch hangs up.
    pub(crate) fn is_hung_up_on(&mut self, dialog: &Dialog) {
        let bye = self.hears("BYE", |message| message.is("BYE") && message.is_about(dialog));
        self.answers(&bye, "200 OK");
    }

    /// Gives an INVITE up that is not answered.
    pub(crate) fn gives_up(&mut self, dialog: &Dialog) {
        self.request("CANCEL", dialog, &Self::branch(dialog), "");
        self.is_answered("CANCEL", dialog, "200");
        let mut refused = dialog.clone();
        refused.to = self.is_answered("INVITE", dialog, "487").header("To").into();
        self.request("ACK", &refused, &Self::branch(dialog), "");
    }

    /// Waits for an INVITE of the switch.
    pub(crate) fn is_called(&mut self) -> Message {
        self.hears("INVITE", |message| message.is("INVITE"))
    }

    /// Answers a request of the switch.
    pub(crate) fn answers(&self, request: &Message, status: &str) {
        let (us, is_final) = (self.address(), status.starts_with("200"));
        let body = match is_final && request.is("INVITE") {
            true => self.description(),
            false => String::new(),
        };
        let to = request.header("To");
        let tag = if to.contains(";tag=") { "" } else { ";tag=called" };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        self.send(&format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:called@{us}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            request.header("Via"),
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            body.len()
        ));
    }
}
