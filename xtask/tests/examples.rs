//! Documentation of the libraries: each public type shows how it is used.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{Attribute, Item, Visibility};

/// Libraries of which each public type has an example.
const LIBRARIES: [&str; 8] = [
    "oneport",
    "oneport-decode",
    "oneport-impairment",
    "oneport-media",
    "oneport-proto",
    "oneport-resample",
    "oneport-switch",
    "oneport-wire",
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether one of the lines of a doc comment begins a block of code.
fn has_example(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).any(|attribute| {
        let value = attribute.meta.require_name_value().map(|line| &line.value);
        matches!(value, Ok(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }))
            if line.value().trim_start().starts_with("```"))
    })
}

/// What a macro has of types: those that it names itself, with whether an example stands before each, and
/// whether it makes types of other names.
#[derive(Default)]
struct Made {
    named: Vec<(String, bool)>,
    others: bool,
}

impl Made {
    fn read(&mut self, tokens: TokenStream) {
        let (mut example, mut public, mut kind) = (false, false, false);
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    let attribute = tokens.next().map(|group| group.to_string());
                    example |= attribute.is_some_and(|text| text.contains("```"));
                }
                TokenTree::Ident(word) if word == "pub" => public = true,
                TokenTree::Ident(word) if public && is_kind(&word.to_string()) => kind = true,
                TokenTree::Ident(word) if kind => {
                    self.named.push((word.to_string(), example));
                    (example, public, kind) = (false, false, false);
                }
                // `pub struct $name`, and `pub $kind $name`.
                TokenTree::Punct(mark) if mark.as_char() == '$' && public => {
                    let variable = tokens.next();
                    let follows = tokens.peek();
                    let again =
                        matches!(follows, Some(TokenTree::Punct(mark)) if mark.as_char() == '$');
                    self.others |= kind || (again && matches!(variable, Some(TokenTree::Ident(_))));
                    (example, public, kind) = (false, false, false);
                }
                TokenTree::Group(group) => {
                    // `pub(crate)` is not public.
                    public &= group.delimiter() != Delimiter::Parenthesis;
                    if group.delimiter() == Delimiter::Brace {
                        (example, public, kind) = (false, false, false);
                    }
                    self.read(group.stream());
                }
                TokenTree::Punct(mark) if mark.as_char() == ';' => {
                    (example, public, kind) = (false, false, false);
                }
                _ => {}
            }
        }
    }
}

fn is_kind(word: &str) -> bool {
    matches!(word, "struct" | "enum" | "trait")
}

/// What stands at the top of the tokens for a macro that makes types: each name behind a description, with whether
/// that has an example.
fn described(tokens: TokenStream) -> Vec<(String, bool)> {
    let (mut found, mut description) = (Vec::new(), None);
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                let text = tokens.next().map(|group| group.to_string()).unwrap_or_default();
                *description.get_or_insert(false) |= text.contains("```");
            }
            TokenTree::Ident(word) if !is_kind(&word.to_string()) => {
                found.extend(description.take().map(|example| (word.to_string(), example)));
            }
            _ => {}
        }
    }
    found
}

/// The public types of a library, each with whether it has an example.
fn types_of(files: &[(PathBuf, syn::File)]) -> Vec<(String, bool, &Path)> {
    let (mut types, mut makers) = (Vec::new(), BTreeSet::new());
    let mut calls = Vec::new();
    for (path, file) in files {
        for item in &file.items {
            let (visibility, name, attributes) = match item {
                Item::Struct(item) => (&item.vis, &item.ident, &item.attrs),
                Item::Enum(item) => (&item.vis, &item.ident, &item.attrs),
                Item::Trait(item) => (&item.vis, &item.ident, &item.attrs),
                Item::Macro(item) => {
                    let tokens = item.mac.tokens.clone();
                    let Some(name) = &item.ident else {
                        calls.push((item.mac.path.segments.last(), tokens, path));
                        continue;
                    };
                    let mut made = Made::default();
                    made.read(tokens);
                    let named = made.named.into_iter();
                    types.extend(named.map(|(name, example)| (name, example, path.as_path())));
                    makers.extend(made.others.then(|| name.to_string()));
                    continue;
                }
                _ => continue,
            };
            if matches!(visibility, Visibility::Public(_)) {
                types.push((name.to_string(), has_example(attributes), path));
            }
        }
    }
    for (name, tokens, path) in calls {
        if name.is_some_and(|name| makers.contains(&name.ident.to_string())) {
            let made = described(tokens).into_iter();
            types.extend(made.map(|(name, example)| (name, example, path.as_path())));
        }
    }
    types
}

fn parsed(text: &str) -> syn::File {
    syn::parse_file(text).expect("Rust")
}

#[test]
fn each_public_type_of_these_libraries_has_an_example() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let (mut found, mut bare) = (0, Vec::new());
    for library in LIBRARIES {
        let mut paths = Vec::new();
        sources(&crates.join(library).join("src"), &mut paths);
        let read = |path: &PathBuf| parsed(&fs::read_to_string(path).expect("readable"));
        let files: Vec<_> = paths.into_iter().map(|path| (path.clone(), read(&path))).collect();
        for (name, example, path) in types_of(&files) {
            found += 1;
            if !example {
                bare.push(format!("{name} ({})", path.display()));
            }
        }
    }
    assert!(found > 400, "only {found} were found");
    assert!(bare.is_empty(), "no example on {}", bare.join(", "));
}

#[test]
fn types_that_macros_make_are_found_with_and_without_an_example() {
    let text = r#"
        macro_rules! one {
            ($($(#[$meta:meta])* $kind:ident,)*) => {
                /// Named here.
                ///
                /// ```
                /// ```
                pub enum Named { $($(#[$meta])* $kind,)* }
                pub(crate) struct Inner;
                pub struct Bare;
            };
        }
        macro_rules! handle { ($(#[$doc:meta])* $name:ident) => { $(#[$doc])* pub struct $name { slot: u32 } }; }
        macro_rules! model { ($($(#[$meta:meta])* $kind:ident $name:ident $body:tt)*) => { $($(#[$meta])* pub $kind $name $body)* }; }
        macro_rules! inner { ($name:ident) => { pub(crate) struct $name; }; }
        one! { First, }
        handle! {
            /// A handle.
            ///
            /// ```
            /// ```
            Handle
        }
        model! {
            /// A model.
            #[derive(Copy)]
            struct Model { pub kind: u8 }

            /// Another.
            ///
            /// ```
            /// ```
            enum Other { /// One.
                One }
        }
        inner! { Hidden }
    "#;
    let files = [(PathBuf::from("lib.rs"), parsed(text))];
    let mut types = types_of(&files);
    types.sort();
    let types: Vec<_> = types.iter().map(|(name, example, _)| (name.as_str(), *example)).collect();
    let expected =
        [("Bare", false), ("Handle", true), ("Model", false), ("Named", true), ("Other", true)];
    assert_eq!(types, expected);
}
