//! All that a store has, as lines of JSON, into another store, and compared with it.
//!
//! The first line says what it is, the last how many of each kind there are: a file that was cut is known by
//! that. In between each line is one [`Entry`].

use std::fmt;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{
    CdrFilter, Order, Paging, Record, RefusalFilter, Store, StoreError, StoredConfiguration,
    StoredRegistration, StoredUser,
};
use crate::cdr::Cdr;
use crate::refusal::{Refusal, RefusalCount};

/// The form of the lines.
const FORM: u32 = 1;

/// Entries of a file that are written at a time.
const BATCH: usize = 1_000;

/// One thing that a store has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    SharedConfiguration(StoredConfiguration),
    User(StoredUser),
    Registration(StoredRegistration),
    Cdr(Box<Cdr>),
    Refusal(Box<Refusal>),
    RefusalCount(RefusalCount),
}

/// A line of a file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first.
    OneportState(u32),
    /// The last.
    End(StateCounts),
    #[serde(untagged)]
    Entry(Entry),
}

/// How many of each kind there are.
///
/// ```
/// use oneport_switch::store::{SqliteStore, copy_state};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (old, new) = (SqliteStore::in_memory().await?, SqliteStore::in_memory().await?);
/// let counts = copy_state(&old, &new).await?;
/// assert_eq!((counts.cdrs, counts.users), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StateCounts {
    /// Users of the console.
    pub users: u64,
    /// Registrations.
    pub registrations: u64,
    /// Call detail records.
    pub cdrs: u64,
    /// Refusals that are kept.
    pub refusals: u64,
    /// Kinds of refusals that are counted.
    pub refusal_kinds: u64,
    /// Versions of the shared configuration.
    #[serde(default)]
    pub configurations: u64,
}

impl StateCounts {
    fn count(&mut self, entry: &Entry) {
        *match entry {
            Entry::SharedConfiguration(_) => &mut self.configurations,
            Entry::User(_) => &mut self.users,
            Entry::Registration(_) => &mut self.registrations,
            Entry::Cdr(_) => &mut self.cdrs,
            Entry::Refusal(_) => &mut self.refusals,
            Entry::RefusalCount(_) => &mut self.refusal_kinds,
        } += 1;
    }
}

impl fmt::Display for StateCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { users, registrations, cdrs, refusals, refusal_kinds, configurations } = self;
        write!(
            f,
            "{cdrs} call detail records, {refusals} refusals, counts of {refusal_kinds} kinds of refusals, \
             {registrations} registrations, {users} users, {configurations} versions of a shared configuration"
        )
    }
}

/// A state could not be moved.
///
/// ```
/// use oneport_switch::store::{SqliteStore, StateError, import_state};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// let error = import_state(&store, &mut &b"no JSON"[..]).await.expect_err("it is none");
/// assert!(matches!(error, StateError::Line { line: 1, .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// A line of a file is not one of a state.
    #[error("line {line} is not of an exported state: {why}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A version of the shared configuration is there already, and is another.
    #[error("version {0} of a shared configuration is there already, and is another")]
    OtherConfiguration(i64),
    /// A file has not all of it.
    #[error("the file ends before its end: {0} came")]
    Cut(StateCounts),
    /// What was written is not what is read.
    #[error(
        "of {copied} that were copied, not all are there as they were; the first that is not: {first}"
    )]
    Different {
        /// What was copied.
        copied: StateCounts,
        /// The first that is missing.
        first: String,
    },
}

/// A kind of entries, in the order in which they are written: the shared configuration first, so that nothing is
/// written beside another one; counts of refusals last, since each refusal that is written is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Configurations,
    Users,
    Registrations,
    Cdrs,
    Refusals,
    RefusalCounts,
}

/// Goes through all that a store has, some at a time.
struct Contents<'a> {
    store: &'a dyn Store,
    part: Option<Part>,
    after: Option<u64>,
}

impl<'a> Contents<'a> {
    const fn of(store: &'a dyn Store) -> Self {
        Self { store, part: Some(Part::Configurations), after: None }
    }

    /// Only what is of one kind, the others follow.
    const fn from(store: &'a dyn Store, part: Part) -> Self {
        Self { store, part: Some(part), after: None }
    }

    /// The next entries, all of one kind, perhaps none of it; `None`: that was all.
    async fn next(&mut self) -> Result<Option<(Part, Vec<Entry>)>, StoreError> {
        let Some(part) = self.part else { return Ok(None) };
        let paging = Paging { order: Order::OldestFirst, after: self.after, most: Paging::MOST };
        let (entries, after, then) = match part {
            // One may be large.
            Part::Configurations => {
                let behind = self.after.and_then(|after| i64::try_from(after).ok());
                let found = self.store.configuration_behind(behind.unwrap_or_default()).await?;
                let after = found.as_ref().and_then(|found| u64::try_from(found.version).ok());
                let entries = found.into_iter().map(Entry::SharedConfiguration).collect();
                (entries, after, Some(Part::Users))
            }
            Part::Users => {
                let users = self.store.users().await?;
                (users.into_iter().map(Entry::User).collect(), None, Some(Part::Registrations))
            }
            Part::Registrations => {
                let registrations = self.store.registrations().await?;
                // Where it goes to, other switches are.
                let entries =
                    registrations.into_iter().map(|one| StoredRegistration { switch: None, ..one });
                let entries = entries.map(Entry::Registration).collect();
                (entries, None, Some(Part::Cdrs))
            }
            Part::Cdrs => {
                let page = self.store.cdrs(&CdrFilter::default(), paging).await?;
                let cdrs = page.records.into_iter().map(|cdr| Entry::Cdr(Box::new(cdr)));
                (cdrs.collect(), page.next, Some(Part::Refusals))
            }
            Part::Refusals => {
                let page = self.store.refusals(&RefusalFilter::default(), paging).await?;
                let entry = |refusal| Entry::Refusal(Box::new(refusal));
                let entries = page.records.into_iter().map(entry).collect();
                (entries, page.next, Some(Part::RefusalCounts))
            }
            Part::RefusalCounts => {
                let counts = self.store.refusal_counts().await?;
                (counts.into_iter().map(Entry::RefusalCount).collect(), None, None)
            }
        };
        self.after = after;
        if after.is_none() {
            self.part = then;
        }
        Ok(Some((part, entries)))
    }
}

/// Writes all that `store` has to `out`, and says how much it was.
///
/// # Errors
/// It cannot be read or written.
pub async fn export_state(
    store: &dyn Store,
    out: &mut (dyn Write + Send),
) -> Result<StateCounts, StateError> {
    let mut counts = StateCounts::default();
    write_line(out, &Line::OneportState(FORM))?;
    let mut contents = Contents::of(store);
    while let Some((_, entries)) = contents.next().await? {
        for entry in entries {
            counts.count(&entry);
            write_line(out, &Line::Entry(entry))?;
        }
    }
    write_line(out, &Line::End(counts))?;
    out.flush()?;
    Ok(counts)
}

fn write_line(out: &mut (dyn Write + Send), line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)
}

/// Puts all that `from` has, as [`export_state`] wrote it, into `store`, beside what is there already, and says how
/// much it was. What is there as it is stays; users and registrations are replaced by those of the same name.
/// It may be done again after an error.
///
/// # Errors
/// It cannot be read, is no such file or only a part of one, or cannot be written.
pub async fn import_state(
    store: &dyn Store,
    from: &mut (dyn BufRead + Send),
) -> Result<StateCounts, StateError> {
    let mut counts = StateCounts::default();
    let mut waiting = Vec::new();
    let (mut number, mut text) = (0, String::new());
    loop {
        text.clear();
        number += 1;
        if from.read_line(&mut text)? == 0 {
            return Err(StateError::Cut(counts));
        }
        let wrong = |why: String| StateError::Line { line: number, why };
        match serde_json::from_str(&text).map_err(|why| wrong(why.to_string()))? {
            Line::OneportState(FORM) if number == 1 => {}
            Line::OneportState(form) => {
                return Err(wrong(format!("its form is {form}, and this version knows {FORM}")));
            }
            _ if number == 1 => return Err(wrong("it is not the first line of one".into())),
            Line::Entry(entry) => {
                counts.count(&entry);
                let is_large = matches!(entry, Entry::SharedConfiguration(_));
                waiting.push(entry);
                if waiting.len() == BATCH || is_large {
                    put(store, &waiting).await?;
                    waiting.clear();
                }
            }
            Line::End(expected) => {
                put(store, &waiting).await?;
                return if expected == counts { Ok(counts) } else { Err(StateError::Cut(counts)) };
            }
        }
    }
}

/// Puts all that `from` has into `to`, as [`import_state`] does, reads it there again, and says how much it was.
///
/// # Errors
/// It cannot be read or written, or is not there as it was.
pub async fn copy_state(from: &dyn Store, to: &dyn Store) -> Result<StateCounts, StateError> {
    let mut copied = StateCounts::default();
    let mut contents = Contents::of(from);
    while let Some((_, entries)) = contents.next().await? {
        entries.iter().for_each(|entry| copied.count(entry));
        put(to, &entries).await?;
    }
    compare(from, to, copied).await?;
    Ok(copied)
}

async fn put(store: &dyn Store, entries: &[Entry]) -> Result<(), StateError> {
    let mut records = Vec::new();
    let mut counts = Vec::new();
    for entry in entries {
        match entry {
            Entry::SharedConfiguration(version) => {
                if !store.put_configuration(version).await? {
                    return Err(StateError::OtherConfiguration(version.version));
                }
            }
            Entry::User(user) => store.put_user(user).await?,
            Entry::Registration(one) => records.push(Record::Registered(one.clone())),
            Entry::Cdr(cdr) => records.push(Record::Cdr(cdr.clone())),
            Entry::Refusal(refusal) => records.push(Record::Refusal(refusal.clone())),
            Entry::RefusalCount(count) => counts.push(count.clone()),
        }
    }
    store.write(&records).await?;
    Ok(store.raise_refusal_counts(&counts).await?)
}

/// Looks whether all that `from` has is in `to`, beside whatever else is there. Records are there in their order.
async fn compare(from: &dyn Store, to: &dyn Store, copied: StateCounts) -> Result<(), StateError> {
    let mut source = Contents::of(from);
    let mut target: Option<Target<'_>> = None;
    while let Some((part, entries)) = source.next().await? {
        if target.as_ref().is_none_or(|target| target.part != part) {
            target = Some(Target::of(to, part).await?);
        }
        let Some(target) = &mut target else { continue };
        for entry in entries {
            if !target.has(&entry).await? {
                return Err(StateError::Different { copied, first: named(&entry) });
            }
        }
    }
    Ok(())
}

/// What there is of one kind, as far as it has not been looked at.
struct Target<'a> {
    part: Part,
    contents: Contents<'a>,
    /// Read and not looked at yet, the next of them last.
    here: Vec<Entry>,
}

impl<'a> Target<'a> {
    async fn of(store: &'a dyn Store, part: Part) -> Result<Self, StoreError> {
        let mut target = Self { part, contents: Contents::from(store, part), here: Vec::new() };
        target.read().await?;
        Ok(target)
    }

    /// Reads some more; `false`: that was all.
    async fn read(&mut self) -> Result<bool, StoreError> {
        let Some((part, mut entries)) = self.contents.next().await? else { return Ok(false) };
        entries.reverse();
        self.here = entries;
        Ok(part == self.part)
    }

    /// Whether an entry is there, of records behind those that were looked at.
    async fn has(&mut self, entry: &Entry) -> Result<bool, StoreError> {
        let is_it = |found: &Entry| match (found, entry) {
            // More may have been refused since.
            (Entry::RefusalCount(found), Entry::RefusalCount(wanted)) => {
                let kind = |count: &RefusalCount| (count.stage, count.kind.clone());
                kind(found) == kind(wanted) && found.count >= wanted.count
            }
            _ => text(found) == text(entry),
        };
        if !matches!(self.part, Part::Configurations | Part::Cdrs | Part::Refusals) {
            return Ok(self.here.iter().any(is_it));
        }
        loop {
            while let Some(found) = self.here.pop() {
                if is_it(&found) {
                    return Ok(true);
                }
            }
            if !self.read().await? {
                return Ok(false);
            }
        }
    }
}

/// An entry as people are told of it: without secrets, and without hashes of passwords.
fn named(entry: &Entry) -> String {
    match entry {
        Entry::SharedConfiguration(_) | Entry::User(_) => format!("{entry:?}"),
        _ => text(entry),
    }
}

/// An entry as it is compared. One character has no place in some databases, and another stands for it there.
fn text(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap_or_default().replace("\\u0000", "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Role;
    use crate::utc::Utc;

    #[test]
    fn whoever_is_told_what_is_missing_sees_no_secret_and_no_hash() {
        let user = StoredUser {
            name: "ann".into(),
            role: Role::Admin,
            listens: false,
            password: "$argon2id$".into(),
        };
        let version = StoredConfiguration {
            version: 7,
            author: "ann".into(),
            time: Utc::default(),
            text: "secret = \"sesame\"".into(),
        };
        for entry in [Entry::User(user), Entry::SharedConfiguration(version)] {
            let named = named(&entry);
            assert!(named.contains("ann"), "{named}");
            assert!(!named.contains("argon2id") && !named.contains("sesame"), "{named}");
        }
    }
}
