-- Who holds how many slots of limits that switches share: for each limit one ledger. A switch changes it by one
-- statement that says which version it has read, and has no effect on another.

CREATE TABLE slots (
    -- As JSON: which limit, and what it counts.
    key TEXT COLLATE "C" PRIMARY KEY,
    version BIGINT NOT NULL,
    -- As JSON, by the names of switches.
    holders TEXT NOT NULL
);
