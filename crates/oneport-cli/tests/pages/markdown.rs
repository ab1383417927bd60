//! What a page is made of: blocks of commands and of files, headings, links.

use std::collections::BTreeSet;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What stands in a comment before a block: what its test has to know, and no reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// It is not run: why.
    NotRun(String),
    /// Its commands are given on the box of this name.
    On(String),
    /// It is this file, of this box; of Oneport where none is named.
    File { on: String, name: String },
}

impl Note {
    fn of(comment: &str) -> Option<Self> {
        let inside = comment.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
        let (kind, rest) = inside.split_once(": ")?;
        let rest = rest.trim();
        match kind {
            "not run" => Some(Self::NotRun(rest.into())),
            "on" => Some(Self::On(rest.into())),
            "file" => {
                let (on, name) = rest.rsplit_once(' ').unwrap_or(("oneport", rest));
                Some(Self::File { on: on.into(), name: name.into() })
            }
            _ => None,
        }
    }
}

/// A block of code.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The word behind its fence; none where it has no fence or no word.
    pub(crate) kind: Option<String>,
    pub(crate) text: String,
    pub(crate) note: Option<Note>,
}

impl Block {
    /// Whether it is commands that its page's test runs.
    pub(crate) fn is_run(&self) -> bool {
        self.kind.as_deref() == Some("sh") && !matches!(self.note, Some(Note::NotRun(_)))
    }
}

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    pub(crate) blocks: Vec<Block>,
    /// Where its links and pictures lead.
    pub(crate) links: Vec<String>,
    /// The names by which its headings are led to.
    pub(crate) anchors: BTreeSet<String>,
}

impl Markdown {
    pub(crate) fn of(text: &str) -> Self {
        let mut page = Self::default();
        let (mut note, mut block, mut heading) = (None, None, None::<String>);
        let events = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
        for (event, range) in events {
            match event {
                Event::Html(comment) => note = Note::of(&comment).or(note),
                Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
                Event::Start(Tag::CodeBlock(kind)) => {
                    let kind = match kind {
                        CodeBlockKind::Fenced(word) if !word.is_empty() => Some(word.into_string()),
                        _ => None,
                    };
                    block = Some(Block { kind, text: String::new(), note: note.take() });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.extend(heading.take().map(|words| anchor(&words)));
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(block) = &mut block {
                        block.text += &words;
                    } else if let Some(heading) = &mut heading {
                        *heading += &words;
                    }
                }
                _ => {}
            }
            // A comment is for what follows it at once.
            if note.is_some() && !text[range.end..].trim_start().starts_with(['<', '`']) {
                note = None;
            }
        }
        page
    }

    /// The file that a comment names so.
    pub(crate) fn file(&self, on: &str, name: &str) -> Option<&str> {
        let wanted = Note::File { on: on.into(), name: name.into() };
        let block = self.blocks.iter().find(|block| block.note.as_ref() == Some(&wanted));
        block.map(|block| block.text.as_str())
    }
}

/// What a heading is led to by, in mdBook and at GitHub alike.
fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '_' | '-') => Some(c),
        _ => None,
    };
    heading.trim().to_lowercase().chars().filter_map(kept).collect()
}
