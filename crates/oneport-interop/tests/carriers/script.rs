//! Conversations of SIP, written one message behind the other, for sipp to hold.
//!
//! Every request that comes is remembered, so that it can be answered later than the next: forks, and
//! answers that cross a CANCEL, are told so.

use std::fmt::Write as _;

/// A description of voice that flows both ways.
pub(crate) const VOICE: &str = "[local_ip] RTP/AVP 0 101\na=sendrecv";

/// Which side of the first INVITE sipp is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Calls,
    IsCalled,
}

/// A conversation.
#[must_use]
pub(crate) struct Script {
    side: Side,
    text: String,
    /// Requests that have come.
    received: usize,
    /// Patterns that were looked for.
    checks: usize,
    /// It has been answered, so the way to the other side is known.
    established: bool,
}

/// A description of voice: where it goes, `RTP/AVP` and payloads, and attributes in lines of their own.
fn description(voice: &str) -> String {
    let (place, rest) = voice.split_once(' ').unwrap_or((voice, "RTP/AVP 0 101"));
    let (line, attributes) = rest.split_once('\n').unwrap_or((rest, ""));
    format!(
        "v=0\no=sipp 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 {place}\nt=0 0\nm=audio [media_port] {line}\n\
         a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\n{attributes}\n"
    )
}

/// Headers and body of a message, behind those that all have.
fn tail(headers: &[&str], voice: Option<&str>) -> String {
    let mut text = String::new();
    for header in headers {
        let _ = writeln!(text, "{header}");
    }
    let kind = headers.iter().any(|header| header.starts_with("Content-Type:"));
    match voice {
        Some(voice) if kind => {
            let _ = write!(text, "Content-Length: [len]\n\n{voice}");
        }
        Some(voice) => {
            let body = description(voice);
            let _ = write!(text, "Content-Type: application/sdp\nContent-Length: [len]\n\n{body}");
        }
        None => text.push_str("Content-Length: 0\n\n"),
    }
    text
}

impl Script {
    fn begin(side: Side) -> Self {
        let text =
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"script\">\n".into();
        Self { side, text, received: 0, checks: 0, established: false }
    }

    /// sipp is called: the first INVITE has come. It is request 0.
    pub(crate) fn is_called() -> Self {
        Self::begin(Side::IsCalled).receives("INVITE")
    }

    /// sipp calls, with these headers and this description.
    pub(crate) fn calls(headers: &[&str], voice: Option<&str>) -> Self {
        Self::begin(Side::Calls).sends_request(
            "INVITE",
            "sip:[service]@[remote_ip]:[remote_port]",
            1,
            headers,
            voice,
        )
    }

    /// A request comes.
    pub(crate) fn receives(self, method: &str) -> Self {
        self.receives_with(method, &[])
    }

    /// A request comes that has all of these patterns in it.
    pub(crate) fn receives_with(mut self, method: &str, patterns: &[&str]) -> Self {
        let number = self.received;
        self.received += 1;
        let way = if number == 0 { " rrs=\"true\"" } else { "" };
        let _ = writeln!(self.text, "<recv request=\"{method}\"{way}>\n<action>");
        for header in ["Via", "From", "To", "CSeq"] {
            let name = header.to_ascii_lowercase();
            let _ = writeln!(
                self.text,
                "<ereg regexp=\".*\" search_in=\"hdr\" header=\"{header}:\" assign_to=\"{name}{number}\"/>"
            );
        }
        self.look_for(patterns);
        self.text.push_str("</action>\n</recv>\n");
        self
    }

    fn look_for(&mut self, patterns: &[&str]) {
        for pattern in patterns {
            let pattern = pattern.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            let _ = writeln!(
                self.text,
                "<ereg regexp=\"{pattern}\" search_in=\"msg\" check_it=\"true\" assign_to=\"check{}\"/>",
                self.checks
            );
            self.checks += 1;
        }
    }

    /// An answer comes.
    pub(crate) fn hears(self, status: u16) -> Self {
        self.hears_with(status, &[])
    }

    /// An answer comes that has all of these patterns in it.
    pub(crate) fn hears_with(mut self, status: u16, patterns: &[&str]) -> Self {
        let learns = self.side == Side::Calls && status == 200 && !self.established;
        self.established |= learns;
        let way = if learns { " rrs=\"true\"" } else { "" };
        let _ = writeln!(self.text, "<recv response=\"{status}\"{way}>");
        if !patterns.is_empty() {
            self.text.push_str("<action>\n");
            self.look_for(patterns);
            self.text.push_str("</action>\n");
        }
        self.text.push_str("</recv>\n");
        self
    }

    /// An answer may come.
    pub(crate) fn may_hear(mut self, status: u16) -> Self {
        let _ = writeln!(self.text, "<recv response=\"{status}\" optional=\"true\"></recv>");
        self
    }

    /// Answers a request, by its number.
    pub(crate) fn answers(
        self,
        request: usize,
        status: &str,
        headers: &[&str],
        voice: Option<&str>,
    ) -> Self {
        self.answers_as("a", request, status, headers, voice)
    }

    /// Answers a request as the branch of a fork that has this tag.
    pub(crate) fn answers_as(
        mut self,
        tag: &str,
        request: usize,
        status: &str,
        headers: &[&str],
        voice: Option<&str>,
    ) -> Self {
        let tag = match (self.side, request) {
            (Side::IsCalled, 0) => format!(";tag={tag}[call_number]"),
            _ => String::new(),
        };
        let contact = match headers.iter().any(|header| header.starts_with("Contact:")) {
            true => "",
            false => "Contact: <sip:carrier@[local_ip]:[local_port];transport=[transport]>\n",
        };
        // A final answer to an INVITE is sent again until its ACK comes.
        let is_final = (self.side, request) == (Side::IsCalled, 0) && !status.starts_with('1');
        let again = if is_final { " retrans=\"500\"" } else { "" };
        let _ = write!(
            self.text,
            "<send{again}><![CDATA[\n\nSIP/2.0 {status}\nVia:[$via{request}]\nFrom:[$from{request}]\n\
             To:[$to{request}]{tag}\nCall-ID: [call_id]\nCSeq:[$cseq{request}]\n{contact}{}\n\
             ]]></send>\n",
            tail(headers, voice)
        );
        self
    }

    /// Answers 200 to the request that came last.
    pub(crate) fn agrees(self) -> Self {
        let last = self.received - 1;
        self.answers(last, "200 OK", &[], None)
    }

    /// Answers the first INVITE with 200, and gets the ACK for it.
    pub(crate) fn picks_up(self) -> Self {
        self.answers(0, "200 OK", &[], Some(VOICE)).receives("ACK")
    }

    /// Sends a request inside the dialog.
    pub(crate) fn asks(
        self,
        method: &str,
        number: u32,
        headers: &[&str],
        voice: Option<&str>,
    ) -> Self {
        let way = match self.side == Side::Calls && !self.established {
            true => "sip:[service]@[remote_ip]:[remote_port]",
            false => "[next_url]",
        };
        self.sends_request(method, way, number, headers, voice)
    }

    fn sends_request(
        mut self,
        method: &str,
        uri: &str,
        number: u32,
        headers: &[&str],
        voice: Option<&str>,
    ) -> Self {
        let (from, to) = match self.side {
            Side::Calls => (
                " \"Alice\" <sip:100@[local_ip]:[local_port]>;tag=[call_number]",
                " <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]",
            ),
            Side::IsCalled => ("[$to0];tag=a[call_number]", "[$from0]"),
        };
        let again = if method == "ACK" { "" } else { " retrans=\"500\"" };
        let _ = write!(
            self.text,
            "<send{again}><![CDATA[\n\n{method} {uri} SIP/2.0\n\
             Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
             From:{from}\nTo:{to}\nCall-ID: [call_id]\nCSeq: {number} {method}\n\
             Contact: <sip:100@[local_ip]:[local_port];transport=[transport]>\nMax-Forwards: 70\n{}\n]]></send>\n",
            tail(headers, voice)
        );
        self
    }

    /// Acknowledges an answer of 200.
    pub(crate) fn acks(self, number: u32) -> Self {
        self.asks("ACK", number, &[], None)
    }

    /// Acknowledges a refusal, which is part of what is refused.
    pub(crate) fn acks_refusal(mut self, number: u32) -> Self {
        let before = std::mem::take(&mut self.text);
        let mut script = self.asks("ACK", number, &[], None);
        let via = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]";
        script.text = before + &script.text.replace(via, "[last_Via:]");
        script
    }

    /// Gives its call up, which is agreed to.
    pub(crate) fn cancels(mut self) -> Self {
        let before = std::mem::take(&mut self.text);
        let uri = "sip:[service]@[remote_ip]:[remote_port]";
        let mut script = self.sends_request("CANCEL", uri, 1, &[], None);
        let via = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]";
        let text = script.text.replace(via, "[last_Via:]").replace("[peer_tag_param]", "");
        script.text = before + &text;
        // Either answer may be the first.
        script.may_hear(200).hears(487).acks_refusal(1)
    }

    /// One of two conversations, by what is in the INVITE.
    pub(crate) fn is_called_either(
        pattern: &str,
        with_it: impl FnOnce(Self) -> Self,
        without: impl FnOnce(Self) -> Self,
    ) -> Self {
        let mut script = Self::is_called();
        let chosen = format!(
            "<ereg regexp=\"{pattern}\" search_in=\"msg\" assign_to=\"chosen\"/>\n</action>"
        );
        script.text = script.text.replacen("</action>", &chosen, 1);
        script.text.push_str("<nop test=\"chosen\" next=\"with\"/>\n");
        let mut script = without(script);
        script.text.push_str("<nop next=\"end\"/>\n<label id=\"with\"/>\n");
        let mut script = with_it(script);
        script.text.push_str("<label id=\"end\"/>\n");
        script
    }

    /// Waits.
    pub(crate) fn waits(mut self, millis: u64) -> Self {
        let _ = writeln!(self.text, "<pause milliseconds=\"{millis}\"/>");
        self
    }

    /// We hang up, and sipp agrees.
    pub(crate) fn gets_bye(self) -> Self {
        self.receives("BYE").agrees()
    }

    /// sipp hangs up.
    pub(crate) fn hangs_up(self, number: u32) -> Self {
        self.asks("BYE", number, &[], None).hears(200)
    }

    /// The scenario, as sipp reads it.
    pub(crate) fn xml(mut self) -> String {
        // sipp takes a variable that is written alone for a mistake.
        let headers = (0..self.received)
            .flat_map(|number| ["via", "from", "to", "cseq"].map(|name| format!("{name}{number}")));
        let checks = (0..self.checks).map(|check| format!("check{check}"));
        let all: Vec<String> = headers.chain(checks).collect();
        if !all.is_empty() {
            let _ = writeln!(self.text, "<Reference variables=\"{}\"/>", all.join(","));
        }
        self.text.push_str("</scenario>\n");
        self.text
    }
}
