//! A WebSocket (RFC 6455) to the API of a switch: what it sends, and no more than must be said to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use oneport_switch::api::Refused;
use sha1::{Digest, Sha1};

use crate::exit::{Code, Failure, failed};

/// What is put behind a key before it is hashed (§1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How long the switch may be silent: it sends audio 50 times a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest message, and the longest answer that is no WebSocket.
const LONGEST: u64 = 1 << 20;

/// A message from the switch.
pub(crate) enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// There are no more. Why, where it is not the usual end (§7.4.1).
    Close(Option<String>),
}

/// A connection.
pub(crate) struct WebSocket {
    stream: BufReader<TcpStream>,
}

fn broken(error: impl std::fmt::Display) -> Failure {
    failed(format!("the connection to the switch is broken: {error}"))
}

/// Four random bytes, twelve more for a key.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl WebSocket {
    /// Asks for one at `path` of `host`, a name or address with its port.
    pub(crate) fn open(host: &str, path: &str, token: Option<&str>) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(host).map_err(|error| {
            Failure::new(Code::Unreachable, format!("{host} does not answer: {error}")).hint(
                "see whether `oneport serve` runs, and whether --api is where its API listens",
            )
        })?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
        let key = Base64::encode_string(&random::<16>()?);
        let authorization = match token {
            Some(token) => format!("Authorization: Bearer {token}\r\n"),
            None => String::new(),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{authorization}\r\n"
        );
        stream.write_all(request.as_bytes()).map_err(broken)?;
        let mut stream = BufReader::new(stream);
        let (status, accept, length) = head(&mut stream)?;
        if status != 101 {
            return Err(refused(&mut stream, status, length));
        }
        let hash: [u8; 20] = Sha1::digest(format!("{key}{GUID}")).into();
        let expected = Base64::encode_string(&hash);
        if accept.as_deref() != Some(expected.as_str()) {
            return Err(failed(format!("{host} speaks no WebSocket")));
        }
        Ok(Self { stream })
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Result<Message, Failure> {
        let mut message = Vec::new();
        let mut is_text = false;
        loop {
            let (last, opcode, payload) = self.frame()?;
            match opcode {
                0x8 => {
                    // It is on its way out anyhow.
                    let _ = self.send(0x8, &payload);
                    return Ok(Message::Close(why(&payload)));
                }
                0x9 => self.send(0xA, &payload)?,
                0xA => {}
                0x0..=0x2 => {
                    if opcode != 0 {
                        is_text = opcode == 1;
                        message.clear();
                    }
                    message.extend_from_slice(&payload);
                    if message.len() as u64 > LONGEST {
                        return Err(broken("a message without end"));
                    }
                    if last {
                        return match is_text {
                            true => String::from_utf8(message).map(Message::Text).map_err(broken),
                            false => Ok(Message::Binary(message)),
                        };
                    }
                }
                _ => return Err(broken(format!("opcode {opcode}"))),
            }
        }
    }

    /// A frame (§5.2): whether it is the last of its message, its opcode and payload.
    fn frame(&mut self) -> Result<(bool, u8, Vec<u8>), Failure> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).map_err(broken)?;
        let length = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.stream.read_exact(&mut long).map_err(broken)?;
                u16::from_be_bytes(long).into()
            }
            127 => {
                let mut long = [0; 8];
                self.stream.read_exact(&mut long).map_err(broken)?;
                u64::from_be_bytes(long)
            }
            short if short & 0x80 == 0 => short.into(),
            _ => return Err(broken("a server masks nothing")),
        };
        if length > LONGEST {
            return Err(broken(format!("a frame of {length} bytes")));
        }
        let mut payload = Vec::new();
        let read = (&mut self.stream).take(length).read_to_end(&mut payload).map_err(broken)?;
        if read as u64 != length {
            return Err(broken("it ends within a frame"));
        }
        Ok((head[0] & 0x80 != 0, head[0] & 0x0F, payload))
    }

    /// Sends a control frame, masked as a client's must be (§5.3).
    fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Failure> {
        let payload = &payload[..payload.len().min(125)];
        let mask = random::<4>()?;
        #[expect(clippy::cast_possible_truncation, reason = "125 at most")]
        let mut frame = vec![0x80 | opcode, 0x80 | payload.len() as u8];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.stream.get_mut().write_all(&frame).map_err(broken)
    }
}

/// What a close frame says (§5.5.1), if it is not that all went well.
fn why(payload: &[u8]) -> Option<String> {
    let (code, reason) = payload.split_first_chunk::<2>()?;
    let code = u16::from_be_bytes(*code);
    let reason = String::from_utf8_lossy(reason);
    match (code, &*reason) {
        (1000, _) => None,
        (code, "") => Some(format!("code {code}")),
        (_, reason) => Some(reason.chars().filter(|char| !char.is_control()).collect()),
    }
}

/// Status, `Sec-WebSocket-Accept` and `Content-Length` of an answer.
fn head(stream: &mut impl BufRead) -> Result<(u16, Option<String>, u64), Failure> {
    let mut lines = stream.take(64 * 1024).lines();
    let first = lines.next().transpose().map_err(broken)?.unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else { return Err(broken("the answer is no HTTP")) };
    let (mut accept, mut length) = (None, 0);
    for line in lines {
        let line = line.map_err(broken)?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "sec-websocket-accept" => accept = Some(value.trim().to_string()),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    Ok((status, accept, length))
}

/// Why there is no WebSocket.
fn refused(stream: &mut impl Read, status: u16, length: u64) -> Failure {
    let code = match status {
        401 | 403 => Code::Unauthorised,
        422 => Code::Usage,
        _ => Code::Failed,
    };
    let mut body = Vec::new();
    let _ = stream.take(length.min(LONGEST)).read_to_end(&mut body);
    match serde_json::from_slice::<Refused>(&body) {
        Ok(Refused { error, hint: Some(hint) }) => Failure::new(code, error).hint(hint),
        Ok(Refused { error, hint: None }) => Failure::new(code, error),
        Err(_) => Failure::new(code, format!("the switch answers {status}")),
    }
}
