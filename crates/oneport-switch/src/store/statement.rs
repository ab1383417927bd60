//! SQL with its values, and in what the databases' ways to write it differ.

use super::columns::{Field, Value};

/// How a database wants its SQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
    /// Of MariaDB as well.
    MySql,
}

impl Dialect {
    /// The table of users. `user` is a word of PostgreSQL's own.
    pub(super) const fn users(self) -> &'static str {
        match self {
            Self::Sqlite => "user",
            Self::Postgres | Self::MySql => "console_user",
        }
    }

    /// What tells records of calls apart: the call, the `number` of the record there, and which of several
    /// switches has written it, where there may be several.
    pub(super) fn keys_of(self, number: &str) -> String {
        match self {
            Self::Sqlite | Self::MySql => format!("call_id, {number}"),
            Self::Postgres => format!("call_id, {number}, switch"),
        }
    }

    /// Behind an INSERT: a row whose `keys` are there already is left as it is.
    pub(super) fn or_nothing(self, keys: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!(" ON CONFLICT ({keys}) DO NOTHING"),
            // IGNORE would pass over other mistakes too, and cut what is too long.
            Self::MySql => " ON DUPLICATE KEY UPDATE id = id".into(),
        }
    }

    /// Behind an INSERT: in a row whose `keys` are there already, `columns` become as they are in the new one.
    pub(super) fn or_replace(self, keys: &str, columns: &[&str]) -> String {
        let set = |column: &&str| format!("{column} = {}", self.new_value(column));
        let columns: Vec<String> = columns.iter().map(set).collect();
        format!("{} {}", self.on_conflict(keys), columns.join(", "))
    }

    /// Behind an INSERT into `table`: in a row whose `keys` are there already, `column` grows by what the new
    /// one has.
    pub(super) fn or_add(self, table: &str, keys: &str, column: &str) -> String {
        let (conflict, new) = (self.on_conflict(keys), self.new_value(column));
        format!("{conflict} {column} = {table}.{column} + {new}")
    }

    /// Behind an INSERT into `table`: in a row whose `keys` are there already, `column` becomes what the new one
    /// has, if that is more.
    pub(super) fn or_raise(self, table: &str, keys: &str, column: &str) -> String {
        let greatest = if self == Self::Sqlite { "max" } else { "greatest" };
        let (conflict, new) = (self.on_conflict(keys), self.new_value(column));
        format!("{conflict} {column} = {greatest}({table}.{column}, {new})")
    }

    fn on_conflict(self, keys: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!(" ON CONFLICT ({keys}) DO UPDATE SET"),
            Self::MySql => " ON DUPLICATE KEY UPDATE".into(),
        }
    }

    fn new_value(self, column: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!("excluded.{column}"),
            Self::MySql => format!("VALUES({column})"),
        }
    }
}

/// A statement, and what stands in the place of its marks.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Statement {
    dialect: Dialect,
    text: String,
    values: Vec<Value>,
}

impl Statement {
    pub(crate) fn new(dialect: Dialect, text: impl Into<String>) -> Self {
        Self { dialect, text: text.into(), values: Vec::new() }
    }

    /// Text that nobody but this program has written.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// A value, whose mark comes here.
    pub(crate) fn bind(&mut self, value: impl Field) -> &mut Self {
        self.values.push(value.value());
        match self.dialect {
            Dialect::Sqlite | Dialect::MySql => self.text.push('?'),
            Dialect::Postgres => self.text.push_str(&format!("${}", self.values.len())),
        }
        self
    }

    /// Values in parentheses, parted by commas.
    pub(super) fn bind_row(&mut self, values: impl IntoIterator<Item = Value>) -> &mut Self {
        for (place, value) in values.into_iter().enumerate() {
            self.push(if place == 0 { "(" } else { ", " }).bind(value);
        }
        self.push(")")
    }

    /// Rows of values, parted by commas.
    pub(super) fn bind_rows<Row>(&mut self, rows: impl IntoIterator<Item = Row>) -> &mut Self
    where
        Row: IntoIterator<Item = Value>,
    {
        for (place, row) in rows.into_iter().enumerate() {
            self.push(if place == 0 { "" } else { ", " }).bind_row(row);
        }
        self
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: Dialect, expected: &str) {
        let mut statement = Statement::new(dialect, "INSERT INTO tally (kind, count) VALUES ");
        let row = |kind: &str, count| [Value::Text(kind.into()), Value::Integer(count)];
        statement.bind_rows([row("a", 1), row("b", 2)]);
        statement.push(&dialect.or_add("tally", "kind", "count"));
        assert_eq!(statement.text(), expected);
        assert_eq!(statement.values().len(), 4);
    }

    #[test]
    fn each_database_gets_its_own_marks_and_words() {
        check(
            Dialect::Sqlite,
            "INSERT INTO tally (kind, count) VALUES (?, ?), (?, ?) \
             ON CONFLICT (kind) DO UPDATE SET count = tally.count + excluded.count",
        );
        check(
            Dialect::Postgres,
            "INSERT INTO tally (kind, count) VALUES ($1, $2), ($3, $4) \
             ON CONFLICT (kind) DO UPDATE SET count = tally.count + excluded.count",
        );
        check(
            Dialect::MySql,
            "INSERT INTO tally (kind, count) VALUES (?, ?), (?, ?) \
             ON DUPLICATE KEY UPDATE count = tally.count + VALUES(count)",
        );
    }
}
