//! The table of registrations as the statements of [`crate::store`] and of [`registrations`](super::super::registrations)
//! treat it: transactions that begin and end, and what is seen of them.

use std::collections::{BTreeMap, BTreeSet};

use super::flaw;
use super::history::Time;
use crate::registrar::Shared;
use crate::store::{Record, StoredRegistration, said};
use crate::utc::Utc;

#[derive(Clone, PartialEq, Debug)]
struct Row {
    stored: StoredRegistration,
    /// µs by the clock of the database, which is right.
    ordered: i64,
    gone: bool,
    lost: BTreeMap<String, Utc>,
}

impl Row {
    fn switch(&self) -> &str {
        self.stored.switch.as_deref().unwrap_or_default()
    }
}

/// Where somebody has registered, or that this is over.
enum Change {
    Comes { stored: StoredRegistration, ordered: i64, gone: bool },
    Goes { peer: String, switch: String, registered: Utc },
}

impl Change {
    fn peer(&self) -> &str {
        match self {
            Self::Comes { stored, .. } => &stored.peer,
            Self::Goes { peer, .. } => peer,
        }
    }
}

#[derive(Default)]
pub(in crate::cluster) struct Database {
    rows: BTreeMap<String, Row>,
    /// Whose row has changed, by which transaction.
    changes: Vec<(u64, String)>,
    open: BTreeMap<u64, Vec<Change>>,
    /// How many transactions there have been.
    transactions: u64,
}

impl Database {
    /// Whether these rows are locked by a transaction that has not ended.
    pub(in crate::cluster) fn is_locked(&self, records: &[Record]) -> bool {
        let said = said(records);
        self.open.values().flatten().any(|change| said.contains_key(change.peer()))
    }

    /// A transaction begins, and writes these; `today` is what the clock of the switch says.
    pub(in crate::cluster) fn begin(&mut self, now: Time, today: Utc, records: &[Record]) -> u64 {
        let now = i64::try_from(now).unwrap();
        let (mut changes, mut ends) = (Vec::new(), Vec::new());
        for (peer, said) in said(records) {
            let is_left_out = said.over.is_some() && flaw::WritesTheEndAlone.is_there();
            if let Some(one) = said.registered.filter(|_| !is_left_out) {
                let age = today.since(one.registered);
                let gone = one.expires.since(one.registered) <= age;
                let age = i64::try_from(age.as_micros()).unwrap();
                let ordered = now - if flaw::OrdersByArrival.is_there() { 0 } else { age };
                if !gone || !flaw::LeavesOutExpired.is_there() {
                    changes.push(Change::Comes { stored: one.clone(), ordered, gone });
                }
            }
            if let Some(over) = said.over {
                let switch = over.switch.unwrap_or_default().to_string();
                ends.push(Change::Goes { peer: peer.into(), switch, registered: over.registered });
            }
        }
        changes.extend(ends);
        self.transactions += 1;
        self.open.insert(self.transactions, changes);
        self.transactions
    }

    /// A transaction ends; whether others are told.
    pub(in crate::cluster) fn commit(&mut self, transaction: u64) -> bool {
        let changes = self.open.remove(&transaction).unwrap_or_default();
        let mut changed = BTreeSet::new();
        for change in changes {
            let peer = change.peer().to_string();
            let before = self.rows.get(&peer).cloned();
            self.apply(change);
            let what = |row: &Row| {
                (row.stored.switch.clone(), row.stored.address.clone(), row.gone, row.lost.clone())
            };
            if before.as_ref().map(what) != self.rows.get(&peer).map(what) {
                changed.insert(peer);
            }
        }
        let is_news = !changed.is_empty();
        self.changes.extend(changed.into_iter().map(|peer| (transaction, peer)));
        is_news
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Comes { stored, ordered, gone } => {
                let Some(row) = self.rows.get_mut(&stored.peer) else {
                    let row = Row { stored, ordered, gone, lost: BTreeMap::new() };
                    self.rows.insert(row.stored.peer.clone(), row);
                    return;
                };
                let is_of_another = row.stored.switch != stored.switch;
                let name = |one: &StoredRegistration| one.switch.clone().unwrap_or_default();
                if is_of_another && row.ordered > ordered {
                    if !flaw::LosesInSilence.is_there() {
                        row.lost.insert(name(&stored), stored.registered);
                    }
                    return;
                }
                if is_of_another {
                    row.lost.insert(name(&row.stored), row.stored.registered);
                }
                (row.stored, row.ordered, row.gone) = (stored, ordered, gone);
            }
            Change::Goes { peer, switch, registered } => {
                if let Some(row) = self.rows.get_mut(&peer)
                    && row.switch() == switch
                    && row.stored.registered <= registered
                {
                    row.gone = true;
                }
            }
        }
    }

    /// A transaction ends without effect.
    pub(in crate::cluster) fn abort(&mut self, transaction: u64) {
        self.open.remove(&transaction);
    }

    /// Its process ends: so do all transactions, without effect.
    pub(in crate::cluster) fn end(&mut self) {
        self.open.clear();
    }

    /// All transactions before this one have ended.
    pub(in crate::cluster) fn horizon(&self) -> u64 {
        match self.open.keys().next() {
            Some(oldest) if !flaw::ReadsTooFar.is_there() => *oldest,
            _ => self.transactions + 1,
        }
    }

    /// What has changed for switch `own` since that horizon, or all there is.
    pub(in crate::cluster) fn read(&self, own: &str, from: Option<u64>) -> Vec<Shared> {
        let shared = |peer: &String| {
            let row = self.rows.get(peer).filter(|row| row.switch() != own);
            let switch = row.filter(|row| !row.gone).map(|row| row.switch().to_string());
            let lost = row.and_then(|row| row.lost.get(own).copied());
            let lost = lost.filter(|_| switch.is_some() || !flaw::HearsNothingOfEnds.is_there());
            Shared { peer: peer.clone(), switch, lost }
        };
        let Some(from) = from else {
            let all = self.rows.keys().map(shared);
            return all.filter(|shared| shared.switch.is_some() || shared.lost.is_some()).collect();
        };
        let changed = self.changes.iter().filter(|(transaction, _)| *transaction >= from);
        let changed: BTreeSet<&String> = changed.map(|(_, peer)| peer).collect();
        changed.into_iter().map(shared).collect()
    }

    /// Who is registered at `own`.
    pub(in crate::cluster) fn registered(&self, own: &str) -> BTreeMap<String, StoredRegistration> {
        let rows = self.rows.iter().filter(|(_, row)| !row.gone && row.switch() == own);
        rows.map(|(peer, row)| (peer.clone(), row.stored.clone())).collect()
    }
}
