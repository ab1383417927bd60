-- The part of the configuration that switches with one database of PostgreSQL share, in all versions that it has had. It is
-- kept here for one who moves, and no switch runs it.

CREATE TABLE shared_configuration (
    version INTEGER PRIMARY KEY,
    -- TOML, as it was written.
    text TEXT NOT NULL,
    -- Who has set it: the name of a token, or of a user of the console.
    author TEXT NOT NULL,
    time TEXT NOT NULL
) STRICT;
