-- The part of the configuration that switches with one database of PostgreSQL share, in all versions that it has had. It is
-- kept here for one who moves, and no switch runs it.

CREATE TABLE IF NOT EXISTS shared_configuration (
    version BIGINT PRIMARY KEY,
    -- TOML, as it was written.
    text LONGTEXT NOT NULL,
    -- Who has set it: the name of a token, or of a user of the console.
    author TEXT NOT NULL,
    time DATETIME(3) NOT NULL
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE InnoDB;
