//! All fields of a frame by name: for programs as JSON, for people as lines.

use oneport_decode::{Sealed, Seen, UdpDatagram, Unread};
use oneport_wire::{
    Datagram, Element, FormatSet, FullFrame, IaxSubclass, Message, Str, provisioning_elements,
};
use serde_json::{Map, Value, json};

/// What stands in place of a password.
const MASKED: &str = "***";

/// How fields are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) passwords: bool,
}

/// A field: its name, its value, and what that means, where it does not say so itself.
struct Field {
    name: &'static str,
    value: Value,
    meaning: Option<String>,
}

fn field(name: &'static str, value: impl Into<Value>) -> Field {
    Field { name, value: value.into(), meaning: None }
}

fn meant(name: &'static str, value: impl Into<Value>, meaning: impl ToString) -> Field {
    Field { name, value: value.into(), meaning: Some(meaning.to_string()) }
}

fn text(text: Str<'_>) -> Value {
    text.to_string().into()
}

fn hexadecimal(bytes: &[u8]) -> Value {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.into()
}

fn formats(name: &'static str, formats: FormatSet) -> Field {
    meant(name, formats.0, formats)
}

impl Fields {
    /// The value of an element. Its name is that of RFC 5456 §8.6 in words.
    fn element(self, element: &Element<'_>) -> Field {
        match *element {
            Element::CalledNumber(said) => field("called_number", text(said)),
            Element::CallingNumber(said) => field("calling_number", text(said)),
            Element::CallingAni(said) => field("calling_ani", text(said)),
            Element::CallingName(said) => field("calling_name", text(said)),
            Element::CalledContext(said) => field("called_context", text(said)),
            Element::Username(said) => field("username", text(said)),
            Element::Password(said) if self.passwords => field("password", text(said)),
            Element::Password(_) => field("password", MASKED),
            Element::Capability(set) => formats("capability", set),
            Element::Format(set) => formats("format", set),
            Element::Language(said) => field("language", text(said)),
            Element::Version(version) => field("version", version),
            Element::AdsiCpe(bits) => field("adsi_cpe", bits),
            Element::Dnid(said) => field("dnid", text(said)),
            Element::AuthMethods(methods) => meant("auth_methods", methods.0, methods),
            Element::Challenge(said) => match std::str::from_utf8(said) {
                Ok(digits) => field("challenge", digits),
                Err(_) => field("challenge", hexadecimal(said)),
            },
            Element::Md5Result(said) => field("md5_result", text(said)),
            Element::RsaResult(said) => field("rsa_result", text(said)),
            Element::ApparentAddress(address) => field("apparent_address", address.to_string()),
            Element::Refresh(seconds) => meant("refresh", seconds, "seconds"),
            Element::DialplanStatus(status) => field("dialplan_status", status.0),
            Element::CallNumber(number) => field("call_number", number.get()),
            Element::Cause(said) => field("cause", text(said)),
            Element::IaxUnknown(subclass) => {
                meant("iax_unknown", subclass, IaxSubclass::from_subclass(subclass))
            }
            Element::MessageCount(count) => {
                let meaning = format!("{} new, {} old", count.new, count.old);
                meant("message_count", u16::from_be_bytes([count.old, count.new]), meaning)
            }
            Element::AutoAnswer => field("auto_answer", true),
            Element::MusicOnHold(class) => field("music_on_hold", text(class)),
            Element::TransferId(id) => field("transfer_id", id),
            Element::Rdnis(said) => field("rdnis", text(said)),
            Element::Provisioning(said) if self.passwords => {
                field("provisioning", hexadecimal(said))
            }
            Element::Provisioning(said) => {
                let count = provisioning_elements(said).map_or(0, Iterator::count);
                meant("provisioning", MASKED, format!("{count} settings"))
            }
            Element::AesProvisioning(said) => field("aes_provisioning", hexadecimal(said)),
            Element::DateTime(at) => meant("date_time", at.to_packed(), at),
            Element::DeviceType(said) => field("device_type", text(said)),
            Element::ServiceIdent(said) => field("service_ident", text(said)),
            Element::FirmwareVersion(version) => field("firmware_version", version),
            Element::FirmwareBlockDescription(bits) => {
                let meaning = format!("block {} of {} bytes", bits >> 8, bits & 0xFF);
                meant("firmware_block_description", bits, meaning)
            }
            Element::FirmwareBlockData(data) => field("firmware_block_data", hexadecimal(data)),
            Element::ProvisioningVersion(version) => field("provisioning_version", version),
            Element::CallingPresentation(bits) => field("calling_presentation", bits),
            Element::CallingTypeOfNumber(bits) => field("calling_type_of_number", bits),
            Element::CallingTransitNetwork(bits) => field("calling_transit_network", bits),
            Element::SamplingRate(bits) => field("sampling_rate", bits),
            Element::CauseCode(cause) => meant("cause_code", cause.0, cause.name()),
            Element::Encryption(methods) => {
                let aes = methods.contains(oneport_wire::EncryptionMethods::AES128);
                meant("encryption", methods.0, if aes { "aes128" } else { "none known" })
            }
            Element::EncryptionKey(_) if !self.passwords => field("encryption_key", MASKED),
            Element::EncryptionKey(key) => field("encryption_key", hexadecimal(key)),
            Element::CodecPreferences(letters) => {
                let said = String::from_utf8_lossy(letters.as_bytes()).into_owned();
                meant("codec_preferences", said, letters)
            }
            Element::ReceivedJitter(ms) => meant("received_jitter", ms, "ms"),
            Element::ReceivedLoss { percent, count } => {
                let meaning = format!("{count} frames, {percent} %");
                meant("received_loss", u32::from(percent) << 24 | count, meaning)
            }
            Element::ReceivedFrames(count) => field("received_frames", count),
            Element::ReceivedDelay(ms) => meant("received_delay", ms, "ms"),
            Element::ReceivedDropped(count) => field("received_dropped", count),
            Element::ReceivedOutOfOrder(count) => field("received_out_of_order", count),
            Element::Variable(said) => field("variable", text(said)),
            Element::OspToken { index, data } => {
                meant("osp_token", hexadecimal(data), format!("piece {index}"))
            }
            Element::CallToken(token) => match std::str::from_utf8(token) {
                Ok("") => meant("call_token", "", "tokens are understood"),
                Ok(token) => field("call_token", token),
                Err(_) => field("call_token", hexadecimal(token)),
            },
            Element::Capability2(set) => formats("capability2", set),
            Element::Format2(set) => formats("format2", set),
            Element::CallingAni2(bits) => field("calling_ani2", bits),
            Element::Malformed { data, .. } => meant("malformed", hexadecimal(data), "wrong size"),
            Element::Unknown { data, .. } => field("unknown", hexadecimal(data)),
            _ => field("unknown", Value::Null),
        }
    }

    /// The elements of an IAX frame, as objects.
    fn elements(self, message: &Message<'_>) -> Vec<Value> {
        let Message::Iax { elements, .. } = message else { return Vec::new() };
        let object = |element: Element<'_>| {
            let Field { name, value, meaning } = self.element(&element);
            let mut object = Map::new();
            object.insert("id".into(), element.id().into());
            object.insert("name".into(), name.into());
            object.insert("value".into(), value);
            if let Some(meaning) = meaning {
                object.insert("meaning".into(), meaning.into());
            }
            Value::Object(object)
        };
        elements.iter().map(object).collect()
    }

    /// A frame for programs.
    pub(super) fn json(self, datagram: &UdpDatagram<'_>, seen: &Seen<'_>) -> Value {
        let mut record = json!({
            "record": "frame",
            "packet": datagram.number,
            "time": seconds(datagram),
            "source": datagram.source.to_string(),
            "destination": datagram.destination.to_string(),
            "exchange": seen.exchange,
            "kind": seen.kind.map(oneport_decode::Kind::name),
            "side": seen.exchange.map(|_| seen.side),
            "encrypted": seen.sealed.name(),
        });
        let fields = match &seen.frame {
            Ok(Datagram::Full(frame)) => self.full(frame),
            Ok(Datagram::Mini(frame)) => json!({
                "frame": "mini",
                "source_call": frame.source.get(),
                "timestamp": frame.timestamp.0,
                "payload_bytes": frame.payload.len(),
            }),
            Ok(Datagram::VideoMini(frame)) => json!({
                "frame": "video",
                "source_call": frame.source.get(),
                "mark": frame.mark,
                "timestamp": frame.timestamp.0,
                "payload_bytes": frame.payload.len(),
            }),
            Ok(Datagram::Trunk(trunk)) => {
                let calls = seen.entries.iter().copied().chain(std::iter::repeat(None));
                let entries = trunk.entries().zip(calls).map(|(entry, call)| {
                    json!({
                        "source_call": entry.source.get(),
                        "timestamp": entry.timestamp.map(|stamp| stamp.0),
                        "payload_bytes": entry.payload.len(),
                        "exchange": call,
                    })
                });
                json!({
                    "frame": "trunk",
                    "timestamps": trunk.timestamps,
                    "timestamp": trunk.timestamp.0,
                    "entries": entries.collect::<Vec<Value>>(),
                })
            }
            Err(Unread::Malformed(error)) => {
                json!({ "frame": "malformed", "error": error.to_string() })
            }
            Err(Unread::Sealed) => {
                json!({ "frame": "unread", "payload_bytes": datagram.payload.len() })
            }
        };
        if let (Value::Object(record), Value::Object(fields)) = (&mut record, fields) {
            record.extend(fields);
            let faults: Vec<Value> = seen.faults.iter().map(super::report::fault_json).collect();
            record.insert("faults".into(), faults.into());
        }
        record
    }

    fn full(self, frame: &FullFrame<'_>) -> Value {
        let header = &frame.header;
        let mut record = json!({
            "frame": "full",
            "source_call": header.source.get(),
            "destination_call": header.destination.get(),
            "retransmission": header.retransmission,
            "timestamp": header.timestamp.0,
            "oseq": header.oseq.0,
            "iseq": header.iseq.0,
            "type": frame.frame_type,
            "subclass": frame.subclass,
            "payload_bytes": frame.payload.len(),
        });
        let Value::Object(fields) = &mut record else { return record };
        let mut put = |name: &str, value: Value| fields.insert(name.into(), value);
        match frame.message() {
            Ok(message) => {
                put("message", message.gist().to_string().into());
                match &message {
                    Message::Iax { subclass, .. } => {
                        put("iax", subclass.to_string().into());
                        put("elements", self.elements(&message).into());
                    }
                    Message::Voice { subclass, .. } => {
                        put("codec", subclass.format().map(|format| format.to_string()).into());
                    }
                    Message::Video { subclass, .. } => {
                        let codec = subclass.video_format().map(|format| format.to_string());
                        put("codec", codec.into());
                        put("mark", subclass.mark().into());
                    }
                    Message::Text { payload, .. } => {
                        let said = payload.strip_suffix(&[0]).unwrap_or(payload);
                        put("text", Str::new(said).to_string().into());
                        if let Some(radio) = message.radio_text() {
                            put("radio", radio.kind().into());
                            put("meaning", radio.to_string().into());
                        }
                    }
                    Message::DtmfBegin(digit) | Message::DtmfEnd(digit) => {
                        put("digit", char::from(*digit).to_string().into());
                    }
                    Message::Control { control, .. } => {
                        put("control", control.to_string().into());
                    }
                    _ => {}
                }
            }
            Err(error) => {
                put("error", error.to_string().into());
            }
        }
        record
    }

    /// A frame for people, a field a line.
    pub(super) fn lines(self, datagram: &UdpDatagram<'_>, seen: &Seen<'_>) -> String {
        let mut out = String::new();
        let mut line = |depth: usize, name: &str, value: String| {
            let indent = "  ".repeat(depth);
            let name = name.replace('_', " ");
            out.push_str(&format!("{indent}{name}: {value}\n"));
        };
        let (from, to) = (datagram.source, datagram.destination);
        line(1, "time", seconds(datagram));
        line(1, "from", format!("{from} to {to}, {} bytes", datagram.payload.len()));
        match (seen.exchange, seen.kind) {
            (Some(number), Some(kind)) => {
                let who = if seen.side == 0 { "from who began it" } else { "from the other side" };
                line(1, kind.name(), format!("#{number}, {who}"));
            }
            _ if seen.entries.is_empty() => line(1, "call", "of none that is known".into()),
            _ => {}
        }
        match seen.sealed {
            Sealed::Not => {}
            Sealed::Opened => line(1, "encrypted", "yes, and read".into()),
            Sealed::Closed => line(1, "encrypted", "yes, and no secret reads it".into()),
        }
        match &seen.frame {
            Ok(Datagram::Full(frame)) => {
                let header = &frame.header;
                line(1, "frame", "full".into());
                line(2, "source call", header.source.to_string());
                line(2, "destination call", header.destination.to_string());
                line(2, "retransmission", header.retransmission.to_string());
                line(2, "timestamp", format!("{} ms", header.timestamp));
                line(2, "oseq", header.oseq.to_string());
                line(2, "iseq", header.iseq.to_string());
                line(2, "type", frame.frame_type.to_string());
                match frame.message() {
                    Ok(message) => {
                        let what = format!("{} ({})", frame.subclass, message.gist());
                        line(2, "subclass", what);
                        if let Message::Iax { elements, .. } = &message {
                            for element in elements.iter() {
                                let Field { name, value, meaning } = self.element(&element);
                                let value = match value {
                                    Value::String(text) => super::printable(&text),
                                    other => other.to_string(),
                                };
                                let value = match meaning {
                                    Some(meaning) => {
                                        format!("{value} ({})", super::printable(&meaning))
                                    }
                                    None => value,
                                };
                                line(3, &format!("{name} [{}]", element.id()), value);
                            }
                        }
                        if let Some(radio) = message.radio_text() {
                            line(2, "meaning", radio.to_string());
                        }
                    }
                    Err(error) => line(2, "subclass", format!("{}: {error}", frame.subclass)),
                }
                if frame.frame_type != oneport_wire::frame_type::IAX {
                    line(2, "payload", format!("{} bytes", frame.payload.len()));
                }
            }
            Ok(Datagram::Mini(frame)) => {
                line(1, "frame", "mini, voice".into());
                line(2, "source call", frame.source.to_string());
                line(2, "timestamp", format!("{} ms, the low 16 bits", frame.timestamp.0));
                line(2, "payload", format!("{} bytes", frame.payload.len()));
            }
            Ok(Datagram::VideoMini(frame)) => {
                line(1, "frame", "mini, video".into());
                line(2, "source call", frame.source.to_string());
                line(2, "timestamp", format!("{} ms, the low 15 bits", frame.timestamp.0));
                line(2, "mark", frame.mark.to_string());
                line(2, "payload", format!("{} bytes", frame.payload.len()));
            }
            Ok(Datagram::Trunk(trunk)) => {
                line(1, "frame", "trunk".into());
                line(2, "timestamp", format!("{} ms", trunk.timestamp));
                line(2, "timestamps of entries", trunk.timestamps.to_string());
                let calls = seen.entries.iter().copied().chain(std::iter::repeat(None));
                for (entry, call) in trunk.entries().zip(calls) {
                    let call = call.map_or_else(|| "none known".into(), |call| format!("#{call}"));
                    let time = entry.timestamp.map(|stamp| format!(", {} ms", stamp.0));
                    let (bytes, time) = (entry.payload.len(), time.unwrap_or_default());
                    let value = format!("{}{time}, {bytes} bytes, of {call}", entry.source);
                    line(2, "source call", value);
                }
            }
            Err(unread) => line(1, "frame", unread.to_string()),
        }
        out
    }
}

/// When it passed: seconds since 1970 with nine digits behind the point, more than a number of JSON keeps.
fn seconds(datagram: &UdpDatagram<'_>) -> String {
    let nanos = datagram.time.0;
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}
