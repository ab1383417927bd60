//! What is not shown to whoever looks at signalling: proofs of identity, from which secrets can be guessed, keys
//! of encrypted media, and call tokens. Asterisks stand in their place, as many, so that all lengths stay right.

/// What comes before the elements of a full frame.
const HEADER: usize = 12;

/// The frame type IAX, and those of its subclasses that have anything of that: NEW, AUTHREP, REGREQ, REGREL,
/// RTKEY, CALLTOKEN. Frames of an encrypted call have none of it in the clear.
const IAX: u8 = 6;
const RTKEY: u8 = 39;
const WITH_SECRETS: [u8; 6] = [1, 9, 13, 17, RTKEY, 40];

/// Elements: PASSWORD, MD5 RESULT, RSA RESULT, CALLTOKEN.
const SECRET: [u8; 4] = [7, 16, 17, 54];

/// The element in which RTKEY has the next key of a call.
const CHALLENGE: u8 = 15;

/// A full frame without secrets.
pub(crate) fn frame(datagram: &[u8]) -> Box<[u8]> {
    let mut shown: Box<[u8]> = datagram.into();
    let Some((header, mut elements)) = shown.split_at_mut_checked(HEADER) else { return shown };
    if header[10] != IAX || !WITH_SECRETS.contains(&header[11]) {
        return shown;
    }
    while let [kind, len, rest @ ..] = elements {
        let (content, more) = rest.split_at_mut(usize::from(*len).min(rest.len()));
        if SECRET.contains(kind) || (header[11], *kind) == (RTKEY, CHALLENGE) {
            content.fill(b'*');
        }
        elements = more;
    }
    shown
}

/// A message of SIP without secrets: the responses of digests, and keys in descriptions (RFC 4568).
pub(super) fn sip(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let name = line.split(':').next().unwrap_or_default().trim();
        let is_proof = ["Authorization", "Proxy-Authorization"]
            .iter()
            .any(|header| name.eq_ignore_ascii_case(header));
        if is_proof {
            hide(&mut shown, line, "response=\"", |c| c == '"');
        } else if line.starts_with("a=crypto:") {
            hide(&mut shown, line, "inline:", |c| c == '|' || c.is_whitespace());
        } else {
            shown.push_str(line);
        }
    }
    shown
}

/// Adds a line with asterisks from each `before` up to what ends the secret.
fn hide(shown: &mut String, line: &str, before: &str, ends: impl Fn(char) -> bool) {
    let mut rest = line;
    while let Some((clear, secret)) = rest.split_once(before) {
        let end = secret.find(&ends).unwrap_or(secret.len());
        shown.push_str(clear);
        shown.push_str(before);
        shown.extend(std::iter::repeat_n('*', end));
        rest = &secret[end..];
    }
    shown.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_passwords_and_call_tokens_of_frames_are_hidden_and_nothing_else() {
        let full = |kind: u8, subclass: u8, elements: &[u8]| {
            [&[0x80, 9, 0, 5, 0, 0, 0, 0, 0, 0, kind, subclass][..], elements].concat()
        };
        let proof = full(6, 9, b"\x06\x03ann\x10\x04abcd\x07\x02pw\x11\x02xy");
        let shown = frame(&proof);
        assert_eq!(shown[12..], b"\x06\x03ann\x10\x04****\x07\x02**\x11\x02**"[..]);
        let new = full(6, 1, b"\x36\x03tok\x01\x03600");
        assert_eq!(frame(&new)[12..], b"\x36\x03***\x01\x03600"[..]);
        let key = full(6, 39, b"\x0f\x04\x01\x02\x03\x04");
        assert_eq!(frame(&key)[12..], b"\x0f\x04****"[..]);
        let challenge = full(6, 8, b"\x0f\x041234");
        assert_eq!(*frame(&challenge), challenge[..]);
        for other in [full(6, 5, b"\x07\x02ab"), full(5, 9, b"\x07\x02ab"), full(2, 4, &[7; 160])] {
            assert_eq!(*frame(&other), other[..]);
        }
        // Cut off, or no frame at all.
        let cut = full(6, 9, b"\x10\x20ab");
        assert_eq!(frame(&cut)[12..], b"\x10\x20**"[..]);
        for short in [&[][..], &[0x80; 11], &full(6, 9, b"\x10")] {
            assert_eq!(frame(short).len(), short.len());
        }
    }

    #[test]
    fn digests_and_keys_of_sip_are_hidden_and_the_lengths_stay() {
        let text = "REGISTER sip:x SIP/2.0\r\nauthorization: Digest username=\"ann\", \
                    response=\"0123abcd\", nonce=\"n\"\r\nSubject: response=\"shown\"\r\n\r\n\
                    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:S2V5|2^20|1:4\r\na=sendrecv\r\n";
        let shown = sip(text);
        assert_eq!(shown.len(), text.len());
        assert!(
            shown.contains("response=\"********\", nonce=\"n\"") && shown.contains("\"shown\"")
        );
        assert!(shown.contains("inline:****|2^20|1:4\r\na=sendrecv"), "{shown}");
        assert_eq!(sip("no end response=\""), "no end response=\"");
    }
}
