//! The forms that the tables have had: each migration makes one of the one before it. Databases keep the
//! digest of each, so that none is ever changed once it has been published.

use sqlx::SqlSafeStr;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

/// The forms of one kind of database. They are listed here, and not by a macro of `sqlx`, since that would
/// build all of `sqlx` and SQLite a second time for the compiler.
pub(crate) struct Forms(&'static [Form]);

/// Number, name and text of a migration.
type Form = (i64, &'static str, &'static str);

/// Those of `migrations/sqlite`.
pub(super) static SQLITE: Forms = Forms(&[
    (1, "records", include_str!("../../migrations/sqlite/0001_records.sql")),
    (2, "quality", include_str!("../../migrations/sqlite/0002_quality.sql")),
    (3, "diagnosis", include_str!("../../migrations/sqlite/0003_diagnosis.sql")),
    (4, "transcoded", include_str!("../../migrations/sqlite/0004_transcoded.sql")),
    (5, "contact", include_str!("../../migrations/sqlite/0005_contact.sql")),
    (6, "one_way", include_str!("../../migrations/sqlite/0006_one_way.sql")),
    (7, "users", include_str!("../../migrations/sqlite/0007_users.sql")),
    (8, "switch", include_str!("../../migrations/sqlite/0008_switch.sql")),
    (9, "configuration", include_str!("../../migrations/sqlite/0009_configuration.sql")),
]);

/// Those of `migrations/postgres`.
pub(super) static POSTGRES: Forms = Forms(&[
    (1, "records", include_str!("../../migrations/postgres/0001_records.sql")),
    (2, "switches", include_str!("../../migrations/postgres/0002_switches.sql")),
    (3, "slots", include_str!("../../migrations/postgres/0003_slots.sql")),
    (4, "shared", include_str!("../../migrations/postgres/0004_shared.sql")),
    (5, "configuration", include_str!("../../migrations/postgres/0005_configuration.sql")),
    (6, "lost", include_str!("../../migrations/postgres/0006_lost.sql")),
]);

/// Those of `migrations/mysql`.
pub(super) static MYSQL: Forms = Forms(&[
    (1, "records", include_str!("../../migrations/mysql/0001_records.sql")),
    (2, "switch", include_str!("../../migrations/mysql/0002_switch.sql")),
    (3, "configuration", include_str!("../../migrations/mysql/0003_configuration.sql")),
]);

/// Why a database is not opened that has tables which this version cannot know.
pub(super) const OF_A_NEWER_VERSION: &str = "a newer version of oneport has made it, or changed it, and this \
                                             one does not know its tables; run that version, or go on with \
                                             the copy from before the upgrade";

/// Why a database is not read that has not all tables yet.
pub(super) const OF_AN_OLDER_VERSION: &str = "an older version of oneport has made it; let this version's \
                                              `oneport serve` open it once";

/// Why a database is not read that has no tables yet.
#[derive(Debug, thiserror::Error)]
#[error("it is empty: no switch has used it yet")]
pub(super) struct Unused;

impl Unused {
    /// Whether that is why.
    pub(super) fn is_why(error: &sqlx::Error) -> bool {
        matches!(error, sqlx::Error::Configuration(why) if why.is::<Self>())
    }
}

impl Forms {
    /// The form that this version gives to its tables.
    pub(super) fn newest(&self) -> Option<i64> {
        self.0.iter().map(|(number, ..)| *number).max()
    }

    /// What gives the tables that form, whichever they have.
    pub(super) fn migrator(&self) -> Migrator {
        let migration = |&(number, name, text): &Form| {
            Migration::new(number, name.into(), MigrationType::Simple, text.into_sql_str(), false)
        };
        Migrator::with_migrations(self.0.iter().map(migration).collect())
    }

    /// Why the tables do not have that form.
    pub(super) fn why(&self, error: MigrateError) -> sqlx::Error {
        match error {
            MigrateError::VersionMissing(version) if Some(version) > self.newest() => {
                sqlx::Error::Configuration(OF_A_NEWER_VERSION.into())
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
            error => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_of_the_directory_is_made() {
        for (name, forms) in [("sqlite", &SQLITE), ("postgres", &POSTGRES), ("mysql", &MYSQL)] {
            let directory = format!("{}/migrations/{name}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(directory).expect("readable");
            let name = |file: std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
            let mut names: Vec<String> = files.map(|file| name(file.expect("readable"))).collect();
            names.sort();
            let known = forms.0.iter().map(|(number, name, _)| format!("{number:04}_{name}.sql"));
            assert_eq!(known.collect::<Vec<_>>(), names);
        }
    }
}
