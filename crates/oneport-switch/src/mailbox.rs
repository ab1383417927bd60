//! How many messages wait in mailboxes, counted on a thread of its own: a slow disk must not hold up
//! calls.
//!
//! A mailbox is a directory as Asterisk's voicemail has it: each `msg….txt` in `INBOX` is a new
//! message, each in `Old` one that was heard.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use oneport_wire::MessageCount;

/// Time between two counts.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// The counts of some mailboxes, by the names of their peers.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    counts: BTreeMap<String, Arc<AtomicU16>>,
}

impl Mailboxes {
    /// Counts now, and again and again while this lives.
    pub(crate) fn watch(mailboxes: Vec<(String, PathBuf)>) -> Self {
        let mut counts = BTreeMap::new();
        let mut watched = Vec::new();
        for (name, directory) in mailboxes {
            let counted = Arc::new(AtomicU16::new(pack(count(&directory))));
            watched.push((directory, Arc::downgrade(&counted)));
            counts.insert(name, counted);
        }
        if !watched.is_empty() {
            let body = move || {
                while watched.iter().all(|(directory, counted)| match counted.upgrade() {
                    Some(counted) => {
                        counted.store(pack(count(directory)), Ordering::Relaxed);
                        true
                    }
                    None => false,
                }) {
                    thread::sleep(INTERVAL);
                }
            };
            if let Err(error) = thread::Builder::new().name("mailboxes".into()).spawn(body) {
                tracing::error!(%error, "messages are not counted: the system gave no thread");
            }
        }
        Self { counts }
    }

    /// What waits for `name`, if it has a mailbox.
    pub(crate) fn messages(&self, name: &str) -> Option<MessageCount> {
        let [old, new] = self.counts.get(name)?.load(Ordering::Relaxed).to_be_bytes();
        Some(MessageCount { old, new })
    }
}

fn pack(count: MessageCount) -> u16 {
    u16::from_be_bytes([count.old, count.new])
}

fn count(mailbox: &Path) -> MessageCount {
    let messages = |folder: &str| {
        let files = std::fs::read_dir(mailbox.join(folder)).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name());
        let messages = names.filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("msg") && name.ends_with(".txt")
        });
        // Both at 255 would mean "some".
        u8::try_from(messages.count()).unwrap_or(254).min(254)
    };
    MessageCount { old: messages("Old"), new: messages("INBOX") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_heard_messages_are_counted_and_other_files_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let mailbox = directory.path();
        assert_eq!(count(mailbox), MessageCount { old: 0, new: 0 });
        for folder in ["INBOX", "Old", "Work"] {
            std::fs::create_dir(mailbox.join(folder)).expect("writable");
        }
        let files = ["INBOX/msg0000.txt", "INBOX/msg0000.wav", "INBOX/msg0001.txt", "INBOX/x.txt"];
        for file in files.into_iter().chain(["Old/msg0000.txt", "Work/msg0000.txt"]) {
            std::fs::write(mailbox.join(file), "").expect("writable");
        }
        assert_eq!(count(mailbox), MessageCount { old: 1, new: 2 });
        for number in 0..300 {
            std::fs::write(mailbox.join(format!("Old/msg{number:04}.txt")), "").expect("writable");
        }
        assert_eq!(count(mailbox).old, 254);
        let watched = Mailboxes::watch(vec![("ann".into(), mailbox.into())]);
        assert_eq!(watched.messages("ann"), Some(MessageCount { old: 254, new: 2 }));
        assert_eq!(watched.messages("bob"), None);
    }
}
