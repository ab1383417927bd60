//! The table of registrations: who is where, and which of several switches may say so.

use std::collections::{BTreeMap, BTreeSet};

use super::columns::{Field, Row, Unfit, Value};
use super::sql::{Connection, Engine, Trouble, in_blocks};
use super::statement::{Dialect, Statement};
use super::{Record, StoredRegistration};
use crate::utc::Utc;

/// All that are there, by their names.
pub(super) fn all(dialect: Dialect) -> Statement {
    let columns = "SELECT peer, address, registered_time, expires_time, contact";
    // Switches share a database of PostgreSQL alone.
    let text = match dialect {
        Dialect::Sqlite | Dialect::MySql => format!("{columns} FROM registration ORDER BY peer"),
        Dialect::Postgres => {
            format!("{columns}, switch FROM registration WHERE NOT gone ORDER BY peer")
        }
    };
    Statement::new(dialect, text)
}

/// One of [`all`].
pub(super) fn read(row: &mut Row) -> Result<StoredRegistration, Unfit> {
    Ok(StoredRegistration {
        peer: row.take(0)?,
        address: row.take(1)?,
        registered: row.take(2)?,
        expires: row.take(3)?,
        contact: row.take(4)?,
        switch: if row.len() > 5 { row.take(5)? } else { None },
    })
}

/// What a batch says of one peer.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Said<'a> {
    /// Where it has registered last.
    pub(crate) registered: Option<&'a StoredRegistration>,
    /// What is over behind that.
    pub(crate) over: Option<Over<'a>>,
}

/// The end of a registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Over<'a> {
    pub(crate) switch: Option<&'a str>,
    /// Of what was registered by then. What was renewed later stays.
    pub(crate) registered: Utc,
}

/// What a batch says, by peers: of each the last.
pub(crate) fn said(records: &[Record]) -> BTreeMap<&str, Said<'_>> {
    let mut all: BTreeMap<&str, Said<'_>> = BTreeMap::new();
    for record in records {
        match record {
            Record::Registered(one) => {
                all.insert(&one.peer, Said { registered: Some(one), over: None });
            }
            Record::Unregistered { peer, switch, registered } => {
                let said = all.entry(peer).or_default();
                let registered = registered.unwrap_or_else(|| Utc::from_unix_millis(i64::MAX));
                let renewed = said.registered.is_some_and(|one| one.registered > registered);
                let before = said.over.map(|over| over.registered);
                if !renewed && before < Some(registered) {
                    said.over = Some(Over { switch: switch.as_deref(), registered });
                }
            }
            Record::Cdr(_) | Record::Refusal(_) => {}
        }
    }
    all
}

/// Brings those that are `there` up to date by records that are not written yet.
pub(crate) fn bring_up(there: &mut BTreeMap<String, StoredRegistration>, records: &[Record]) {
    for (peer, Said { registered, over }) in said(records) {
        if let Some(one) = registered {
            there.insert(peer.into(), one.clone());
        }
        let is_over =
            |one: &StoredRegistration| over.is_some_and(|over| one.registered <= over.registered);
        if there.get(peer).is_some_and(is_over) {
            there.remove(peer);
        }
    }
}

/// Writes who has registered and who is so no more.
pub(super) async fn write<E: Engine>(
    connection: &mut Connection<E>,
    records: &[Record],
) -> Result<(), Trouble> {
    let shares = |switch: Option<&str>| switch.is_some() && E::DIALECT == Dialect::Postgres;
    let (mut gone, mut there, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    let mut left: BTreeMap<&str, Vec<(&str, Utc)>> = BTreeMap::new();
    for (peer, Said { registered, over }) in said(records) {
        // What is over at once has superseded others all the same.
        shared.extend(registered.filter(|one| shares(one.switch.as_deref())));
        match (registered, over) {
            (_, Some(Over { switch: Some(switch), registered })) if shares(Some(switch)) => {
                left.entry(switch).or_default().push((peer, registered));
            }
            (_, Some(over)) => gone.push((peer, over.registered)),
            (Some(one), None) if !shares(one.switch.as_deref()) => there.push(one),
            _ => {}
        }
    }
    let of_left = left.values().flatten().map(|(peer, _)| *peer);
    let peers: BTreeSet<&str> = shared.iter().map(|one| one.peer.as_str()).chain(of_left).collect();
    for some in in_blocks(&peers.into_iter().collect::<Vec<_>>()) {
        E::fetch(connection, &lock(some)).await?;
    }
    for some in in_blocks(&gone) {
        let mut statement = Statement::new(E::DIALECT, "DELETE FROM registration WHERE ");
        for (place, (peer, registered)) in some.iter().enumerate() {
            statement.push(if place == 0 { "(peer = " } else { " OR (peer = " });
            statement.bind((*peer).to_string()).push(" AND registered_time <= ");
            statement.bind(*registered).push(")");
        }
        E::execute(connection, &statement).await?;
    }
    for some in in_blocks(&there) {
        let text = "INSERT INTO registration \
                    (peer, address, registered_time, expires_time, contact) VALUES ";
        let mut statement = Statement::new(E::DIALECT, text);
        statement.bind_rows(some.iter().map(|one| values(one)));
        let columns = ["address", "registered_time", "expires_time", "contact"];
        statement.push(&E::DIALECT.or_replace("peer", &columns));
        E::execute(connection, &statement).await?;
    }
    for some in in_blocks(&shared) {
        E::execute(connection, &shared_insert(E::DIALECT, some)).await?;
        E::execute(connection, &shared_lost(E::DIALECT, some)).await?;
    }
    for (switch, peers) in left {
        for some in in_blocks(&peers) {
            // Its moment stays: whoever has registered elsewhere since is there, though this ends later.
            let text = "UPDATE registration AS r SET gone = true FROM (VALUES ";
            let mut statement = Statement::new(E::DIALECT, text);
            statement.bind_rows(
                some.iter()
                    .map(|(peer, registered)| [Value::Text((*peer).into()), registered.value()]),
            );
            statement.push(
                ") AS v (peer, registered) WHERE NOT r.gone AND r.peer = v.peer \
                 AND r.registered_time <= v.registered AND r.switch = ",
            );
            statement.bind(switch.to_string());
            E::execute(connection, &statement).await?;
        }
    }
    Ok(())
}

/// The same in a transaction of a test.
#[cfg(test)]
pub(crate) async fn write_at_postgresql(
    connection: &mut sqlx::PgConnection,
    records: &[Record],
) -> Result<(), String> {
    let written = write::<super::PostgresStore>(connection, records).await;
    written.map_err(|trouble| trouble.to_string())
}

/// Locks the rows of peers that are there, in the order of their names: so of two switches that write, none holds a row
/// that the other waits for while it waits for one of the other's.
fn lock(some: &[&str]) -> Statement {
    let text = "SELECT peer FROM registration WHERE peer IN ";
    let mut statement = Statement::new(Dialect::Postgres, text);
    statement.bind_row(some.iter().map(|peer| Value::Text((*peer).into())));
    statement.push(" ORDER BY peer FOR UPDATE");
    statement
}

fn values(one: &StoredRegistration) -> impl Iterator<Item = Value> {
    let StoredRegistration { peer, address, registered, expires, contact, .. } = one;
    let times = [registered.value(), expires.value()];
    [peer.value(), address.value()].into_iter().chain(times).chain([contact.value()])
}

/// Registrations of one switch among several. How old each is says this machine's clock, and which of two is the
/// later the database's: clocks of switches need not agree. What has expired since, as in a switch that was cut
/// off for long, is gone, and what another switch has a later one of has lost.
fn shared_insert(dialect: Dialect, some: &[&StoredRegistration]) -> Statement {
    let now = Utc::now();
    let text = "INSERT INTO registration AS r \
                    (peer, address, registered_time, expires_time, contact, switch, ordered_time, gone) \
                SELECT peer, address, registered_time, expires_time, contact, switch, \
                       clock_timestamp() - make_interval(secs => age), \
                       expires_time - registered_time <= make_interval(secs => age) \
                FROM (VALUES ";
    let mut statement = Statement::new(dialect, text);
    statement.bind_rows(some.iter().map(|one| {
        let age = Value::Real(now.since(one.registered).as_secs_f64());
        values(one).chain([one.switch.value(), age])
    }));
    statement.push(
        ") AS v (peer, address, registered_time, expires_time, contact, switch, age) \
         ON CONFLICT (peer) DO UPDATE SET \
             address = excluded.address, registered_time = excluded.registered_time, \
             expires_time = excluded.expires_time, contact = excluded.contact, \
             switch = excluded.switch, ordered_time = excluded.ordered_time, gone = excluded.gone, \
             lost = CASE WHEN r.switch <> excluded.switch \
                 THEN r.lost || jsonb_build_object(r.switch, \
                     (extract(epoch FROM r.registered_time) * 1000)::bigint) \
                 ELSE r.lost END \
         WHERE r.switch IS NULL OR r.switch = excluded.switch \
             OR r.ordered_time <= excluded.ordered_time",
    );
    statement
}

/// Which of those have lost, so that their switch hears of it. Their rows are locked since
/// [`shared_insert`] has looked at them, whether it has changed them or not.
fn shared_lost(dialect: Dialect, some: &[&StoredRegistration]) -> Statement {
    let text = "UPDATE registration AS r SET lost = r.lost || jsonb_build_object(v.switch, \
                    (extract(epoch FROM v.registered) * 1000)::bigint) FROM (VALUES ";
    let mut statement = Statement::new(dialect, text);
    statement.bind_rows(
        some.iter().map(|one| [one.peer.value(), one.switch.value(), one.registered.value()]),
    );
    statement
        .push(") AS v (peer, switch, registered) WHERE r.peer = v.peer AND r.switch <> v.switch");
    statement
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn date(seconds: u64) -> Utc {
        Utc::from_unix_millis(0).after(Duration::from_secs(seconds))
    }

    fn comes(seconds: u64) -> Record {
        Record::Registered(StoredRegistration {
            peer: "ann".into(),
            address: "192.0.2.1:4569".into(),
            registered: date(seconds),
            expires: date(seconds + 60),
            contact: None,
            switch: Some("bonn".into()),
        })
    }

    fn goes(registered: Option<u64>) -> Record {
        let registered = registered.map(date);
        Record::Unregistered { peer: "ann".into(), switch: Some("bonn".into()), registered }
    }

    /// When ann registered last, by these records and a registration at second 0, and whether that is over.
    fn after(records: &[Record]) -> (Option<Utc>, bool) {
        let mut there = BTreeMap::new();
        bring_up(&mut there, &[comes(0)]);
        bring_up(&mut there, records);
        let said = said(records).remove("ann").expect("something is said");
        let registered = said.registered.map(|one| one.registered);
        assert_eq!(said.over.is_some(), there.is_empty());
        (registered, said.over.is_some())
    }

    #[test]
    fn an_end_counts_for_what_was_registered_by_then_and_not_for_what_was_renewed() {
        assert_eq!(after(&[comes(1), goes(None)]), (Some(date(1)), true));
        assert_eq!(after(&[goes(None), comes(1)]), (Some(date(1)), false));
        assert_eq!(after(&[comes(1), goes(Some(0))]), (Some(date(1)), false));
        assert_eq!(after(&[comes(1), goes(Some(1)), goes(Some(0))]), (Some(date(1)), true));
        assert_eq!(after(&[goes(Some(0))]), (None, true));
    }
}
