//! Datagrams as the cases write them: hexadecimal, with names in braces for what only the exchange
//! itself can tell. `testdata/torture/README.md` is the specification.

use std::fmt::Write as _;

/// What the names in braces stand for.
pub trait Values {
    /// The bytes of `name`, or `None` when there is no such name, or nothing behind it yet.
    fn value(&self, name: &str) -> Option<Vec<u8>>;
}

/// Reads a template into words, comments left out.
fn words(template: &str) -> impl Iterator<Item = &str> {
    template
        .lines()
        .map(|line| line.split_once('#').map_or(line, |(before, _)| before))
        .flat_map(str::split_whitespace)
}

/// Whether `{o}` occurs: a frame that takes the next sequence number.
#[must_use]
pub fn takes_number(template: &str) -> bool {
    words(template).any(|word| word == "{o}")
}

/// The bytes of a template.
///
/// # Errors
/// A word is neither hexadecimal nor a name with a value.
pub fn expand(template: &str, values: &impl Values) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for word in words(template) {
        if let Some(name) = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let value = values.value(name).ok_or_else(|| format!("nothing stands for {word}"))?;
            bytes.extend(value);
            continue;
        }
        let (digits, times) = match word.split_once('*') {
            Some((digits, times)) => (digits, times.parse().map_err(|_| format!("times: {word}"))?),
            None => (word, 1),
        };
        let once = unhex(digits).ok_or_else(|| format!("not hexadecimal: {word}"))?;
        for _ in 0..times {
            bytes.extend_from_slice(&once);
        }
    }
    Ok(bytes)
}

/// Bytes from hexadecimal digits.
#[must_use]
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok().filter(|_| text.bytes().all(|c| c.is_ascii_hexdigit()))
    };
    pairs.iter().map(byte).collect()
}

/// Hexadecimal digits of bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Five;

    impl Values for Five {
        fn value(&self, name: &str) -> Option<Vec<u8>> {
            (name == "S").then(|| vec![0x80, 5])
        }
    }

    #[test]
    fn a_template_is_hexadecimal_with_names_repetitions_and_comments() {
        let bytes = expand("{S} 0102 # source, destination\n ff*3", &Five);
        assert_eq!(bytes, Ok(vec![0x80, 5, 1, 2, 255, 255, 255]));
        for wrong in ["{T}", "1", "+1", "0102*x", "zz"] {
            assert!(expand(wrong, &Five).is_err(), "{wrong}");
        }
        assert!(takes_number("{S} {o} 00"));
        assert!(!takes_number("{S} {o+1} 00 # {o}"));
    }
}
