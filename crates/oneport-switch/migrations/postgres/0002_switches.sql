-- The switches that share this database. Their signs of life are by the database's clock, so that theirs need not
-- agree. An incarnation is one run of a switch: of two processes with one name the later has the greater number.

CREATE SEQUENCE switch_incarnation;

CREATE TABLE switch (
    name TEXT COLLATE "C" PRIMARY KEY,
    incarnation BIGINT NOT NULL,
    address TEXT NOT NULL,
    version TEXT NOT NULL,
    started_time TIMESTAMPTZ NOT NULL,
    heartbeat_time TIMESTAMPTZ NOT NULL,
    -- When it said goodbye; nothing while it runs, and when it could not.
    left_time TIMESTAMPTZ
);
