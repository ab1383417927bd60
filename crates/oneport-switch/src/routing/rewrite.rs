//! The number a destination is called with, made out of the one that was called.

use std::fmt;

/// A number with places for what was called: `{number}` the whole of it, `{number:2}` without its
/// first two characters, `{number:0:3}` its first three, `{1}` a group of a regular expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rewrite(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    /// Characters of the called number: how many to leave out, how many to take at most.
    Called {
        skip: usize,
        take: Option<usize>,
    },
    Group(usize),
}

impl Rewrite {
    /// Reads it; a pattern with `groups` groups stands before it.
    ///
    /// # Errors
    /// What is wrong with it, and how to mend that.
    pub(crate) fn parse(text: &str, groups: usize) -> Result<Self, (String, String)> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let Some((inside, behind)) = behind.split_once('}') else {
                return Err((format!("`{{` is not closed in `{text}`"), HELP.into()));
            };
            let part = read_part(inside);
            let part = part
                .ok_or_else(|| (format!("`{{{inside}}}` is no part of a number"), HELP.into()))?;
            if let Part::Group(n) = part
                && n > groups
            {
                let what = format!("`{{{n}}}`: the route's pattern has {groups} groups");
                return Err((what, "groups are the parentheses of `regex`".into()));
            }
            parts.push(part);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The number, where `groups` are those of the pattern, the called number first.
    pub(crate) fn apply(&self, groups: &[&str]) -> String {
        let called = groups.first().copied().unwrap_or_default();
        let mut number = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => number.push_str(text),
                Part::Called { skip, take } => {
                    let most = take.unwrap_or(usize::MAX);
                    number.extend(called.chars().skip(*skip).take(most));
                }
                Part::Group(n) => number.push_str(groups.get(*n).copied().unwrap_or_default()),
            }
        }
        number
    }
}

const HELP: &str =
    "write {number}, {number:SKIP}, {number:SKIP:LENGTH}, or {1} for a group of `regex`";

fn read_part(inside: &str) -> Option<Part> {
    if let Ok(group) = inside.parse::<usize>() {
        return (group > 0).then_some(Part::Group(group));
    }
    let mut words = inside.split(':');
    if words.next() != Some("number") {
        return None;
    }
    let skip = words.next().map(str::parse).transpose().ok()?.unwrap_or(0);
    let take = words.next().map(str::parse).transpose().ok()?;
    words.next().is_none().then_some(Part::Called { skip, take })
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Called { skip: 0, take: None } => f.write_str("{number}")?,
                Part::Called { skip, take: None } => write!(f, "{{number:{skip}}}")?,
                Part::Called { skip, take: Some(take) } => write!(f, "{{number:{skip}:{take}}}")?,
                Part::Group(n) => write!(f, "{{{n}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_cut_and_put_together() {
        let groups = ["0049891234", "49", "891234"];
        for (text, number) in [
            ("600", "600"),
            ("{number}", "0049891234"),
            ("+{number:2}", "+49891234"),
            ("{number:2:2}-{2}", "49-891234"),
            ("{number:99}", ""),
            ("9{1}{1}", "94949"),
        ] {
            let rewrite = Rewrite::parse(text, 2).unwrap();
            assert_eq!(rewrite.apply(&groups), number, "{text}");
            assert_eq!(rewrite.to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_a_number_is_explained() {
        for text in ["{number", "{}", "{0}", "{3}", "{name}", "{number:x}", "{number:1:2:3}"] {
            let (what, help) = Rewrite::parse(text, 2).unwrap_err();
            assert!(!what.is_empty() && !help.is_empty(), "{text}");
        }
    }
}
