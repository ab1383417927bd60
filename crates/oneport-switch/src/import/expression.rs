//! What Asterisk's dial plan writes with `${…}`, as a number of ours: variables are put in, and
//! parts of the called number become `{number:1}`.

use std::collections::BTreeMap;

/// Variables, by name in lower case.
pub(super) type Names = BTreeMap<String, String>;

/// What `${EXTEN}` stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Called {
    /// Nothing.
    None,
    /// This very number.
    Number(String),
    /// Whatever is called, of so many characters if that is known.
    Any(Option<usize>),
}

/// Variables within variables end somewhere.
const MAX_DEPTH: usize = 16;

/// `text` with all of its variables put in; the first of `names` that knows one gives it.
///
/// # Errors
/// Why it cannot be known before a call comes.
pub(super) fn expand(text: &str, called: &Called, names: &[&Names]) -> Result<String, String> {
    expand_within(text, called, names, MAX_DEPTH)
}

fn expand_within(
    text: &str,
    called: &Called,
    names: &[&Names],
    depth: usize,
) -> Result<String, String> {
    let deeper = depth.checked_sub(1).ok_or("its variables name each other without end")?;
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if rest.starts_with("$[") {
            return Err("expressions are not computed".into());
        } else if rest.starts_with("${") {
            let end = closing(&rest[2..]).ok_or("a brace is not closed")?;
            let inside = expand_within(&rest[2..2 + end], &Called::None, names, deeper)?;
            expanded.push_str(&variable(&inside, called, names, deeper)?);
            rest = &rest[2 + end + 1..];
        } else if "{}".contains(character) {
            return Err("braces stand for parts of the number here".into());
        } else {
            expanded.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    Ok(expanded)
}

/// Where the brace is closed that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn variable(
    inside: &str,
    called: &Called,
    names: &[&Names],
    depth: usize,
) -> Result<String, String> {
    if inside.contains('(') {
        let inside = inside.to_ascii_lowercase();
        let global = inside.strip_prefix("global(").and_then(|rest| rest.strip_suffix(')'));
        return match global {
            Some(name) => variable(name, called, names, depth),
            None => Err("functions are not computed".into()),
        };
    }
    let mut parts = inside.split(':');
    let name = parts.next().unwrap_or_default().trim();
    let mut number = || match parts.next() {
        None => Ok(None),
        Some(text) => match text.trim().parse::<isize>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("`{inside}` is no part of a variable")),
        },
    };
    let (skip, take) = (number()?.unwrap_or(0), number()?);
    let unknown = match (name.eq_ignore_ascii_case("EXTEN"), called) {
        (true, Called::Any(length)) => return called_part(skip, take, *length),
        (true, Called::Number(number)) => return Ok(part(number, skip, take)),
        (true, Called::None) => "no number is called here".to_string(),
        (false, _) => format!("`{name}` is set by something that is not carried over"),
    };
    let key = name.to_ascii_lowercase();
    let Some(value) = names.iter().find_map(|names| names.get(&key)) else { return Err(unknown) };
    let value = expand_within(value, called, names, depth)?;
    if value.contains('{') && (skip, take) != (0, None) {
        return Err("parts of the number are not cut again".into());
    }
    Ok(if value.contains('{') { value } else { part(&value, skip, take) })
}

/// Which characters of a number of `length` are meant: how many to leave out, and to take.
fn range(skip: isize, take: Option<isize>, length: usize) -> (usize, usize) {
    let from = match usize::try_from(skip) {
        Ok(skip) => skip.min(length),
        Err(_) => length.saturating_sub(skip.unsigned_abs()),
    };
    let left = length - from;
    let take = match take {
        None => left,
        Some(take) => match usize::try_from(take) {
            Ok(take) => take.min(left),
            Err(_) => left.saturating_sub(take.unsigned_abs()),
        },
    };
    (from, take)
}

fn part(value: &str, skip: isize, take: Option<isize>) -> String {
    let (from, take) = range(skip, take, value.chars().count());
    value.chars().skip(from).take(take).collect()
}

fn called_part(skip: isize, take: Option<isize>, length: Option<usize>) -> Result<String, String> {
    let positive = (usize::try_from(skip).ok(), take.map(usize::try_from).transpose().ok());
    let (skip, take) = match (positive, length) {
        ((Some(skip), Some(take)), _) => (skip, take),
        (_, Some(length)) => {
            let (from, most) = range(skip, take, length);
            (from, take.map(|_| most))
        }
        _ => return Err("how long the number is, is not known before a call comes".into()),
    };
    Ok(match (skip, take) {
        (0, None) => "{number}".into(),
        (skip, None) => format!("{{number:{skip}}}"),
        (skip, Some(take)) => format!("{{number:{skip}:{take}}}"),
    })
}

/// The parts of `text` around `separator`, but for those in brackets, braces and quotes.
pub(super) fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for character in text.chars() {
        let Some(part) = parts.last_mut() else { return parts };
        if std::mem::take(&mut escaped) {
            part.push(character);
            continue;
        }
        match character {
            '\\' => {
                escaped = true;
                continue;
            }
            '"' => quoted = !quoted,
            '(' | '{' | '[' if !quoted => depth += 1,
            ')' | '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ if character == separator && depth == 0 && !quoted => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    if parts.len() == 1 && parts[0].trim().is_empty() {
        parts.clear();
    }
    parts.iter().map(|part| part.trim().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, called: &Called, expected: Result<&str, &str>) {
        let names = Names::from(
            [("out", "IAX2/${host}"), ("host", "media"), ("loop", "${loop}"), ("n", "2")]
                .map(|(name, value)| (name.to_string(), value.to_string())),
        );
        let found = expand(text, called, &[&names]);
        match expected {
            Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{text}"),
            Err(part) => {
                let why = found.expect_err(text);
                assert!(why.contains(part), "{text}: {why}");
            }
        }
    }

    #[test]
    fn variables_and_parts_of_the_number_are_put_in() {
        let any = Called::Any(None);
        check("${OUT}/${EXTEN}", &any, Ok("IAX2/media/{number}"));
        check("${EXTEN:1}", &any, Ok("{number:1}"));
        check("00${EXTEN:0:3}", &any, Ok("00{number:0:3}"));
        check("${EXTEN:${n}}", &any, Ok("{number:2}"));
        check("${HOST:1:-1}", &any, Ok("edi"));
        check("${GLOBAL(Host)}", &any, Ok("media"));
        check("${EXTEN:-3}", &Called::Any(Some(10)), Ok("{number:7}"));
        check("${EXTEN:2:-3}", &Called::Any(Some(10)), Ok("{number:2:5}"));
        check("${EXTEN:-3}", &Called::Number("12345".into()), Ok("345"));
        check("${EXTEN:9}", &Called::Number("12345".into()), Ok(""));
    }

    #[test]
    fn what_only_a_call_can_tell_is_an_error() {
        let any = Called::Any(None);
        check("${EXTEN:-3}", &any, Err("how long"));
        check("${CALLERID(num)}", &any, Err("functions"));
        check("$[1 + 1]", &any, Err("expressions"));
        check("${nobody}", &any, Err("`nobody` is set by"));
        check("${loop}", &any, Err("without end"));
        check("${EXTEN", &any, Err("not closed"));
        check("a{b}", &any, Err("braces"));
        check("${EXTEN:x}", &any, Err("no part"));
    }

    #[test]
    fn arguments_are_split_outside_of_brackets_and_quotes() {
        for (text, parts) in [
            ("", &[] as &[&str]),
            ("a", &["a"]),
            ("a,b", &["a", "b"]),
            ("a,,c", &["a", "", "c"]),
            ("a,L(1,2),\"x,y\",z\\,z", &["a", "L(1,2)", "\"x,y\"", "z,z"]),
        ] {
            assert_eq!(split(text, ','), parts, "{text}");
        }
    }
}
