//! The table of registrations: who is where, and which of several switches may say so.

use std::collections::BTreeMap;

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

/// Writes who has registered and who is so no more.
pub(super) async fn write<E: Engine>(
    connection: &mut Connection<E>,
    records: &[Record],
) -> Result<(), Trouble> {
    // Of several about one peer the last holds.
    let mut standing: BTreeMap<&str, (Option<&StoredRegistration>, Option<&str>)> = BTreeMap::new();
    for record in records {
        match record {
            Record::Registered(one) => {
                standing.insert(&one.peer, (Some(one), one.switch.as_deref()));
            }
            Record::Unregistered { peer, switch } => {
                standing.insert(peer, (None, switch.as_deref()));
            }
            _ => {}
        }
    }
    let shares = |switch: &Option<&str>| switch.is_some() && E::DIALECT == Dialect::Postgres;
    let (mut gone, mut there, mut shared) = (Vec::new(), Vec::new(), Vec::new());
    let mut left: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (peer, (one, switch)) in standing {
        match (one, switch) {
            (Some(one), switch) if shares(&switch) => shared.push(one),
            (Some(one), _) => there.push(one),
            (None, switch) if shares(&switch) => {
                left.entry(switch.unwrap_or_default()).or_default().push(peer);
            }
            (None, _) => gone.push(peer),
        }
    }
    for some in in_blocks(&gone) {
        let mut statement = Statement::new(E::DIALECT, "DELETE FROM registration WHERE peer IN ");
        statement.bind_row(some.iter().map(|peer| Value::Text((*peer).into())));
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
    for (switch, peers) in left {
        for some in in_blocks(&peers) {
            // Its moment stays: whoever has registered elsewhere since is there, though this ends later.
            let text = "UPDATE registration SET gone = true WHERE NOT gone AND switch = ";
            let mut statement = Statement::new(E::DIALECT, text);
            statement.bind(switch.to_string()).push(" AND peer IN ");
            statement.bind_row(some.iter().map(|peer| Value::Text((*peer).into())));
            E::execute(connection, &statement).await?;
        }
    }
    for some in in_blocks(&shared) {
        E::execute(connection, &shared_insert(E::DIALECT, some)).await?;
    }
    Ok(())
}

fn values(one: &StoredRegistration) -> impl Iterator<Item = Value> {
    let StoredRegistration { peer, address, registered, expires, contact, .. } = one;
    let times = [registered.value(), expires.value()];
    [peer.value(), address.value()].into_iter().chain(times).chain([contact.value()])
}

/// Registrations of one switch among several. How old each is says this machine's clock, and which of two is the
/// later the database's: clocks of switches need not agree. What has expired since, as in a switch that was cut
/// off for long, is of no account any more, nor is what another switch has a later one of.
fn shared_insert(dialect: Dialect, some: &[&StoredRegistration]) -> Statement {
    let now = Utc::now();
    let text = "INSERT INTO registration AS r \
                    (peer, address, registered_time, expires_time, contact, switch, ordered_time) \
                SELECT peer, address, registered_time, expires_time, contact, switch, \
                       clock_timestamp() - make_interval(secs => age) \
                FROM (VALUES ";
    let mut statement = Statement::new(dialect, text);
    statement.bind_rows(some.iter().map(|one| {
        let age = Value::Real(now.since(one.registered).as_secs_f64());
        values(one).chain([one.switch.value(), age])
    }));
    statement.push(
        ") AS v (peer, address, registered_time, expires_time, contact, switch, age) \
         WHERE expires_time - registered_time > make_interval(secs => age) \
         ON CONFLICT (peer) DO UPDATE SET \
             address = excluded.address, registered_time = excluded.registered_time, \
             expires_time = excluded.expires_time, contact = excluded.contact, \
             switch = excluded.switch, ordered_time = excluded.ordered_time, gone = false \
         WHERE r.switch IS NULL OR r.switch = excluded.switch \
             OR r.ordered_time <= excluded.ordered_time",
    );
    statement
}
