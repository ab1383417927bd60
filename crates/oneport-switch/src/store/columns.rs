//! The columns of call detail records, in one list: what they are called in tables of text and in a database,
//! and which field of a record each of them is.

use uuid::Uuid;

use crate::api::Role;
use crate::cdr::{Cdr, HungUpBy, LegDirection, Quality};
use crate::refusal::Stage;
use crate::utc::Utc;

/// What stands in a column. A database that has no flags, moments or ids keeps numbers and texts in their
/// place, and a field takes these as well.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    None,
    Flag(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Moment(Utc),
    Id(Uuid),
}

/// Nothing is empty.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Flag(flag) => flag.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Moment(moment) => moment.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// What a field cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unfit(String);

/// A field of a record.
pub(crate) trait Field: Sized {
    fn value(&self) -> Value;

    /// # Errors
    /// No such value can stand there.
    fn of(value: Value) -> Result<Self, Unfit>;
}

fn unfit<T>(value: &Value) -> Result<T, Unfit> {
    Err(Unfit(format!("`{value}` is none of the values that may stand here")))
}

impl Field for String {
    fn value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn of(value: Value) -> Result<Self, Unfit> {
        match value {
            Value::Text(text) => Ok(text),
            other => unfit(&other),
        }
    }
}

/// Whatever it is.
impl Field for Value {
    fn value(&self) -> Value {
        self.clone()
    }

    fn of(value: Value) -> Result<Self, Unfit> {
        Ok(value)
    }
}

impl Field for f64 {
    fn value(&self) -> Value {
        Value::Real(*self)
    }

    fn of(value: Value) -> Result<Self, Unfit> {
        match value {
            Value::Real(number) => Ok(number),
            other => unfit(&other),
        }
    }
}

impl Field for bool {
    fn value(&self) -> Value {
        Value::Flag(*self)
    }

    fn of(value: Value) -> Result<Self, Unfit> {
        match value {
            Value::Flag(flag) => Ok(flag),
            Value::Integer(number) => Ok(number != 0),
            other => unfit(&other),
        }
    }
}

/// Numbers are signed in SQL; none of ours comes near their end.
macro_rules! integer {
    ($($number:ty),*) => { $(impl Field for $number {
        fn value(&self) -> Value {
            Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
        }

        fn of(value: Value) -> Result<Self, Unfit> {
            match value {
                Value::Integer(number) => number
                    .try_into()
                    .map_err(|_| Unfit(format!("{number} is out of range"))),
                other => unfit(&other),
            }
        }
    })* };
}

integer!(u8, u32, u64, i32, i64);

/// What some databases have a type for, and others keep as text.
macro_rules! typed {
    ($($kind:ty, $variant:ident);*) => { $(impl Field for $kind {
        fn value(&self) -> Value {
            Value::$variant(*self)
        }

        fn of(value: Value) -> Result<Self, Unfit> {
            if let Value::$variant(value) = value {
                return Ok(value);
            }
            let text = String::of(value)?;
            text.parse::<Self>().map_err(|why| Unfit(format!("`{text}`: {why}")))
        }
    })* };
}

typed!(Uuid, Id; Utc, Moment);

/// What has a name.
macro_rules! named {
    ($($kind:ty),*) => { $(impl Field for $kind {
        fn value(&self) -> Value {
            Value::Text(self.name().into())
        }

        fn of(value: Value) -> Result<Self, Unfit> {
            let text = String::of(value)?;
            let found = <$kind>::ALL.into_iter().find(|one| one.name() == text);
            found.ok_or_else(|| Unfit(format!("`{text}` is unknown")))
        }
    })* };
}

named!(LegDirection, HungUpBy, Stage, Role);

impl<T: Field> Field for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::None, Field::value)
    }

    fn of(value: Value) -> Result<Self, Unfit> {
        match value {
            Value::None => Ok(None),
            value => T::of(value).map(Some),
        }
    }
}

/// What was read of one row.
#[derive(Debug)]
pub(crate) struct Row(Vec<Value>);

impl Row {
    pub(super) const fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// How many columns it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes what stands in a column.
    pub(crate) fn take<T: Field>(&mut self, place: usize) -> Result<T, Unfit> {
        let value = self.0.get_mut(place).map(|value| std::mem::replace(value, Value::None));
        let value = value.ok_or_else(|| Unfit(format!("there is no column {place}")))?;
        T::of(value).map_err(|Unfit(why)| Unfit(format!("column {place}: {why}")))
    }
}

/// A column.
pub(super) struct Column {
    /// In tables of text, and in docs/cdr.md.
    pub(super) name: &'static str,
    /// In the table `cdr` of a database; `None`: it follows from others.
    pub(super) sql: Option<&'static str>,
    /// What a record has there.
    pub(super) get: fn(&Cdr) -> Value,
    /// Puts it there.
    pub(super) set: fn(&mut Cdr, Value) -> Result<(), Unfit>,
}

/// A field of a record, under its own name or another, in a database under its name or a third.
macro_rules! column {
    ($($field:ident).+, $name:literal, $sql:literal) => {
        Column {
            name: $name,
            sql: Some($sql),
            get: |cdr| cdr.$($field).+.value(),
            set: |cdr, value| {
                cdr.$($field).+ = Field::of(value)?;
                Ok(())
            },
        }
    };
    ($field:ident, $sql:literal) => {
        Column { name: stringify!($field), ..column!($field, "", $sql) }
    };
    ($field:ident) => {
        Column { name: stringify!($field), sql: Some(stringify!($field)), ..column!($field, "", "") }
    };
    (quality.$field:ident) => {
        Column {
            name: stringify!($field),
            sql: Some(stringify!($field)),
            ..column!(quality.$field, "", "")
        }
    };
}

/// What the far end says; either it says all of this or nothing.
macro_rules! remote {
    ($field:ident, $name:literal) => {
        Column {
            name: $name,
            sql: Some($name),
            get: |cdr| cdr.quality.remote.map(|remote| remote.$field).value(),
            set: |cdr, value| {
                if let Some(figure) = Option::of(value)? {
                    cdr.quality.remote.get_or_insert_default().$field = figure;
                }
                Ok(())
            },
        }
    };
}

/// All of them, in the order of tables.
pub(super) const COLUMNS: &[Column] = &[
    column!(call, "call_id"),
    column!(leg),
    column!(direction),
    column!(peer),
    column!(address),
    column!(calling_number),
    column!(calling_name),
    column!(called_number),
    column!(dnid),
    column!(rdnis),
    column!(route),
    column!(destination),
    column!(start, "start_time"),
    column!(answer, "answer_time"),
    column!(end, "end_time"),
    column!(duration_ms),
    column!(billable_ms),
    Column {
        name: "billable_seconds",
        sql: None,
        get: |cdr| cdr.billable_seconds().value(),
        set: |_, _| Ok(()),
    },
    column!(reason),
    column!(cause),
    column!(cause_text),
    column!(hung_up_by),
    column!(codec),
    column!(encrypted),
    column!(trunk),
    column!(limit, "limit_name"),
    column!(account_code),
    column!(quality.frames),
    column!(quality.bytes),
    column!(quality.lost),
    column!(quality.late),
    column!(quality.out_of_order),
    column!(quality.duplicates),
    column!(quality.jitter_us),
    column!(quality.sent_frames),
    column!(quality.sent_bytes),
    column!(quality.send_drops),
    column!(quality.retransmissions),
    column!(quality.rtt_us),
    remote!(frames, "remote_frames"),
    remote!(lost, "remote_lost"),
    remote!(dropped, "remote_dropped"),
    remote!(out_of_order, "remote_out_of_order"),
    remote!(jitter_ms, "remote_jitter_ms"),
    remote!(delay_ms, "remote_delay_ms"),
    column!(quality.agreement),
    column!(quality.frame_ms),
    column!(quality.late_p50_us),
    column!(quality.late_p95_us),
    column!(quality.late_p99_us),
    column!(quality.late_max_us),
    column!(quality.bursts),
    column!(quality.burst_ms),
    column!(quality.gap_ms),
    column!(quality.burst_loss_percent),
    column!(quality.gap_loss_percent),
    column!(quality.burst_ratio),
    column!(quality.clock_ppm),
    column!(quality.lag_us),
    column!(quality.lag_least_us),
    column!(quality.lag_greatest_us),
    column!(quality.lag_here_us),
    column!(quality.lag_there_us),
    column!(quality.rating),
    column!(quality.mos),
    column!(quality.remote_rating),
    column!(quality.remote_mos),
    column!(quality.causes),
    column!(quality.diagnosis),
    column!(transcoded),
    column!(quality.one_way),
    column!(quality.one_way_why),
    column!(quality.one_way_ms),
    Column {
        name: "switch",
        sql: Some("switch"),
        get: |cdr| Value::Text(cdr.switch.clone().unwrap_or_default()),
        set: |cdr, value| {
            cdr.switch = Some(String::of(value)?).filter(|name| !name.is_empty());
            Ok(())
        },
    },
];

/// The columns of a database, in the order in which they are written and read.
pub(super) fn stored() -> impl Iterator<Item = (&'static Column, &'static str)> {
    COLUMNS.iter().filter_map(|column| Some((column, column.sql?)))
}

/// The record in a row that begins with the [`stored`] columns.
pub(super) fn read(row: &mut Row) -> Result<Cdr, Unfit> {
    let mut cdr = blank();
    for (place, (column, _)) in stored().enumerate() {
        (column.set)(&mut cdr, row.take(place)?)?;
    }
    Ok(cdr)
}

/// A record of which nothing is known yet.
fn blank() -> Cdr {
    Cdr {
        call: Uuid::nil(),
        leg: 0,
        switch: None,
        direction: LegDirection::In,
        peer: None,
        address: String::new(),
        calling_number: None,
        calling_name: None,
        called_number: String::new(),
        dnid: None,
        rdnis: None,
        route: None,
        destination: None,
        start: Utc::default(),
        answer: None,
        end: Utc::default(),
        duration_ms: 0,
        billable_ms: 0,
        reason: String::new(),
        cause: 0,
        cause_text: None,
        hung_up_by: HungUpBy::Switch,
        codec: None,
        transcoded: None,
        encrypted: false,
        trunk: false,
        limit: None,
        account_code: None,
        quality: Quality::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_described() {
        let document = include_str!("../../../../docs/cdr.md");
        for Column { name, .. } in COLUMNS {
            assert!(document.contains(&format!("`{name}`")), "{name} is not described");
        }
    }

    #[test]
    fn what_a_column_shows_it_takes_back_and_nothing_else() {
        let mut cdr = blank();
        let call = Uuid::from_u128(7);
        for (name, value) in [
            ("call", Value::Id(call)),
            ("direction", Value::Text("out".into())),
            ("encrypted", Value::Flag(true)),
            ("remote_lost", Value::Integer(3)),
            ("clock_ppm", Value::Integer(-40)),
            ("mos", Value::Real(4.2)),
            ("transcoded", Value::Text("gsm".into())),
        ] {
            let column = COLUMNS.iter().find(|column| column.name == name).expect("it is there");
            (column.set)(&mut cdr, value.clone()).expect("it fits");
            assert_eq!((column.get)(&cdr), value, "{name}");
            let list = Value::Text("no such thing".into());
            assert!(name == "transcoded" || (column.set)(&mut cdr, list).is_err(), "{name}");
        }
        assert_eq!((cdr.call, cdr.quality.remote.map(|there| there.frames)), (call, Some(0)));
        let leg = COLUMNS.iter().find(|column| column.name == "leg").expect("it is there");
        assert!((leg.set)(&mut cdr, Value::Integer(-1)).is_err(), "no leg has such a number");
        assert!((leg.set)(&mut cdr, Value::None).is_err(), "each leg has a number");
    }
}
