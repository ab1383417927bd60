//! The cases as they stand in the files of `testdata/torture/`.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// One file: cases about one subject.
#[derive(Deserialize, Serialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// What the cases have in common.
    pub chapter: String,
    /// They.
    pub case: Vec<Case>,
}

impl Chapter {
    /// As it stands in a file.
    ///
    /// # Errors
    /// It cannot be said in TOML.
    pub fn to_toml(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }
}

/// One case.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Words joined by hyphens, unique in the whole set.
    pub name: String,
    /// Why the answer is right, and what went wrong elsewhere.
    pub why: String,
    /// Section, advisory or observation that the answer rests on.
    pub reference: String,
    /// What has happened before.
    pub state: State,
    /// What is left when all is sent.
    pub then: Then,
    /// Why the call ended, where it did: the words of the README.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The cause code that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u8>,
    /// What is sent, in order.
    pub step: Vec<Step>,
}

/// What has happened before a case.
#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing.
    Stranger,
    /// A call token was fetched.
    Token,
    /// A call to 601 rings.
    Offered,
    /// A call of the user `torture` was answered by AUTHREQ.
    Challenged,
    /// A call to 600 was answered, and all is acknowledged.
    Accepted,
    /// The same, and it may be transferred.
    Transferable,
    /// A call to 600 was answered, and one full frame of voice has come.
    Talking,
    /// The same, encrypted.
    Encrypted,
    /// The system calls us: its NEW has come.
    Calling,
    /// The system called us, we answered, and all is acknowledged.
    Placed,
    /// The system registers at us: its REGREQ has come.
    Registering,
    /// We register at the system: its REGAUTH has come.
    Requested,
}

/// One datagram, and its right answer.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The datagram, as a template.
    pub send: String,
    /// From where.
    #[serde(default, skip_serializing_if = "From::is_peer")]
    pub from: From,
    /// How often, all at once.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub times: u32,
    /// Whether it is encrypted behind its call numbers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub encrypt: bool,
    /// The padding in place of the right one, as a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<String>,
    /// Milliseconds to wait before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wait: u64,
    /// What comes back, each frame with what it must say.
    #[serde(default)]
    pub get: Answers,
    /// Frames of voice that reach the application.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub voice: usize,
    /// What the application is told; not looked at where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Vec<String>>,
}

/// Where a datagram comes from.
#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// The address of the exchange.
    #[default]
    Peer,
    /// The same host, another port.
    OtherPort,
    /// Another host.
    Elsewhere,
}

impl From {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_peer(&self) -> bool {
        *self == Self::Peer
    }
}

/// What comes back.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(untagged)]
pub enum Answers {
    /// These, in this order, and nothing else.
    These(Vec<String>),
    /// `"any"`: whatever keeps to the bounds.
    Any(Any),
}

/// The word `any`.
#[derive(Deserialize, Serialize, Clone, Copy, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Any {
    /// Whatever keeps to the bounds.
    Any,
}

impl Default for Answers {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

/// What is left of a case.
#[derive(Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Nothing is kept of the stranger.
    Nothing,
    /// The call, registration or request goes on: PING is answered by PONG.
    Lives,
    /// It is over: PING is not answered by PONG.
    Ends,
    /// Either.
    Any,
}

const fn once() -> u32 {
    1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_once(times: &u32) -> bool {
    *times == 1
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(wait: &u64) -> bool {
    *wait == 0
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_nought(count: &usize) -> bool {
    *count == 0
}

/// Reads all chapters of a directory, by name.
///
/// # Errors
/// A file is not readable, or not a chapter.
pub fn read_all(directory: &Path) -> Result<Vec<Chapter>, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}
