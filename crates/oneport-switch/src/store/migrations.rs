//! The forms that the tables have had: each migration makes one of the one before it. Databases keep the
//! digest of each, so that none is ever changed once it has been published.

use std::sync::LazyLock;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Number, name and text of each, as in `migrations/sqlite`.
const SQLITE: [(i64, &str, &str); 7] = [
    (1, "records", include_str!("../../migrations/sqlite/0001_records.sql")),
    (2, "quality", include_str!("../../migrations/sqlite/0002_quality.sql")),
    (3, "diagnosis", include_str!("../../migrations/sqlite/0003_diagnosis.sql")),
    (4, "transcoded", include_str!("../../migrations/sqlite/0004_transcoded.sql")),
    (5, "contact", include_str!("../../migrations/sqlite/0005_contact.sql")),
    (6, "one_way", include_str!("../../migrations/sqlite/0006_one_way.sql")),
    (7, "users", include_str!("../../migrations/sqlite/0007_users.sql")),
];

/// Those of SQLite. They are listed here, and not by a macro of `sqlx`, since that would build all of `sqlx`
/// and SQLite a second time for the compiler.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migration = |(number, name, text): (i64, &'static str, &'static str)| {
        Migration::new(number, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(SQLITE.map(migration).into())
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_of_the_directory_is_made() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
        let files = std::fs::read_dir(directory).expect("readable");
        let name = |file: std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = files.map(|file| name(file.expect("readable"))).collect();
        names.sort();
        let known = SQLITE.map(|(number, name, _)| format!("{number:04}_{name}.sql"));
        assert_eq!(known.as_slice(), names);
    }
}
