-- Who may use the console: a name, a role, whether calls may be listened to, and the hash of a password
-- (Argon2id, in the form of the PHC).

CREATE TABLE user (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    listens INTEGER NOT NULL,
    password TEXT NOT NULL
) STRICT;
